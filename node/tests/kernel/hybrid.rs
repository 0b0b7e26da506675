//! Overlay and underlay pods as one network: API objects in, packets observed. W1 to W11 are the walks of the
//! datapath spec, section 1.

mod capture;
mod objects;
mod site;

use std::collections::BTreeMap;
use std::net::IpAddr;

use capture::Capture;
use site::{Node, OUTSIDE, Pod, Site, talk, try_talk};

use crate::plans::{VX, ip, kernel, mac, words};

/// A site whose nodes have pods of both networks: two underlay pods and an overlay pod on node 1, one of each on
/// node 2.
struct World {
    site: Site,
    overlay: [Pod; 2],
    underlay: [Pod; 2],
    neighbour: Pod,
}

impl World {
    async fn new() -> Self {
        let mut site = Site::new().await;
        let [first, second] = &mut site.nodes;
        let overlay = [
            first.add("overlay", "o-1", ["100.64.0.11", "fd64::11"]).await,
            second.add("overlay", "o-2", ["100.64.0.22", "fd64::22"]).await,
        ];
        let underlay = [
            first.add("vlan", "u-1", ["10.0.0.11", "fd10::11"]).await,
            second.add("vlan", "u-2", ["10.0.0.22", "fd10::22"]).await,
        ];
        let neighbour = first.add("vlan", "v-1", ["10.0.0.12", "fd10::12"]).await;
        let world = Self {
            site,
            overlay,
            underlay,
            neighbour,
        };
        for (of, other) in [(0, 1), (1, 0)] {
            world.site.nodes[of].answer(world.behind(other)).await;
        }
        world
    }

    /// What the other node must know: the addresses that are behind one, and its tunnel's MAC.
    fn behind(&self, node: usize) -> BTreeMap<IpAddr, hybridnet_node::mac::Mac> {
        let number = u8::try_from(node).unwrap() + 1;
        let pods = [&self.overlay[node], &self.underlay[node]];
        let mut addresses: Vec<_> = pods.iter().flat_map(|pod| pod.addresses).map(ip).collect();
        if node == 0 {
            addresses.extend(self.neighbour.addresses.map(ip));
        }
        addresses.extend([ip(&format!("192.168.0.{number}")), ip(&format!("fd02::{number}"))]);
        addresses.into_iter().map(|ip| (ip, mac(number))).collect()
    }
}

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

/// Datapath scenario 55: questions for neighbours come from the range, and the node has no such address.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_asks_for_neighbours_from_an_address_that_it_was_lent() {
    let world = World::new().await;
    let [first, _] = &world.site.nodes;
    let capture = Capture::on(&world.site.switch, "n1");
    first.namespace.sh("ip neigh flush dev eth0");

    talk(
        &world.underlay[0].namespace,
        &world.underlay[1].namespace,
        "10.0.0.22",
    );

    let asked = "arp[6:2] == 1 and arp dst host 10.0.0.22";
    assert!(capture.count(&format!("{asked} and arp src net 10.0.0.0/24")) > 0);
    assert_eq!(
        capture.count(&format!("{asked} and not arp src net 10.0.0.0/24")),
        0
    );
    let lent = first.namespace.sh("ip -4 -o address show dev eth0 scope link");
    assert!(
        lent.contains("10.0.0.11/24") && lent.contains("noprefixroute"),
        "{lent}"
    );
    let local = first.namespace.sh("ip -4 route show table local");
    assert!(!local.contains("10.0.0."), "{local}");
}

