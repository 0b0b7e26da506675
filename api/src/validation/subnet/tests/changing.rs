//! A subnet that changes.

use super::*;

fn within(network: Option<&Network>) -> Surroundings<'_> {
    Surroundings {
        network,
        ..Surroundings::default()
    }
}

fn old() -> Subnet {
    let range = json!({"version": "4", "cidr": "10.0.0.0/24", "start": "10.0.0.10", "end": "10.0.0.99",
        "gateway": "10.0.0.1", "excludeIPs": ["10.0.0.20", "10.0.0.21"]});
    subnet("s", "n", range)
}

fn to(change: impl Fn(&mut Value)) -> Subnet {
    let mut spec = serde_json::to_value(&old().spec).unwrap();
    change(&mut spec);
    with("s", spec)
}

fn changed_beside(change: impl Fn(&mut Value), others: &[Subnet], held: &[IpInstance]) -> Result<(), String> {
    let network = vxlan();
    let beside = Surroundings {
        others,
        held,
        ..within(Some(&network))
    };
    update(&old(), &to(change), &beside).map_err(|fault| fault.to_string())
}

fn changed(change: impl Fn(&mut Value)) -> Result<(), String> {
    changed_beside(change, &[], &[])
}

/// Scenario 134: what stays as it is.
#[test]
fn what_addresses_rest_on_cannot_change() {
    for (field, value, before) in [
        ("gateway", json!("10.0.0.2"), "10.0.0.1"),
        ("cidr", json!("10.0.0.0/16"), "10.0.0.0/24"),
    ] {
        let text = changed(|spec| spec["range"][field] = value.clone()).unwrap_err();
        assert!(
            text.starts_with(&format!(
                "spec.range.{field} cannot change from {before:?} to {value}"
            )),
            "{text}"
        );
    }
    let text = changed(|spec| spec["network"] = json!("other")).unwrap_err();
    assert!(
        text.starts_with("spec.network cannot change from \"n\" to \"other\""),
        "{text}"
    );
    assert!(changed(|spec| spec["range"]["version"] = json!("6")).is_err());
    assert!(
        changed(|spec| spec["netID"] = json!(7))
            .unwrap_err()
            .contains("spec.netID is 7")
    );
    assert!(
        changed(|spec| spec["range"]["reservedIPs"] = json!(["x"]))
            .unwrap_err()
            .contains("\"x\"")
    );
}

/// Scenario 134: what may change.
#[test]
fn switches_reserved_addresses_and_the_order_of_excluded_ones_may_change() {
    for (field, value) in [
        ("excludeIPs", json!(["10.0.0.21", "10.0.0.20"])),
        ("reservedIPs", json!(["10.0.0.30"])),
        ("reservedIPRanges", json!(["10.0.0.30-10.0.0.40"])),
    ] {
        let change = |spec: &mut Value| spec["range"][field] = value.clone();
        // In use or not: who has an address keeps it.
        assert_eq!(changed_beside(change, &[], &[held(30)]), Ok(()), "{field}");
    }
    let switches = json!({"private": true, "autoNatOutgoing": false, "allowedNamespaces": ["team-a"]});
    assert_eq!(changed(|spec| spec["config"] = switches.clone()), Ok(()));
    let text = changed(|spec| spec["config"] = json!({"allowedNamespaces": [""]})).unwrap_err();
    assert!(text.contains("spec.config.allowedNamespaces \"\""), "{text}");
}

#[test]
fn only_ends_and_exclusions_need_a_look_at_other_objects() {
    for (field, value, needed) in [
        ("start", json!("10.0.0.11"), true),
        ("end", json!(null), true),
        ("excludeIPs", json!([]), true),
        ("excludeIPRanges", json!(["10.0.0.64/28"]), true),
        ("reservedIPs", json!(["10.0.0.11"]), false),
        ("gateway", json!("10.0.0.2"), false),
    ] {
        let changed = to(|spec| spec["range"][field] = value.clone());
        assert_eq!(changes_addresses(&old(), &changed), needed, "{field}");
    }
    let mut spelled = old();
    spelled.spec.range.start = None;
    let mut empty = spelled.clone();
    empty.spec.range.start = Some(String::new());
    assert!(!changes_addresses(&spelled, &empty));
}

