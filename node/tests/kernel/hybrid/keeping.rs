//! What comes, what goes, what stays, and what is kept out.

use super::capture::Capture;
use super::site::{Node, Site, talk};
use super::{World, objects};
use crate::plans::{VX, kernel, mac, words};

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

/// Datapath scenario 40: excluded addresses of an IPv6 subnet, and a restart.
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
    let thrown = first.namespace.sh("ip -6 route show table 40000");
    assert!(thrown.contains("throw fd64::1 dev lo"), "{thrown}");
    first.kernel = kernel(&first.namespace).await;
    assert_eq!(words(&first.pass().await), Vec::<String>::new());
}

/// Rule, table, answers and loan of 0.8.9 are used as they are.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_go_daemon_left_of_an_underlay_is_taken_over_in_place() {
    let mut site =
        Site::new_with(|view| view.subnets.retain(|subnet| subnet.spec.network == "overlay")).await;
    let [first, _] = &mut site.nodes;
    first.namespace.sh(
        "ip route add 10.0.0.0/24 dev eth0 scope link protocol boot table 10042
         ip route add default via 10.0.0.1 dev eth0 protocol boot table 10042
         ip rule add pref 42 from 10.0.0.0/24 fwmark 0/0x4040 lookup 10042 protocol boot
         ip neigh add proxy 10.0.0.11 dev eth0; ip neigh add proxy 10.0.0.11 dev eth0.vxlan4
         ip address add 10.0.0.11/24 dev eth0 scope link noprefixroute
         ip route del table local 10.0.0.11 dev eth0; ip route del table local broadcast 10.0.0.255 dev eth0",
    );
    first.view.subnets = objects::view(1).subnets;
    first
        .view
        .own
        .push(objects::instance(1, "vlan", "old", "10.0.0.11/24"));

    let done = words(&first.pass().await);

    // The overlay's table learns of the new range, IPv6 had nothing yet.
    let of_ipv4 =
        |step: &&String| step.contains("10.0.0.") && !step.contains("eth0.vxlan4") && !step.contains("throw");
    assert_eq!(
        done.iter().filter(of_ipv4).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
    let rules = first.namespace.sh("ip rule show from 10.0.0.0/24");
    assert!(rules.starts_with("42:") && rules.lines().count() == 1, "{rules}");
}

/// Tagged links: made where the kernel can, else one problem that says what to do, and nothing else suffers.
#[tokio::test(flavor = "multi_thread")]
async fn a_tagged_link_is_made_or_its_lack_explained() {
    let mut site = Site::new().await;
    let [first, _] = &mut site.nodes;
    let pod = first.add("vlan", "u-1", ["10.0.0.11", "fd10::11"]).await;
    let mut tagged = objects::subnet("tagged", "vlan", "10.7.0.0/24", "10.7.0.1");
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

/// Whatever somebody takes away of an underlay, one pass brings it back.
#[tokio::test(flavor = "multi_thread")]
async fn every_damage_to_an_underlay_is_repaired_in_one_pass() {
    let mut site = Site::new().await;
    let [first, _] = &mut site.nodes;
    let pod = first.add("vlan", "u-1", ["10.0.0.11", "fd10::11"]).await;
    let table = first.namespace.sh("ip rule show from 10.0.0.0/24");
    let table = table
        .split_whitespace()
        .skip_while(|word| *word != "lookup")
        .nth(1)
        .unwrap()
        .to_owned();

    for damage in [
        format!("ip route flush table {table}; ip -6 route flush table {table}"),
        format!("ip route replace default via 192.168.0.254 table {table}"),
        "ip route flush table 39999; ip -6 route flush table 39999".to_owned(),
        "ip rule del from 10.0.0.0/24; ip -6 rule del from fd10::/64".to_owned(),
        "ip neigh del proxy 10.0.0.11 dev eth0; ip -6 neigh del proxy fd10::11 dev eth0".to_owned(),
        "ip address del 10.0.0.11/24 dev eth0".to_owned(),
        "sysctl -qw net.ipv4.conf.eth0.forwarding=0 net.ipv6.conf.eth0.proxy_ndp=0 net.ipv4.conf.eth0.rp_filter=1"
            .to_owned(),
        "nft delete table inet hybridnet".to_owned(),
    ] {
        let [first, _] = &site.nodes;
        first.namespace.sh(&damage);

        first.pass().await;

        assert_eq!(words(&first.pass().await), Vec::<String>::new(), "{damage}");
        site.router.sh("ip neigh flush dev eth0; ip -6 neigh flush dev eth0");
        for family in [0, 1] {
            talk(&site.outside, &pod.namespace, pod.addresses[family]);
        }
        let [first, _] = &site.nodes;
        let rule = first.namespace.sh("ip rule show from 10.0.0.0/24");
        assert!(rule.contains(&format!("lookup {table} ")), "{damage}: {rule}");
        let lent = first.namespace.sh("ip -4 -o address show dev eth0 scope link");
        assert!(lent.contains("10.0.0.11/24"), "{damage}");
    }
}

/// Waits for something that takes a moment.
fn until(is_so: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so() {
        assert!(begin.elapsed().as_secs() < 10, "it did not come to be");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
