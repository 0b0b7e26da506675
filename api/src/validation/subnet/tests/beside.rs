//! A new subnet beside others.

use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;

fn beside(range: Value, network: &str, existing: Subnet) -> Result<(), String> {
    let fresh = subnet("new", network, range);
    let overlay = vxlan();
    create(&fresh, Some(&overlay), &[fresh.clone(), existing]).map_err(|fault| fault.to_string())
}

/// Scenario 133: one CIDR in two subnets or networks.
/// Scenario 136: a prefix inside of a wide one.
#[test]
fn an_overlap_is_refused_with_both_names() {
    let old = || subnet("old", "n", v4("10.0.0.0/24"));
    let text = beside(v4("10.0.0.0/25"), "n", old()).unwrap_err();
    assert!(
        text.contains("10.0.0.0/25 of subnet \"new\" overlaps 10.0.0.0/24 of subnet \"old\""),
        "{text}"
    );
    let text = beside(v4("10.0.0.0/24"), "other", old()).unwrap_err();
    assert!(
        text.contains("\"new\"") && text.contains("\"old\" of network \"n\""),
        "{text}"
    );
    let text = beside(v4("10.0.0.0/24"), "n", old()).unwrap_err();
    assert!(
        text.contains("subnet \"new\" and subnet \"old\" both have 10.0.0.1"),
        "{text}"
    );

    let old = || subnet("old", "n", v6("2001:DB8::/64"));
    let text = beside(v6("2001:db8::/112"), "n", old()).unwrap_err();
    assert!(text.contains("\"new\"") && text.contains("\"old\""), "{text}");
    let part = json!({"version": "6", "cidr": "2001:db8::/64", "start": "2001:db8::5", "end": "2001:db8::9"});
    let text = beside(part, "n", old()).unwrap_err();
    assert!(text.contains("both have 2001:db8::5"), "{text}");
}

/// Scenario 133: ranges of one CIDR that lie apart.
#[test]
fn ranges_of_one_cidr_that_lie_apart_go_together() {
    let part =
        |start: &str, end: &str| json!({"version": "4", "cidr": "10.0.0.0/24", "start": start, "end": end});
    let old = subnet("old", "n", part("10.0.0.10", "10.0.0.99"));
    assert_eq!(beside(part("10.0.0.100", "10.0.0.150"), "n", old.clone()), Ok(()));
    assert!(beside(part("10.0.0.99", "10.0.0.150"), "n", old.clone()).is_err());
    // Enclosing, with end points that the original did not look at.
    assert!(beside(part("10.0.0.1", "10.0.0.254"), "n", old.clone()).is_err());
    let mut excluding = part("10.0.0.99", "10.0.0.150");
    excluding["excludeIPs"] = json!(["10.0.0.99"]);
    assert_eq!(beside(excluding, "n", old.clone()), Ok(()));
    let mut around = part("10.0.0.1", "10.0.0.254");
    around["excludeIPRanges"] = json!(["10.0.0.8/29", "10.0.0.16-10.0.0.99"]);
    assert_eq!(beside(around, "n", old), Ok(()));
}

#[test]
fn other_families_and_other_addresses_do_not_touch() {
    let old = || subnet("old", "n", v4("10.0.0.0/24"));
    assert_eq!(beside(v4("10.0.1.0/24"), "n", old()), Ok(()));
    assert_eq!(beside(v6("::/112"), "n", old()), Ok(()));
    assert_eq!(
        beside(v4("10.0.0.0/25"), "n", subnet("old", "n", v4("fake"))),
        Ok(())
    );
}

#[test]
fn addresses_of_another_cluster_are_refused_with_its_name() {
    let remote = |range: Value| -> RemoteSubnet {
        serde_json::from_value(json!({
            "apiVersion": "multicluster.alibaba.com/v1", "kind": "RemoteSubnet", "metadata": {"name": "east.s"},
            "spec": {"range": range, "clusterName": "east"},
        }))
        .unwrap()
    };
    let new = subnet("new", "n", v4("10.0.0.0/24"));
    let text = apart_from_remote(&new, &[remote(v4("10.0.0.0/16"))])
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("subnet \"new\" and remote subnet \"east.s\" of cluster \"east\" both have 10.0.0.1"),
        "{text}"
    );
    let part = json!({"version": "4", "cidr": "10.0.0.0/16", "start": "10.0.1.0"});
    assert_eq!(apart_from_remote(&new, &[remote(part), remote(v4("x"))]), Ok(()));
}

proptest! {
    /// Enumeration would never end here.
    ///
    /// Scenario 136: prefixes of any width are compared.
    #[test]
    fn prefixes_that_contain_each_other_conflict_whatever_their_width(bits: u128, wide in 1_u8..=126, more in 0_u8..=125) {
        let narrow = wide.saturating_add(more).min(126);
        let within = |length: u8| {
            let host_bits = u128::MAX.checked_shr(u32::from(length)).unwrap_or_default();
            let network = Ipv6Addr::from_bits((bits | 1 << 127) & !host_bits);
            subnet(&format!("p{length}"), "n", v6(&format!("{network}/{length}")))
        };
        let (outer, inner) = (within(wide), within(narrow));
        prop_assert!(conflict(&outer, &inner).is_some());
        prop_assert!(conflict(&inner, &outer).is_some());
    }
}
