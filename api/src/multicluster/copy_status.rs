//! What all copies have in common.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When an object was copied from another cluster.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CopyStatus {
    /// Last change of the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modify_time: Option<Time>,
}
