//! Subnet: a range of addresses of one family in a Network (control-plane spec 1.3).

#![allow(
    clippy::duplicated_attributes,
    reason = "two columns of one type are not one column twice"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::nullable;

/// What the cluster's administrator asks of a subnet.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "networking.alibaba.com",
    version = "v1",
    kind = "Subnet",
    plural = "subnets",
    singular = "subnet",
    shortname = "sub",
    status = "SubnetStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.range.version"),
    printcolumn(name = "CIDR", type_ = "string", json_path = ".spec.range.cidr"),
    printcolumn(name = "Start", type_ = "string", json_path = ".spec.range.start"),
    printcolumn(name = "End", type_ = "string", json_path = ".spec.range.end"),
    printcolumn(name = "Gateway", type_ = "string", json_path = ".spec.range.gateway"),
    printcolumn(name = "Total", type_ = "integer", json_path = ".status.total"),
    printcolumn(name = "Used", type_ = "integer", json_path = ".status.used"),
    printcolumn(name = "Available", type_ = "integer", json_path = ".status.available"),
    printcolumn(name = "NetID", type_ = "integer", json_path = ".spec.netID"),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.network"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Conflict",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type=='Conflict')].status"
    ),
    printcolumn(
        name = "Exhausted",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type=='Exhausted')].status"
    ),
    printcolumn(
        name = "Private",
        type_ = "boolean",
        priority = 1,
        json_path = ".spec.config.private"
    ),
    printcolumn(
        name = "LastAllocatedIP",
        type_ = "string",
        priority = 1,
        json_path = ".status.lastAllocatedIP"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct SubnetSpec {
    /// The addresses.
    pub range: AddressRange,
    /// VLAN mode only; absent means the network's.
    #[serde(default, rename = "netID", skip_serializing_if = "Option::is_none")]
    pub net_id: Option<i32>,
    /// Name of the Network that this subnet belongs to.
    #[x_kube(validation = Rule::new("self == oldSelf").message("network cannot change: create another subnet"))]
    pub network: String,
    /// Switches of this subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<SubnetConfig>,
}

/// Addresses as users write them.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AddressRange {
    /// `"4"` or `"6"`.
    #[x_kube(
        validation = Rule::new("self in ['4', '6']").message("use \"4\" or \"6\""),
        validation = Rule::new("self == oldSelf").message("version cannot change: create another subnet")
    )]
    pub version: String,
    /// Network address and prefix length, without host bits.
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9A-Fa-f:.]+/[0-9]{1,3}$')")
        .message("use a network address and a prefix length, such as 10.0.0.0/16 or fd00::/112"))]
    pub cidr: String,
    /// First usable address; absent means the first one after the network address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Last usable address; absent means the last one (IPv4: before the broadcast address).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Gateway, never handed out; mandatory for VLAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Never handed out by choice, but may be assigned through `ip-pool`.
    #[serde(
        default,
        rename = "reservedIPs",
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub reserved_ips: Vec<String>,
    /// Never usable at all.
    #[serde(
        default,
        rename = "excludeIPs",
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub exclude_ips: Vec<String>,
    /// As `reservedIPs`, whole ranges: each `first-last`, both included, or a CIDR. Release 0.8.9 of the Go
    /// project does not know them.
    #[serde(
        default,
        rename = "reservedIPRanges",
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub reserved_ip_ranges: Vec<String>,
    /// As `excludeIPs`, whole ranges: each `first-last`, both included, or a CIDR. Release 0.8.9 of the Go
    /// project does not know them.
    #[serde(
        default,
        rename = "excludeIPRanges",
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub exclude_ip_ranges: Vec<String>,
}

/// Switches of a subnet.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SubnetConfig {
    /// Declared by the Go project, read by nothing; kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_type: Option<String>,
    /// Declared by the Go project, read by nothing; kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_node: Option<String>,
    /// VXLAN only: masquerade what leaves the overlay. Absent means true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_nat_outgoing: Option<bool>,
    /// Leave this subnet out unless a pod names it or one of its addresses. Absent means false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<bool>,
    /// Declared by the Go project, read by nothing; kept.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub allow_subnets: Vec<String>,
    /// Namespaces whose pods may get new addresses here, by name; absent or empty means all of them. What a
    /// pod already holds stays its own.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub allowed_namespaces: Vec<String>,
}

/// What the manager found out about a subnet.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SubnetStatus {
    /// Addresses that may be handed out.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub total: i32,
    /// Addresses in use.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub used: i32,
    /// `total - used`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub available: i32,
    /// The address that was handed out last: where the search goes on.
    #[serde(
        default,
        rename = "lastAllocatedIP",
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub last_allocated_ip: String,
    /// `Ready`, `Conflict`, `Exhausted`: how it does, and what is wrong otherwise.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub conditions: Vec<Condition>,
}

impl SubnetSpec {
    /// Whether automatic choice passes this subnet over.
    pub fn is_private(&self) -> bool {
        self.config
            .as_ref()
            .and_then(|config| config.private)
            .unwrap_or(false)
    }

    /// Namespaces that may get new addresses; none means all.
    pub fn allowed_namespaces(&self) -> &[String] {
        self.config
            .as_ref()
            .map_or(&[], |config| config.allowed_namespaces.as_slice())
    }

    /// Whether traffic that leaves the overlay is masqueraded.
    pub fn auto_nat_outgoing(&self) -> bool {
        self.config
            .as_ref()
            .and_then(|config| config.auto_nat_outgoing)
            .unwrap_or(true)
    }
}