/// Datapath scenario 56: the last pod gone, and before that another one.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_was_lent_goes_from_pod_to_pod_and_comes_back_after_a_flap() {
    let World {
        mut site,
        underlay: [pod, _other],
        neighbour,
        overlay: _overlay,
    } = World::new().await;
    let [first, _] = &mut site.nodes;
    let lent = |node: &Node| node.namespace.sh("ip -4 -o address show dev eth0 scope link");

    first.namespace.sh(
        "ip link set eth0 down; ip link set eth0 up; ip address replace fd02::1/64 dev eth0 nodad
         ip route add default via 192.168.0.254; ip route add default via fd02::fe",
    );
    let local = |node: &Node| node.namespace.sh("ip -4 route show table local");
    assert!(
        local(first).contains("10.0.0.11"),
        "the kernel took it for the node's"
    );
    first.pass().await;
    assert!(!local(first).contains("10.0.0."), "{}", local(first));

    first.remove(pod).await;
    assert!(lent(first).contains("10.0.0.12/24") && !lent(first).contains("10.0.0.11"));
    talk(&site.outside, &neighbour.namespace, "10.0.0.12");
    let [first, _] = &mut site.nodes;
    first.remove(neighbour).await;
    assert_eq!(lent(first), "");
}

/// Datapath scenario 57: the node has an address of its own, be it one that the kernel ranks behind what was lent.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_the_host_in_the_range_ends_the_loan_and_stays_whole() {
    for (own, shown) in [
        ("10.0.0.7/25", "10.0.0.7/25 scope global eth0"),
        ("10.0.0.7/24 scope link", "10.0.0.7/24 scope link eth0"),
    ] {
        let mut site = Site::new().await;
        let [first, _] = &mut site.nodes;
        let _pod = first.add("vlan", "u-1", ["10.0.0.11", "fd10::11"]).await;
        let show = |node: &Node| {
            node.namespace
                .sh("ip -4 -o address show dev eth0; ip route show dev eth0")
        };
        assert!(show(first).contains("10.0.0.11/24 scope link"));

        first.namespace.sh(&format!("ip address add {own} dev eth0"));
        first.pass().await;

        let after = show(first);
        assert!(!after.contains("10.0.0.11/24"), "{after}");
        assert!(after.contains(shown) && after.contains("src 10.0.0.7"), "{after}");
    }
}

/// Datapath scenario 58: the node answers for the last pod of the VLAN no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_left_is_not_answered_for_on_any_link() {
    let World {
        mut site,
        underlay: [pod, _other],
        neighbour,
        overlay: _overlay,
    } = World::new().await;
    let [first, _] = &mut site.nodes;
    let proxies = |node: &Node| node.namespace.sh("ip neigh show proxy; ip -6 neigh show proxy");
    assert!(proxies(first).contains("10.0.0.11 dev eth0"));
    first.namespace.sh("ip neigh add proxy 10.9.9.9 dev eth0");

    first.remove(pod).await;
    first.remove(neighbour).await;

    let left = proxies(first);
    let ours = |line: &&str| line.contains("dev eth0");
    let left: Vec<_> = left.lines().filter(ours).map(str::trim).collect();
    assert!(
        left.iter()
            .all(|line| !line.contains("10.0.0.1") && !line.contains("fd10")),
        "{left:?}"
    );
    assert!(
        left.iter().any(|line| line.starts_with("10.9.9.9 dev eth0")),
        "{left:?}"
    );
    assert!(
        left.iter()
            .any(|line| line.starts_with("100.64.0.11") && line.contains(VX)),
        "the overlay pod's stays: {left:?}"
    );
}

