//! Questions as API servers send them, through the routes of the server, over caches that were filled by their own
//! watches: the shapes of both versions, and what is no question at all.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use hybridnet_api::settings::Settings;
use hybridnet_service::testing::{Answer, FakeApi, Seen};
use hybridnet_webhook::admission::Admission;
use hybridnet_webhook::caches::Caches;
use hybridnet_webhook::metrics::Metrics;
use hybridnet_webhook::readiness::Readiness;
use hybridnet_webhook::server::{State, admission_routes};
use k8s_openapi::ByteString;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

const VERSIONS: [&str; 2] = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"];
const OURS: &str = "networking.alibaba.com";

fn overlay() -> Value {
    json!({"apiVersion": "networking.alibaba.com/v1", "kind": "Network", "metadata": {"name": "init"},
        "spec": {"type": "Overlay", "netID": 4},
        "status": {"statistics": {"total": 9, "used": 0, "available": 9}}})
}

fn subnet(name: &str, cidr: &str) -> Value {
    json!({"apiVersion": "networking.alibaba.com/v1", "kind": "Subnet", "metadata": {"name": name},
        "spec": {"network": "init", "range": {"version": "4", "cidr": cidr}}})
}

fn pod() -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "web-"},
        "spec": {"containers": [{"name": "c", "image": "i", "fieldOfTheFuture": [1]}]}})
}

/// An API server with one network of one subnet.
fn cluster() -> FakeApi {
    FakeApi::new(|seen: &Seen| {
        if seen.query.contains("sendInitialEvents") {
            return Answer::status(422, "Invalid");
        }
        let (_, last) = seen.path.rsplit_once('/').unwrap_or_default();
        let items = match last {
            "networks" => json!([overlay()]),
            "subnets" => json!([subnet("init", "10.42.0.0/16")]),
            "namespaces" => json!([{"metadata": {"name": "default"}}]),
            "nodes" | "ipinstances" => json!([]),
            "init" => return Answer::ok(overlay()),
            _ => return Answer::not_found(),
        };
        Answer::ok(
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "5"}, "items": items}),
        )
    })
}

/// The webhook over a cluster, with caches that are filled.
async fn webhook() -> web::Data<State> {
    let client = cluster().client();
    let (caches, feeds) = Caches::start(&client);
    let feeds = tokio::spawn(feeds);
    caches.filled().await.expect("all lists");
    feeds.abort();
    let readiness = Readiness::default();
    readiness.caches_filled();
    web::Data::new(State {
        admission: Admission::new(client, Arc::new(caches), Settings::default()),
        metrics: Metrics::default(),
        readiness,
        serving: Arc::default(),
    })
}

async fn asked(state: &web::Data<State>, path: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
    let app = init_service(App::new().configure(|app| admission_routes(app, state))).await;
    let request = TestRequest::post().uri(path).set_payload(body).to_request();
    let response = call_service(&app, request).await;
    (response.status(), read_body(response).await.to_vec())
}

/// A review as an API server writes it, with all that we do not read.
fn review(version: &str, operation: &str, (object, old): (&Value, &Value)) -> Value {
    let either = if object.is_null() { old } else { object };
    let api_version = either["apiVersion"].as_str().unwrap_or_default();
    let (group, version_of_kind) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = json!({"group": group, "version": version_of_kind, "kind": either["kind"]});
    let resource = json!({"group": group, "version": version_of_kind, "resource": "things"});
    json!({
        "kind": "AdmissionReview", "apiVersion": version, "fieldOfTheFuture": {},
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind, "requestKind": kind, "resource": resource, "requestResource": resource,
            "name": either["metadata"]["name"], "namespace": if group.is_empty() { "default" } else { "" },
            "operation": operation,
            "userInfo": {"username": "admin", "uid": "1", "groups": ["system:masters"], "extra": {"k": ["v"]}},
            "object": object, "oldObject": old, "dryRun": false,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    })
}

