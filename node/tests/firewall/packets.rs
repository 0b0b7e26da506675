//! What the rules do to packets, in both families.

use std::io;

use hybridnet_node::firewall::{Outcome, Ruleset, converge};

use crate::everything;
use crate::site::{Addresses, FAMILIES, Server, Site, connect};

const MARK: &str = "\"mark overlay pod -> node back traffic\"";
const UNMARK: &str = "remove overlay pod -> node back traffic mark";
const FULL_NAT: &str = "match full NATed pod traffic";
const LOOP: &str = "drop endless underlay traffic";

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

#[test]
fn an_overlay_pod_is_masqueraded_to_the_outside_and_nowhere_else() {
    let site = Site::new();
    for Addresses {
        node,
        host,
        pod_a,
        pod_b,
        remote_pod,
        ..
    } in FAMILIES
    {
        let outside = Server::new(&site.outside, host);
        let local = Server::new(&site.pod_b, pod_b);
        let remote = Server::new(&site.tunnel, remote_pod);

        assert_eq!(outside.talk(&site.pod_a, host).unwrap().seen_from, ip(node));
        assert_eq!(local.talk(&site.pod_a, pod_b).unwrap().seen_from, ip(pod_a));
        assert_eq!(remote.talk(&site.pod_a, remote_pod).unwrap().seen_from, ip(pod_a));
    }
}

#[test]
fn the_node_itself_and_pods_of_an_underlay_are_not_masqueraded() {
    let site = Site::new();
    for Addresses {
        version,
        node,
        host,
        underlay_pod,
        ..
    } in FAMILIES
    {
        let outside = Server::new(&site.outside, host);
        site.outside.sh(&format!(
            "ip -{version} route add {underlay_pod} via {node} dev nic"
        ));

        assert_eq!(outside.talk(&site.node, host).unwrap().seen_from, ip(node));
        site.pod_b.sh(&format!(
            "ip -{version} route replace {host} via {node} dev nic src {underlay_pod}"
        ));
        assert_eq!(
            outside.talk(&site.pod_b, host).unwrap().seen_from,
            ip(underlay_pod)
        );
    }
}

#[test]
fn what_nobody_behind_the_tunnel_knows_is_refused_at_once() {
    let site = Site::new();
    for Addresses {
        nowhere, remote_pod, ..
    } in FAMILIES
    {
        let _remote = Server::new(&site.tunnel, remote_pod);

        let refused = connect(&site.pod_a, nowhere, 80).unwrap_err();

        assert_eq!(refused.kind(), io::ErrorKind::HostUnreachable, "{refused}");
        connect(&site.pod_a, remote_pod, 80).unwrap();
    }
}

#[test]
fn a_flow_that_is_known_is_not_refused_when_its_subnet_is_forgotten() {
    let site = Site::new();
    for Addresses { remote_pod, .. } in FAMILIES {
        let remote = Server::new(&site.tunnel, remote_pod);
        site.load();
        let mut talk = remote.talk(&site.pod_a, remote_pod).unwrap();
        let mut shrunk = everything();
        shrunk.overlay.retain(|subnet| !subnet.contains(ip(remote_pod)));

        let outcome = site.node.within(|| converge(&shrunk)).unwrap();

        assert!(matches!(outcome, Outcome::Elements { .. }), "{outcome:?}");
        talk.again().unwrap();
        let refused = connect(&site.pod_a, remote_pod, 80).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::HostUnreachable, "{refused}");
    }
}

#[test]
fn what_a_pod_answers_to_a_node_goes_back_through_the_tunnel() {
    let site = Site::new();
    for Addresses {
        version,
        pod_a,
        other_node,
        ..
    } in FAMILIES
    {
        let pod = Server::new(&site.pod_a, pod_a);
        site.tunnel.sh(&format!(
            "ip -{version} route add {pod_a} dev nic src {other_node}"
        ));
        site.tunnel.sh(&format!(
            "ip -{version} neigh replace {pod_a} lladdr {} dev nic",
            tunnel_mac(&site)
        ));
        let (marked, unmarked) = (site.seen(MARK), site.seen(UNMARK));

        let talk = pod.talk(&site.tunnel, pod_a).unwrap();

        assert_eq!(talk.seen_from, ip(other_node));
        assert!(site.seen(MARK) > marked, "marked");
        assert_eq!(
            site.seen(UNMARK) - unmarked,
            site.seen(MARK) - marked,
            "the mark ends with the node"
        );

        // And without the rule there is no such way back.
        site.node.sh("nft delete table inet hybridnet");
        assert!(pod.talk(&site.tunnel, pod_a).is_err());
        site.load();
    }
}

fn tunnel_mac(site: &Site) -> String {
    site.node
        .sh("cat /sys/class/net/eth0.vxlan4/address")
        .trim()
        .to_owned()
}

