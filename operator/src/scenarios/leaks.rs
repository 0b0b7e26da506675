//! The collector of leaks on a make-believe API server.

use std::time::Duration;

use http::Method;
use hybridnet_api::names::finalizer;
use hybridnet_ipam::{Claimant, Families, Request};
use hybridnet_service::testing::Answer;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::*;
use crate::collector::Collector;
use crate::fixtures::{Made, instance, pod as small_pod};
use crate::testing::cluster::Fault;

const GRACE: Duration = Duration::from_mins(10);
const WEB: &str = "/apis/apps/v1/namespaces/ns/statefulsets/web";

/// A manager whose collector looks when it is told to.
async fn quiet(server: &Arc<Server>) -> Cluster {
    let cluster = Cluster::start(server.clone(), &["--collector-interval=0"]);
    cluster.rest().await;
    cluster
}

fn now() -> Timestamp {
    "2024-05-01T12:00:00Z".parse().unwrap()
}

fn collector(cluster: &Cluster) -> Collector {
    Collector::new(&cluster.context, GRACE, Arc::new(now))
}

/// Looks, waits for the period of grace, and looks again.
async fn look_until_due(cluster: &Cluster) {
    let mut collector = collector(cluster);
    let before = cluster.writes();
    collector.look().await;
    assert_eq!(cluster.writes(), before, "written at first sight");
    sleep(GRACE).await;
    collector.look().await;
    cluster.rest().await;
}

/// A server with the `StatefulSet` `web` of two pods, which keeps addresses for half an hour.
fn with_web(server: &Server) {
    server.serve(
        "/apis/apps/v1",
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": [
            {"name": "statefulsets", "singularName": "", "namespaced": true, "kind": "StatefulSet", "verbs": []}]}),
    );
    server.serve(
        WEB,
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {"replicas": 2},
            "metadata": {"name": "web", "namespace": "ns", "uid": "uid-web",
                "annotations": {"networking.alibaba.com/retained-ip-ttl": "30m"}}}),
    );
}

fn of_web(ip: &str, ordinal: i32) -> Made<IpInstance> {
    let name = format!("web-{ordinal}");
    let owner = small_pod(&name).controlled_by("StatefulSet", "web").build();
    instance("ns", ip)
        .in_subnet("s4", "net")
        .pod(&name)
        .owned_like(&owner, ordinal)
}

/// Kept for the pod since a moment of the day.
fn kept(ip: &str, ordinal: i32, since: &str) -> IpInstance {
    let mut object = of_web(ip, ordinal).build();
    let binding = object.spec.binding.as_mut().unwrap();
    binding.node_name.clear();
    binding.pod_uid.clear();
    let status = json!({"updateTimestamp": format!("2024-05-01T{since}Z")});
    object.status = serde_json::from_value(status).unwrap();
    object
}

/// Made by hand for a pod that never was: nothing but a look finds it.
fn stray(ip: &str) -> IpInstance {
    let mut object = instance("ns", ip).in_subnet("s4", "net").pod("p").build();
    object.spec.binding.as_mut().unwrap().pod_uid.clear();
    object
}

fn leaks(cluster: &Cluster, line: &str) -> bool {
    let page = cluster.context.metrics.encode().unwrap();
    page.lines()
        .any(|found| found == format!("hybridnet_manager_{line}"))
}

fn told(cluster: &Cluster, reason: &str) -> Vec<String> {
    let events = cluster.events().into_iter();
    events.filter(|event| event.starts_with(reason)).collect()
}

