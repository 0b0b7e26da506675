//! Pods and the cluster that they come into.

mod allowed;
mod hostile;
mod placing;
mod pools;
mod retained;
mod room;
mod words;

use hybridnet_api::NetworkType;
use hybridnet_api::settings::Settings;
use serde_json::{Value, json};

use crate::fixtures::{self, World, network, subnet};

/// The settings of the chart.
fn chart() -> Settings {
    Settings {
        default_network_type: NetworkType::Overlay,
        ..Settings::default()
    }
}

/// The network with this many addresses left of either family.
fn counted(mut network: Value, available: i32) -> Value {
    let count = json!({"total": 9, "used": 9 - available, "available": available});
    network["status"] = json!({"statistics": count, "ipv6Statistics": count, "dualStackStatistics": count});
    network
}

fn under(name: &str) -> Value {
    counted(
        network(name, json!({"nodeSelector": {"network": name}, "netID": 100})),
        0,
    )
}

fn over(available: i32) -> Value {
    counted(network("over", json!({"type": "Overlay", "netID": 4})), available)
}

/// A subnet of `10.0.0.0/24` or `fd00::/112`.
fn sub(name: &str, network: &str, version: &str) -> Value {
    let cidr = if version == "4" {
        "10.0.0.0/24"
    } else {
        "fd00::/112"
    };
    subnet(
        name,
        json!({"network": network, "range": {"version": version, "cidr": cidr}}),
    )
}

/// `with` merged into `spec.config` of a network or subnet.
fn configured(mut object: Value, key: &str, value: Value) -> Value {
    object["spec"]["config"][key] = value;
    object
}

fn cluster() -> Vec<Value> {
    vec![
        under("under"),
        over(5),
        sub("u4", "under", "4"),
        sub("u6", "under", "6"),
        sub("o4", "over", "4"),
        sub("o6", "over", "6"),
    ]
}

fn with(objects: &[Value], settings: Settings) -> World {
    World::of(&[cluster().as_slice(), objects].concat(), settings)
}

/// Asserts that a text is about a pod and says all of this.
fn says(text: &str, words: &[&str]) {
    fixtures::says(text, text.split(": ").next().unwrap_or_default(), words);
    assert!(text.starts_with("pod \""), "{text}");
}
