use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::*;
use crate::fixtures::network;

const SUBNETS: &str = "/apis/networking.alibaba.com/v1/subnets";
const NETWORKS: &str = "/apis/networking.alibaba.com/v1/networks";
const PREFIX: &str = "networking.alibaba.com";

pub(super) fn condition(server: &Server, path: &str, type_: &str) -> Value {
    let object = server.get(path).unwrap();
    let conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    conditions
        .into_iter()
        .find(|condition| condition["type"] == type_)
        .unwrap_or_default()
}

pub(super) fn labels(server: &Server, node: &str) -> Vec<String> {
    let object = server.get(&format!("/api/v1/nodes/{node}")).unwrap();
    let labels = object["metadata"]["labels"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    labels
        .iter()
        .filter_map(|(key, value)| {
            Some(format!(
                "{}={}",
                key.strip_prefix(PREFIX)?.strip_prefix('/')?,
                value.as_str()?
            ))
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn numbers_and_lists_of_a_network_are_told() {
    let server = server();
    let cluster = at_rest(&server).await;
    server.put(&overlay_pod("p", "DualStack"));
    cluster.rest().await;

    let status = server.get(&format!("{NETWORKS}/net")).unwrap()["status"].clone();

    assert_eq!(status["nodeList"], json!(["m", "n"]));
    assert_eq!(status["subnetList"], json!(["s4", "s6"]));
    assert_eq!(
        status["statistics"],
        json!({"total": 254, "used": 1, "available": 253})
    );
    assert_eq!(
        status["ipv6Statistics"],
        json!({"total": i32::MAX, "used": 1, "available": i32::MAX})
    );
    assert_eq!(status["dualStackStatistics"]["available"], json!(253));
    assert_eq!(status["lastAllocatedSubnet"], json!("s4"));
    let subnet = server.get(&format!("{SUBNETS}/s4")).unwrap()["status"].clone();
    assert_eq!(
        (&subnet["used"], &subnet["lastAllocatedIP"]),
        (&json!(1), &json!("10.0.0.1"))
    );
    assert_eq!(
        condition(&server, &format!("{SUBNETS}/s4"), "Ready")["status"],
        json!("True")
    );
}

#[tokio::test(start_paused = true)]
async fn a_hundred_pods_do_not_cost_a_hundred_statuses_and_the_last_one_is_right() {
    let server = server();
    let cluster = at_rest(&server).await;
    let before = cluster.writes().len();
    for number in 0..100 {
        server.put(&overlay_pod(&format!("p{number}"), "IPv4"));
        sleep(Duration::from_millis(5)).await;
    }
    cluster
        .until("a hundred addresses", |state| {
            state.ip_instances.iter().count() == 100
        })
        .await;
    cluster.rest().await;

    let writes = cluster.writes().split_off(before);
    let statuses = writes.iter().filter(|write| write.contains("/status")).count();
    assert!(statuses <= 12, "{statuses} writes of a status");
    let used = server.get(&format!("{SUBNETS}/s4")).unwrap()["status"]["used"].clone();
    assert_eq!(used, json!(100));
}

#[tokio::test(start_paused = true)]
async fn of_two_overlapping_subnets_the_younger_is_not_used_until_the_other_is_gone() {
    for (older, younger) in [("10.1.0.0/16", "10.1.128.0/17"), ("fd01::/64", "fd01::/80")] {
        let server = server();
        let cluster = at_rest(&server).await;
        server.put(&subnet("older", "net", older).created(1).build());
        server.put(&subnet("younger", "net", younger).created(2).build());
        cluster.rest().await;

        let conflict = condition(&server, &format!("{SUBNETS}/younger"), "Conflict");
        assert_eq!(conflict["status"], json!("True"));
        let message = conflict["message"].as_str().unwrap();
        assert!(
            message.contains("younger") && message.contains("older"),
            "{message}"
        );
        assert_eq!(
            condition(&server, &format!("{SUBNETS}/younger"), "Ready")["status"],
            json!("False")
        );
        assert_eq!(
            condition(&server, &format!("{SUBNETS}/older"), "Ready")["status"],
            json!("True")
        );
        let told = cluster.events();
        assert!(
            told.iter().any(|event| event.starts_with("SubnetConflict")),
            "{told:?}"
        );

        server.remove(&format!("{SUBNETS}/older"));
        cluster.rest().await;
        assert_eq!(
            condition(&server, &format!("{SUBNETS}/younger"), "Ready")["status"],
            json!("True")
        );
        assert_eq!(
            condition(&server, &format!("{SUBNETS}/younger"), "Conflict")["status"],
            json!("False")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_subnets_made_at_the_same_moment_the_second_by_name_loses_in_another_network_too() {
    let server = server();
    server.put(&network("under").selector("rack", "1").build());
    server.put(&subnet("b", "net", "10.1.0.0/24").created(7).build());
    server.put(
        &subnet("a", "under", "10.1.0.0/25")
            .gateway("10.1.0.1")
            .created(7)
            .build(),
    );

    let _cluster = at_rest(&server).await;

    let statuses =
        ["a", "b"].map(|name| condition(&server, &format!("{SUBNETS}/{name}"), "Conflict")["status"].clone());
    assert_eq!(statuses, [json!("False"), json!("True")]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_subnet_is_reported_where_it_stands_and_the_others_work() {
    let server = server();
    server.put(&subnet("tiny", "net", "10.2.0.0/31").build());
    server.put(&subnet("orphan", "nowhere", "10.3.0.0/24").build());
    server.put(&subnet("nonsense", "net", "10.4.0.0/ab").build());

    let cluster = at_rest(&server).await;
    server.put(&overlay_pod("p", "IPv4"));
    cluster
        .until("an address", |state| state.ip_instances.iter().count() == 1)
        .await;

    for (name, reason) in [
        ("tiny", "InvalidSpec"),
        ("orphan", "NetworkNotFound"),
        ("nonsense", "InvalidSpec"),
    ] {
        let ready = condition(&server, &format!("{SUBNETS}/{name}"), "Ready");
        assert_eq!(
            (&ready["status"], &ready["reason"]),
            (&json!("False"), &json!(reason)),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn labels_of_nodes_follow_networks_and_are_put_back_when_somebody_takes_them_away() {
    let server = server();
    server.put(&network("under").selector("rack", "1").build());
    server.put(&subnet("u4", "under", "10.1.0.0/24").gateway("10.1.0.1").build());
    let labelled = || node("n").label("rack", "1").build();
    server.put(&labelled());
    let cluster = at_rest(&server).await;
    let attached = [
        "dualstack-address-quota=empty",
        "ipv4-address-quota=nonempty",
        "ipv6-address-quota=empty",
        "overlay-network-attachment=true",
        "underlay-network-attachment=true",
    ];
    assert_eq!(labels(&server, "n"), attached);
    assert_eq!(labels(&server, "m"), ["overlay-network-attachment=true"]);

    server.put(&labelled());
    cluster.rest().await;
    assert_eq!(labels(&server, "n"), attached);

    server.put(&node("n").label("rack", "2").build());
    cluster.rest().await;
    assert_eq!(labels(&server, "n"), ["overlay-network-attachment=true"]);
    let nodes = server.get(&format!("{NETWORKS}/under")).unwrap()["status"].clone();
    assert_eq!(nodes.get("nodeList"), None);
}

#[tokio::test(start_paused = true)]
async fn the_last_address_of_an_underlay_network_empties_the_quota_of_its_nodes() {
    let server = server();
    server.put(&network("under").selector("rack", "1").build());
    let only = subnet("u4", "under", "10.1.0.0/24")
        .gateway("10.1.0.1")
        .range("10.1.0.9", "10.1.0.9");
    server.put(&only.build());
    server.put(&node("n").label("rack", "1").build());
    let cluster = at_rest(&server).await;
    assert!(labels(&server, "n").contains(&"ipv4-address-quota=nonempty".to_owned()));

    server.put(&pod("p", "n"));
    cluster
        .until("an address", |state| state.ip_instances.iter().count() == 1)
        .await;
    cluster.rest().await;

    assert_eq!(instances(&server), ["10-1-0-9"]);
    assert!(labels(&server, "n").contains(&"ipv4-address-quota=empty".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn private_addresses_are_counted_and_promise_nothing_to_the_scheduler() {
    let server = server();
    server.put(&network("under").selector("rack", "1").build());
    server.put(
        &subnet("u4", "under", "10.1.0.0/24")
            .gateway("10.1.0.1")
            .private()
            .build(),
    );
    server.put(&node("n").label("rack", "1").build());

    let _cluster = at_rest(&server).await;

    assert!(labels(&server, "n").contains(&"ipv4-address-quota=empty".to_owned()));
    let status = server.get(&format!("{NETWORKS}/under")).unwrap()["status"].clone();
    assert_eq!(status["statistics"]["available"], json!(253));
}

/// Scenario 104: finalizer metrics-registered is removed on deletion.
/// Scenario 145: a network of the reference head goes.
#[tokio::test(start_paused = true)]
async fn the_finalizer_of_the_go_project_is_taken_away_on_deletion_and_never_added() {
    let server = server();
    let finalizer = "networking.alibaba.com/metrics-registered";
    server.put(
        &subnet("old", "net", "10.5.0.0/24")
            .finalizer(finalizer)
            .terminating()
            .build(),
    );
    server.put(&network("old").finalizer(finalizer).terminating().build());

    let _cluster = at_rest(&server).await;

    assert!(server.paths("/old").is_empty(), "{:?}", server.paths("/old"));
    let others = server.get(&format!("{SUBNETS}/s4")).unwrap();
    assert_eq!(others["metadata"].get("finalizers"), None);
}

#[tokio::test(start_paused = true)]
async fn a_second_overlay_network_is_told_that_there_is_one() {
    let server = server();
    server.put(&overlay("second").build());

    let _cluster = at_rest(&server).await;

    let conflict = condition(&server, &format!("{NETWORKS}/second"), "Conflict");
    assert_eq!(conflict["status"], json!("True"));
    assert!(
        conflict["message"]
            .as_str()
            .unwrap()
            .contains("network net is it"),
        "{conflict}"
    );
    assert_eq!(
        condition(&server, &format!("{NETWORKS}/net"), "Conflict")["status"],
        json!("False")
    );
}
