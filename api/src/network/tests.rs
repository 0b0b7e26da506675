use super::*;

fn spec(type_: Option<&str>, mode: Option<&str>) -> NetworkSpec {
    NetworkSpec {
        type_: type_.map(str::to_owned),
        mode: mode.map(str::to_owned),
        ..NetworkSpec::default()
    }
}

/// Scenario 26: types and modes that are left open.
#[test]
fn a_network_that_says_nothing_is_a_vlan_and_a_mode_follows_from_the_type() {
    for (type_, expected, mode) in [
        (None, NetworkType::Underlay, NetworkMode::Vlan),
        (Some(""), NetworkType::Underlay, NetworkMode::Vlan),
        (Some("Underlay"), NetworkType::Underlay, NetworkMode::Vlan),
        (Some("Overlay"), NetworkType::Overlay, NetworkMode::Vxlan),
        (Some("GlobalBGP"), NetworkType::GlobalBgp, NetworkMode::GlobalBgp),
    ] {
        for open in [None, Some("")] {
            let spec = spec(type_, open);
            assert_eq!(
                (spec.network_type(), spec.network_mode()),
                (Ok(expected), Ok(mode))
            );
        }
    }
    assert_eq!(spec(None, Some("BGP")).network_mode(), Ok(NetworkMode::Bgp));
}

/// Scenario 26: a type that nobody knows.
#[test]
fn an_unknown_type_has_no_mode_and_is_named() {
    let others = spec(Some("others"), None);
    let text = others.network_type().unwrap_err().to_string();
    assert_eq!(
        text,
        "unknown network type \"others\": use one of Underlay, Overlay, GlobalBGP"
    );
    assert_eq!(others.network_mode().unwrap_err().field, "type");
    // The mode that is written counts, whatever the type.
    assert_eq!(
        spec(Some("others"), Some("BGP")).network_mode(),
        Ok(NetworkMode::Bgp)
    );
    assert!(
        spec(Some("overlay"), None).network_type().is_err(),
        "case counts in objects"
    );
    assert!(spec(None, Some("vlan")).network_mode().is_err());
}

/// Scenario 59: words of pods in any case.
#[test]
fn pods_may_write_types_in_any_case() {
    for known in [
        NetworkType::Underlay,
        NetworkType::Overlay,
        NetworkType::GlobalBgp,
    ] {
        for word in [known.as_str().to_lowercase(), known.as_str().to_uppercase()] {
            assert_eq!(NetworkType::parse_ignoring_case(&word), Ok(known));
        }
    }
}

#[test]
fn allowed_namespaces_are_read_from_the_config() {
    let read = |json: serde_json::Value| -> Vec<String> {
        let spec: NetworkSpec = serde_json::from_value(json).unwrap();
        spec.allowed_namespaces().to_vec()
    };
    assert_eq!(
        read(serde_json::json!({"config": {"allowedNamespaces": ["a"]}})),
        ["a"]
    );
    for none in [
        serde_json::json!({}),
        serde_json::json!({"config": null}),
        serde_json::json!({"config": {"allowedNamespaces": null}}),
    ] {
        assert!(read(none).is_empty());
    }
}
