//! Managers that end between two writes, and writes of which nobody knows how they ended.

use http::Method;
use hybridnet_service::testing::Answer;
use serde_json::json;

use super::asking::*;
use super::*;
use crate::testing::cluster::Fault;

/// Whatever is tried with the object of this name fails, and perhaps happens nevertheless.
fn fails(server: &Server, method: &Method, about: &'static str, code: u16, carried_out: bool, times: usize) {
    for _ in 0..times {
        server.fault(Fault {
            method: method.clone(),
            about,
            answer: Answer::status(code, "Fault"),
            carried_out,
        });
    }
}

/// The manager ends at once; the next one finds what it left.
async fn next_manager(server: &Arc<Server>, cluster: Cluster) -> Cluster {
    drop(cluster);
    server.forgive();
    at_rest(server).await
}

/// A stateful pod has been, and its addresses are kept for the next one.
async fn left_behind(family: &str) -> (Arc<Server>, Cluster) {
    let server = server();
    let cluster = at_rest(&server).await;
    stateful("web-0", family).uid("one").put(&server);
    bound(&cluster, if family == "DualStack" { 2 } else { 1 }).await;
    delete(&server, "web-0");
    cluster.rest().await;
    (server, cluster)
}

fn pods_of_addresses(server: &Server) -> Vec<serde_json::Value> {
    let names = instances(server).into_iter();
    names
        .map(|name| object(server, &name)["spec"]["binding"]["podUID"].clone())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_stateful_pod_cut_between_two_new_addresses_gets_both_with_and_without_the_webhook() {
    for handled in [true, false] {
        let server = server();
        let cluster = at_rest(&server).await;
        fails(&server, &Method::POST, "fd00", 500, false, 1000);
        let pod = stateful("web-0", "DualStack");
        let pod = if handled { pod.handled() } else { pod };
        pod.put(&server);
        cluster.rest().await;
        assert_eq!(instances(&server), ["10-0-0-1"]);
        let first = identities(&server)[0].clone();

        let next = next_manager(&server, cluster).await;

        let found = identities(&server);
        assert_eq!(found.len(), 2, "handled: {handled}");
        assert_eq!(found[0], first);
        assert_eq!(found[0][2], found[1][2]);
        let ipv6 = next
            .world
            .with(|state| state.addresses.network_usage("net").ipv6.counts.used);
        assert_eq!(ipv6, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stateful_pod_cut_between_two_kept_addresses_gets_both() {
    let (server, cluster) = left_behind("DualStack").await;
    let before = identities(&server);

    fails(&server, &Method::PATCH, "fd00", 500, false, 1000);
    // It asks for nothing any more: what is kept decides.
    let again = asking("web-0").uid("two").of("StatefulSet", "web");
    again.put(&server);
    cluster.rest().await;
    assert_eq!(
        object(&server, "10-0-0-1")["spec"]["binding"]["podUID"],
        json!("two")
    );
    assert_eq!(
        object(&server, &before[1][0])["spec"]["binding"]["nodeName"],
        json!("")
    );

    let next = next_manager(&server, cluster).await;

    assert_eq!(identities(&server), before);
    assert_eq!(pods_of_addresses(&server), [json!("two"), json!("two")]);
    next.rest().await;
    assert_eq!(instances(&server).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_a_pool_cut_between_its_addresses_gets_both() {
    let server = server();
    let cluster = at_rest(&server).await;
    fails(&server, &Method::POST, "10-0-0-10", 500, false, 1000);
    let pod = stateful("web-0", "DualStack");
    pod.key(annotation::IP_POOL, "10.0.0.10/fd00::10").put(&server);
    cluster.rest().await;
    assert_eq!(instances(&server), ["fd00-0-0-0-0-0-0-10"]);

    let _next = next_manager(&server, cluster).await;

    let found = identities(&server);
    assert_eq!(instances(&server), ["10-0-0-10", "fd00-0-0-0-0-0-0-10"]);
    assert_eq!(found[0][2], found[1][2]);
}

/// Scenario 88: a kept address cannot be bound for a while.
#[tokio::test(start_paused = true)]
async fn a_kept_address_that_cannot_be_bound_for_a_while_is_nobody_elses() {
    let (server, cluster) = left_behind("IPv4").await;
    let before = identities(&server);

    fails(&server, &Method::PATCH, "10-0-0-1", 500, false, 1000);
    stateful("web-0", "IPv4").uid("two").put(&server);
    cluster.rest().await;
    asking("other").overlay("IPv4").put(&server);
    bound(&cluster, 1).await;
    assert_eq!(instances(&server), ["10-0-0-1", "10-0-0-2"]);

    server.forgive();
    bound(&cluster, 2).await;
    assert_eq!(identities(&server)[0], before[0]);
    assert_eq!(
        object(&server, "10-0-0-1")["spec"]["binding"]["podUID"],
        json!("two")
    );
}

#[tokio::test(start_paused = true)]
async fn a_binding_of_which_nobody_heard_is_found_and_said_once() {
    let (server, cluster) = left_behind("IPv4").await;

    fails(&server, &Method::PATCH, "10-0-0-1", 504, true, 1);
    stateful("web-0", "IPv4").uid("two").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(pods_of_addresses(&server), [json!("two")]);
    let told = events_of(&cluster, "IPAllocationSucceed");
    assert_eq!(
        told,
        [
            "IPAllocationSucceed: allocated 10.0.0.1",
            "IPAllocationSucceed: kept 10.0.0.1"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_that_has_changed_meanwhile_is_bound_as_it_is_now() {
    let (server, cluster) = left_behind("DualStack").await;
    let before = identities(&server);

    fails(&server, &Method::PATCH, "10-0-0-1", 409, false, 2);
    stateful("web-0", "DualStack").uid("two").put(&server);
    bound(&cluster, 2).await;

    assert_eq!(identities(&server), before);
    assert_eq!(pods_of_addresses(&server), [json!("two"), json!("two")]);
    assert_eq!(events_of(&cluster, "IPAllocationFail"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_object_that_vanishes_before_it_is_bound_is_replaced() {
    let (server, cluster) = left_behind("IPv4").await;

    fails(&server, &Method::PATCH, "10-0-0-1", 404, false, 1);
    stateful("web-0", "IPv4").uid("two").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(pods_of_addresses(&server), [json!("two")]);
}

#[tokio::test(start_paused = true)]
async fn a_pool_address_of_which_nobody_heard_is_found_again() {
    let server = server();
    let cluster = at_rest(&server).await;
    fails(&server, &Method::POST, "10-0-0-77", 504, true, 1);

    let pod = stateful("web-0", "IPv4");
    pod.key(annotation::IP_POOL, "10.0.0.77").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(instances(&server), ["10-0-0-77"]);
    let used = cluster
        .world
        .with(|state| state.addresses.network_usage("net").ipv4.counts.used);
    assert_eq!(used, 1);
    assert_eq!(events_of(&cluster, "IPAllocationSucceed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stateful_pod_that_goes_while_its_write_is_in_doubt_leaves_the_address_to_its_successor() {
    let server = server();
    let cluster = at_rest(&server).await;
    fails(&server, &Method::GET, "10-0-0-1", 500, false, 1000);
    fails(&server, &Method::POST, "10-0-0-1", 504, true, 1);
    stateful("web-0", "IPv4").uid("one").put(&server);
    cluster.rest().await;
    delete(&server, "web-0");
    server.forgive();
    cluster.rest().await;
    assert_eq!(server.get(&format!("{PODS}/web-0")), None);
    assert_eq!(
        object(&server, "10-0-0-1")["spec"]["binding"]["nodeName"],
        json!("")
    );

    stateful("web-0", "IPv4").uid("two").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(instances(&server), ["10-0-0-1"]);
    assert_eq!(pods_of_addresses(&server), [json!("two")]);
}

#[tokio::test(start_paused = true)]
async fn what_another_pod_has_taken_up_meanwhile_is_not_released() {
    let (server, cluster) = left_behind("IPv4").await;

    // The news of it comes late.
    let mut taken = object(&server, "10-0-0-1");
    taken["metadata"]["labels"]["networking.alibaba.com/pod"] = json!("heir-0");
    taken["spec"]["binding"] = json!({"referredObject": {"kind": "StatefulSet", "name": "heir", "uid": "uid-heir"},
        "podName": "heir-0", "podUID": "uid-heir-0", "nodeName": "n"});
    let taken: hybridnet_api::IpInstance = serde_json::from_value(taken).unwrap();
    server.put_unheard(&taken);
    let renewed = stateful("web-0", "IPv4").uid("two");
    renewed.key(annotation::IP_RETAIN, "false").put(&server);
    cluster.rest().await;

    assert_eq!(
        object(&server, "10-0-0-1")["spec"]["binding"]["podName"],
        json!("heir-0")
    );
    assert_eq!(events_of(&cluster, "IPReleaseSucceed"), Vec::<String>::new());

    server.put(&taken);
    bound(&cluster, 2).await;
    assert_eq!(pods_of_addresses(&server), [json!("uid-heir-0"), json!("two")]);
}
