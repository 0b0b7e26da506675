//! The check before a pod of a VLAN is set up, against a second host on the same segment.

use std::time::{Duration, Instant};

use hybridnet_node::neighbour_check::{Error, Neighbour, WINDOW, announce, check};
use tokio::time::timeout;

use super::world::{Space, inside};

const LIMIT: Duration = Duration::from_secs(3);
const NODE_MAC: &str = "02:00:00:00:00:01";
const OTHER_MAC: &str = "02:00:00:00:00:02";

/// This node's `eth0`, and `eth0` of another machine on the segment: the gateway, unless its addresses are gone.
fn segment() -> (Space, Space) {
    let (node, other) = (Space::new("node"), Space::new("other"));
    let peer = other.path();
    node.ip(&format!(
        "link add eth0 address {NODE_MAC} type veth peer name eth0 address {OTHER_MAC} netns {}",
        peer.display()
    ));
    for space in [&node, &other] {
        space.sh("sysctl -qw net.ipv6.conf.eth0.accept_dad=0");
        space.ip("link set eth0 up");
    }
    other.ip("addr add 10.0.0.1/24 dev eth0");
    other.ip("addr add fd00::1/64 dev eth0 nodad");
    (node, other)
}

fn pod() -> [Neighbour; 2] {
    [("10.0.0.5", "10.0.0.1"), ("fd00::5", "fd00::1")].map(|(ip, gateway)| Neighbour {
        ip: ip.parse().unwrap(),
        gateway: Some(gateway.parse().unwrap()),
    })
}

fn outcome(node: &Space, neighbours: &[Neighbour]) -> (Result<(), Error>, Duration) {
    inside(node, async {
        let begin = Instant::now();
        let outcome = timeout(Duration::from_secs(20), check("eth0", neighbours, LIMIT)).await;
        (outcome.unwrap(), begin.elapsed())
    })
}

/// Datapath scenario 52: a silent gateway fails the ADD.
#[test]
fn a_gateway_that_is_not_there_is_named_after_the_limit() {
    let (node, other) = segment();
    other.ip("addr del 10.0.0.1/24 dev eth0");
    other.ip("addr del fd00::1/64 dev eth0");

    for neighbour in pod() {
        let (outcome, took) = outcome(&node, &[neighbour]);

        let text = outcome.unwrap_err().to_string();
        assert!(text.contains("vlan network seems not working"), "{text}");
        assert!(text.contains(&neighbour.gateway.unwrap().to_string()), "{text}");
        assert!(took >= LIMIT, "{took:?}");
    }
}

/// Datapath scenario 53: another host owns the address.
#[test]
fn a_duplicate_is_found_with_its_mac_long_before_the_window_ends() {
    let (node, other) = segment();
    other.ip("addr add 10.0.0.5/24 dev eth0");
    other.ip("addr add fd00::5/64 dev eth0 nodad");

    for neighbour in pod() {
        let (outcome, took) = outcome(&node, &[neighbour]);

        let text = outcome.unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("pod ip {} duplicated", neighbour.ip)),
            "{text}"
        );
        assert!(
            text.contains(&format!("another hw addr is {OTHER_MAC}")),
            "{text}"
        );
        assert!(took < WINDOW, "{took:?}");
    }
}

/// Datapath scenario 54: both families pass, and the segment learns where the pod is.
#[test]
fn a_free_address_passes_in_one_window_and_its_announcement_reaches_the_gateway() {
    let (node, other) = segment();
    let known = |family: &str, ip: &str| {
        let entries = other.list(&format!("{family} neigh show dev eth0"));
        let entry = entries.into_iter().find(|entry| entry["dst"] == ip);
        entry.map(|entry| entry["lladdr"].as_str().unwrap_or_default().to_owned())
    };
    // The gateway spoke with a former holder of the address.
    other.ip("neigh add 10.0.0.5 lladdr 02:00:00:00:00:99 dev eth0 nud stale");
    other.ip("neigh add fd00::5 lladdr 02:00:00:00:00:99 dev eth0 nud stale");

    let (outcome, took) = outcome(&node, &pod());

    outcome.unwrap();
    assert!(
        took >= WINDOW && took < LIMIT,
        "both families at the same time: {took:?}"
    );
    assert_eq!(
        known("-4", "10.0.0.5").unwrap(),
        "02:00:00:00:00:99",
        "probes tell nothing"
    );
    assert_eq!(
        known("-6", "fd00::5").unwrap(),
        "02:00:00:00:00:99",
        "probes tell nothing"
    );

    inside(&node, async { announce("eth0", &pod()).await.unwrap() });

    for (family, ip) in [("-4", "10.0.0.5"), ("-6", "fd00::5")] {
        let end = Instant::now() + Duration::from_secs(5);
        while known(family, ip).as_deref() != Some(NODE_MAC) {
            assert!(Instant::now() < end, "{ip} is still {:?}", known(family, ip));
            std::thread::yield_now();
        }
    }
}

#[test]
fn what_cannot_be_asked_is_said_at_once() {
    let (node, _other) = segment();
    let [v4, _] = pod();
    let nowhere = inside(&node, async { check("eth1", &[v4], LIMIT).await.unwrap_err() });
    let (no_gateway, took) = outcome(&node, &[Neighbour { gateway: None, ..v4 }]);

    assert!(matches!(nowhere, Error::NoLink(link) if link == "eth1"));
    assert!(matches!(no_gateway.unwrap_err(), Error::NoGateway(_)));
    assert!(took < WINDOW, "{took:?}");
}
