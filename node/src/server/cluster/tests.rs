use std::sync::atomic::{AtomicU16, Ordering};

use hybridnet_service::testing::{Answer, FakeApi, Seen};
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;
use crate::testing::{instance, overlay};

const POD: &str = "GET /api/v1/namespaces/default/pods/web-0";

fn cluster(api: &FakeApi) -> ApiCluster {
    let (caches, _) = Caches::new(&api.client(), "node1");
    let (_, converged) = watch::channel(None);
    let settings = Settings::default();
    ApiCluster {
        client: api.client(),
        caches,
        converged,
        node: "node1".into(),
        settings,
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn meta(kind: &str, name: &str, annotations: &Value) -> Answer {
    let metadata = json!({"name": name, "namespace": "default", "uid": "u1", "annotations": annotations});
    Answer::ok(json!({"apiVersion": "meta.k8s.io/v1", "kind": kind, "metadata": metadata}))
}

fn sandbox() -> Sandbox {
    Sandbox {
        namespace: "default".into(),
        name: "web-0".into(),
        container_id: "c1".into(),
        ..Sandbox::default()
    }
}

#[tokio::test]
async fn a_pod_that_the_webhook_saw_is_one_request() {
    let api = FakeApi::new(|_| {
        let annotations = json!({annotation::HANDLED_BY_WEBHOOK: "true", annotation::IP_FAMILY: "DualStack"});
        meta("PartialObjectMetadata", "web-0", &annotations)
    });

    let facts = cluster(&api).pod("default", "web-0", soon()).await.unwrap();

    assert_eq!(
        facts,
        PodFacts {
            uid: "u1".into(),
            family: PodFamily::DualStack
        }
    );
    assert_eq!(api.requests(), [POD]);
}

#[tokio::test]
async fn a_pod_that_slipped_by_the_webhook_is_read_as_the_manager_reads_it() {
    let api = FakeApi::new(|seen: &Seen| match seen.line().as_str() {
        POD => meta("PartialObjectMetadata", "web-0", &json!({})),
        _ => meta(
            "PartialObjectMetadata",
            "default",
            &json!({annotation::IP_FAMILY: "ipv6"}),
        ),
    });
    let cluster = cluster(&api);
    cluster.caches.networks.apply(Event::Apply(overlay("overlay", 4)));

    let facts = cluster.pod("default", "web-0", soon()).await.unwrap();

    assert_eq!(facts.family, PodFamily::Ipv6Only);
    assert_eq!(api.requests(), [POD, "GET /api/v1/namespaces/default"]);
}

#[tokio::test(start_paused = true)]
async fn trouble_that_can_pass_is_waited_out() {
    let attempts = AtomicU16::new(0);
    let api = FakeApi::new(move |_| match attempts.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::status(500, "etcd leader changed"),
        1 => Answer::status(429, "too many requests"),
        _ => meta(
            "PartialObjectMetadata",
            "web-0",
            &json!({annotation::HANDLED_BY_WEBHOOK: "true"}),
        ),
    });

    assert!(cluster(&api).pod("default", "web-0", soon()).await.is_ok());
    assert_eq!(api.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_away_is_given_up_in_time_and_a_refusal_at_once() {
    let down = FakeApi::new(|_| Answer::status(500, "no etcd"));
    let begin = Instant::now();
    let error = cluster(&down).pod("default", "web-0", soon()).await.unwrap_err();
    assert!(error.to_string().contains("no etcd"), "{error}");
    assert!(begin.elapsed() <= Duration::from_secs(30));

    let gone = FakeApi::new(|_| Answer::status(404, "pods \"web-0\" not found"));
    let error = cluster(&gone).pod("default", "web-0", soon()).await.unwrap_err();
    assert!(error.to_string().contains("not found"), "{error}");
    assert_eq!(gone.requests().len(), 1);
}

#[tokio::test]
async fn felix_is_told_of_this_very_pod() {
    let api = FakeApi::new(|_| meta("PartialObjectMetadata", "web-0", &json!({})));

    cluster(&api)
        .annotate(&sandbox(), "u1", "10.14.0.5,fd00::5", soon())
        .await
        .unwrap();

    let [seen] = &api.seen()[..] else {
        panic!("one request")
    };
    assert_eq!(seen.line(), "PATCH /api/v1/namespaces/default/pods/web-0");
    let annotations = json!({"cni.projectcalico.org/podIPs": "10.14.0.5,fd00::5"});
    assert_eq!(
        seen.body,
        json!({"metadata": {"uid": "u1", "annotations": annotations}})
    );
}

/// A cluster that has one address of the pod, as of version 7.
fn with_address(api: &FakeApi) -> ApiCluster {
    let cluster = cluster(api);
    let mut held = instance("web-0", "10.14.0.5/16");
    held.metadata.resource_version = Some("7".into());
    cluster.caches.own.cache().apply(Event::Apply(held));
    cluster
}

fn answer_to_patch() -> Answer {
    Answer::ok(serde_json::to_value(instance("web-0", "10.14.0.5/16")).unwrap())
}

#[tokio::test]
async fn the_status_says_where_the_address_is_in_use() {
    let api = FakeApi::new(|_| answer_to_patch());

    with_address(&api).report(&sandbox(), "uid-of-web-0").await;

    let [seen] = &api.seen()[..] else {
        panic!("one request")
    };
    let path = "/apis/networking.alibaba.com/v1/namespaces/default/ipinstances/10-14-0-5/status";
    assert_eq!(seen.line(), format!("PATCH {path}"));
    let mut body = seen.body.clone();
    let stamp = body["status"]
        .as_object_mut()
        .unwrap()
        .remove("updateTimestamp")
        .unwrap();
    assert!(stamp.as_str().unwrap().ends_with('Z'), "{stamp}");
    let status =
        json!({"nodeName": "node1", "podName": "web-0", "podNamespace": "default", "sandboxID": "c1"});
    assert_eq!(
        body,
        json!({"metadata": {"resourceVersion": "7"}, "status": status})
    );
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_tried_again_and_an_address_that_left_is_not() {
    let attempts = AtomicU16::new(0);
    let api = FakeApi::new(move |_| match attempts.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::status(409, "Conflict"),
        _ => answer_to_patch(),
    });
    with_address(&api).report(&sandbox(), "uid-of-web-0").await;
    assert_eq!(api.requests().len(), 2);

    let api = FakeApi::new(|_| Answer::status(409, "Conflict"));
    let cluster = with_address(&api);
    let leaving = async {
        sleep(Duration::from_millis(50)).await;
        cluster
            .caches
            .own
            .cache()
            .apply(Event::Delete(instance("web-0", "10.14.0.5/16")));
    };
    let sandbox = sandbox();
    tokio::join!(cluster.report(&sandbox, "uid-of-web-0"), leaving);
    assert_eq!(api.requests().len(), 1);
}
