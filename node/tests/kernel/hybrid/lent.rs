//! Addresses that a link was lent, for its questions (datapath spec 6.4).

use super::World;
use super::capture::Capture;
use super::site::{Node, Site, talk};

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
