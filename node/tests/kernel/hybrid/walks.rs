//! The walks of packets: who reaches whom, by which address, and by which way.

use std::sync::Arc;

use super::capture::Capture;
use super::site::{OUTSIDE, Pod, Site, talk, try_talk};
use super::{World, objects};
use crate::plans::{ip, mac};

/// Walks 1, 2, 3, 5 and 7.
#[tokio::test(flavor = "multi_thread")]
async fn every_pod_reaches_every_other_by_its_own_address() {
    let world = World::new().await;
    let pods = [
        &world.overlay[0],
        &world.underlay[0],
        &world.neighbour,
        &world.overlay[1],
        &world.underlay[1],
    ];
    for (from, client) in pods.iter().enumerate() {
        for (to, server) in pods.iter().enumerate().filter(|(to, _)| *to != from) {
            for family in [0, 1] {
                let seen = talk(&client.namespace, &server.namespace, server.addresses[family]);
                assert_eq!(seen, ip(client.addresses[family]), "{from} to {to}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn between_overlay_and_underlay_packets_are_in_the_tunnel_and_between_underlay_pods_on_the_segment() {
    let world = World::new().await;
    for family in [0, 1] {
        let (overlay, underlay) = (&world.overlay[0], &world.underlay[1]);
        let (here, there) = (overlay.addresses[family], underlay.addresses[family]);
        let plain = format!("tcp and host {here} and host {there}");
        let capture = Capture::on(&world.site.switch, "n1");

        talk(&overlay.namespace, &underlay.namespace, there);
        talk(&underlay.namespace, &overlay.namespace, here);

        assert_eq!(capture.count(&plain), 0, "W3 and W7");
        assert!(capture.count("udp port 8472") > 0);

        let (first, second) = (&world.underlay[0], &world.underlay[1]);
        let (here, there) = (first.addresses[family], second.addresses[family]);
        let capture = Capture::on(&world.site.switch, "n1");

        talk(&first.namespace, &second.namespace, there);

        let straight = |from: u8, to: u8| {
            format!(
                "tcp and host {here} and host {there} and ether src {} and ether dst {}",
                mac(from),
                mac(to)
            )
        };
        assert!(capture.count(&straight(1, 2)) > 0, "W5");
        assert!(capture.count(&straight(2, 1)) > 0, "W5");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_underlay_pod_speaks_with_the_world_by_its_own_address_and_an_overlay_pod_by_its_nodes() {
    let world = World::new().await;
    let site = &world.site;
    for (family, node) in ["192.168.0.1", "fd02::1"].iter().enumerate() {
        let outside = OUTSIDE[family];
        let pod = &world.underlay[0];
        let capture = Capture::on(&site.switch, "n1");

        // W6, there and back.
        assert_eq!(
            talk(&pod.namespace, &site.outside, outside),
            ip(pod.addresses[family])
        );
        let to_router = format!(
            "tcp and src host {} and ether src {} and ether dst 02:00:00:00:00:fe",
            pod.addresses[family],
            mac(1)
        );
        assert!(capture.count(&to_router) > 0);
        assert_eq!(
            talk(&site.outside, &pod.namespace, pod.addresses[family]),
            ip(outside)
        );
        let known = site
            .router
            .sh(&format!("ip neigh show {}", pod.addresses[family]));
        assert!(known.contains(&mac(1).to_string()), "{known}");

        // W4.
        let overlay = &world.overlay[0];
        assert_eq!(talk(&overlay.namespace, &site.outside, outside), ip(node));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_and_nodes_reach_each_other() {
    let world = World::new().await;
    let [first, second] = &world.site.nodes;
    let [one, two] = [["192.168.0.1", "fd02::1"], ["192.168.0.2", "fd02::2"]];
    for family in [0, 1] {
        let pod = &world.underlay[0];
        let own = pod.addresses[family];

        // W8.
        assert_eq!(talk(&pod.namespace, &first.namespace, one[family]), ip(own));
        assert_eq!(talk(&first.namespace, &pod.namespace, own), ip(one[family]));
        assert_eq!(talk(&pod.namespace, &second.namespace, two[family]), ip(own));
        assert_eq!(talk(&second.namespace, &pod.namespace, own), ip(two[family]));

        // W9.
        let overlay = &world.overlay[0];
        let seen = talk(&second.namespace, &overlay.namespace, overlay.addresses[family]);
        assert_eq!(seen, ip(two[family]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_pod_has_of_an_underlay_range_is_not_looked_for_in_the_tunnel() {
    let world = World::new().await;
    for (gateway, node) in [("10.0.0.1", "192.168.0.1"), ("fd10::1", "fd02::1")] {
        // W3: the router itself, by the way of everything else.
        let seen = talk(&world.overlay[0].namespace, &world.site.router, gateway);
        assert_eq!(seen, ip(node));
    }
}

/// Datapath scenario 33: an overlay without NAT.
#[tokio::test(flavor = "multi_thread")]
async fn without_nat_nodes_and_underlay_pods_are_reached_through_the_tunnel_and_the_world_is_not() {
    let mut site = Site::new_with(|view| {
        for subnet in &mut view.subnets {
            let subnet = Arc::make_mut(subnet);
            if subnet.spec.network == "overlay" {
                let config = serde_json::json!({"autoNatOutgoing": false});
                subnet.spec.config = serde_json::from_value(config).unwrap();
            }
        }
    })
    .await;
    let [first, second] = &mut site.nodes;
    let overlay = first.add("overlay", "o-1", ["100.64.0.11", "fd64::11"]).await;
    let underlay = second.add("vlan", "u-2", ["10.0.0.22", "fd10::22"]).await;

    for (family, node) in ["192.168.0.2", "fd02::2"].into_iter().enumerate() {
        let own = ip(overlay.addresses[family]);
        let [_, second] = &site.nodes;
        assert_eq!(talk(&overlay.namespace, &second.namespace, node), own);
        let there = underlay.addresses[family];
        assert_eq!(talk(&overlay.namespace, &underlay.namespace, there), own);

        let refused = try_talk(&overlay.namespace, &site.outside, OUTSIDE[family], 80);
        assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::HostUnreachable);
    }
}

/// Datapath scenario 61: a `NodePort` of policy Cluster that leads to a VLAN pod of this node.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_port_is_answered_by_the_link_that_it_was_asked_at() {
    let world = World::new().await;
    let [first, _] = &world.site.nodes;
    let client = crate::net::Netns::new("client");
    first.namespace.sh(&format!(
        "ip link add eth1 type veth peer name eth0 netns {}
         ip link set eth1 up; ip address add 192.0.2.1/24 dev eth1
         ip address add fd77::1/64 dev eth1 nodad",
        client.name()
    ));
    client.sh(
        "ip link set eth0 up; ip address add 192.0.2.9/24 dev eth0; ip address add fd77::9/64 dev eth0 nodad",
    );
    first.pass().await;
    for (family, (version, node, pod)) in [("ip", "192.0.2.1", "10.0.0.11"), ("ip6", "fd77::1", "[fd10::11]")]
        .into_iter()
        .enumerate()
    {
        first.namespace.sh_with(
            "nft -f -",
            &format!(
                "table {version} kube {{
                    chain pre {{ type nat hook prerouting priority -100; {version} daddr {node} tcp dport 30080 dnat to {pod}:80; }}
                    chain post {{ type nat hook postrouting priority 100; ct status dnat masquerade; }}
                }}"
            ),
        );
        let pod = &world.underlay[0];
        let capture = Capture::on(&world.site.switch, "n1");

        let seen = try_talk(&client, &pod.namespace, node, 30_080).unwrap();

        assert_ne!(seen, ip(pod.addresses[family]));
        assert_eq!(capture.count("tcp"), 0, "nothing left by the segment");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_underlay_needs_no_overlay() {
    let mut site = Site::new_with(|view| {
        let is_overlay = |name: &str| name.starts_with("overlay");
        view.networks
            .retain(|network| !is_overlay(network.metadata.name.as_deref().unwrap_or_default()));
        view.subnets.retain(|subnet| !is_overlay(&subnet.spec.network));
    })
    .await;
    let [first, second] = &mut site.nodes;
    let here = first.add("vlan", "u-1", ["10.0.0.11", "fd10::11"]).await;
    let beside = first.add("vlan", "v-1", ["10.0.0.12", "fd10::12"]).await;
    let there = second.add("vlan", "u-2", ["10.0.0.22", "fd10::22"]).await;

    for family in [0, 1] {
        for pod in [&beside, &there] {
            let seen = talk(&here.namespace, &pod.namespace, pod.addresses[family]);
            assert_eq!(seen, ip(here.addresses[family]));
        }
        let seen = talk(&site.outside, &there.namespace, there.addresses[family]);
        assert_eq!(seen, ip(OUTSIDE[family]));
    }
    assert!(!site.nodes[0].namespace.sh("ip link").contains("vxlan"));
}

/// The underlay's range is that of the nodes themselves, as on most flat networks: their own packets, the tunnel's
/// among them, are looked up in the subnet's table too.
#[tokio::test(flavor = "multi_thread")]
async fn pods_may_live_in_the_range_of_their_nodes() {
    let ranges = [
        (
            "192.168.0.0/24",
            "192.168.0.254",
            "192.168.0.100",
            "192.168.0.200",
        ),
        ("fd02::/64", "fd02::fe", "fd02::100", "fd02::200"),
    ];
    let mut site = Site::new_with(|view| {
        view.subnets.retain(|subnet| subnet.spec.network == "overlay");
        for (cidr, gateway, start, end) in ranges {
            let mut subnet = objects::subnet(start, "vlan", cidr, gateway);
            let range = &mut Arc::get_mut(&mut subnet).unwrap().spec.range;
            (range.start, range.end) = (Some(start.into()), Some(end.into()));
            view.subnets.push(subnet);
        }
    })
    .await;
    let [first, second] = &mut site.nodes;
    assert_eq!(
        first
            .plan()
            .await
            .problems
            .iter()
            .filter(|problem| problem.about.contains("Subnet"))
            .count(),
        0
    );
    let here = first.add("vlan", "u-1", ["192.168.0.111", "fd02::111"]).await;
    let overlay = first.add("overlay", "o-1", ["100.64.0.11", "fd64::11"]).await;
    let there = second.add("vlan", "u-2", ["192.168.0.122", "fd02::122"]).await;
    let direct = first
        .namespace
        .sh("ip route show table all 192.168.0.0/24 src 192.168.0.1");
    assert!(direct.contains("dev eth0 table 100"), "{direct}");
    let lent = first.namespace.sh("ip -4 -o address show dev eth0 scope link");
    assert_eq!(lent, "", "the node has an address of its own");

    for (family, nodes) in [["192.168.0.1", "192.168.0.2"], ["fd02::1", "fd02::2"]]
        .into_iter()
        .enumerate()
    {
        let [first, second] = &site.nodes;
        let reach = |from: &Pod, to: &Pod| {
            let seen = talk(&from.namespace, &to.namespace, to.addresses[family]);
            assert_eq!(seen, ip(from.addresses[family]));
        };
        let capture = Capture::on(&site.switch, "n1");
        reach(&overlay, &there);
        reach(&there, &overlay);
        assert_eq!(capture.count("tcp"), 0);
        assert!(capture.count("udp port 8472") > 0);
        reach(&here, &there);
        for pod in [&here, &there] {
            let (own, outside) = (ip(pod.addresses[family]), OUTSIDE[family]);
            assert_eq!(talk(&pod.namespace, &site.outside, outside), own);
            assert_eq!(
                talk(&site.outside, &pod.namespace, pod.addresses[family]),
                ip(outside)
            );
        }
        let seen = talk(&first.namespace, &second.namespace, nodes[1]);
        assert_eq!(seen, ip(nodes[0]));
        let seen = talk(&overlay.namespace, &second.namespace, nodes[1]);
        assert_eq!(seen, ip(nodes[0]), "W4");
        let seen = talk(&first.namespace, &there.namespace, there.addresses[family]);
        assert_eq!(seen, ip(nodes[0]), "W8");
    }
}
