//! `NodeInfo`: what a node's daemon tells the others (control-plane spec 1.5, datapath spec 3.5).

#![allow(
    clippy::duplicated_attributes,
    reason = "two columns of one type are not one column twice"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::nullable;

/// Where a node is reached.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "networking.alibaba.com",
    version = "v1",
    kind = "NodeInfo",
    plural = "nodeinfoes",
    singular = "nodeinfo",
    status = "NodeInfoStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "VTEPIP", type_ = "string", json_path = ".spec.vtepInfo.ip"),
    printcolumn(name = "VTEPMAC", type_ = "string", json_path = ".spec.vtepInfo.mac"),
    printcolumn(
        name = "VTEPLOCALIPS",
        type_ = "string",
        json_path = ".spec.vtepInfo.localIPs"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfoSpec {
    /// The node's tunnel end; absent until the node has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vtep_info: Option<VtepInfo>,
}

/// A VXLAN tunnel end (RFC 7348).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct VtepInfo {
    /// Outer address of the tunnel.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub ip: String,
    /// Inner MAC of the tunnel: that of the parent link, in lower-case colon form.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub mac: String,
    /// Sorted addresses of the node that are reached through the tunnel too.
    #[serde(
        default,
        rename = "localIPs",
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub local_ips: Vec<String>,
}

/// When and how well.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NodeInfoStatus {
    /// Last change of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_timestamp: Option<Time>,
    /// What is wrong on the node, in words an operator can act on.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub conditions: Vec<Condition>,
}
