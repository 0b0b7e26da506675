//! `RemoteSubnet`: a subnet of another cluster (multicluster spec 2.2).

#![allow(
    clippy::duplicated_attributes,
    reason = "two columns of one type are not one column twice"
)]

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::CopyStatus;
use crate::subnet::AddressRange;

/// A copy of what the other cluster has.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "multicluster.alibaba.com",
    version = "v1",
    kind = "RemoteSubnet",
    plural = "remotesubnets",
    singular = "remotesubnet",
    status = "CopyStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.range.version"),
    printcolumn(name = "CIDR", type_ = "string", json_path = ".spec.range.cidr"),
    printcolumn(name = "Start", type_ = "string", json_path = ".spec.range.start"),
    printcolumn(name = "End", type_ = "string", json_path = ".spec.range.end"),
    printcolumn(name = "Gateway", type_ = "string", json_path = ".spec.range.gateway"),
    printcolumn(name = "NetworkType", type_ = "string", json_path = ".spec.networkType"),
    printcolumn(name = "ClusterName", type_ = "string", json_path = ".spec.clusterName"),
    printcolumn(name = "LastModifyTime", type_ = "date", json_path = ".status.lastModifyTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RemoteSubnetSpec {
    /// The addresses.
    pub range: AddressRange,
    /// Type of its Network, as written there; absent or empty means Underlay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_type: Option<String>,
    /// Name of the `RemoteCluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
}
