//! `IPInstance`: one address and whom it belongs to (control-plane spec 1.4).

#![allow(
    clippy::duplicated_attributes,
    reason = "two columns of one type are not one column twice"
)]

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::{Family, parse_ip};
use crate::nullable;

/// The address and its binding.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "networking.alibaba.com",
    version = "v1",
    kind = "IPInstance",
    root = "IpInstance",
    plural = "ipinstances",
    singular = "ipinstance",
    shortname = "ipi",
    namespaced,
    status = "IpInstanceStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "IP", type_ = "string", json_path = ".spec.address.ip"),
    printcolumn(name = "Gateway", type_ = "string", json_path = ".spec.address.gateway"),
    printcolumn(name = "PodName", type_ = "string", json_path = ".spec.binding.podName"),
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.binding.nodeName"),
    printcolumn(name = "Subnet", type_ = "string", json_path = ".spec.subnet"),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.network"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "MAC", type_ = "string", priority = 1, json_path = ".spec.address.mac"),
    printcolumn(
        name = "OwnerKind",
        type_ = "string",
        priority = 1,
        json_path = ".spec.binding.referredObject.kind"
    ),
    printcolumn(
        name = "Owner",
        type_ = "string",
        priority = 1,
        json_path = ".spec.binding.referredObject.name"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct IpInstanceSpec {
    /// Network of the address.
    pub network: String,
    /// Subnet of the address.
    pub subnet: String,
    /// The address; never rewritten once the object exists.
    pub address: Address,
    /// Whom the address belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
}

/// An address as a pod gets it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// `"4"` or `"6"`.
    pub version: String,
    /// The address with the prefix length of its subnet: `192.168.56.101/24`.
    pub ip: String,
    /// The subnet's gateway, without a prefix length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Effective net ID: the subnet's, else the network's.
    #[serde(default, rename = "netID", skip_serializing_if = "Option::is_none")]
    pub net_id: Option<i32>,
    /// MAC in lower-case colon form; both addresses of a dual-stack pod carry the same one.
    pub mac: String,
}

/// Owner and pod of an address.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// The controlling object, equal to the owner reference.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub referred_object: ReferredObject,
    /// Node of the pod; empty while the address is reserved.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub node_name: String,
    /// UID of the pod; empty while the address is reserved.
    #[serde(
        default,
        rename = "podUID",
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub pod_uid: String,
    /// Name of the pod.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub pod_name: String,
    /// Present for pods of stateful workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stateful: Option<Stateful>,
}

/// The object that an address lives and dies with.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferredObject {
    /// Its kind; empty in objects older than release 0.5.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub kind: String,
    /// Its name.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub name: String,
    /// Its UID.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub uid: String,
}

/// Place of a pod in its workload.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct Stateful {
    /// The ordinal, or `names::NO_ORDINAL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<i32>,
}

/// What the daemon found out.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IpInstanceStatus {
    /// Node that configured the address.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub node_name: String,
    /// Pod that got the address.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub pod_name: String,
    /// Namespace of that pod.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub pod_namespace: String,
    /// Container ID of the pod's sandbox.
    #[serde(
        default,
        rename = "sandboxID",
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub sandbox_id: String,
    /// Last change of the above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_timestamp: Option<Time>,
}

impl IpInstanceSpec {
    /// Whether no pod runs with the address: it is kept for a successor.
    pub fn is_reserved(&self) -> bool {
        self.binding
            .as_ref()
            .is_none_or(|binding| binding.node_name.is_empty())
    }

    /// The bare address, or nothing when the text is not one.
    pub fn ip(&self) -> Option<IpAddr> {
        let text = self.address.ip.as_str();
        let bare = text.split_once('/').map_or(text, |(ip, _)| ip);
        parse_ip(bare)
    }

    /// What the version says, else what the address shows; IPv4 when neither can be read.
    pub fn family(&self) -> Family {
        Family::from_version(&self.address.version)
            .or_else(|| self.ip().map(Family::of))
            .unwrap_or(Family::V4)
    }
}
