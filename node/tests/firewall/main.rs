//! Our nftables table in the real kernel, in network namespaces of these tests. Needs root, `ip`, `nft` and
//! `iptables-nft`: the latter two only to see with other eyes than ours.

#![allow(
    clippy::unwrap_used,
    reason = "what goes wrong while a test is set up fails the test"
)]

mod net;
mod packets;
mod repair;
mod same_as_nft;
mod site;
mod upgrade;

use hybridnet_node::firewall::Ruleset;

fn parse<T: std::str::FromStr + Ord>(items: &[&str]) -> std::collections::BTreeSet<T>
where
    T::Err: std::fmt::Debug,
{
    items.iter().map(|item| item.parse().unwrap()).collect()
}

/// A node with everything, in both families.
fn everything() -> Ruleset {
    Ruleset {
        vxlan: Some("eth0.vxlan4".into()),
        overlay: parse(&["100.64.0.0/16", "100.65.0.0/16", "fd00:64::/64", "fd00:65::/64"]),
        underlay: parse(&["10.10.0.0/24", "10.20.0.0/24", "255.255.255.0/24", "fd00:10::/64"]),
        nodes: parse(&["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]),
        own: parse(&["192.0.2.1", "2001:db8::1"]),
        local_pods: parse(&[
            "100.64.0.7",
            "100.64.0.8",
            "10.10.0.7",
            "fd00:64::7",
            "fd00:64::8",
            "fd00:10::7",
        ]),
        local_underlay: [
            ("eth0.10".to_owned(), parse(&["10.10.0.0/24", "fd00:10::/64"])),
            (
                "eth0.20".to_owned(),
                parse(&["10.20.0.0/24", "10.20.1.0/24", "255.255.255.0/24"]),
            ),
        ]
        .into(),
    }
}
