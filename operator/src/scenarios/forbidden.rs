//! An account that may not do all that the manager does: what it may do goes on, and the rest is counted and told.

use http::Method;
use hybridnet_service::testing::Answer;
use serde_json::json;

use super::*;
use crate::testing::cluster::Fault;

/// From now on the API server refuses such requests.
fn forbid(server: &Server, method: &Method, about: &'static str) {
    for _ in 0..500 {
        server.fault(Fault {
            method: method.clone(),
            about,
            answer: Answer::status(403, "Forbidden"),
            carried_out: false,
        });
    }
}

fn shown(cluster: &Cluster, line: &str) -> u64 {
    let page = cluster.context.metrics.encode().unwrap();
    let mut lines = page.lines();
    let value = lines.find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn pods_get_addresses_though_no_status_may_be_written_and_it_is_written_once_it_may() {
    let server = server();
    forbid(&server, &Method::PATCH, "/status");
    let cluster = at_rest(&server).await;

    server.put(&overlay_pod("p", "IPv4"));
    cluster.rest().await;

    assert_eq!(instances(&server), ["10-0-0-1"]);
    let told = cluster.events();
    assert!(
        told.iter().any(|event| event.starts_with("UpdateStatusFail")),
        "{told:?}"
    );
    for controller in ["NetworkStatus", "SubnetStatus"] {
        let line = format!("hybridnet_manager_reconcile_errors_total{{controller=\"{controller}\"}}");
        assert!(shown(&cluster, &line) > 0, "{controller}");
    }
    assert!(
        shown(
            &cluster,
            r#"hybridnet_manager_api_requests_total{verb="PATCH",code="403"}"#
        ) > 0
    );

    server.forgive();
    tokio::time::sleep(std::time::Duration::from_mins(1)).await;

    let status = server.get("/apis/networking.alibaba.com/v1/subnets/s4").unwrap()["status"].clone();
    assert_eq!(status["used"], json!(1));
}

#[tokio::test(start_paused = true)]
async fn labels_of_nodes_that_may_not_be_written_hold_nobody_up() {
    let server = server();
    forbid(&server, &Method::PATCH, "/nodes/");
    let cluster = at_rest(&server).await;

    server.put(&overlay_pod("p", "IPv4"));
    cluster.rest().await;

    assert_eq!(instances(&server), ["10-0-0-1"]);
    let line = r#"hybridnet_manager_reconcile_errors_total{controller="Node"}"#;
    assert!(shown(&cluster, line) > 0);
}

#[tokio::test(start_paused = true)]
async fn events_that_may_not_be_published_are_counted() {
    let server = server();
    forbid(&server, &Method::POST, "/events");
    let cluster = at_rest(&server).await;

    server.put(&overlay_pod("p", "IPv4"));
    cluster.rest().await;

    assert_eq!(instances(&server), ["10-0-0-1"]);
    assert_eq!(shown(&cluster, "hybridnet_manager_events_dropped_total"), 1);
}

#[tokio::test(start_paused = true)]
async fn which_kinds_have_been_listed_is_shown() {
    let server = server();
    let cluster = at_rest(&server).await;

    for kind in ["Network", "Subnet", "IPInstance", "Node", "Pod", "Namespace"] {
        let line = format!("hybridnet_manager_kinds_listed{{kind=\"{kind}\"}}");
        assert_eq!(shown(&cluster, &line), 1, "{kind}");
    }
    assert_eq!(cluster.world.with(|state| state.missing()), Vec::<&str>::new());
}
