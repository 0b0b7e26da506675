//! What others break is noticed and repaired.

use std::collections::BTreeSet;
use std::time::Duration;

use hybridnet_node::kernel::events::Wake;
use hybridnet_node::kernel::state::{Family, State};
use tokio::time::timeout;

use crate::plans::{VX, add_pod, converge, ip, kernel, mac, node, plan, words};

/// All that may be destroyed: a script, and whether the kernel tells of it.
const DAMAGE: [(&str, bool); 17] = [
    ("ip rule del pref 1", true),
    ("ip -6 rule flush; ip -6 rule add pref 32766 lookup main", true),
    ("ip rule del pref 1; ip rule add pref 1 lookup 77", true),
    ("ip route flush table 40000", true),
    ("ip -6 route flush table 10000", true),
    ("ip route replace default dev eth0 table 40001", true),
    ("ip route add 10.7.0.0/16 dev eth0 table 40000", true),
    ("ip route del 10.244.0.11 table 39999", true),
    ("ip link del eth0.vxlan4", true),
    ("ip link set eth0.vxlan4 down", true),
    ("ip link set eth0.vxlan4 address 02:00:00:00:00:99", true),
    ("ip link set hybr1 down", true),
    (
        "ip address del 192.168.0.1/24 dev eth0.vxlan4; ip address add 10.6.0.1/24 dev eth0.vxlan4",
        true,
    ),
    (
        "bridge fdb del 02:00:00:00:00:02 dev eth0.vxlan4; bridge fdb append 00:00:00:00:00:00 dst 1.2.3.4 dev eth0.vxlan4",
        true,
    ),
    (
        "ip neigh del proxy 10.244.0.11 dev eth0.vxlan4; ip neigh add proxy 10.244.0.99 dev eth0.vxlan4",
        false,
    ),
    (
        "sysctl -qw net.ipv4.neigh.eth0/vxlan4.app_solicit=0 net.ipv4.ip_forward=0",
        false,
    ),
    ("nft delete table netdev hybridnet_replication", false),
];

#[tokio::test]
async fn every_damage_is_told_of_and_repaired_in_one_pass() {
    let namespace = node(1);
    namespace.sh("ip link add hybr1 type veth peer name pod1; ip link set pod1 up");
    let kernel = kernel(&namespace).await;
    let mut plan = plan(1);
    add_pod(&mut plan, "hybr1", &["10.244.0.11", "fd10::11"]);
    converge(&kernel, &plan).await;
    let whole = comparable(kernel.dump(&plan).await.unwrap());
    let mut events = kernel.events(Duration::from_millis(20)).await.unwrap();

    for (damage, told) in DAMAGE {
        namespace.sh(damage);
        if told {
            let wake = timeout(Duration::from_secs(1), events.next()).await;
            assert!(matches!(wake, Ok(Some(_))), "{damage}: {wake:?}");
        }
        let report = converge(&kernel, &plan).await;

        assert!(!report.changes.is_empty(), "{damage}");
        let repaired = comparable(kernel.dump(&plan).await.unwrap());
        let difference: Vec<_> = repaired.symmetric_difference(&whole).collect();
        assert_eq!(difference, Vec::<&String>::new(), "{damage}");
        let again = converge(&kernel, &plan).await;
        assert_eq!(words(&again), Vec::<String>::new(), "{damage}");
        drain(&mut events).await;
        namespace.sh("ip rule del lookup 77 2>/dev/null || true");
        drain(&mut events).await;
        converge(&kernel, &plan).await;
    }
}

