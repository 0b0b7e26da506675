mod beside;
mod changing;
mod creating;

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

fn held(last: usize) -> IpInstance {
    let mut instance = IpInstance::new(&format!("10-0-0-{last}"), crate::IpInstanceSpec::default());
    instance.metadata.namespace = Some("d".to_owned());
    instance.spec.address.ip = format!("10.0.0.{last}/24");
    instance
}

/// Scenario 135: a subnet with an address in use.
#[test]
fn a_subnet_with_addresses_in_use_stays_and_they_are_listed() {
    assert_eq!(delete(&[]), Ok(()));
    let text = delete(&[held(5)]).unwrap_err().to_string();
    assert_eq!(
        text,
        "it has an address in use: 10.0.0.5 (d/10-0-0-5); delete their pods or IPInstances first"
    );
    let many: Vec<_> = (1..=12).map(held).collect();
    let text = delete(&many).unwrap_err().to_string();
    assert!(
        text.starts_with("it has 12 addresses in use: 10.0.0.1 "),
        "{text}"
    );
    assert!(text.contains("10.0.0.5 (d/10-0-0-5) and 7 more"), "{text}");
}