#[test]
fn a_range_grows_where_no_other_subnet_is() {
    let grown = |spec: &mut Value| {
        spec["range"]["start"] = json!("10.0.0.2");
        spec["range"]["end"] = json!("10.0.0.150");
        spec["range"]["excludeIPs"] = json!([]);
    };
    let apart = subnet(
        "t",
        "n",
        json!({"version": "4", "cidr": "10.0.0.0/24", "start": "10.0.0.151"}),
    );
    assert_eq!(changed_beside(grown, &[old(), apart], &[held(50)]), Ok(()));

    let near = subnet(
        "t",
        "m",
        json!({"version": "4", "cidr": "10.0.0.0/24", "start": "10.0.0.120"}),
    );
    let text = changed_beside(grown, &[near], &[]).unwrap_err();
    assert!(
        text.contains("subnet \"s\" and subnet \"t\" both have 10.0.0.120"),
        "{text}"
    );
    // An address that is not excluded any more comes in too.
    let inside = subnet(
        "t",
        "n",
        json!({"version": "4", "cidr": "10.0.0.0/24", "start": "10.0.0.21", "end": "10.0.0.21"}),
    );
    let freed = |spec: &mut Value| spec["range"]["excludeIPs"] = json!(["10.0.0.20"]);
    assert!(
        changed_beside(freed, &[inside], &[])
            .unwrap_err()
            .contains("both have 10.0.0.21")
    );
}

#[test]
fn a_range_does_not_grow_into_another_cluster() {
    let remote: RemoteSubnet = serde_json::from_value(json!({
        "apiVersion": "multicluster.alibaba.com/v1", "kind": "RemoteSubnet", "metadata": {"name": "east.t"},
        "spec": {"range": {"version": "4", "cidr": "10.0.0.0/24", "start": "10.0.0.120"}, "clusterName": "east"},
    }))
    .unwrap();
    let network = vxlan();
    let beside = Surroundings {
        remote: std::slice::from_ref(&remote),
        ..within(Some(&network))
    };
    let text = update(
        &old(),
        &to(|spec| spec["range"]["end"] = json!("10.0.0.150")),
        &beside,
    );
    let text = text.unwrap_err().to_string();
    assert!(
        text.contains("\"east.t\" of cluster \"east\" both have 10.0.0.120"),
        "{text}"
    );
}

#[test]
fn a_range_that_overlapped_before_may_take_less() {
    let other = subnet(
        "t",
        "n",
        json!({"version": "4", "cidr": "10.0.0.0/24", "start": "10.0.0.50"}),
    );
    let others = [other];
    assert_eq!(
        changed_beside(|spec| spec["range"]["end"] = json!("10.0.0.80"), &others, &[]),
        Ok(())
    );
    assert!(changed_beside(|spec| spec["range"]["end"] = json!("10.0.0.100"), &others, &[]).is_err());
}

#[test]
fn a_range_shrinks_where_no_address_is_in_use() {
    let shrunk = |spec: &mut Value| {
        spec["range"]["start"] = json!("10.0.0.40");
        spec["range"]["end"] = json!("10.0.0.60");
        spec["range"]["excludeIPRanges"] = json!(["10.0.0.50-10.0.0.52"]);
    };
    assert_eq!(
        changed_beside(shrunk, &[], &[held(40), held(49), held(60)]),
        Ok(())
    );
    for lost in [10, 39, 50, 52, 61, 99] {
        assert_eq!(
            changed_beside(shrunk, &[], &[held(45), held(lost)]),
            Err(format!(
                "spec.range would leave out an address in use: 10.0.0.{lost} (d/10-0-0-{lost}); keep them in it, or delete \
                 their pods or IPInstances first"
            ))
        );
    }
    let many: Vec<_> = (61..=70).map(held).collect();
    let text = changed_beside(shrunk, &[], &many).unwrap_err();
    assert!(
        text.contains("10 addresses in use: 10.0.0.61 (d/10-0-0-61), ") && text.contains(" and 5 more;"),
        "{text}"
    );
}

