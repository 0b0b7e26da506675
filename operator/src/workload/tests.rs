use hybridnet_service::testing::{Answer, FakeApi, Seen};
use serde_json::{Value, json};

use super::*;

fn web() -> WorkloadRef {
    WorkloadRef {
        api_version: "apps/v1".to_owned(),
        kind: "StatefulSet".to_owned(),
        namespace: "ns".to_owned(),
        name: "web".to_owned(),
        uid: "u".to_owned(),
    }
}

/// What a server says that knows the kind and not the object.
fn no_object(name: &str) -> Answer {
    Answer {
        code: 404,
        body: json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
            "details": {"name": name, "group": "apps", "kind": "statefulsets"}}),
    }
}

fn kinds(version: &str, plural: &str, kind: &str, namespaced: bool) -> Answer {
    Answer::ok(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [
        {"name": plural, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get"]},
        {"name": format!("{plural}/status"), "singularName": "", "namespaced": namespaced, "kind": kind,
         "verbs": ["get"]}]}),
    )
}

fn resolver(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> (FakeApi, Workloads) {
    let api = FakeApi::new(answer);
    let workloads = Workloads::new(Handle(api.client()));
    (api, workloads)
}

fn with_stateful_sets(object: impl Fn() -> Answer + Send + Sync + 'static) -> (FakeApi, Workloads) {
    resolver(move |seen| match seen.path.as_str() {
        "/apis/apps/v1" => kinds("apps/v1", "statefulsets", "StatefulSet", true),
        "/apis/apps/v1/namespaces/ns/statefulsets/web" => object(),
        other => panic!("{other}"),
    })
}

#[tokio::test(start_paused = true)]
async fn an_object_is_read_once_in_some_seconds_and_its_kind_is_discovered_once() {
    let (api, workloads) = with_stateful_sets(|| {
        Answer::ok(json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "web", "uid": "u"}, "spec": {"replicas": 2}}))
    });

    for pause in [0, 1, 60] {
        tokio::time::advance(Duration::from_secs(pause)).await;
        assert!(workloads.resolve(&web()).await.is("u"));
    }

    let object = "GET /apis/apps/v1/namespaces/ns/statefulsets/web";
    assert_eq!(api.requests(), ["GET /apis/apps/v1", object, object]);
}

#[tokio::test]
async fn an_object_that_is_not_there_is_gone() {
    let (_api, workloads) = with_stateful_sets(|| no_object("web"));

    assert_eq!(workloads.resolve(&web()).await, Workload::Gone);
}

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_or_not_served_is_unknown_and_never_gone() {
    let plain_404 = || Answer {
        code: 404,
        body: Value::String("404 page not found".to_owned()),
    };
    for answer in [
        Answer::status(403, "Forbidden"),
        Answer::status(500, "InternalError"),
        // The kind went after it was discovered.
        plain_404(),
        Answer::not_found(),
    ] {
        let code = answer.code;
        let (_api, workloads) = with_stateful_sets(move || answer.clone());

        let found = workloads.resolve(&web()).await;

        assert!(
            matches!(&found, Workload::Unknown { why } if why.contains("ns/web")),
            "{code}: {found:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_nobody_serves_is_unknown_and_asked_for_once_a_minute() {
    let (api, workloads) = resolver(|seen| match seen.path.as_str() {
        "/apis" => Answer::ok(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []})),
        _ => Answer::not_found(),
    });
    let robot = WorkloadRef {
        api_version: "example.com/v1".to_owned(),
        kind: "Robot".to_owned(),
        ..web()
    };

    for _ in 0..3 {
        assert!(matches!(
            workloads.resolve_now(&robot).await,
            Workload::Unknown { .. }
        ));
    }
    assert_eq!(api.requests(), ["GET /apis/example.com/v1", "GET /apis"]);

    tokio::time::advance(FRUITLESS).await;
    workloads.resolve_now(&robot).await;
    assert_eq!(api.requests().len(), 4);
}

#[tokio::test]
async fn a_reference_of_an_old_version_finds_the_kind_at_the_version_that_is_served() {
    let (api, workloads) = resolver(|seen| match seen.path.as_str() {
        "/apis" => Answer::ok(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [
            {"name": "example.com", "versions": [{"groupVersion": "example.com/v2", "version": "v2"}],
             "preferredVersion": {"groupVersion": "example.com/v2", "version": "v2"}}]})),
        "/apis/example.com/v2" => kinds("example.com/v2", "robots", "Robot", false),
        "/apis/example.com/v2/robots/web" => {
            Answer::ok(json!({"apiVersion": "example.com/v2", "kind": "Robot", "metadata": {"uid": "u"}}))
        }
        _ => Answer::not_found(),
    });
    let robot = WorkloadRef {
        api_version: "example.com/v1".to_owned(),
        kind: "Robot".to_owned(),
        ..web()
    };

    let found = workloads.resolve(&robot).await;

    assert!(found.is("u"), "{found:?} {:?}", api.requests());
}

#[tokio::test]
async fn a_reference_that_would_lead_elsewhere_is_not_followed() {
    let (api, workloads) = resolver(|seen| panic!("{}", seen.path));
    let name = |name: &str| WorkloadRef {
        name: name.to_owned(),
        ..web()
    };
    let version = |version: &str| WorkloadRef {
        api_version: version.to_owned(),
        ..web()
    };

    for of in [
        name(""),
        name(".."),
        name("../../secrets/x"),
        name("web?watch=true"),
        name("web%2f"),
        name("a b"),
        version(""),
        version("apps/v1/namespaces"),
        version("../v1"),
        version("apps/"),
    ] {
        let found = workloads.resolve_now(&of).await;
        assert!(
            matches!(&found, Workload::Unknown { why } if why.contains("owner reference")),
            "{found:?}"
        );
    }
    assert_eq!(api.requests(), Vec::<String>::new());
}

#[test]
fn the_owner_of_an_address_is_its_controller_else_what_its_binding_refers_to() {
    use crate::fixtures::{instance, pod};

    let mut object = instance("ns", "10.0.0.2").pod("web-0").build();
    object.metadata.owner_references = pod("web-0")
        .controlled_by("StatefulSet", "web")
        .build()
        .metadata
        .owner_references;
    let owned = WorkloadRef::of_instance(&object).unwrap();
    assert_eq!(
        (owned.kind.as_str(), owned.uid.as_str()),
        ("StatefulSet", "uid-web")
    );

    object.metadata.owner_references = None;
    let referred = &mut object.spec.binding.as_mut().unwrap().referred_object;
    referred.kind = "StatefulSet".to_owned();
    referred.name = "web".to_owned();
    referred.uid = "uid-web".to_owned();
    assert_eq!(WorkloadRef::of_instance(&object), Some(owned));

    object.spec.binding.as_mut().unwrap().referred_object.kind = "Robot".to_owned();
    assert_eq!(WorkloadRef::of_instance(&object), None);
}
