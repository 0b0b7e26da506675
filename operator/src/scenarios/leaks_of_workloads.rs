//! The collector of leaks and the addresses of workloads.

use std::time::Duration;

use http::Method;
use hybridnet_api::names::finalizer;
use hybridnet_service::testing::Answer;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::leaks::{WEB, collector, kept, leaks, look_until_due, of_web, quiet, told, with_web};
use super::*;
use crate::testing::cluster::Fault;

#[tokio::test(start_paused = true)]
async fn addresses_of_a_workload_that_is_gone_go_too_and_those_of_an_unknown_one_stay() {
    let server = server();
    with_web(&server);
    server.put(&kept("10.0.0.7", 0, "11:59:00"));
    let cluster = quiet(&server).await;
    for _ in 0..20 {
        server.fault(Fault {
            method: Method::GET,
            about: "/statefulsets/web",
            answer: Answer::status(403, "Forbidden"),
            carried_out: false,
        });
    }
    look_until_due(&cluster).await;
    assert_eq!(instances(&server), ["10-0-0-7"]);
    assert!(leaks(&cluster, "workloads_unknown 1"));
    server.forgive();

    server.withdraw(WEB);
    sleep(Duration::from_secs(10)).await;
    look_until_due(&cluster).await;

    assert_eq!(instances(&server), Vec::<String>::new());
    let said = told(&cluster, "AddressLeak");
    assert!(
        said.len() == 1 && said[0].contains("StatefulSet ns/web"),
        "{said:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_address_that_its_workload_does_not_want_any_more_is_given_back_when_its_time_is_over() {
    let server = server();
    with_web(&server);
    server.put(&kept("10.0.0.1", 1, "10:00:00"));
    server.put(&kept("10.0.0.2", 2, "11:31:00"));
    server.put(&kept("10.0.0.3", 3, "11:29:00"));
    let cluster = quiet(&server).await;

    collector(&cluster).look().await;
    cluster.rest().await;

    assert_eq!(instances(&server), ["10-0-0-1", "10-0-0-2"]);
    let said = told(&cluster, "AddressExpired");
    assert!(said.len() == 1 && said[0].contains("10.0.0.3"), "{said:?}");
    let about = cluster
        .api
        .seen()
        .into_iter()
        .find(|seen| seen.path.contains("/events"))
        .unwrap();
    assert_eq!(
        (&about.body["regarding"]["kind"], &about.body["regarding"]["uid"]),
        (&json!("StatefulSet"), &json!("uid-web"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_time_that_cannot_be_read_is_told_on_the_workload_and_nothing_expires() {
    let server = server();
    with_web(&server);
    let mut web = server.get(WEB).unwrap();
    web["metadata"]["annotations"]["networking.alibaba.com/retained-ip-ttl"] = json!("soon");
    server.serve(WEB, web);
    server.put(&kept("10.0.0.3", 3, "01:00:00"));
    let cluster = quiet(&server).await;

    look_until_due(&cluster).await;

    assert_eq!(instances(&server), ["10-0-0-3"]);
    let said = told(&cluster, "InvalidSpec");
    assert!(said.len() == 1 && said[0].contains("retained-ip-ttl"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn an_address_bound_to_a_stateful_pod_that_went_without_a_word_is_kept_for_the_next() {
    let server = server();
    with_web(&server);
    server.put(&of_web("10.0.0.7", 0).build());
    let cluster = quiet(&server).await;

    look_until_due(&cluster).await;

    let object = server.get(&format!("{OBJECTS}/10-0-0-7")).unwrap();
    assert_eq!(object["spec"]["binding"]["nodeName"], json!(""));
    assert_eq!(object["spec"]["binding"]["podName"], json!("web-0"));
    assert_eq!(told(&cluster, "AddressLeak").len(), 1);
}

/// A pod of `web` that is being deleted while its container is said to run.
fn leaving() -> core::Pod {
    let mut pod = overlay_pod("web-0", "IPv4");
    pod.metadata.owner_references = Some(
        serde_json::from_value(
            json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web",
            "uid": "uid-web", "controller": true}]),
        )
        .unwrap(),
    );
    pod.metadata.finalizers = Some(vec![finalizer::IP_ALLOCATED.to_owned()]);
    pod.metadata.deletion_timestamp = serde_json::from_value(json!("2024-05-01T11:00:00Z")).unwrap();
    let running: Value = json!({"containerStatuses": [{"name": "main", "image": "", "imageID": "", "ready": true,
        "restartCount": 0, "state": {"running": {}}}]});
    pod.status = serde_json::from_value(running).unwrap();
    pod
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_node_is_gone_is_let_go_and_its_address_kept() {
    let server = server();
    with_web(&server);
    server.put(&of_web("10.0.0.7", 0).build());
    server.put(&leaving());
    let cluster = quiet(&server).await;

    // As long as the node is there, its word counts.
    look_until_due(&cluster).await;
    assert!(server.get("/api/v1/namespaces/ns/pods/web-0").is_some());

    server.remove("/api/v1/nodes/n");
    look_until_due(&cluster).await;

    assert_eq!(server.get("/api/v1/namespaces/ns/pods/web-0"), None);
    let object = server.get(&format!("{OBJECTS}/10-0-0-7")).unwrap();
    assert_eq!(object["spec"]["binding"]["nodeName"], json!(""));
    let said = told(&cluster, "AddressLeak");
    assert!(said.len() == 1 && said[0].contains("node n is gone"), "{said:?}");
}