#[test]
fn an_address_that_was_outside_before_is_in_nobodys_way() {
    // Excluded, below the start, of the other family, and one whose text cannot be read.
    let mut odd = held(5);
    odd.metadata.name = Some("10-0-0-99".to_owned());
    odd.spec.address.ip = "x".to_owned();
    let mut other_family = held(5);
    other_family.spec.address.ip = "fd00::5/64".to_owned();
    let shrunk = |spec: &mut Value| spec["range"]["end"] = json!("10.0.0.98");
    assert_eq!(
        changed_beside(shrunk, &[], &[held(20), held(5), other_family]),
        Ok(())
    );
    // Then its name tells the address.
    assert!(changed_beside(shrunk, &[], &[odd]).is_err());
}

#[test]
fn a_range_that_changes_stays_usable_and_small() {
    let network = vxlan();
    let beside = within(Some(&network));
    let wide = |start: &str, end: &str| {
        let range = json!({"version": "6", "cidr": "fd00::/64", "start": start, "end": end});
        subnet("s", "n", range)
    };
    let fault = update(
        &wide("fd00::1", "fd00::ff"),
        &wide("fd00::1", "fd00::1:1"),
        &beside,
    );
    assert_eq!(fault, Err(SubnetFault::TooLarge(65_537)));
    // As large as a stored one it may be, and less.
    assert_eq!(
        update(
            &wide("fd00::1", "fd00::3:0"),
            &wide("fd00::1", "fd00::2:0"),
            &beside
        ),
        Ok(())
    );
    let text = changed(|spec| {
        spec["range"]["start"] = json!("10.0.0.255");
        spec["range"]["end"] = json!(null);
    });
    assert!(text.unwrap_err().contains("no address is available"));
}

#[test]
fn another_spelling_of_a_gateway_or_a_cidr_is_no_change() {
    let spelled = |cidr: &str, gateway: &str| {
        subnet(
            "s",
            "n",
            json!({"version": "6", "cidr": cidr, "gateway": gateway, "end": "2001:db8::ff"}),
        )
    };
    let network = vxlan();
    let (old, new) = (
        spelled("2001:DB8::/64", "2001:DB8::0001"),
        spelled("2001:db8::/64", "2001:db8::1"),
    );
    assert_eq!(update(&old, &new, &within(Some(&network))), Ok(()));
}

#[test]
fn a_vlan_id_stays() {
    let at = |id: i32| {
        with(
            "s",
            json!({"network": "n", "range": v4("10.0.0.0/24"), "netID": id}),
        )
    };
    let fault = update(&at(5), &at(6), &within(Some(&vlan(None)))).unwrap_err();
    assert!(
        fault
            .to_string()
            .starts_with("spec.netID cannot change from \"5\" to \"6\""),
        "{fault}"
    );
}

/// Scenario 139: a Subnet whose network is gone.
#[test]
fn what_is_as_it_was_or_is_being_deleted_is_not_judged() {
    assert_eq!(update(&old(), &old(), &within(None)), Ok(()));
    let mut terminating = subnet("s", "other", v4("x"));
    terminating.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).ok();
    assert_eq!(update(&old(), &terminating, &within(None)), Ok(()));
    let private = with(
        "s",
        json!({"network": "n", "range": v4("10.0.0.0/24"), "config": {"private": true}}),
    );
    let plain = subnet("s", "n", v4("10.0.0.0/24"));
    assert_eq!(
        update(&plain, &private, &within(None)),
        Err(SubnetFault::NoNetwork("n".to_owned()))
    );
}

#[test]
fn a_stored_range_of_the_wrong_family_may_stay_but_not_come_in() {
    let bad = subnet("s", "n", v6("10.0.0.0/24"));
    let private = with(
        "s",
        json!({"network": "n", "range": v6("10.0.0.0/24"), "config": {"private": true}}),
    );
    assert_eq!(update(&bad, &private, &within(Some(&vxlan()))), Ok(()));
    assert!(check(&bad, Some(&vxlan())).is_err());
}
