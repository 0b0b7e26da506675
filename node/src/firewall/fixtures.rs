//! Rulesets for tests.

use super::Ruleset;

/// A node of a cluster without networks.
pub fn empty() -> Ruleset {
    Ruleset::default()
}

/// A node with everything, in both families.
pub fn overlay_and_underlay() -> Ruleset {
    fn parse<T: std::str::FromStr + Ord>(items: &[&str]) -> std::collections::BTreeSet<T> {
        items.iter().filter_map(|item| item.parse().ok()).collect()
    }
    Ruleset {
        vxlan: Some("eth0.vxlan4".into()),
        overlay: parse(&["100.64.0.0/16", "100.65.0.0/16", "fd00:64::/64"]),
        underlay: parse(&["10.10.0.0/24", "10.20.0.0/24", "fd00:10::/64"]),
        nodes: parse(&["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"]),
        own: parse(&["192.0.2.1", "2001:db8::1"]),
        local_pods: parse(&["100.64.0.7", "10.10.0.7", "fd00:64::7"]),
        local_underlay: [
            ("eth0.10".to_owned(), parse(&["10.10.0.0/24", "fd00:10::/64"])),
            ("eth0.20".to_owned(), parse(&["10.20.0.0/24"])),
        ]
        .into(),
    }
}
