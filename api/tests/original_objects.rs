//! Objects that the Go project wrote are read and written back without a lost field (control-plane spec 1).

use hybridnet_api::{
    IpInstance, Network, NodeInfo, RemoteCluster, RemoteEndpointSlice, RemoteSubnet, RemoteVtep, Subnet,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Absent, null and empty are the same thing.
fn without_empty(value: Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, without_empty(value)))
            .filter(|(_, value)| !is_empty(value))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_empty).collect(),
        other => other,
    }
}

fn survives<K: DeserializeOwned + Serialize>(object: Value) -> K {
    let read: K = serde_json::from_value(object.clone()).expect("it is read");
    let written = serde_json::to_value(&read).expect("it is written");
    assert_eq!(without_empty(written), without_empty(object));
    read
}

fn object(kind: &str, spec: &Value, status: &Value) -> Value {
    let group = if kind.starts_with("Remote") {
        "multicluster"
    } else {
        "networking"
    };
    json!({
        "apiVersion": format!("{group}.alibaba.com/v1"),
        "kind": kind,
        "metadata": {
            "name": "x", "uid": "u", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2024-07-01T08:00:00Z",
            "labels": {"a": "b"}, "annotations": {"c": "d"},
            "finalizers": ["networking.alibaba.com/metrics-registered"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "q", "controller": true,
                "blockOwnerDeletion": true}],
        },
        "spec": spec,
        "status": status,
    })
}

#[test]
fn networks_survive() {
    let status = json!({
        "lastAllocatedSubnet": "s4", "lastAllocatedIPv6Subnet": "s6",
        "subnetList": ["s4", "s6"], "nodeList": ["n1", "n2"],
        "statistics": {"total": 254, "used": 1, "available": 253},
        "ipv6Statistics": {"total": 255, "used": 0, "available": 255},
        "dualStackStatistics": {"total": 0, "used": 0, "available": 253},
    });
    let peers = json!([
        {"asn": 65001, "address": "10.0.0.1", "gracefulRestartSeconds": 300, "password": "secret",
         "doesNotRouteTraffic": true, "allowNotEstablished": false},
        {"asn": 65002, "address": "fd00::1"},
    ]);
    for spec in [
        json!({"nodeSelector": {"network": "a"}, "netID": 65000, "type": "Underlay", "mode": "BGP",
               "config": {"bgpPeers": peers}}),
        json!({"netID": 4, "type": "Overlay", "mode": "VXLAN"}),
        json!({"netID": null, "type": "GlobalBGP", "mode": "GlobalBGP", "config": {}}),
        json!({"nodeSelector": {"a": "b"}, "netID": 0, "type": "", "mode": ""}),
        json!({}),
    ] {
        survives::<Network>(object("Network", &spec, &status));
    }
    let empty = json!({"lastAllocatedSubnet": "", "subnetList": null, "nodeList": null, "statistics": null});
    survives::<Network>(object(
        "Network",
        &json!({"netID": 1, "nodeSelector": null}),
        &empty,
    ));
}

#[test]
fn subnets_survive() {
    let full = json!({
        "range": {"version": "4", "cidr": "10.0.0.0/24", "start": "10.0.0.10", "end": "10.0.0.20",
            "gateway": "10.0.0.1", "reservedIPs": ["10.0.0.11"], "excludeIPs": ["10.0.0.12"]},
        "netID": 100, "network": "n",
        "config": {"gatewayType": "distributed", "gatewayNode": "n1", "autoNatOutgoing": false, "private": true,
            "allowSubnets": ["s"]},
    });
    let mut with_ours = full.clone();
    with_ours["range"]["reservedIPRanges"] = json!(["10.0.0.13-10.0.0.14"]);
    with_ours["range"]["excludeIPRanges"] = json!(["10.0.0.16/30"]);
    with_ours["config"]["allowedNamespaces"] = json!(["d"]);
    let status = json!({"total": 10, "used": 2, "available": 8, "lastAllocatedIP": "10.0.0.15"});
    survives::<Subnet>(object("Subnet", &full, &status));
    survives::<Subnet>(object("Subnet", &with_ours, &status));
    let bare = json!({
        "range": {"version": "6", "cidr": "fd00::/64", "gateway": ""}, "netID": null, "network": "n",
        "config": {"gatewayType": "", "gatewayNode": "", "autoNatOutgoing": null, "private": null,
            "allowSubnets": null},
    });
    let status = json!({"total": 0, "used": 0, "available": 0, "lastAllocatedIP": ""});
    let read: Subnet = survives(object("Subnet", &bare, &status));
    assert!(read.spec.auto_nat_outgoing() && !read.spec.is_private());
    survives::<Subnet>(object(
        "Subnet",
        &json!({"range": {"version": "4", "cidr": "10.0.0.0/24"}, "network": "n", "config": null}),
        &json!(null),
    ));
}

