//! `ip-pool` and `mac-pool` (control-plane 5.4, steps 4 and 5).

use std::time::{Duration, Instant};

use serde_json::json;

use super::{chart, configured, says, sub, with};
use crate::fixtures::{World, ip_instance, pod, stateful, subnet};

const IP: &str = "networking.alibaba.com/ip-pool";
const MAC: &str = "networking.alibaba.com/mac-pool";

fn keys<'a>(pool: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    vec![("specified-network", "under"), pool]
}

async fn warned(world: &World, pools: (&str, &str)) -> Vec<String> {
    world.warned(&stateful("web-0", &keys(pools))).await
}

/// Scenario 120: a pool of several sections comes in.
#[tokio::test]
async fn a_pool_has_a_section_for_each_pod() {
    let world = with(&[], chart());
    assert_eq!(warned(&world, ("ip-pool", "10.0.0.10,10.0.0.11")).await, [""; 0]);
    let both = [
        ("specified-subnet", "u4/u6"),
        ("ip-family", "DualStack"),
        ("ip-pool", "10.0.0.10/fd00::10,10.0.0.11/FD00::0011"),
        ("mac-pool", "00:16:ea:ae:3c:40,00-16-EA-AE-3C-41"),
    ];
    assert_eq!(world.warned(&stateful("web-1", &both)).await, [""; 0]);
}

/// Scenario 121: pools that cannot be read are refused.
#[tokio::test]
async fn pools_that_cannot_be_read_are_refused_with_their_section() {
    let world = with(&[], chart());
    for (keys, words) in [
        (
            vec![("ip-pool", "192.168.56.10")],
            [
                IP,
                "without a network",
                "name the network of its addresses in networking.alibaba.com/specified-network",
            ],
        ),
        (
            keys(("ip-pool", "1.1.1.1,,1.1.1.2")),
            [
                IP,
                "section 1 of the pool is empty",
                "write one entry for each ordinal",
            ],
        ),
        (
            keys(("ip-pool", "1.1.1.1,x")),
            [IP, "\"x\" in section 1", "not an IP address"],
        ),
        (
            keys(("ip-pool", "fd00::1/1.1.1.1")),
            [
                IP,
                "\"fd00::1/1.1.1.1\"",
                "write one address, or an IPv4, a slash and an IPv6 address",
            ],
        ),
        (
            keys(("mac-pool", "zz")),
            [MAC, "\"zz\" in section 0", "not a MAC address"],
        ),
        (
            keys(("mac-pool", "00:16:ea:ae:3c:40,")),
            [
                MAC,
                "section 1 of the pool is empty",
                "write one entry for each ordinal",
            ],
        ),
    ] {
        let text = world.denied(&stateful("web-0", &keys)).await;
        says(&text, &words);
        says(&text, &["pod \"web-0\""]);
    }
}

#[tokio::test]
async fn addresses_and_macs_of_two_pods_are_told() {
    let world = with(&[], chart());
    assert_eq!(
        warned(
            &world,
            ("ip-pool", "10.0.0.7,10.0.0.7,10.0.0.7,10.0.0.8,10.0.0.8")
        )
        .await,
        ["ip-pool: 10.0.0.7 and 1 more listed twice: give each pod an address of its own"]
    );
    assert_eq!(
        warned(&world, ("mac-pool", "00:16:ea:ae:3c:40,00-16-EA-AE-3C-40")).await,
        ["mac-pool: 00:16:ea:ae:3c:40 listed twice: give each pod a MAC of its own"]
    );
}

#[tokio::test]
async fn sections_of_other_families_than_asked_for_are_told() {
    let warnings = warned(
        &with(&[], chart()),
        ("ip-pool", "10.0.0.7,fd00::7,10.0.0.8/fd00::8"),
    )
    .await;
    assert_eq!(
        warnings,
        ["ip-pool: section 1 and 1 more not IPv4Only, which ip-family asks for: change one of the two"]
    );
}

