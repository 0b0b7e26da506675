//! Network: a set of nodes that share a way of reaching pods (control-plane spec 1.2).

#![allow(
    clippy::duplicated_attributes,
    reason = "two columns of one type are not one column twice"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::nullable;

/// What the cluster's administrator asks of a network.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "networking.alibaba.com",
    version = "v1",
    kind = "Network",
    plural = "networks",
    singular = "network",
    shortname = "net",
    status = "NetworkStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "NetID", type_ = "integer", json_path = ".spec.netID"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "V4Total", type_ = "integer", json_path = ".status.statistics.total"),
    printcolumn(name = "V4Used", type_ = "integer", json_path = ".status.statistics.used"),
    printcolumn(
        name = "V4Available",
        type_ = "integer",
        json_path = ".status.statistics.available"
    ),
    printcolumn(
        name = "LastAllocatedV4Subnet",
        type_ = "string",
        json_path = ".status.lastAllocatedSubnet"
    ),
    printcolumn(
        name = "V6Total",
        type_ = "integer",
        json_path = ".status.ipv6Statistics.total"
    ),
    printcolumn(name = "V6Used", type_ = "integer", json_path = ".status.ipv6Statistics.used"),
    printcolumn(
        name = "V6Available",
        type_ = "integer",
        json_path = ".status.ipv6Statistics.available"
    ),
    printcolumn(
        name = "LastAllocatedV6Subnet",
        type_ = "string",
        json_path = ".status.lastAllocatedIPv6Subnet"
    ),
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
    )
)]
#[x_kube(
    validation = Rule::new("!has(self.type) || self.type != 'Overlay' || has(self.netID)")
        .message("an Overlay network needs netID, its VXLAN network identifier"),
    validation = Rule::new("(has(self.type) && self.type != '' ? self.type : 'Underlay') == \
        (has(oldSelf.type) && oldSelf.type != '' ? oldSelf.type : 'Underlay')")
        .message("type cannot change: create another network"),
    validation = Rule::new("has(self.netID) == has(oldSelf.netID) && \
        (!has(self.netID) || self.netID == oldSelf.netID)")
        .message("netID cannot change: create another network")
)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSpec {
    /// Nodes of an Underlay network: those that carry every pair as a label. Empty for Overlay
    /// and `GlobalBGP`.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub node_selector: BTreeMap<String, String>,
    /// VLAN: the VLAN ID that subnets inherit; BGP: the local AS number; VXLAN: the VNI
    /// (required); `GlobalBGP`: absent.
    #[serde(default, rename = "netID", skip_serializing_if = "Option::is_none")]
    pub net_id: Option<i32>,
    /// `Underlay` (the default), `Overlay` or `GlobalBGP`.
    #[x_kube(validation = Rule::new("self in ['', 'Underlay', 'Overlay', 'GlobalBGP']")
        .message("use Underlay, Overlay or GlobalBGP; absent means Underlay"))]
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// `VLAN`, `BGP`, `VXLAN` or `GlobalBGP`; the default depends on the type.
    #[x_kube(validation = Rule::new("self in ['', 'VLAN', 'BGP', 'VXLAN', 'GlobalBGP']")
        .message("use VLAN, BGP, VXLAN or GlobalBGP; absent means the default of the type"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Routers of BGP networks, and who may use the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<NetworkConfig>,
}

/// Settings beside type and mode.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkConfig {
    /// Routers that nodes of a BGP network peer with.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub bgp_peers: Vec<BgpPeer>,
    /// Namespaces whose pods may get new addresses here, by name; absent or empty means all of them. What a
    /// pod already holds stays its own.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub allowed_namespaces: Vec<String>,
}

/// One BGP neighbour of every node of the network.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BgpPeer {
    /// Remote AS number.
    pub asn: i32,
    /// Remote address.
    pub address: String,
    /// Graceful restart time in seconds (RFC 4724); 0 or absent means 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graceful_restart_seconds: Option<i32>,
    /// TCP MD5 password (RFC 2385), in plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Announce to this peer, but never use it as a gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub does_not_route_traffic: Option<bool>,
    /// Start pods although the session with this peer is not established.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_not_established: Option<bool>,
}

/// What the manager found out about a network.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// Name of the IPv4 subnet that addresses are taken from at present.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub last_allocated_subnet: String,
    /// Name of the IPv6 subnet that addresses are taken from at present.
    #[serde(
        default,
        rename = "lastAllocatedIPv6Subnet",
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub last_allocated_ipv6_subnet: String,
    /// Sorted names of the subnets that are not being deleted.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub subnet_list: Vec<String>,
    /// Sorted names of the nodes that are not being deleted.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub node_list: Vec<String>,
    /// IPv4 addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Count>,
    /// IPv6 addresses.
    #[serde(default, rename = "ipv6Statistics", skip_serializing_if = "Option::is_none")]
    pub ipv6_statistics: Option<Count>,
    /// Only `available` means something: the lesser of the two families.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dual_stack_statistics: Option<Count>,
    /// `Ready`, `Conflict`, `Exhausted`: how it does, and what is wrong otherwise.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub conditions: Vec<Condition>,
}