async fn answered(state: &web::Data<State>, path: &str, review: &Value) -> Value {
    let mut review = review.clone();
    // An API server leaves out what it does not have a name for yet.
    if review["request"]["name"].is_null() {
        let request = review["request"].as_object_mut().expect("a request");
        request.remove("name");
    }
    let (status, body) = asked(state, path, review.to_string().into_bytes()).await;
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body).expect("a review");
    assert_eq!(answer["apiVersion"], review["apiVersion"]);
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
    answer["response"].clone()
}

/// Scenario 119: unknown fields survive the patch.
#[actix_web::test]
async fn a_pod_is_placed_and_then_passes_in_either_version() {
    let state = webhook().await;
    for version in VERSIONS {
        let review_of = |pod: &Value| review(version, "CREATE", (pod, &Value::Null));
        let response = answered(&state, "/mutate", &review_of(&pod())).await;
        assert_eq!(response["allowed"], true);
        assert_eq!(response["patchType"], "JSONPatch");
        let patch: ByteString = serde_json::from_value(response["patch"].clone()).expect("base64");
        let patch: json_patch::Patch = serde_json::from_slice(&patch.0).expect("a patch");
        let mut placed = pod();
        json_patch::patch(&mut placed, &patch).expect("the patch applies");
        assert_eq!(placed["spec"]["containers"], pod()["spec"]["containers"]);
        let annotations = &placed["metadata"]["annotations"];
        assert_eq!(annotations["networking.alibaba.com/handled-by-webhook"], "true");

        let response = answered(&state, "/validate", &review_of(&placed)).await;
        assert_eq!(response["allowed"], true, "{response}");
        assert!(response.get("patch").is_none());
    }
}

#[actix_web::test]
async fn a_refusal_carries_code_reason_and_remedy_in_either_version() {
    let state = webhook().await;
    for version in VERSIONS {
        let asked = review(version, "CREATE", (&subnet("new", "10.42.8.0/24"), &Value::Null));
        let response = answered(&state, "/validate", &asked).await;
        assert_eq!(response["allowed"], false);
        let status = &response["status"];
        assert_eq!(
            (&status["code"], &status["reason"]),
            (&json!(403), &json!("Forbidden"))
        );
        let text = status["message"].as_str().expect("a text");
        for word in [
            "subnet \"new\"",
            "10.42.8.0/24",
            "subnet \"init\"",
            "use the same CIDR",
        ] {
            assert!(text.contains(word), "{word:?} is missing in: {text}");
        }
    }
}

#[actix_web::test]
async fn every_operation_of_our_kinds_has_an_answer() {
    let state = webhook().await;
    let (old, mut new) = (subnet("init", "10.42.0.0/16"), subnet("init", "10.42.0.0/16"));
    new["metadata"]["finalizers"] = json!(["x"]);
    let instance = json!({"apiVersion": format!("{OURS}/v1"), "kind": "IPInstance",
        "metadata": {"name": "10-42-0-1"}, "spec": {"any": "thing"}});
    let nothing = Value::Null;
    for (operation, object, old, allowed) in [
        ("UPDATE", &new, &old, true),
        ("UPDATE", &subnet("init", "10.43.0.0/16"), &old, false),
        ("DELETE", &nothing, &old, true),
        ("DELETE", &nothing, &overlay(), false),
        ("CREATE", &instance, &nothing, true),
        ("UPDATE", &instance, &instance, true),
        ("DELETE", &nothing, &instance, true),
        ("CONNECT", &pod(), &nothing, true),
        ("UPDATE", &pod(), &pod(), true),
    ] {
        let response = answered(
            &state,
            "/validate",
            &review(VERSIONS[0], operation, (object, old)),
        )
        .await;
        assert_eq!(
            response["allowed"], allowed,
            "{operation} {object} {old}: {response}"
        );
    }
}

#[actix_web::test]
async fn an_object_that_is_not_what_it_says_is_a_400_inside_of_the_review() {
    let state = webhook().await;
    let mut odd = pod();
    for annotations in [json!({"a": 1}), json!([]), json!("x")] {
        odd["metadata"]["annotations"] = annotations;
        for path in ["/mutate", "/validate"] {
            let response = answered(&state, path, &review(VERSIONS[0], "CREATE", (&odd, &Value::Null))).await;
            assert_eq!(
                (&response["allowed"], &response["status"]["code"]),
                (&json!(false), &json!(400))
            );
        }
    }
}

