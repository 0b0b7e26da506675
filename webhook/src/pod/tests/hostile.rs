//! Whatever the words of a pod are, they are answered: with an edit, a denial or a contradiction that names them,
//! and never with a fault of ours.

use futures::FutureExt;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::{chart, configured, with};
use crate::clip;
use crate::fixtures::{World, ip_instance, namespace, pod, stateful};

const KEYS: [&str; 8] = [
    "specified-network",
    "specified-subnet",
    "network-type",
    "ip-family",
    "ip-pool",
    "mac-pool",
    "ip-retain",
    "address-limit",
];

/// Words that mean something in one place or another, and anything else.
fn word() -> impl Strategy<Value = String> {
    let known = proptest::sample::select(vec![
        "under",
        "over",
        "u4",
        "u6",
        "o4/o6",
        "Overlay",
        "underlay",
        "GlobalBGP",
        "IPv4",
        "DualStack",
        "true",
        "false",
        "10.0.0.7",
        "10.0.0.7,10.0.0.8",
        "10.0.0.7/fd00::7",
        "00:16:ea:ae:3c:40",
        "5",
        "../over",
        "over/status",
        "%2e%2e",
        "over?watch=true",
        "::ffff:10.0.0.1",
        "0.0.0.0/255.255.255.255",
    ]);
    let joined = proptest::collection::vec(
        proptest::sample::select(vec!["10.0.0.7", "fd00::7", "", "x", "\u{0}"]),
        0..1000,
    )
    .prop_map(|sections| sections.join(","));
    prop_oneof![
        4 => known.prop_map(str::to_owned),
        2 => "\\PC{0,40}",
        1 => proptest::collection::vec(any::<char>(), 0..60).prop_map(String::from_iter),
        1 => joined,
        1 => "[a-z0-9.,/:-]{0,60}",
    ]
}

fn keys() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    proptest::collection::vec((proptest::sample::select(KEYS.to_vec()), word()), 0..6)
}

fn borrowed<'a>(keys: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    keys.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

fn worlds(of_namespace: &[(&str, &str)]) -> World {
    let held = ip_instance("10-0-0-5", "web-0", ("over", "o4"));
    let foreign = configured(
        super::sub("f4", "under", "4"),
        "allowedNamespaces",
        json!(["elsewhere"]),
    );
    with(&[held, foreign, namespace(of_namespace)], chart())
}

async fn answered(of_pod: &[(&str, &str)], of_namespace: &[(&str, &str)], is_stateful: bool) {
    let world = worlds(of_namespace);
    let made = if is_stateful { stateful } else { pod };
    let given = made("web-0", of_pod);
    match world.mutate(&given).await {
        Ok(_) => {
            let (placed, _) = world.mutated(&given).await;
            assert_eq!(placed["spec"]["containers"], given["spec"]["containers"]);
            judged(&world, &placed).await;
        }
        // A contradiction, which names its key or the object that is missing, or a network that is for others.
        Err(refusal) => {
            assert!(matches!(refusal.code, 500 | 403), "{refusal}");
            let is_ours = refusal.message.contains("try again");
            assert!(
                !is_ours && refusal.message.starts_with("pod \"web-0\": "),
                "{refusal}"
            );
        }
    }
    judged(&world, &given).await;
}

async fn judged(world: &World, given: &Value) {
    match world.create(given).await {
        Ok(allowed) => assert!(allowed.warnings.len() <= 8, "{:?}", allowed.warnings),
        Err(refusal) => {
            assert_eq!(refusal.code, 403, "{refusal}");
            assert!(refusal.message.len() <= clip::REFUSAL, "{refusal}");
        }
    }
}

/// What a plain loop over cases cannot do: the cases need a runtime each, and shrinking.
#[test]
fn no_words_of_pod_or_namespace_lead_to_a_panic_or_to_500_where_a_denial_is_meant() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut runner = TestRunner::new(Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(
        &(keys(), keys(), any::<bool>()),
        |(of_pod, of_namespace, is_stateful)| {
            let answered =
                async { answered(&borrowed(&of_pod), &borrowed(&of_namespace), is_stateful).await };
            let caught = runtime.block_on(std::panic::AssertUnwindSafe(answered).catch_unwind());
            prop_assert!(
                caught.is_ok(),
                "{:?}",
                caught.err().and_then(|text| text.downcast::<String>().ok())
            );
            Ok(())
        },
    );
    outcome.expect("every case is answered");
}

#[tokio::test]
async fn an_annotation_as_long_as_an_object_is_named_in_short() {
    let world = worlds(&[]);
    let long = "x".repeat(250_000);
    for key in [
        "specified-network",
        "specified-subnet",
        "network-type",
        "ip-pool",
        "mac-pool",
    ] {
        let text = world
            .denied(&stateful(
                "web-1",
                &[("specified-network", "under"), (key, &long)],
            ))
            .await;
        assert!(text.len() <= clip::REFUSAL && text.contains("xxx"), "{text}");
    }
    let slashes = "u4/".repeat(50_000);
    let text = world.denied(&pod("p", &[("specified-subnet", &slashes)])).await;
    assert!(
        text.contains("more than two subnets: use one, or v4subnet/v6subnet"),
        "{text}"
    );
}

#[tokio::test]
async fn a_name_that_is_a_path_reads_nothing() {
    let world = worlds(&[]);
    for name in ["over/status", "../subnets/o4", "over?x=y", "over#"] {
        let text = world.denied(&pod("p", &[("specified-network", name)])).await;
        assert!(text.contains("not found"), "{text}");
    }
    assert!(world.api.state().reads.is_empty());
}
