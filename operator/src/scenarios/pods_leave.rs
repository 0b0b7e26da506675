//! Pods that end or change, and what becomes of their addresses.

use super::asking::*;
use super::*;

/// Scenario 80: a container without a status.
#[tokio::test(start_paused = true)]
async fn a_pod_is_not_done_before_every_container_has_said_so() {
    let server = server();
    let cluster = at_rest(&server).await;
    asking("job").overlay("IPv4").put(&server);
    bound(&cluster, 1).await;
    let writes = cluster.writes();

    asking("job")
        .overlay("IPv4")
        .status("Succeeded", "", None)
        .put(&server);
    cluster.rest().await;

    assert_eq!(cluster.writes(), writes);
    asking("job")
        .overlay("IPv4")
        .status("Succeeded", "", Some(ended()))
        .put(&server);
    cluster.rest().await;
    assert_eq!(instances(&server), Vec::<String>::new());
}

/// Scenario 81: an evicted plain pod.
#[tokio::test(start_paused = true)]
async fn an_evicted_plain_pod_gives_its_address_back() {
    let server = server();
    let cluster = at_rest(&server).await;
    let pod = asking("p").overlay("DualStack").of("ReplicaSet", "set");
    pod.put(&server);
    bound(&cluster, 2).await;

    pod.status("Failed", "Evicted", None).put(&server);
    cluster.rest().await;

    assert_eq!(instances(&server), Vec::<String>::new());
    let expected = ["IPReleaseSucceed: released 10.0.0.1, fd00::1"];
    assert_eq!(events_of(&cluster, "IPReleaseSucceed"), expected);
}

/// Scenario 82: pods that are none of ours, or not scheduled.
#[tokio::test(start_paused = true)]
async fn a_pod_of_the_host_and_one_without_a_node_are_left_alone() {
    let server = server();
    let cluster = at_rest(&server).await;
    let before = cluster.api.requests().len();
    let mut host = overlay_pod("host", "IPv4");
    host.spec.as_mut().unwrap().host_network = Some(true);

    server.put(&host);
    asking("waiting").overlay("IPv4").on("").put(&server);
    cluster.rest().await;

    assert_eq!(cluster.api.requests().len(), before);
}

/// Scenario 84: a running pod is labelled.
#[tokio::test(start_paused = true)]
async fn a_running_pod_costs_nothing_whatever_changes_about_it_or_its_namespace() {
    let server = server();
    let cluster = at_rest(&server).await;
    let pod = asking("p").overlay("IPv4");
    pod.put(&server);
    bound(&cluster, 1).await;
    let mut seen = server.get(&format!("{PODS}/p")).unwrap();
    seen["status"] = serde_json::json!({"podIP": "10.0.0.1"});
    server.put_value(&format!("{PODS}/p"), seen.clone());
    cluster.rest().await;
    let before = cluster.api.requests().len();

    seen["metadata"]["labels"] = serde_json::json!({"touched": "yes"});
    server.put_value(&format!("{PODS}/p"), seen);
    let mut words = namespace("ns");
    words.metadata.annotations = Some([(annotation::SPECIFIED_NETWORK.to_owned(), "gone".to_owned())].into());
    server.put(&words);
    cluster.rest().await;

    assert_eq!(cluster.api.requests().len(), before);
}

/// Scenario 86: two pods and one address.
#[tokio::test(start_paused = true)]
async fn of_two_pods_one_gets_the_last_address_and_the_other_is_told() {
    let server = server();
    let only = subnet("s4", "net", "10.0.0.0/24").range("10.0.0.5", "10.0.0.5");
    server.put(&only.build());
    server.put(&namespace("other"));
    let cluster = at_rest(&server).await;

    asking("p").overlay("IPv4").put(&server);
    asking("p")
        .overlay("IPv4")
        .in_namespace("other")
        .uid("theirs")
        .put(&server);
    bound(&cluster, 1).await;

    assert_eq!(server.paths("/ipinstances/").len(), 1);
    let told = events_of(&cluster, "IPAllocationFail");
    assert!(told.len() == 1 && told[0].contains("free address"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_plain_pods_life_costs_the_manager_three_requests() {
    let server = server();
    let cluster = at_rest(&server).await;
    let before = cluster.api.requests().len();

    asking("p").overlay("IPv4").handled().put(&server);
    bound(&cluster, 1).await;
    server.remove(&format!("{PODS}/p"));
    cluster.rest().await;

    assert_eq!(instances(&server), Vec::<String>::new());
    let mut requests = cluster.api.requests().split_off(before);
    requests.retain(|request| !request.contains("/events") && !request.contains("/status"));
    let object = format!("{OBJECTS}/10-0-0-1");
    let expected = [
        format!("POST {OBJECTS}"),
        format!("DELETE {object}"),
        format!("PATCH {object}"),
    ];
    assert_eq!(requests, expected);
}