#[actix_web::test]
async fn what_is_no_question_is_refused_and_the_next_one_answered() {
    let state = webhook().await;
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let good = review(VERSIONS[0], "CREATE", (&pod(), &Value::Null)).to_string();
    for body in [
        b"\xff\xfe{}".to_vec(),
        good.replace("web-", "\u{1}").into_bytes(),
        good.replace("\"web-\"", r#""\ud800""#).into_bytes(),
        good.replacen("web-", "\u{7f}", 1)
            .into_bytes()
            .into_iter()
            .map(|byte| byte | 0x80)
            .collect(),
        deep,
        b"null".to_vec(),
        br#"{"apiVersion":"admission.k8s.io/v1","request":null}"#.to_vec(),
        br#"{"apiVersion":"admission.k8s.io/v3","request":{"uid":"u"}}"#.to_vec(),
    ] {
        for path in ["/mutate", "/validate"] {
            let (status, _) = asked(&state, path, body.clone()).await;
            let shown = String::from_utf8_lossy(&body)
                .chars()
                .take(60)
                .collect::<String>();
            assert_eq!(status, StatusCode::BAD_REQUEST, "{shown}");
        }
    }
    let again = serde_json::from_str(&good).expect("a review");
    assert_eq!(answered(&state, "/mutate", &again).await["allowed"], true);
}

/// Any JSON, with the names of our fields more often than chance has them.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        proptest::sample::select(vec![
            "metadata",
            "spec",
            "annotations",
            "labels",
            "range",
            "name",
            "containers",
            "config"
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map(key.clone(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A review in which one field, wherever it is, is something else.
fn disturbed() -> impl Strategy<Value = Value> {
    let objects = vec![
        pod(),
        overlay(),
        subnet("s", "10.0.0.0/24"),
        json!({"apiVersion":
        "multicluster.alibaba.com/v1", "kind": "RemoteSubnet", "metadata": {"name": "r"}, "spec": {"range": {}}}),
    ];
    let pointers = vec![
        "",
        "/request",
        "/request/object",
        "/request/oldObject",
        "/request/kind",
        "/request/operation",
        "/request/uid",
        "/request/name",
        "/request/namespace",
        "/request/dryRun",
        "/request/object/metadata",
        "/request/object/spec",
        "/request/object/spec/range",
        "/request/object/spec/network",
        "/request/object/metadata/name",
        "/request/object/spec/containers",
    ];
    let operations = vec!["CREATE", "UPDATE", "DELETE", "CONNECT", "create", ""];
    let parts = (
        proptest::sample::select(objects),
        proptest::sample::select(operations),
        proptest::sample::select(pointers),
        any_json(),
    );
    parts.prop_map(|(object, operation, pointer, value)| {
        let mut whole = review(VERSIONS[0], operation, (&object, &object));
        if let Some(place) = whole.pointer_mut(pointer) {
            *place = value;
        }
        whole
    })
}

/// The fake never fails, so neither may an answer: every code is the fault of who asks.
#[test]
fn whatever_comes_is_answered_or_refused_and_never_our_fault() {
    let system = actix_web::rt::System::new();
    let state = system.block_on(webhook());
    let mut runner = TestRunner::new(Config {
        cases: 600,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&disturbed(), |review| {
        for path in ["/mutate", "/validate"] {
            let (status, body) = system.block_on(asked(&state, path, review.to_string().into_bytes()));
            if status == StatusCode::BAD_REQUEST {
                continue;
            }
            prop_assert_eq!(status, StatusCode::OK);
            let answer: Value = serde_json::from_slice(&body).expect("a review");
            let code = answer["response"]["status"]["code"].as_u64();
            let text = answer["response"]["status"]["message"]
                .as_str()
                .unwrap_or_default();
            prop_assert!(matches!(code, None | Some(400 | 403 | 500)), "{}", answer);
            prop_assert!(!text.contains("try again"), "{}", answer);
        }
        Ok(())
    });
    outcome.expect("every body is answered");
}
