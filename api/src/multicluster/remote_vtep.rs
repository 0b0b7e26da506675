//! `RemoteVtep`: a node of another cluster, and the pods on it (multicluster spec 2.3).

#![allow(
    clippy::duplicated_attributes,
    reason = "two columns of one type are not one column twice"
)]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::CopyStatus;
use crate::nullable;

/// Where the node is reached, and which addresses are there.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "multicluster.alibaba.com",
    version = "v1",
    kind = "RemoteVtep",
    plural = "remotevteps",
    singular = "remotevtep",
    status = "CopyStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "MAC", type_ = "string", json_path = ".spec.mac"),
    printcolumn(name = "IP", type_ = "string", json_path = ".spec.ip"),
    printcolumn(name = "NodeName", type_ = "string", json_path = ".spec.nodeName"),
    printcolumn(name = "ClusterName", type_ = "string", json_path = ".spec.clusterName"),
    printcolumn(name = "LastModifyTime", type_ = "date", json_path = ".status.lastModifyTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RemoteVtepSpec {
    /// Name of the `RemoteCluster`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub cluster_name: String,
    /// Name of the node there.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub node_name: String,
    /// Outer address of its tunnel.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub ip: String,
    /// Inner MAC of its tunnel, in lower-case colon form.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub mac: String,
    /// Addresses of the node that are reached through the tunnel too.
    #[serde(
        default,
        rename = "localIPs",
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub local_ips: Vec<String>,
    /// Sorted addresses of the pods on the node, without prefix lengths.
    #[serde(
        default,
        rename = "endpointIPList",
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub endpoint_ip_list: Vec<String>,
}
