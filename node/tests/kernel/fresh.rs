//! A node that has nothing of ours yet.

use std::time::Duration;

use hybridnet_node::kernel::diff::Removals;
use hybridnet_node::view::LinkKind;

use crate::plans::{VX, add_pod, converge, ip, kernel, mac, net, node, patient_kernel, plan, words};

#[tokio::test]
async fn a_plan_comes_true_and_then_nothing_is_to_be_done() {
    let namespace = node(1);
    let kernel = kernel(&namespace).await;

    let first = converge(&kernel, &plan(1)).await;
    let second = converge(&kernel, &plan(1)).await;

    assert!(!first.changes.is_empty());
    assert_eq!(words(&second), Vec::<String>::new());
    let rules = namespace.sh("ip rule; ip -6 rule");
    let squeezed: Vec<String> = rules
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        "0: from all lookup local",
        "1: from all lookup 39999 proto boot",
        "2: from all lookup 40000 proto boot",
        "3: from all fwmark 0x20/0x20 lookup 40001 proto boot",
        "4: from 10.244.0.0/16 fwmark 0/0x4040 lookup 10000 proto boot",
        "32766: from all lookup main",
        "32767: from all lookup default",
        "0: from all lookup local",
        "1: from all lookup 39999 proto boot",
        "2: from all lookup 40000 proto boot",
        "3: from all fwmark 0x20/0x20 lookup 40001 proto boot",
        "4: from fd10::/64 fwmark 0/0x4040 lookup 10000 proto boot",
        "32766: from all lookup main",
    ];
    assert_eq!(squeezed, expected);
    let mut entries: Vec<String> = namespace
        .sh(&format!("bridge fdb show dev {VX}"))
        .lines()
        .map(str::to_owned)
        .collect();
    entries.sort();
    let expected = [
        "02:00:00:00:00:02 dst 192.168.0.2 self permanent",
        "ff:ff:ff:ff:ff:f1 dst 192.168.0.2 self permanent",
    ];
    assert_eq!(entries, expected);
    let link = namespace.sh(&format!("ip -d link show {VX}"));
    for property in [
        "vxlan id 4 local 192.168.0.1 dev eth0",
        "dstport 8472",
        "mtu 1450",
        "02:00:00:00:00:01",
        "UP",
    ] {
        assert!(link.contains(property), "{property} in {link}");
    }
    assert!(!link.contains("nolearning"), "{link}");
    assert!(
        namespace
            .sh("ip route show table 40000")
            .contains("10.244.0.0/16 dev eth0.vxlan4")
    );
    assert!(
        namespace
            .sh("ip -6 route show table 10000")
            .contains("default dev eth0.vxlan4")
    );
    assert!(
        namespace
            .sh(&format!("ip address show {VX}"))
            .contains("192.168.0.1/24 scope global noprefixroute")
    );
}

#[tokio::test]
async fn what_others_made_is_byte_for_byte_as_it_was() {
    let namespace = node(1);
    namespace.sh(
        "ip link add flannel.1 type vxlan id 1 dev eth0 dstport 8472 local 192.168.0.1
         ip link set flannel.1 up
         bridge fdb append 00:00:00:00:00:00 dst 192.168.0.77 dev flannel.1
         ip rule add from 10.244.0.0/16 lookup main pref 5
         ip rule add fwmark 0x20/0x20 iif eth0 lookup 40001 pref 6
         ip rule add from 172.20.0.0/16 lookup 12345 pref 7
         ip rule add to 10.9.0.0/16 lookup 10000 pref 8
         ip route add 10.9.0.0/16 dev eth0 table 10000
         ip route add default dev eth0 table 12345
         ip route add 10.8.0.0/16 via 192.168.0.9
         ip neigh add proxy 192.168.0.50 dev eth0
         nft add table inet somebody",
    );
    let theirs = "ip rule | grep -E '^[5678]:'
         ip route show; ip -6 route show | grep -v vxlan4
         ip route show table 10000; ip route show table 12345
         ip -o address show eth0; ip -d link show flannel.1; ip -d -o link show eth0
         bridge fdb show dev flannel.1; ip neigh show proxy dev eth0; nft list tables inet";
    let before = namespace.sh(theirs);
    let kernel = kernel(&namespace).await;

    converge(&kernel, &plan(1)).await;
    let mut without_subnets = plan(1);
    without_subnets.tables.clear();
    without_subnets.subnets.clear();
    converge(&kernel, &without_subnets).await;

    assert_eq!(namespace.sh(theirs), before);
    assert!(!namespace.sh("ip rule").contains("0x4040"), "and ours are gone");
}

