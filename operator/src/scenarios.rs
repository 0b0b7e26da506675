//! Whole controllers on a make-believe API server: what they write, and that they write it once
//! (control-plane spec 6.3, 6.4).

use std::sync::Arc;

use hybridnet_api::IpInstance;
use hybridnet_api::names::annotation;
use k8s_openapi::api::core::v1 as core;

use crate::fixtures::{node, overlay, subnet};
use crate::testing::cluster::{Cluster, Server, pod};

mod asking;
mod by_hand;
mod faults;
mod forbidden;
mod leaks;
mod leaks_of_workloads;
mod pods;
mod pods_choice;
mod pods_crash;
mod pods_leave;
mod pods_limit;
mod pods_machine;
mod pods_owner;
mod pods_pool;
mod pods_retain;
mod status;
mod status_nodes;
mod status_numbers;

/// Nodes `n` and `m`, an overlay network `net` with an IPv4 and an IPv6 subnet.
fn server() -> Arc<Server> {
    let server = Arc::new(Server::default());
    server.put(&overlay("net").build());
    server.put(&subnet("s4", "net", "10.0.0.0/24").build());
    server.put(&subnet("s6", "net", "fd00::/64").build());
    server.put(&node("n").build());
    server.put(&node("m").build());
    server.put(&namespace("ns"));
    server
}

fn namespace(name: &str) -> core::Namespace {
    serde_json::from_value(serde_json::json!({"metadata": {"name": name}})).unwrap()
}

/// A pod that asks for a family of the overlay.
fn overlay_pod(name: &str, family: &str) -> core::Pod {
    let mut pod = pod(name, "n");
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(annotation::NETWORK_TYPE.to_owned(), "Overlay".to_owned());
    annotations.insert(annotation::IP_FAMILY.to_owned(), family.to_owned());
    pod
}

const OBJECTS: &str = "/apis/networking.alibaba.com/v1/namespaces/ns/ipinstances";

/// A manager at rest in the cluster, with what it wrote so far forgotten by the caller.
async fn at_rest(server: &Arc<Server>) -> Cluster {
    let cluster = Cluster::start(server.clone(), &[]);
    cluster.rest().await;
    cluster
}

/// Objects of addresses, by name.
fn instances(server: &Server) -> Vec<String> {
    let paths = server.paths("/ipinstances/").into_iter();
    paths
        .map(|path| path.rsplit('/').next().unwrap_or_default().to_owned())
        .collect()
}