#[test]
fn ip_instances_survive() {
    let address = json!({"version": "4", "ip": "10.0.0.5/24", "gateway": "10.0.0.1", "netID": 100,
        "mac": "02:12:34:00:00:01"});
    let bound = json!({
        "referredObject": {"kind": "StatefulSet", "name": "web", "uid": "u"},
        "nodeName": "n1", "podUID": "p", "podName": "web-0", "stateful": {"index": 0},
    });
    let status = json!({"nodeName": "n1", "podName": "web-0", "podNamespace": "d", "sandboxID": "s",
        "updateTimestamp": "2024-07-01T08:00:01Z"});
    let spec = json!({"network": "n", "subnet": "s", "address": address, "binding": bound});
    let read: IpInstance = survives(object("IPInstance", &spec, &status));
    assert!(!read.spec.is_reserved());

    let reserved = json!({"referredObject": {"kind": "StatefulSet", "name": "web"}, "nodeName": "",
        "podName": "web-0", "stateful": {"index": 2_147_483_647}});
    let address = json!({"version": "6", "ip": "fd00::5/64", "netID": null, "mac": "02:12:34:00:00:01"});
    let spec = json!({"network": "n", "subnet": "s", "address": address, "binding": reserved});
    let read: IpInstance = survives(object("IPInstance", &spec, &json!({})));
    assert!(read.spec.is_reserved());
    assert_eq!(read.spec.ip(), "fd00::5".parse().ok());
}

#[test]
fn node_infos_survive() {
    let vtep =
        json!({"ip": "192.168.0.2", "mac": "02:00:00:00:00:02", "localIPs": ["192.168.0.2", "fd00::2"]});
    survives::<NodeInfo>(object(
        "NodeInfo",
        &json!({"vtepInfo": vtep}),
        &json!({"updateTimestamp": "2024-07-01T08:00:00Z"}),
    ));
    survives::<NodeInfo>(object(
        "NodeInfo",
        &json!({"vtepInfo": null}),
        &json!({"updateTimestamp": null}),
    ));
}

#[test]
fn objects_of_other_clusters_survive() {
    let condition = json!({"type": "HealthProbe", "status": "True", "reason": "CheckPass", "message": "",
        "lastTransitionTime": "2024-07-01T08:00:00Z"});
    survives::<RemoteCluster>(object(
        "RemoteCluster",
        &json!({"apiEndpoint": "https://1.2.3.4:6443", "caData": "Y2E=", "certData": "Y2VydA==", "keyData": "a2V5",
            "timeout": 30}),
        &json!({"uuid": "u", "state": "Ready", "conditions": [condition]}),
    ));
    survives::<RemoteCluster>(object(
        "RemoteCluster",
        &json!({"apiEndpoint": "https://1.2.3.4:6443", "caData": null}),
        &json!({"uuid": "", "state": "Offline", "conditions": null}),
    ));
    survives::<RemoteSubnet>(object(
        "RemoteSubnet",
        &json!({"range": {"version": "4", "cidr": "10.0.0.0/24", "excludeIPs": ["10.0.0.9"]}, "networkType": "Overlay",
            "clusterName": "east"}),
        &json!({"lastModifyTime": "2024-07-01T08:00:00Z"}),
    ));
    survives::<RemoteVtep>(object(
        "RemoteVtep",
        &json!({"clusterName": "east", "nodeName": "n1", "ip": "192.168.0.2", "mac": "02:00:00:00:00:02",
            "localIPs": ["192.168.0.2"], "endpointIPList": ["10.0.0.5", "fd00::5"]}),
        &json!({"lastModifyTime": null}),
    ));
    let endpoint = json!({
        "addresses": ["10.0.0.5"], "conditions": {"ready": true, "serving": true, "terminating": false},
        "hostname": "web-0", "targetRef": {"kind": "Pod", "name": "web-0", "namespace": "d", "uid": "p"},
        "topology": {"topology.kubernetes.io/zone": "z"}, "nodeName": "n1", "hints": {"forZones": [{"name": "z"}]},
    });
    survives::<RemoteEndpointSlice>(object(
        "RemoteEndpointSlice",
        &json!({"remoteService": {"cluster": "east", "name": "web", "namespace": "d"}, "addressType": "IPv4",
            "endpoints": [endpoint, {"addresses": ["10.0.0.6"]}],
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "appProtocol": "http"}, {}]}),
        &json!({"lastModifyTime": "2024-07-01T08:00:00Z"}),
    ));
}