#[tokio::test(start_paused = true)]
async fn an_address_of_a_pod_that_is_gone_is_taken_back_after_the_period_of_grace() {
    let server = server();
    server.put(&stray("10.0.0.7"));
    let cluster = quiet(&server).await;

    look_until_due(&cluster).await;

    assert_eq!(instances(&server), Vec::<String>::new());
    let said = told(&cluster, "AddressLeak");
    assert!(said.len() == 1 && said[0].contains("pod p"), "{said:?}");
    assert!(leaks(&cluster, r#"leaks{kind="pod-gone"} 1"#));
    assert!(leaks(
        &cluster,
        r#"repairs_total{kind="pod-gone",result="done"} 1"#
    ));
    let used = cluster
        .world
        .with(|state| state.addresses.network_usage("net").ipv4.counts.used);
    assert_eq!(used, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_only_the_api_server_knows_of_keeps_its_address() {
    let server = server();
    server.put(&stray("10.0.0.7"));
    let cluster = quiet(&server).await;
    server.put_unheard(&overlay_pod("p", "IPv4"));

    look_until_due(&cluster).await;

    assert_eq!(instances(&server), ["10-0-0-7"]);
    assert_eq!(told(&cluster, "AddressLeak"), Vec::<String>::new());
    assert!(leaks(
        &cluster,
        r#"repairs_total{kind="pod-gone",result="skipped"} 1"#
    ));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_changed_since_it_was_seen_is_not_deleted() {
    let server = server();
    with_web(&server);
    server.put(&kept("10.0.0.7", 5, "11:00:00"));
    let cluster = quiet(&server).await;
    // The watch is late: a pod has taken the address up meanwhile.
    server.put_unheard(&of_web("10.0.0.7", 5).build());

    look_until_due(&cluster).await;

    assert_eq!(instances(&server), ["10-0-0-7"]);
    assert_eq!(told(&cluster, "Address"), Vec::<String>::new());
}

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

#[tokio::test(start_paused = true)]
async fn an_object_without_our_finalizer_gets_it_beside_those_of_others() {
    let server = server();
    let mut object = instance("ns", "10.0.0.7").in_subnet("s4", "net").pod("p").build();
    object.metadata.finalizers = Some(vec!["example.com/theirs".to_owned()]);
    server.put(&object);
    server.put(&overlay_pod("p", "IPv4"));
    let cluster = quiet(&server).await;

    look_until_due(&cluster).await;

    let object = server.get(&format!("{OBJECTS}/10-0-0-7")).unwrap();
    assert_eq!(
        object["metadata"]["finalizers"],
        json!(["example.com/theirs", finalizer::IP_ALLOCATED])
    );
    assert_eq!(told(&cluster, "AddressLeak").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_memory_alone_holds_is_free_again_and_goes_to_the_pod_that_waits() {
    let server = server();
    server.put(
        &subnet("s4", "net", "10.0.0.0/24")
            .range("10.0.0.5", "10.0.0.5")
            .build(),
    );
    let cluster = quiet(&server).await;
    let request = Request {
        network: "net".to_owned(),
        families: Families::Ipv4Only,
        claimant: Claimant {
            namespace: "ns".to_owned(),
            pod: "lost".to_owned(),
            pod_uid: "lost".to_owned(),
        },
        ..Request::default()
    };
    // Its object was written and deleted before the answer came.
    let reservation = cluster
        .world
        .with(|state| state.addresses.allocate(&request))
        .unwrap();
    let written = vec![reservation.addresses()[0].ip];
    cluster.world.settle("ns", reservation, written, &[]);
    server.put(&overlay_pod("p", "IPv4"));
    cluster.rest().await;
    assert_eq!(instances(&server), Vec::<String>::new());

    look_until_due(&cluster).await;

    assert_eq!(instances(&server), ["10-0-0-5"]);
    let said = told(&cluster, "AddressLeak");
    assert!(said.len() == 1 && said[0].contains("10.0.0.5"), "{said:?}");
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

/// Scenario 85: restart, nothing is written.
#[tokio::test(start_paused = true)]
async fn in_a_world_in_order_nothing_is_written_however_often_one_looks() {
    let server = server();
    with_web(&server);
    server.put(&kept("10.0.0.1", 1, "10:00:00"));
    let cluster = quiet(&server).await;
    server.put(&overlay_pod("p", "DualStack"));
    cluster.rest().await;
    let before = cluster.writes();

    look_until_due(&cluster).await;
    look_until_due(&cluster).await;

    assert_eq!(cluster.writes(), before);
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_begins_the_period_of_grace_anew() {
    let server = server();
    server.put(&stray("10.0.0.7"));
    let first = quiet(&server).await;
    collector(&first).look().await;
    sleep(GRACE).await;
    drop(first);

    let second = quiet(&server).await;
    collector(&second).look().await;
    second.rest().await;

    assert_eq!(instances(&server), ["10-0-0-7"]);
}

#[tokio::test(start_paused = true)]
async fn the_manager_looks_by_itself_and_a_failed_repair_is_tried_again() {
    let server = server();
    server.put(&stray("10.0.0.7"));
    server.fault(Fault {
        method: Method::DELETE,
        about: "10-0-0-7",
        answer: Answer::status(403, "Forbidden"),
        carried_out: false,
    });
    let cluster = Cluster::start(
        server.clone(),
        &["--collector-interval=5s", "--collector-grace=20s"],
    );

    cluster
        .until("no address", |state| state.ip_instances.iter().count() == 0)
        .await;

    assert!(leaks(
        &cluster,
        r#"repairs_total{kind="pod-gone",result="failed"} 1"#
    ));
    assert!(leaks(
        &cluster,
        r#"repairs_total{kind="pod-gone",result="done"} 1"#
    ));
}