/// Numbers of addresses.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Addresses that may be handed out: the range less gateway, excluded and reserved ones.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub total: i32,
    /// Addresses in use.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub used: i32,
    /// `total - used`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub available: i32,
}

/// How the pods of a network relate to the fabric below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkType {
    /// Pods have addresses that the fabric knows.
    Underlay,
    /// Pods have addresses that only the cluster knows; there is one such network.
    Overlay,
    /// Pods on any BGP node have addresses announced by BGP; there is one such network.
    GlobalBgp,
}

/// How packets of a network travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkMode {
    /// Frames on a VLAN of the parent link.
    Vlan,
    /// Routes announced to the node's router.
    Bgp,
    /// VXLAN between nodes (RFC 7348).
    Vxlan,
    /// As [`NetworkMode::Bgp`], host routes only, on all BGP nodes.
    GlobalBgp,
}

/// A `spec.type` or `spec.mode` that is not one of the known words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown network {field} {value:?}: use one of {expected}")]
pub struct UnknownWord {
    /// `type` or `mode`.
    pub field: &'static str,
    /// What the user wrote.
    pub value: String,
    /// What may stand there.
    pub expected: &'static str,
}

impl NetworkType {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Underlay => "Underlay",
            Self::Overlay => "Overlay",
            Self::GlobalBgp => "GlobalBGP",
        }
    }

    /// Whether a cluster has at most one network of the type.
    pub const fn is_unique(self) -> bool {
        matches!(self, Self::Overlay | Self::GlobalBgp)
    }

    /// The mode of a network of this type that does not name one.
    pub const fn default_mode(self) -> NetworkMode {
        match self {
            Self::Underlay => NetworkMode::Vlan,
            Self::Overlay => NetworkMode::Vxlan,
            Self::GlobalBgp => NetworkMode::GlobalBgp,
        }
    }

    /// As users write it in annotations: in any case.
    pub fn parse_ignoring_case(value: &str) -> Result<Self, UnknownWord> {
        [Self::Underlay, Self::Overlay, Self::GlobalBgp]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(value))
            .ok_or_else(|| UnknownWord {
                field: "type",
                value: value.to_owned(),
                expected: "Underlay, Overlay, GlobalBGP",
            })
    }
}

impl NetworkMode {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vlan => "VLAN",
            Self::Bgp => "BGP",
            Self::Vxlan => "VXLAN",
            Self::GlobalBgp => "GlobalBGP",
        }
    }
}

impl FromStr for NetworkType {
    type Err = UnknownWord;

    /// As it stands in a Network: case counts.
    fn from_str(value: &str) -> Result<Self, UnknownWord> {
        match Self::parse_ignoring_case(value) {
            Ok(known) if known.as_str() == value => Ok(known),
            Ok(_) | Err(_) => Err(UnknownWord {
                field: "type",
                value: value.to_owned(),
                expected: "Underlay, Overlay, GlobalBGP",
            }),
        }
    }
}

impl FromStr for NetworkMode {
    type Err = UnknownWord;

    fn from_str(value: &str) -> Result<Self, UnknownWord> {
        [Self::Vlan, Self::Bgp, Self::Vxlan, Self::GlobalBgp]
            .into_iter()
            .find(|known| known.as_str() == value)
            .ok_or_else(|| UnknownWord {
                field: "mode",
                value: value.to_owned(),
                expected: "VLAN, BGP, VXLAN, GlobalBGP",
            })
    }
}

impl fmt::Display for NetworkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl NetworkSpec {
    /// Namespaces that may get new addresses; none means all.
    pub fn allowed_namespaces(&self) -> &[String] {
        self.config
            .as_ref()
            .map_or(&[], |config| config.allowed_namespaces.as_slice())
    }

    /// The effective type: absent or empty means Underlay.
    pub fn network_type(&self) -> Result<NetworkType, UnknownWord> {
        match self.type_.as_deref() {
            None | Some("") => Ok(NetworkType::Underlay),
            Some(word) => word.parse(),
        }
    }

    /// The effective mode: an explicit one wins, else it follows from the type.
    pub fn network_mode(&self) -> Result<NetworkMode, UnknownWord> {
        match self.mode.as_deref() {
            None | Some("") => Ok(self.network_type()?.default_mode()),
            Some(word) => word.parse(),
        }
    }
}

#[cfg(test)]
mod tests;