#[test]
fn what_a_pod_asks_of_a_node_is_not_marked() {
    let site = Site::new();
    for Addresses { node, other_node, .. } in FAMILIES {
        let outside = Server::new(&site.outside, other_node);

        let talk = outside.talk(&site.pod_a, other_node).unwrap();

        assert_eq!(talk.seen_from, ip(node), "masqueraded");
        assert_eq!(site.seen(MARK), 0);
    }
}

/// kube-proxy's part: port 80 of the node leads to a pod; with masquerading as for a Service of policy Cluster.
fn node_port(site: &Site, of: &Addresses, masquerade: bool) {
    let Addresses {
        version, node, pod_a, ..
    } = of;
    let (family, target) = if *version == 4 {
        ("ip", pod_a.to_string())
    } else {
        ("ip6", format!("[{pod_a}]"))
    };
    let snat = if masquerade {
        "oifname \"hybrA\" masquerade"
    } else {
        ""
    };
    site.node.sh_with(
        "nft -f -",
        &format!(
            "table {family} kube {{
                chain pre {{ type nat hook prerouting priority -100; {family} daddr {node} tcp dport 80 dnat to {target}:80; }}
                chain post {{ type nat hook postrouting priority 100; {snat}; }}
            }}"
        )
        .replace("100; ;", "100;"),
    );
}

#[test]
fn what_a_pod_answers_to_a_node_by_way_of_a_translated_address_is_not_marked() {
    let site = Site::new();
    for family in FAMILIES {
        let Addresses {
            node,
            other_node,
            pod_a,
            version,
            ..
        } = family;
        node_port(&site, &family, false);
        let pod = Server::new(&site.pod_a, pod_a);
        site.outside.sh(&format!(
            "ip -{version} route replace {node} dev nic src {other_node}"
        ));

        let talk = pod.talk(&site.outside, node).unwrap();

        assert_eq!(talk.seen_from, ip(other_node), "not masqueraded: policy Local");
        assert_eq!((site.seen(MARK), site.seen(FULL_NAT)), (0, 0));
    }
}

#[test]
fn what_a_pod_answers_in_a_flow_that_is_translated_at_both_ends_skips_its_subnets_table() {
    let site = Site::new();
    for family in FAMILIES {
        let Addresses {
            version,
            node,
            host,
            pod_a,
            overlay,
            ..
        } = family;
        node_port(&site, &family, true);
        let pod = Server::new(&site.pod_a, pod_a);
        site.outside
            .sh(&format!("ip -{version} route replace {node} dev nic src {host}"));
        site.node.sh(&format!(
            "ip -{version} rule add pref 20 from {overlay} fwmark 0/0x4040 lookup 10000
             ip -{version} route add blackhole default table 10000"
        ));

        let talk = pod.talk(&site.outside, node).unwrap();

        assert_ne!(talk.seen_from, ip(host), "masqueraded");
        assert!(site.seen(FULL_NAT) > 0);

        // And without the mark the subnet's table swallows the answer.
        site.node.sh("nft delete table inet hybridnet");
        assert!(pod.talk(&site.outside, node).is_err());
        site.load();
    }
}

#[test]
fn underlay_packets_for_pods_that_are_elsewhere_do_not_go_round() {
    let site = Site::new();
    for Addresses {
        underlay_pod,
        absent_pod,
        host,
        ..
    } in FAMILIES
    {
        let pod = Server::new(&site.pod_b, underlay_pod);
        let outside = Server::new(&site.outside, host);
        let dropped = site.seen(LOOP);

        // Both come in by the VLAN's link.
        pod.talk(&site.underlay, underlay_pod).unwrap();
        assert_eq!(site.seen(LOOP), dropped, "a pod of this node is reached");
        outside.talk(&site.underlay, host).unwrap();
        assert_eq!(site.seen(LOOP), dropped, "and so is what lies in no subnet");
        assert!(connect(&site.underlay, absent_pod, 80).is_err());
        assert!(site.seen(LOOP) > dropped, "but not a pod of another node");

        // By another link it is let through.
        let dropped = site.seen(LOOP);
        assert!(
            connect(&site.pod_a, absent_pod, 80).is_err(),
            "there is no such pod"
        );
        assert_eq!(site.seen(LOOP), dropped);
    }
}

#[test]
fn flows_live_on_while_the_table_is_replaced() {
    let site = Site::new();
    for Addresses { node, host, .. } in FAMILIES {
        let outside = Server::new(&site.outside, host);
        let mut talk = outside.talk(&site.pod_a, host).unwrap();
        assert_eq!(talk.seen_from, ip(node), "masqueraded");

        for vxlan in [
            Some("eth1.vxlan4".to_owned()),
            None,
            Some("eth0.vxlan4".to_owned()),
        ] {
            let ruleset = Ruleset {
                vxlan,
                ..everything()
            };
            let outcome = site.node.within(|| converge(&ruleset)).unwrap();
            assert!(matches!(outcome, Outcome::Replaced { .. }), "{outcome:?}");
            talk.again().unwrap();
        }
    }
}
