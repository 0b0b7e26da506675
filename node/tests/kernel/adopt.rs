//! A node that runs already.

use hybridnet_node::kernel::diff::Removals;

use crate::plans::{VX, add_pod, converge, kernel, node, plan, words};

#[tokio::test]
async fn a_restart_writes_nothing() {
    let namespace = node(1);
    namespace.sh("ip link add hybr1 type veth peer name pod1; ip link set pod1 up");
    let mut plan = plan(1);
    add_pod(&mut plan, "hybr1", &["10.244.0.11", "fd10::11"]);
    converge(&kernel(&namespace).await, &plan).await;

    let restarted = kernel(&namespace).await;

    assert_eq!(words(&converge(&restarted, &plan).await), Vec::<String>::new());
}

#[tokio::test]
async fn before_the_caches_are_full_nothing_goes() {
    let namespace = node(1);
    let plan = plan(1);
    converge(&kernel(&namespace).await, &plan).await;
    let restarted = kernel(&namespace).await;
    let mut half_known = plan.clone();
    half_known.vxlan.as_mut().unwrap().peers.clear();
    half_known.tables.clear();
    half_known.subnets.clear();

    let report = restarted.converge(&half_known, Removals::Withheld).await.unwrap();

    assert_eq!(words(&report), Vec::<String>::new());
    assert_eq!(words(&converge(&restarted, &plan).await), Vec::<String>::new());
}

/// What 0.8.9 leaves behind, but for the qdisc, which this kernel lacks: other table numbers and
/// priorities than ours, routes without protocols, a default entry of before 0.8.6.
#[tokio::test]
async fn a_node_of_the_go_daemon_is_taken_over_in_place() {
    let namespace = node(1);
    namespace.sh(&format!(
        "ip link add {VX} address 02:00:00:00:00:01 type vxlan id 4 dev eth0 dstport 8472 local 192.168.0.1
         ip link set {VX} up
         ip address add 192.168.0.1/24 dev {VX} noprefixroute
         ip address add fd02::1/64 dev {VX} noprefixroute nodad
         bridge fdb append 02:00:00:00:00:02 dst 192.168.0.2 dev {VX}
         bridge fdb append ff:ff:ff:ff:ff:f1 dst 192.168.0.2 dev {VX}
         bridge fdb append 00:00:00:00:00:00 dst 192.168.0.2 dev {VX}
         for family in -4 -6; do
             ip $family rule add pref 1 lookup 39999 protocol boot
             ip $family rule add pref 2 lookup 40000 protocol boot
             ip $family rule add pref 3 fwmark 0x20/0x20 lookup 40001 protocol boot
             ip $family route add default dev {VX} scope global table 40001
             ip $family route add default dev {VX} scope global table 10007
         done
         ip route add 10.244.0.0/16 dev {VX} scope global table 40000
         ip route add fd10::/64 dev {VX} table 40000
         ip rule add pref 9 from 10.244.0.0/16 fwmark 0/0x4040 lookup 10007 protocol boot
         ip -6 rule add pref 4 from fd10::/64 fwmark 0/0x4040 lookup 10007 protocol boot
         sysctl -qw net.ipv4.neigh.eth0/vxlan4.app_solicit=1 net.ipv6.neigh.eth0/vxlan4.app_solicit=1
         sysctl -qw net.ipv6.conf.eth0/vxlan4.accept_ra=0 net.ipv6.conf.eth0/vxlan4.proxy_ndp=1"
    ));

    let report = converge(&kernel(&namespace).await, &plan(1)).await;

    let expected = [
        "add replication filter on eth0.vxlan4",
        "delete forwarding entry 00:00:00:00:00:00 dst 192.168.0.2 on eth0.vxlan4",
    ];
    assert_eq!(words(&report), expected);
}
