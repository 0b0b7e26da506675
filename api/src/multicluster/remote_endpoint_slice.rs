//! `RemoteEndpointSlice`: endpoints of a Service in another cluster (multicluster spec 2.4). Its form is that
//! of `discovery.k8s.io/v1beta1`: the zone of an endpoint stands in its topology.

#![allow(
    clippy::duplicated_attributes,
    reason = "two columns of one type are not one column twice"
)]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CopyStatus;
use crate::nullable;

/// A copy of an `EndpointSlice`.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "multicluster.alibaba.com",
    version = "v1",
    kind = "RemoteEndpointSlice",
    plural = "remoteendpointslice",
    singular = "remoteendpointslice",
    status = "CopyStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "Service", type_ = "string", json_path = ".spec.remoteService.name"),
    printcolumn(
        name = "Namespace",
        type_ = "string",
        json_path = ".spec.remoteService.namespace"
    ),
    printcolumn(name = "AddressType", type_ = "string", json_path = ".spec.addressType"),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.remoteService.cluster"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RemoteEndpointSliceSpec {
    /// Where it comes from, and the Service here that it goes to.
    pub remote_service: RemoteService,
    /// `IPv4`, `IPv6` or `FQDN`.
    pub address_type: String,
    /// What is behind the Service.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub endpoints: Vec<Endpoint>,
    /// Ports of every endpoint.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub ports: Vec<EndpointPort>,
}

/// A Service of another cluster.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteService {
    /// Name of the `RemoteCluster`.
    pub cluster: String,
    /// Name of the Service, there and here.
    pub name: String,
    /// Its namespace, there and here.
    pub namespace: String,
}

/// One thing behind a Service.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its addresses, of the slice's type.
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<String>,
    /// How it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<EndpointConditions>,
    /// Its name in DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The object that it is, in the other cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<ObjectReference>,
    /// Where it is: `topology.kubernetes.io/zone` and the like.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub topology: BTreeMap<String, String>,
    /// Its node, in the other cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Who should use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hints: Option<EndpointHints>,
}

/// How an endpoint does.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointConditions {
    /// It takes traffic; absent reads as true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// As `ready`, also while it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<bool>,
    /// It ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminating: Option<bool>,
}

/// Who should use an endpoint.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EndpointHints {
    /// Clients of these zones.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub for_zones: Vec<ForZone>,
}

/// A zone.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct ForZone {
    /// Its name.
    pub name: String,
}

/// A port of every endpoint of a slice.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EndpointPort {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `TCP`, `UDP` or `SCTP`; absent means `TCP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The number; absent means all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// What is spoken there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}