/// Datapath scenario 64: a pod of the range that is not here.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_for_a_pod_that_is_elsewhere_does_not_go_round() {
    let world = World::new().await;
    let site = &world.site;
    let [first, _] = &site.nodes;
    site.router
        .sh(&format!("ip neigh replace 10.0.0.99 lladdr {} dev eth0", mac(1)));
    let send = || {
        site.router.within(|| {
            let socket = std::net::UdpSocket::bind("10.0.0.1:0").unwrap();
            socket.send_to(b"round", "10.0.0.99:9").unwrap();
        });
    };
    let dropped = |node: &Node| {
        let rules = node.namespace.sh("nft list chain inet hybridnet forward");
        let line = rules
            .lines()
            .find(|line| line.contains("endless") && line.contains("underlay4"));
        let packets = line.and_then(|line| {
            line.split("packets ")
                .nth(1)?
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        });
        packets.unwrap_or_else(|| panic!("{rules}"))
    };
    let capture = Capture::on(&site.switch, "n1");

    send();
    until(|| dropped(first) > 0);
    let sent_on = format!("host 10.0.0.99 and ether src {}", mac(1));
    assert_eq!(capture.count(&sent_on), 0);

    // kube-proxy's mark means that the packet will have another source, and may pass.
    first.namespace.sh_with(
        "nft -f -",
        "table ip kube {
            chain pre {
                type filter hook prerouting priority -150
                ip daddr 10.0.0.99 meta mark set 0x4000
            }
        }",
    );
    send();
    until(|| capture.count(&sent_on) > 0);
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
async fn a_second_pass_and_a_restart_write_nothing_and_what_is_foreign_stays() {
    let foreign = "ip -d address show dev eth0 | grep -v -e 10.0.0.11 -e valid_lft; ip route show table main; ip -6 route show table main | grep -v hybr
         ip rule show | grep -v -e 'lookup 4000' -e 'lookup 39999' -e 'lookup 100'; ip route show table 777
         ip neigh show proxy | grep -v -e 10.0.0. -e fd10:: -e hybr; tc qdisc show dev eth0; nft list table inet foreign";
    let mut site = Site::new().await;
    let [first, _] = &mut site.nodes;
    first.namespace.sh(
        "ip address add 10.44.0.1/24 dev eth0 label eth0:x; ip address add 10.45.0.1/24 dev eth0 scope link
         ip route add 10.46.0.0/16 via 192.168.0.254; ip route add 10.0.0.200 via 192.168.0.254
         ip route add default via 192.168.0.254 table 777; ip rule add pref 77 from 10.0.0.0/24 lookup 777
         ip rule add pref 78 from 10.0.0.0/24 to 10.99.0.0/16 lookup main
         ip neigh add proxy 192.168.0.77 dev eth0; nft add table inet foreign",
    );
    let before = first.namespace.sh(foreign);

    let _pod = first.add("vlan", "u-1", ["10.0.0.11", "fd10::11"]).await;

    assert_eq!(first.namespace.sh(foreign), before);
    assert_eq!(words(&first.pass().await), Vec::<String>::new());
    first.kernel = kernel(&first.namespace).await;
    assert_eq!(words(&first.pass().await), Vec::<String>::new());
}

/// Tagged links: made where the kernel can, else one problem that says what to do, and nothing else suffers.
#[tokio::test(flavor = "multi_thread")]
async fn a_tagged_link_is_made_or_its_lack_explained() {
    let mut site = Site::new().await;
    let [first, _] = &mut site.nodes;
    let pod = first.add("vlan", "u-1", ["10.0.0.11", "fd10::11"]).await;
    let mut tagged = objects::subnet("tagged", "vlan", "10.7.0.0/24", Some("10.7.0.1"));
    std::sync::Arc::get_mut(&mut tagged).unwrap().spec.net_id = Some(7);
    first.view.subnets.push(tagged);

    let report = first.try_pass().await;

    let has_link = first.namespace.sh("ip -o link").contains("eth0.7@eth0");
    let errors: Vec<_> = report.errors.iter().map(ToString::to_string).collect();
    if has_link {
        assert_eq!(errors, Vec::<String>::new());
        assert!(
            first
                .namespace
                .sh("ip -d link show eth0.7")
                .contains("802.1Q id 7")
        );
    } else {
        let expected = "add link eth0.7 vlan 7 dev eth0: this kernel has no 802.1Q: load the module 8021q, or give \
                        the Subnet the netID 0";
        assert_eq!(errors, [expected]);
    }
    talk(&site.outside, &pod.namespace, "10.0.0.11");
}

/// Waits for something that takes a moment.
fn until(is_so: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so() {
        assert!(begin.elapsed().as_secs() < 10, "it did not come to be");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