#[tokio::test]
async fn a_new_peer_costs_two_messages() {
    let namespace = node(1);
    let kernel = kernel(&namespace).await;
    let mut plan = plan(1);
    converge(&kernel, &plan).await;
    plan.vxlan
        .as_mut()
        .unwrap()
        .peers
        .insert(mac(3), ip("192.168.0.3"));

    let report = converge(&kernel, &plan).await;

    let expected = [
        "replace forwarding entry 02:00:00:00:00:03 dst 192.168.0.3 on eth0.vxlan4",
        "append forwarding entry ff:ff:ff:ff:ff:f1 dst 192.168.0.3 on eth0.vxlan4",
    ];
    assert_eq!(words(&report), expected);
}

#[tokio::test]
async fn the_mac_and_the_local_address_change_in_place() {
    let namespace = node(1);
    let kernel = kernel(&namespace).await;
    let mut plan = plan(1);
    converge(&kernel, &plan).await;
    let before = namespace.sh(&format!(
        "cat /sys/class/net/{VX}/ifindex 2>/dev/null || ip -o link show {VX} | cut -d: -f1"
    ));
    let tunnel = plan.vxlan.as_mut().unwrap();
    (tunnel.mac, tunnel.local) = (mac(9), ip("192.168.0.9"));

    converge(&kernel, &plan).await;

    let link = namespace.sh(&format!("ip -d link show {VX}"));
    assert!(
        link.contains("02:00:00:00:00:09") && link.contains("local 192.168.0.9"),
        "{link}"
    );
    assert!(link.starts_with(before.trim()), "the same link");
    assert_eq!(words(&converge(&kernel, &plan).await), Vec::<String>::new());
}

#[tokio::test]
async fn a_foreign_tunnel_in_the_way_is_named_and_the_rest_is_done() {
    let namespace = node(1);
    namespace.sh("ip link add other type vxlan id 4 dev eth0 dstport 8472 local 192.168.0.1");
    let kernel = kernel(&namespace).await;

    let report = kernel.converge(&plan(1), Removals::Allowed).await.unwrap();

    let errors: Vec<_> = report.errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].contains("link other already uses this identifier and port"),
        "{errors:?}"
    );
    assert!(
        namespace.sh("ip rule").contains("lookup 40000"),
        "rules do not need the link"
    );
}

#[tokio::test]
async fn a_peer_that_is_gone_is_still_reached_for_a_while_and_also_when_all_are_gone() {
    let namespace = node(1);
    let kernel = patient_kernel(&namespace).await;
    let mut plan = plan(1);
    let peers = &mut plan.vxlan.as_mut().unwrap().peers;
    peers.insert(mac(3), ip("192.168.0.3"));
    converge(&kernel, &plan).await;
    let whole = namespace.sh(&format!("bridge fdb show dev {VX}"));
    assert!(whole.contains("192.168.0.3"), "{whole}");

    plan.vxlan.as_mut().unwrap().peers.remove(&mac(3));
    converge(&kernel, &plan).await;
    assert_eq!(namespace.sh(&format!("bridge fdb show dev {VX}")), whole);

    let kernel = kernel.with_grace(Duration::ZERO);
    let mut alone = plan.clone();
    alone.vxlan.as_mut().unwrap().peers.clear();
    converge(&kernel, &alone).await;
    assert_eq!(namespace.sh(&format!("bridge fdb show dev {VX}")), whole);

    converge(&kernel, &plan).await;
    let left = namespace.sh(&format!("bridge fdb show dev {VX}"));
    assert!(
        left.contains("192.168.0.2") && !left.contains("192.168.0.3"),
        "{left}"
    );
}

