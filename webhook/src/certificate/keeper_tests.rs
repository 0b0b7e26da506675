use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::Objects;

const SECRET: &str = "/api/v1/namespaces/kube-system/secrets/hybridnet-webhook-certs";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/kube-system/events";
const VALIDATING: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/hybridnet-validating-webhook";
const MUTATING: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/hybridnet-mutating-webhook";

fn webhook(service: &str) -> Value {
    json!({"name": format!("{service}.x"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "unknownField": 7,
        "clientConfig": {"service": {"name": service, "namespace": "kube-system", "port": 443}}})
}

fn cluster() -> Objects {
    let webhooks = json!([webhook("other"), webhook(super::super::SERVICE)]);
    Objects::default()
        .with(
            VALIDATING,
            json!({"metadata": {"name": configuration::VALIDATING}, "webhooks": webhooks}),
        )
        .with(
            MUTATING,
            json!({"metadata": {"name": configuration::MUTATING}, "webhooks": webhooks}),
        )
}

struct Replica {
    keeper: Keeper,
    serving: Arc<Serving>,
}

fn replica(api: &Objects) -> Replica {
    let serving = Arc::new(Serving::default());
    Replica {
        keeper: Keeper::new(api.client(), "kube-system", serving.clone()),
        serving,
    }
}

fn bundle_of(api: &Objects, path: &str, webhook: usize) -> String {
    let bundle = api.object(path)["webhooks"][webhook]["clientConfig"]["caBundle"].clone();
    let bytes = serde_json::from_value::<Option<ByteString>>(bundle)
        .expect("base64")
        .unwrap_or_default();
    String::from_utf8(bytes.0).expect("PEM is text")
}

fn stored(api: &Objects) -> Material {
    secret::read(&serde_json::from_value(api.object(SECRET)).expect("a secret"))
}

fn store(api: &Objects, material: &Material) {
    let secret = secret::write(material, "kube-system", None);
    api.state()
        .put(SECRET, serde_json::to_value(secret).expect("JSON"));
}

fn writes(api: &Objects) -> Vec<String> {
    api.state().writes.clone()
}

#[tokio::test]
async fn the_first_replica_makes_publishes_and_serves_a_certificate() {
    let api = cluster();
    let replica = replica(&api);
    replica.keeper.sync().await.expect("in step");
    let material = stored(&api);
    assert_eq!(replica.serving.material().as_ref(), Some(&material));
    for path in [VALIDATING, MUTATING] {
        assert_eq!(bundle_of(&api, path, 1), material.authorities);
        assert_eq!(bundle_of(&api, path, 0), "", "webhooks of others are not touched");
        assert_eq!(api.object(path)["webhooks"][1]["unknownField"], 7);
    }
}

#[tokio::test]
async fn the_second_time_nothing_is_written() {
    let api = cluster();
    let replica = replica(&api);
    replica.keeper.sync().await.expect("in step");
    let before = writes(&api);
    replica.keeper.sync().await.expect("in step");
    assert_eq!(writes(&api), before);
}

#[tokio::test]
async fn a_second_replica_adopts_what_the_first_made() {
    let api = cluster();
    replica(&api).keeper.sync().await.expect("in step");
    let before = writes(&api);
    let second = replica(&api);
    second.keeper.sync().await.expect("in step");
    assert_eq!(second.serving.material(), Some(stored(&api)));
    assert_eq!(writes(&api), before);
}

#[tokio::test]
async fn the_slower_of_two_replicas_adopts_the_faster_ones_secret() {
    let api = cluster();
    let faster =
        issue::new_authority(UnixTime::now(), &Names::of_service("kube-system"), None).expect("made");
    let theirs = secret::write(&faster, "kube-system", None);
    api.state().rival = Some(Box::new(move |objects| {
        objects.insert(SECRET.to_owned(), serde_json::to_value(&theirs).expect("JSON"));
    }));
    let replica = replica(&api);
    replica.keeper.sync().await.expect("in step");
    assert_eq!(replica.serving.material(), Some(faster));
    assert_eq!(writes(&api)[0], "POST /api/v1/namespaces/kube-system/secrets 409");
}

#[tokio::test]
async fn a_broken_secret_is_replaced_and_an_event_says_why() {
    let api = cluster();
    let broken = Material {
        leaf: "garbage".to_owned(),
        authorities: "garbage".to_owned(),
        ..Material::default()
    };
    store(&api, &broken);
    api.state().objects.get_mut(SECRET).expect("stored")["metadata"]["labels"] = json!({"mine": "yes"});
    let replica = replica(&api);
    replica.keeper.sync().await.expect("in step");
    assert_eq!(replica.serving.material(), Some(stored(&api)));
    assert_eq!(api.object(SECRET)["metadata"]["labels"]["mine"], "yes");
    let state = api.state();
    let (_, event) = state
        .objects
        .iter()
        .find(|(path, _)| path.starts_with(EVENTS))
        .expect("an event");
    assert_eq!(event["type"], "Warning");
    assert!(
        event["note"]
            .as_str()
            .is_some_and(|note| note.contains("authority")),
        "{event}"
    );
}

#[tokio::test]
async fn a_bundle_that_helm_took_away_is_written_again_beside_what_is_there() {
    let api = cluster();
    let replica = replica(&api);
    replica.keeper.sync().await.expect("in step");
    let foreign = issue::new_authority(UnixTime::now(), &Names::of_service("x"), None)
        .expect("made")
        .authorities;
    let mut configuration = api.object(VALIDATING);
    configuration["webhooks"][1]["clientConfig"]["caBundle"] =
        json!(ByteString(foreign.clone().into_bytes()));
    api.state().put(VALIDATING, configuration);
    replica.keeper.sync().await.expect("in step");
    assert_eq!(
        bundle_of(&api, VALIDATING, 1),
        stored(&api).authorities + &foreign
    );
}

#[tokio::test]
async fn a_patch_that_lost_a_race_is_tried_on_the_new_object() {
    let api = cluster();
    store(
        &api,
        &issue::new_authority(UnixTime::now(), &Names::of_service("kube-system"), None).expect("made"),
    );
    api.state().rival = Some(Box::new(|objects| {
        let configuration = objects.get_mut(VALIDATING).expect("there");
        configuration["metadata"]["resourceVersion"] = json!("999");
        configuration["webhooks"]
            .as_array_mut()
            .expect("a list")
            .reverse();
    }));
    replica(&api).keeper.sync().await.expect("in step");
    assert_eq!(bundle_of(&api, VALIDATING, 0), stored(&api).authorities);
    assert_eq!(bundle_of(&api, VALIDATING, 1), "");
    assert_eq!(writes(&api)[0], format!("PATCH {VALIDATING} 422"));
}

#[tokio::test]
async fn without_configurations_the_certificate_is_served_all_the_same() {
    let api = Objects::default();
    let replica = replica(&api);
    replica.keeper.sync().await.expect("in step");
    assert!(replica.serving.is_ready(UnixTime::now()));
}

#[tokio::test(start_paused = true)]
async fn a_new_authority_is_published_before_its_certificate_is_served() {
    let api = cluster();
    let replica = replica(&api);
    replica.keeper.sync().await.expect("in step");
    let old = stored(&api);
    let now = UnixTime::now();
    let new = issue::new_authority(now, &Names::of_service("kube-system"), Some(&old)).expect("made");
    store(&api, &new);
    let start = tokio::time::Instant::now();
    let mut syncing = std::pin::pin!(replica.keeper.sync());
    let early = tokio::time::timeout(SETTLE / 2, &mut syncing).await;
    assert!(
        early.is_err(),
        "the old certificate is served while API servers learn of the new authority"
    );
    assert_eq!(replica.serving.material(), Some(old));
    assert_eq!(bundle_of(&api, MUTATING, 1), new.authorities);
    syncing.await.expect("in step");
    assert!(start.elapsed() >= SETTLE);
    assert_eq!(replica.serving.material(), Some(new));
}

#[tokio::test(start_paused = true)]
async fn a_new_leaf_of_the_same_authority_is_served_at_once() {
    let api = cluster();
    let replica = replica(&api);
    replica.keeper.sync().await.expect("in step");
    let renewed =
        issue::new_leaf(UnixTime::now(), &Names::of_service("kube-system"), &stored(&api)).expect("made");
    store(&api, &renewed);
    let start = tokio::time::Instant::now();
    replica.keeper.sync().await.expect("in step");
    assert_eq!(replica.serving.material(), Some(renewed));
    assert!(start.elapsed() < SETTLE);
}