#[tokio::test]
async fn addresses_that_no_subnet_of_the_network_has_are_told() {
    let range = json!({"version": "4", "cidr": "10.1.0.0/24", "gateway": "10.1.0.1", "excludeIPs": ["10.1.0.2"],
        "reservedIPs": ["10.1.0.3"]});
    let more = subnet("more", json!({"network": "under", "range": range}));
    let world = with(&[more], chart());
    for astray in ["10.9.9.9", "10.1.0.1", "10.1.0.2", "10.1.0.255"] {
        assert_eq!(
            warned(&world, ("ip-pool", &format!("{astray},10.1.0.9"))).await,
            [format!(
                "ip-pool: {astray} in no Subnet of network \"under\": use addresses of its Subnets"
            )]
        );
    }
    assert_eq!(
        warned(&world, ("ip-pool", "10.1.0.3")).await,
        [""; 0],
        "reserved ones may be named"
    );
}

#[tokio::test]
async fn a_pool_that_ends_before_the_pods_section_is_told() {
    let world = with(&[], chart());
    let short = [
        ("specified-network", "under"),
        ("ip-pool", "10.0.0.7,10.0.0.8"),
        ("mac-pool", "00:16:ea:ae:3c:40"),
    ];
    assert_eq!(
        world.warned(&stateful("web-2", &short)).await,
        [
            "ip-pool: it has 2 sections and none for ordinal 2: add one for each pod",
            "mac-pool: it has 1 sections and none for ordinal 2: add one for each pod",
        ]
    );
}

/// Scenario 75: pools of a plain pod are ignored.
#[tokio::test]
async fn pools_of_a_plain_pod_have_no_effect_and_that_is_told() {
    let plain = [
        ("specified-network", "under"),
        ("ip-pool", "10.9.9.9,10.9.9.9"),
        ("mac-pool", "00:16:ea:ae:3c:40"),
    ];
    assert_eq!(
        with(&[], chart()).warned(&pod("p", &plain)).await,
        [
            "ip-pool: without effect, it is for pods of StatefulSet",
            "mac-pool: without effect, it is for pods of StatefulSet",
        ]
    );
}

#[tokio::test]
async fn an_address_of_a_subnet_for_others_is_refused_to_its_pod_and_told_to_the_others() {
    let others = configured(
        subnet(
            "others",
            json!({"network": "under", "range": {"version": "4", "cidr": "10.1.0.0/24"}}),
        ),
        "allowedNamespaces",
        json!(["elsewhere"]),
    );
    let pool = keys(("ip-pool", "10.0.0.7,10.1.0.8"));
    let world = with(std::slice::from_ref(&others), chart());
    assert_eq!(
        world.warned(&stateful("web-0", &pool)).await,
        ["ip-pool: 10.1.0.8 of Subnet \"others\", whose allowedNamespaces lack \"d\""]
    );
    says(
        &world.denied(&stateful("web-1", &pool)).await,
        &[
            "pod \"web-1\"",
            "networking.alibaba.com/ip-pool: 10.1.0.8 in section 1",
            "subnet \"others\", which gives no addresses to namespace \"d\"",
            "spec.config.allowedNamespaces",
        ],
    );
    let held = ip_instance("10-1-0-8", "web-1", ("under", "others"));
    let holding = with(&[others, held], chart());
    assert_eq!(holding.warned(&stateful("web-1", &pool)).await, [""; 0]);
}

#[tokio::test]
async fn a_pool_of_a_thousand_sections_is_judged_at_once_and_in_few_words() {
    let world = with(&[sub("u4b", "under", "4")], chart());
    let good: Vec<_> = (0..1000)
        .map(|at| format!("10.0.{}.{}", at / 250, at % 250 + 1))
        .collect();
    let start = Instant::now();
    let warnings = warned(&world, ("ip-pool", &good.join(","))).await;
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(
        warnings,
        ["ip-pool: 10.0.1.1 and 749 more in no Subnet of network \"under\": use addresses of its Subnets"]
    );
}
