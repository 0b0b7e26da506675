use kube::runtime::watcher::Event;

use super::*;
use crate::fixtures::{Made, network, node, overlay, pod, subnet};
use crate::world::Kind;

/// Nodes `a` and `b` of the underlays of those names, and an overlay.
fn state() -> State {
    let mut state = State::default();
    list(
        &mut state,
        vec![
            network("under-a").selector("rack", "a").build(),
            network("under-b").selector("rack", "b").build(),
            overlay("over").build(),
        ],
    );
    list(
        &mut state,
        vec![
            subnet("a4", "under-a", "10.1.0.0/24").build(),
            subnet("b4", "under-b", "10.2.0.0/24").build(),
        ],
    );
    list(
        &mut state,
        vec![
            node("a").label("rack", "a").build(),
            node("b").label("rack", "b").build(),
        ],
    );
    list(&mut state, vec![namespace(&[])]);
    state
}

fn list<K: Kind>(state: &mut State, objects: Vec<K>) {
    K::store(state).apply(Event::Init);
    for object in objects {
        K::store(state).apply(Event::InitApply(object));
    }
    K::store(state).apply(Event::InitDone);
}

fn namespace(annotations: &[(&str, &str)]) -> crate::world::Namespace {
    let mut namespace = crate::world::Namespace::default();
    namespace.metadata.name = Some("ns".to_owned());
    namespace.metadata.annotations = Some(map(annotations));
    namespace.metadata.resource_version = Some((annotations.len() + 1).to_string());
    namespace
}

fn map(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn annotated(node: &str, annotations: &[(&str, &str)]) -> Made<Pod> {
    annotations
        .iter()
        .fold(pod("p").on(node), |pod, (key, value)| pod.annotation(key, value))
}

fn handled(node: &str, annotations: &[(&str, &str)]) -> Made<Pod> {
    annotated(node, annotations).annotation(annotation::HANDLED_BY_WEBHOOK, "true")
}

fn chosen_with(state: &State, pod: Made<Pod>, held: Option<&str>) -> Result<Choice, String> {
    let asked = Asked {
        pod: &pod.build(),
        vm: None,
        held,
        settings: &Settings::default(),
    };
    asked.choose(state).map_err(|error| error.to_string())
}

fn network_of(pod: Made<Pod>) -> Result<String, String> {
    chosen_with(&state(), pod, None).map(|choice| choice.network)
}

const NETWORK: &str = annotation::SPECIFIED_NETWORK;

#[test]
fn a_pod_that_names_nothing_gets_the_underlay_of_its_node() {
    assert_eq!(network_of(annotated("b", &[])).as_deref(), Ok("under-b"));
    assert_eq!(network_of(handled("a", &[])).as_deref(), Ok("under-a"));
}

/// Scenario 89: a node of another network than the pod asks for.
#[test]
fn what_is_asked_for_must_reach_the_node_whether_the_webhook_saw_the_pod_or_not() {
    let slipped = network_of(annotated("b", &[(NETWORK, "under-a")])).unwrap_err();
    let stale = network_of(handled("b", &[(NETWORK, "under-a")])).unwrap_err();

    assert!(
        slipped.contains("under-a is asked for") && slipped.contains("under-b"),
        "{slipped}"
    );
    assert!(stale.contains("under-a does not reach node b"), "{stale}");
}

#[test]
fn a_network_that_is_gone_is_named_unless_a_label_names_another() {
    let gone = handled("b", &[(NETWORK, "gone"), (annotation::NETWORK_TYPE, "Overlay")]);

    let error = network_of(gone.clone()).unwrap_err();
    let again = network_of(gone.label(NETWORK, "under-b"));

    assert!(error.contains("network gone does not exist"), "{error}");
    assert_eq!(again.as_deref(), Ok("under-b"));
}

#[test]
fn kept_addresses_decide_about_the_network_and_which_subnets_count() {
    let words = [
        (annotation::SPECIFIED_SUBNET, "b4"),
        (annotation::IP_FAMILY, "DualStack"),
    ];

    let stays = chosen_with(&state(), handled("a", &words), Some("under-a")).unwrap();
    let away = chosen_with(&state(), handled("b", &words), Some("under-a")).unwrap_err();
    let gone = chosen_with(&state(), handled("a", &words), Some("gone")).unwrap_err();

    let expected = Choice {
        network: "under-a".to_owned(),
        families: Families::DualStack,
        subnets: vec![],
    };
    assert_eq!(stays, expected);
    assert!(
        away.contains("keeps addresses") && away.contains("node b"),
        "{away}"
    );
    assert!(gone.contains("does not exist any more"), "{gone}");
}

/// Scenario 90: the global BGP network on a node without its label.
#[test]
fn bgp_is_asked_of_the_node_only_when_the_scheduler_was_not() {
    let mut state = state();
    list(&mut state, vec![network("global").type_("GlobalBGP").build()]);
    let words = [(annotation::NETWORK_TYPE, "GlobalBGP")];

    let placed = chosen_with(&state, handled("a", &words), None);
    let slipped = chosen_with(&state, annotated("a", &words), None);

    assert_eq!(placed.map(|choice| choice.network).as_deref(), Ok("global"));
    assert!(slipped.unwrap_err().contains("node a belongs to no BGP network"));
}

/// Scenario 60: the words of the namespace.
/// Scenario 59: words in any case.
#[test]
fn words_of_the_namespace_count_when_the_pod_has_none() {
    let mut state = state();
    let words = [
        (annotation::NETWORK_TYPE, "overlay"),
        (annotation::IP_FAMILY, "dualstack"),
    ];
    list(&mut state, vec![namespace(&words)]);

    let choice = chosen_with(&state, annotated("a", &[]), None).unwrap();

    assert_eq!(
        (choice.network.as_str(), choice.families),
        ("over", Families::DualStack)
    );
}

#[test]
fn a_node_that_is_not_known_yet_is_named_where_it_matters() {
    let over = network_of(annotated("new", &[(NETWORK, "over")]));
    let under = network_of(annotated("new", &[])).unwrap_err();

    assert_eq!(over.as_deref(), Ok("over"));
    assert_eq!(under, "node new is not known");
}
