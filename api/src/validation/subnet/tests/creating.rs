//! A new subnet by itself.

use super::*;

#[test]
fn a_subnet_needs_its_network() {
    let lonely = subnet("s", "", v4("10.0.0.0/24"));
    assert_eq!(check(&lonely, None), Err(SubnetFault::NetworkEmpty));
    let text = check(&subnet("s", "gone", v4("10.0.0.0/24")), None)
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        "spec.network \"gone\" does not exist: create that Network first"
    );
    let text = refused(
        &subnet("s", "n", v4("10.0.0.0/24")),
        &network(json!({"type": "x"})),
    );
    assert!(
        text.contains("network \"n\" cannot be used: unknown network type \"x\""),
        "{text}"
    );
}

/// Scenario 130: what VLAN subnets need.
/// Scenario 131: subnets that have no netID.
#[test]
fn each_mode_has_its_fields() {
    let gateway = json!({"version": "4", "cidr": "10.0.0.0/24", "gateway": "10.0.0.1"});
    let tagged = |id: i32, range: &Value| with("s", json!({"network": "n", "range": range, "netID": id}));
    let natted = |range: &Value| {
        with(
            "s",
            json!({"network": "n", "range": range, "config": {"autoNatOutgoing": false}}),
        )
    };
    let plain = v4("10.0.0.0/24");
    for (subnet, network, said) in [
        (
            subnet("s", "n", gateway.clone()),
            vlan(None),
            "give the VLAN ID here or in network \"n\"",
        ),
        (
            tagged(5, &gateway),
            vlan(Some(6)),
            "spec.netID is 5, but network \"n\" has 6",
        ),
        (tagged(4095, &gateway), vlan(None), "from 0 to 4094"),
        (
            subnet("s", "n", plain.clone()),
            vlan(Some(6)),
            "spec.range.gateway is missing",
        ),
        (
            natted(&gateway),
            vlan(Some(6)),
            "only VXLAN networks masquerade, and this is VLAN",
        ),
        (tagged(5, &plain), vxlan(), "spec.netID is 5: leave it out"),
        (tagged(5, &plain), bgp(), "spec.netID is 5: leave it out"),
        (
            natted(&plain),
            bgp(),
            "only VXLAN networks masquerade, and this is BGP",
        ),
    ] {
        let text = refused(&subnet, &network);
        assert!(text.contains(said), "{text}");
    }
    for (subnet, network) in [
        (subnet("s", "n", gateway.clone()), vlan(Some(6))),
        (tagged(6, &gateway), vlan(Some(6))),
        (tagged(0, &gateway), vlan(None)),
        (natted(&plain), vxlan()),
        (subnet("s", "n", plain.clone()), bgp()),
    ] {
        assert_eq!(check(&subnet, Some(&network)), Ok(()), "{subnet:?}");
    }
}

/// Scenario 132: how many addresses a subnet has.
#[test]
fn a_subnet_has_at_most_65536_addresses() {
    let text = refused(&subnet("s", "n", v4("10.0.0.0/15")), &vxlan());
    assert!(
        text.contains("has 131070 addresses, and 65536 is the most"),
        "{text}"
    );
    assert!(refused(&subnet("s", "n", v6("fd00::/64")), &vxlan()).contains("is the most"));
    let part = json!({"version": "6", "cidr": "fd00::/64", "start": "fd00::1", "end": "fd00::ffff"});
    for range in [v4("10.0.0.0/16"), v6("fd00::/112"), part] {
        assert_eq!(
            check(&subnet("s", "n", range.clone()), Some(&vxlan())),
            Ok(()),
            "{range}"
        );
    }
    // Release 0.8.9 would list them all.
    let excluding = json!({"version": "4", "cidr": "10.0.0.0/15", "excludeIPRanges": ["10.1.0.0/16"]});
    assert!(refused(&subnet("s", "n", excluding), &vxlan()).contains("is the most"));
    let exactly = json!({"version": "4", "cidr": "10.0.0.0/15", "start": "10.0.0.1", "end": "10.1.0.0"});
    assert_eq!(check(&subnet("s", "n", exactly), Some(&vxlan())), Ok(()));
}

#[test]
fn ranges_that_cannot_be_used_are_refused() {
    for (range, said) in [
        (v4("10.0.0.0/31"), "too small"),
        (v4("10.0.0.1/24"), "write 10.0.0.0/24"),
        (v6("10.0.0.0/24"), "use version \"4\""),
        (
            json!({"version": "4", "cidr": "10.0.0.0/24", "start": "10.0.0.255"}),
            "no address is available",
        ),
        (
            json!({"version": "4", "cidr": "10.0.0.0/24", "excludeIPRanges": ["10.0.0.5-10.0.0.9", "10.0.0.9"]}),
            "spec.range.excludeIPRanges \"10.0.0.9\" is not a range",
        ),
    ] {
        let text = refused(&subnet("s", "n", range), &vxlan());
        assert!(text.contains(said), "{text}");
    }
    let long = subnet(&"s".repeat(64), "n", v4("10.0.0.0/24"));
    assert_eq!(check(&long, Some(&vxlan())), Err(SubnetFault::Name(64)));
}

#[test]
fn allowed_namespaces_are_names() {
    let allowing = |name: &str| {
        with(
            "s",
            json!({"network": "n", "range": v4("10.0.0.0/24"), "config": {"allowedNamespaces": [name]}}),
        )
    };
    assert_eq!(check(&allowing("team-a"), Some(&vxlan())), Ok(()));
    let text = refused(&allowing("team-*"), &vxlan());
    assert!(
        text.contains("spec.config.allowedNamespaces \"team-*\" is not the name of a namespace"),
        "{text}"
    );
}