/// More than fits into the socket's buffer, while this thread is busy and nobody reads.
#[tokio::test]
async fn when_notifications_are_lost_everything_is_looked_at_again() {
    let namespace = node(1);
    let (kernel, plan) = (kernel(&namespace).await, plan(1));
    converge(&kernel, &plan).await;
    let mut events = kernel.events(Duration::from_millis(20)).await.unwrap();

    namespace.sh("awk 'BEGIN { for (i = 0; i < 65536; i++)
             printf \"route add 10.9.%d.%d dev eth0 table 40000\\n\", i / 256, i % 256 }' | ip -batch -
         ip rule del pref 1");

    let mut lost = false;
    while let Ok(Some(wake)) = timeout(Duration::from_secs(1), events.next()).await {
        lost |= wake.lost;
    }
    assert!(lost);
    let report = converge(&kernel, &plan).await;
    assert_eq!(report.changes.len(), 65_537);
    assert_eq!(words(&converge(&kernel, &plan).await), Vec::<String>::new());
}

/// The kernel does not say who changed a forwarding entry: those wake once more, to find nothing.
#[tokio::test]
async fn our_own_changes_wake_nobody() {
    let namespace = node(1);
    let kernel = kernel(&namespace).await;
    let mut events = kernel.events(Duration::from_millis(20)).await.unwrap();
    let mut plan = plan(1);
    converge(&kernel, &plan).await;
    drain(&mut events).await;

    plan.tables.clear();
    plan.subnets.clear();
    let report = converge(&kernel, &plan).await;
    let quiet = timeout(Duration::from_millis(300), events.next()).await;
    plan.vxlan.as_mut().unwrap().peers = [(mac(3), ip("192.168.0.3"))].into();
    converge(&kernel, &plan).await;
    let wake = timeout(Duration::from_millis(300), events.next()).await;

    assert!(report.changes.len() > 3);
    assert!(quiet.is_err(), "{quiet:?}");
    let only_forwards = Wake {
        forwards: true,
        ..Wake::default()
    };
    assert_eq!(wake.unwrap(), Some(only_forwards));
}

#[tokio::test]
async fn a_wake_up_says_what_kind_of_change_it_was() {
    let namespace = node(1);
    let kernel = kernel(&namespace).await;
    let mut events = kernel.events(Duration::from_millis(50)).await.unwrap();

    namespace.sh("ip rule add pref 50 lookup 50");
    let wake = timeout(Duration::from_secs(1), events.next())
        .await
        .unwrap()
        .unwrap();
    assert!(wake.rules && !wake.links && !wake.routes, "{wake:?}");

    namespace.sh("ip link add hybr9 type veth peer name x9; ip link set hybr9 up");
    namespace.sh("ip link set hybr9 down; ip address add 10.5.0.1/32 dev eth0");
    let wake = timeout(Duration::from_secs(1), events.next())
        .await
        .unwrap()
        .unwrap();
    assert!(wake.pods && wake.addresses && !wake.rules, "{wake:?}");
}

/// Waits until nothing more is told.
async fn drain(events: &mut hybridnet_node::kernel::events::Events) {
    while timeout(Duration::from_millis(150), events.next()).await.is_ok() {}
}

/// A state in lines, without what may differ after a repair: numbers of links that were made again, the order
/// of addresses and routes, priorities, and what is not the plan's business.
fn comparable(state: State) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for (name, link) in &state.links {
        lines.insert(format!(
            "{name} {:?} {} {} {:?}",
            link.mac, link.mtu, link.up, link.kind
        ));
    }
    for address in state
        .addresses
        .iter()
        .filter(|address| address.link == VX && address.global_scope)
    {
        lines.insert(format!("{address:?}"));
    }
    lines.extend(
        state
            .routes
            .iter()
            .filter(|route| route.table >= 10_000)
            .map(|route| format!("{route:?}")),
    );
    for family in Family::ALL {
        let of_family = state
            .rules
            .iter()
            .filter(|rule| rule.family == family && rule.table != 77);
        let order: Vec<_> = of_family
            .map(|rule| (rule.table, rule.source, rule.mark, rule.mask))
            .collect();
        lines.insert(format!("{order:?}"));
    }
    lines.insert(format!(
        "{:?} {:?} {:?}",
        state.forwards, state.proxies, state.sysctls
    ));
    lines.insert(format!("{:?}", state.replication));
    lines
}

/// Of proxy neighbours the kernel tells nobody.
#[tokio::test]
async fn what_the_node_answers_for_no_more_is_noticed() {
    let namespace = node(1);
    let kernel = kernel(&namespace).await;
    let mut plan = plan(1);
    add_pod(&mut plan, "hybr1", &["10.244.0.11", "fd10::11"]);
    converge(&kernel, &plan).await;
    let mut answers = kernel.answers().await.unwrap();

    for damage in [
        format!("ip neigh del proxy 10.244.0.11 dev {VX}"),
        format!("ip -6 neigh del proxy fd10::11 dev {VX}"),
    ] {
        namespace.sh(&damage);

        let missed = timeout(Duration::from_secs(1), answers.missed()).await;

        assert!(missed.is_ok(), "{damage}");
        assert_eq!(converge(&kernel, &plan).await.changes.len(), 1);
        // It comes back before it can be missed again.
        answers = kernel.answers().await.unwrap();
    }
}
