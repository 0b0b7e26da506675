//! The collector of leaks on a make-believe API server.

use std::time::Duration;

use http::Method;
use hybridnet_api::names::finalizer;
use hybridnet_ipam::{Claimant, Families, Request};
use hybridnet_service::testing::Answer;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use super::*;
use crate::collector::Collector;
use crate::fixtures::{Made, instance, pod as small_pod};
use crate::testing::cluster::Fault;

const GRACE: Duration = Duration::from_mins(10);
pub(super) const WEB: &str = "/apis/apps/v1/namespaces/ns/statefulsets/web";

/// A manager whose collector looks when it is told to.
pub(super) async fn quiet(server: &Arc<Server>) -> Cluster {
    let cluster = Cluster::start(server.clone(), &["--collector-interval=0"]);
    cluster.rest().await;
    cluster
}

fn now() -> Timestamp {
    "2024-05-01T12:00:00Z".parse().unwrap()
}

pub(super) fn collector(cluster: &Cluster) -> Collector {
    Collector::new(&cluster.context, GRACE, Arc::new(now))
}

/// Looks, waits for the period of grace, and looks again.
pub(super) async fn look_until_due(cluster: &Cluster) {
    let mut collector = collector(cluster);
    let before = cluster.writes();
    collector.look().await;
    assert_eq!(cluster.writes(), before, "written at first sight");
    sleep(GRACE).await;
    collector.look().await;
    cluster.rest().await;
}

/// A server with the `StatefulSet` `web` of two pods, which keeps addresses for half an hour.
pub(super) fn with_web(server: &Server) {
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

pub(super) fn of_web(ip: &str, ordinal: i32) -> Made<IpInstance> {
    let name = format!("web-{ordinal}");
    let owner = small_pod(&name).controlled_by("StatefulSet", "web").build();
    instance("ns", ip)
        .in_subnet("s4", "net")
        .pod(&name)
        .owned_like(&owner, ordinal)
}

/// Kept for the pod since a moment of the day.
pub(super) fn kept(ip: &str, ordinal: i32, since: &str) -> IpInstance {
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

pub(super) fn leaks(cluster: &Cluster, line: &str) -> bool {
    let page = cluster.context.metrics.encode().unwrap();
    page.lines()
        .any(|found| found == format!("hybridnet_manager_{line}"))
}

pub(super) fn told(cluster: &Cluster, reason: &str) -> Vec<String> {
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

#[tokio::test(start_paused = true)]
async fn a_name_that_no_pod_can_have_leads_nowhere() {
    let server = server();
    let mut object = stray("10.0.0.7");
    object.spec.binding.as_mut().unwrap().pod_name = "../../../../api/v1/nodes/n".to_owned();
    server.put(&object);
    let cluster = quiet(&server).await;

    look_until_due(&cluster).await;

    assert_eq!(instances(&server), Vec::<String>::new());
    let asked = cluster.api.requests();
    assert!(!asked.iter().any(|request| request.contains("..")), "{asked:?}");
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
async fn nothing_is_taken_back_at_first_sight_whatever_the_flags_say() {
    let server = server();
    server.put(&stray("10.0.0.7"));
    let cluster = Cluster::start(
        server.clone(),
        &["--collector-interval=1s", "--collector-grace=0"],
    );

    sleep(Duration::from_secs(10)).await;
    assert_eq!(instances(&server), ["10-0-0-7"]);

    sleep(Duration::from_secs(12)).await;
    assert_eq!(instances(&server), Vec::<String>::new());
    drop(cluster);
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
