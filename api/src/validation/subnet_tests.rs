use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

fn subnet(name: &str, network: &str, range: Value) -> Subnet {
    with(name, json!({"network": network, "range": range}))
}

fn with(name: &str, spec: Value) -> Subnet {
    serde_json::from_value(json!({
        "apiVersion": "networking.alibaba.com/v1", "kind": "Subnet",
        "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

fn v4(cidr: &str) -> Value {
    json!({"version": "4", "cidr": cidr})
}

fn v6(cidr: &str) -> Value {
    json!({"version": "6", "cidr": cidr})
}

fn network(spec: Value) -> Network {
    serde_json::from_value(json!({
        "apiVersion": "networking.alibaba.com/v1", "kind": "Network",
        "metadata": {"name": "n"}, "spec": spec,
    }))
    .unwrap()
}

fn vxlan() -> Network {
    network(json!({"type": "Overlay", "netID": 4}))
}

fn vlan(net_id: Option<i32>) -> Network {
    network(json!({"nodeSelector": {"a": "b"}, "netID": net_id}))
}

fn bgp() -> Network {
    network(json!({"mode": "BGP", "netID": 65000}))
}

fn refused(subnet: &Subnet, network: &Network) -> String {
    check(subnet, Some(network)).unwrap_err().to_string()
}

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
    ] {
        let text = refused(&subnet("s", "n", range), &vxlan());
        assert!(text.contains(said), "{text}");
    }
    let long = subnet(&"s".repeat(64), "n", v4("10.0.0.0/24"));
    assert_eq!(check(&long, Some(&vxlan())), Err(SubnetFault::Name(64)));
}

fn beside(range: Value, network: &str, existing: Subnet) -> Result<(), String> {
    let fresh = subnet("new", network, range);
    let overlay = vxlan();
    create(&fresh, Some(&overlay), &[fresh.clone(), existing]).map_err(|fault| fault.to_string())
}

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
    assert_eq!(beside(excluding, "n", old), Ok(()));
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
fn the_widest_prefixes_are_compared_at_once() {
    let start = Instant::now();
    let wide = subnet("wide", "n", v6("fd00::/8"));
    assert!(conflict(&subnet("part", "n", v6("fd00::/80")), &wide).is_some());
    assert!(conflict(&wide, &subnet("same", "n", v6("fd00::/8"))).is_some());
    assert!(
        start.elapsed() < Duration::from_millis(50),
        "{:?}",
        start.elapsed()
    );
}

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

fn changed(change: impl Fn(&mut Value)) -> Result<(), String> {
    let old = old();
    let mut spec = serde_json::to_value(&old.spec).unwrap();
    change(&mut spec);
    update(&old, &with("s", spec), &within(Some(&vxlan()))).map_err(|fault| fault.to_string())
}

#[test]
fn what_addresses_rest_on_cannot_change() {
    for (field, value) in [
        ("start", json!("10.0.0.11")),
        ("end", json!("10.0.0.98")),
        ("gateway", json!("10.0.0.2")),
        ("cidr", json!("10.0.0.0/16")),
        ("excludeIPs", json!(["10.0.0.20"])),
    ] {
        let text = changed(|spec| spec["range"][field] = value.clone()).unwrap_err();
        assert!(
            text.contains(&format!("spec.range.{field} cannot change")),
            "{text}"
        );
    }
    let text = changed(|spec| spec["network"] = json!("other")).unwrap_err();
    assert!(text.contains("spec.network cannot change"), "{text}");
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

#[test]
fn switches_reserved_addresses_and_the_order_of_excluded_ones_may_change() {
    assert_eq!(
        changed(|spec| spec["range"]["excludeIPs"] = json!(["10.0.0.21", "10.0.0.20"])),
        Ok(())
    );
    assert_eq!(
        changed(|spec| spec["range"]["reservedIPs"] = json!(["10.0.0.30"])),
        Ok(())
    );
    assert_eq!(
        changed(|spec| spec["config"] = json!({"private": true, "autoNatOutgoing": false})),
        Ok(())
    );
}

#[test]
fn a_vlan_id_stays() {
    let at = |id: i32| {
        with(
            "s",
            json!({"network": "n", "range": v4("10.0.0.0/24"), "netID": id}),
        )
    };
    let fault = update(&at(5), &at(6), &within(Some(&vlan(None))));
    assert_eq!(fault, Err(SubnetFault::Changed("netID")));
}

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

#[test]
fn a_subnet_with_addresses_in_use_stays_and_they_are_listed() {
    let held = |last: usize| {
        let mut instance = IpInstance::new(&format!("10-0-0-{last}"), crate::IpInstanceSpec::default());
        instance.metadata.namespace = Some("d".to_owned());
        instance.spec.address.ip = format!("10.0.0.{last}/24");
        instance
    };
    assert_eq!(delete(&[]), Ok(()));
    let text = delete(&[held(5)]).unwrap_err().to_string();
    assert!(
        text.starts_with("an address is in use: 10.0.0.5 (d/10-0-0-5)"),
        "{text}"
    );
    let many: Vec<_> = (1..=12).map(held).collect();
    let text = delete(&many).unwrap_err().to_string();
    assert!(text.starts_with("12 addresses are in use: 10.0.0.1 "), "{text}");
    assert!(text.contains("10.0.0.10 (d/10-0-0-10) and 2 more"), "{text}");
}
