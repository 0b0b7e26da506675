//! `RemoteCluster`: another cluster, and how its API server is reached (multicluster spec 2.1).

#![allow(
    clippy::duplicated_attributes,
    reason = "two columns of one type are not one column twice"
)]

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::nullable;

/// Where the other cluster is, and who we are there.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "multicluster.alibaba.com",
    version = "v1",
    kind = "RemoteCluster",
    plural = "remoteclusters",
    singular = "remotecluster",
    status = "RemoteClusterStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn(name = "APIEndpoint", type_ = "string", json_path = ".spec.apiEndpoint"),
    printcolumn(name = "UUID", type_ = "string", json_path = ".status.uuid"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct RemoteClusterSpec {
    /// URL of its API server: `https://host:port`.
    pub api_endpoint: String,
    /// Certificates (PEM) that its API server is known by.
    #[schemars(schema_with = "bytes")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_data: Option<ByteString>,
    /// Our certificate there (PEM).
    #[schemars(schema_with = "bytes")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_data: Option<ByteString>,
    /// Our key there (PEM), readable by all who may read this object: a Secret is better.
    #[schemars(schema_with = "bytes")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_data: Option<ByteString>,
    /// A Secret with `ca.crt`, and `tls.crt` and `tls.key` or `token`, in place of the fields above. Release
    /// 0.8.9 of the Go project does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretReference>,
    /// Seconds that a request may take; 0 or absent means the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i32>,
}

/// A Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretReference {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// What the manager found out about another cluster.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RemoteClusterStatus {
    /// UID of its namespace `kube-system`.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub uuid: String,
    /// `Ready`, `NotReady` or `Offline`.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub state: String,
    /// The outcome of each check.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub conditions: Vec<Condition>,
}

fn bytes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "byte"})
}