/// Nobody tells of sysctls: they are read when a pod is new, and then once in a while.
#[tokio::test]
async fn sysctls_of_a_pod_are_right_after_it_came_and_after_its_link_was_made_anew() {
    let namespace = node(1);
    let kernel = kernel(&namespace).await;
    let mut plan = plan(1);
    add_pod(&mut plan, "hybr1", &["10.244.0.11"]);
    for _ in 0..2 {
        namespace.sh("ip link add hybr1 type veth peer name pod1; ip link set pod1 up");

        let first = words(&converge(&kernel, &plan).await);
        let second = words(&converge(&kernel, &plan).await);

        let written = "sysctl net/ipv4/conf/hybr1/proxy_arp = 1".to_owned();
        assert!(first.contains(&written), "{first:?}");
        assert_eq!(second, Vec::<String>::new());
        namespace.sh("ip link del hybr1");
    }
}

#[tokio::test]
async fn a_pod_that_was_added_needs_no_repair() {
    let namespace = node(1);
    let kernel = kernel(&namespace).await;
    let mut plan = plan(1);
    converge(&kernel, &plan).await;
    namespace.sh("ip link add hybr1 type veth peer name pod1; ip link set pod1 up");
    add_pod(&mut plan, "hybr1", &["10.244.0.11", "fd10::11"]);

    let pod = hybridnet_node::kernel::pods::NewPod {
        link: "hybr1",
        end: &plan.pods["hybr1"],
        answers_on: &[VX.to_owned()],
        local_direct: 39_999,
    };
    kernel.add_pod(&pod).await.unwrap();

    assert_eq!(words(&converge(&kernel, &plan).await), Vec::<String>::new());
    assert!(
        namespace
            .sh("ip route show table 39999")
            .contains("10.244.0.11 dev hybr1")
    );
    assert!(
        namespace
            .sh("ip -6 route show table 39999")
            .contains("fd10::11 dev hybr1")
    );
    assert!(
        namespace
            .sh(&format!("ip neigh show proxy dev {VX}"))
            .contains("10.244.0.11")
    );
    assert!(namespace.sh("ip link show hybr1").contains("ee:ee:ee:ee:ee:ee"));
    let missing = hybridnet_node::kernel::pods::NewPod { link: "hybr2", ..pod };
    let error = kernel.add_pod(&missing).await.unwrap_err().to_string();
    assert!(error.contains("there is no link hybr2"), "{error}");
}

#[tokio::test]
async fn the_machine_is_seen_as_it_is() {
    let namespace = node(1);
    let kernel = kernel(&namespace).await;
    converge(&kernel, &plan(1)).await;

    let machine = kernel.observe().await.unwrap();

    let kinds: Vec<_> = machine
        .links
        .iter()
        .map(|link| (link.name.as_str(), link.kind))
        .collect();
    assert!(
        kinds.contains(&("lo", LinkKind::Loopback)) && kinds.contains(&(VX, LinkKind::Vxlan)),
        "{kinds:?}"
    );
    let eth0 = machine.link("eth0").unwrap();
    assert_eq!(
        (eth0.mac, eth0.mtu, eth0.up, eth0.kind),
        (Some(mac(1)), 1500, true, LinkKind::Veth)
    );
    let on = |link: &str| -> Vec<_> {
        let usable = machine
            .addresses
            .iter()
            .filter(|address| address.link == link && address.global_scope);
        usable
            .map(|address| (address.ip, address.no_prefix_route, address.unfit))
            .collect()
    };
    assert_eq!(
        on("eth0"),
        [
            (net("192.168.0.1/24"), false, false),
            (net("fd02::1/64"), false, false)
        ]
    );
    assert_eq!(
        on(VX),
        [
            (net("192.168.0.1/24"), true, false),
            (net("fd02::1/64"), true, false)
        ]
    );
    let routes: Vec<_> = machine
        .default_routes
        .iter()
        .map(|route| (route.link.as_str(), route.gateway))
        .collect();
    assert_eq!(
        routes,
        [
            ("eth0", Some(ip("192.168.0.254"))),
            ("eth0", Some(ip("fd02::fe")))
        ]
    );
    assert!(machine.ipv6_usable);
    namespace.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
    assert!(!kernel.observe().await.unwrap().ipv6_usable);
}
