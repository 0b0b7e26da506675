//! What the CNI plugin and the daemon say to each other: JSON over HTTP/1.1 on a unix socket
//! (datapath spec 2.3). Old plugins meet new daemons and the other way round, so paths, field names
//! and status codes stay as they are.

use serde::{Deserialize, Serialize};

/// Path of the request that sets up a pod's network; answered by 200 and [`AddResponse`].
pub const ADD_PATH: &str = "/api/v1/add";
/// Path of the request that takes a pod's network down; answered by 204 without a body.
pub const DEL_PATH: &str = "/api/v1/del";

/// Body of both requests. The plugin of another release may leave fields out or send more.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default)]
pub struct PodRequest {
    /// `K8S_POD_NAME`.
    pub pod_name: String,
    /// `K8S_POD_NAMESPACE`.
    pub pod_namespace: String,
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_NETNS`: a path that the daemon opens itself.
    pub net_ns: String,
    /// `K8S_POD_UID`; the original does not send it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pod_uid: String,
}

/// Answer to an ADD, and, with `error` filled in, to every request that failed (status 400 or 500).
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default)]
pub struct AddResponse {
    /// The pod's addresses, IPv4 first; `null` in an answer that failed.
    pub address: Option<Vec<PodAddress>>,
    /// Name of the host's end of the pod's veth pair.
    pub host_interface: String,
    /// What went wrong, or empty.
    pub error: String,
}

/// One address of a pod.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default)]
pub struct PodAddress {
    /// The address with the prefix length of its subnet.
    pub ip: String,
    /// The pod's MAC.
    pub mac: String,
    /// The subnet's gateway, or empty.
    pub gateway: String,
    /// `"4"` or `"6"`.
    pub protocol: String,
}
