//! What is published, against an API server that keeps one object.

use hybridnet_service::testing::{Answer, FakeApi};
use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::plan::plan;
use crate::testing::world;

fn facts() -> NodeFacts {
    let node = json!({"metadata": {"name": "node1", "uid": "u1"}, "status": {"addresses": [
        {"type": "Hostname", "address": "node1"}, {"type": "ExternalIP", "address": "1.2.3.4"},
        {"type": "InternalIP", "address": "192.168.0.1"}, {"type": "InternalIP", "address": "fd00:1::1"}]}});
    NodeFacts::of(&serde_json::from_value(node).unwrap())
}

fn at(seconds: i64) -> Time {
    Time(Timestamp::from_second(seconds).unwrap())
}

fn problem(reason: &'static str) -> Problem {
    Problem {
        about: "Network a".into(),
        reason,
        message: "no good".into(),
    }
}

/// An API server that keeps one `NodeInfo` and merges patches into it.
fn server(start: Value) -> FakeApi {
    let state = std::sync::Mutex::new(start);
    FakeApi::new(move |seen| {
        let mut state = state.lock().unwrap();
        if seen.method == http::Method::POST {
            *state = seen.body.clone();
        } else {
            merge(&mut state, &seen.body);
        }
        Answer::ok(state.clone())
    })
}

fn merge(into: &mut Value, patch: &Value) {
    match (into.as_object_mut(), patch.as_object()) {
        (Some(into), Some(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        _ => *into = patch.clone(),
    }
}

#[test]
fn addresses_of_the_node_are_read_with_the_internal_ones_first() {
    let read: Vec<_> = facts().addresses.iter().map(ToString::to_string).collect();

    assert_eq!(read, ["192.168.0.1", "fd00:1::1", "1.2.3.4"]);
}

#[tokio::test]
async fn a_new_node_publishes_itself_and_a_second_time_writes_nothing() {
    let (api, plan) = (server(Value::Null), plan(&world()));
    let publisher = Publisher::new(api.client());

    let written = publisher
        .publish(&facts(), None, &plan, &[], &at(1))
        .await
        .unwrap()
        .unwrap();
    let again = publisher
        .publish(&facts(), Some(&written), &plan, &[], &at(2))
        .await
        .unwrap();

    assert_eq!(again, None);
    let path = "/apis/networking.alibaba.com/v1/nodeinfoes";
    assert_eq!(
        api.requests(),
        [format!("POST {path}"), format!("PATCH {path}/node1/status")]
    );
    insta::assert_json_snapshot!(written);
}

#[tokio::test]
async fn another_address_is_patched_and_nothing_else_of_the_object_is_touched() {
    let api = server(json!({"metadata": {"name": "node1", "labels": {"a": "b"}},
        "spec": {"vtepInfo": {"ip": "192.168.0.9", "mac": "02:00:00:00:00:01", "localIPs": null}}}));
    let have: NodeInfo = serde_json::from_value(json!({"metadata": {"name": "node1"},
        "spec": {"vtepInfo": {"ip": "192.168.0.9", "mac": "02:00:00:00:00:01"}}}))
    .unwrap();

    let written = Publisher::new(api.client())
        .publish(&facts(), Some(&have), &plan(&world()), &[], &at(1))
        .await
        .unwrap()
        .unwrap();

    assert_eq!(written.spec.vtep_info.unwrap().ip, "192.168.0.1");
    assert_eq!(written.metadata.labels.unwrap().len(), 1);
    assert_eq!(api.seen()[1].body["status"]["updateTimestamp"], json!(at(1)));
}

#[tokio::test]
async fn without_a_tunnel_the_object_is_not_blanked_but_says_what_is_wrong() {
    let have = server(Value::Null);
    let publisher = Publisher::new(have.client());
    let good = publisher
        .publish(&facts(), None, &plan(&world()), &[], &at(1))
        .await
        .unwrap()
        .unwrap();

    let api = server(serde_json::to_value(&good).unwrap());
    let problems = [problem("NoTunnelLink")];
    let written = Publisher::new(api.client())
        .publish(&facts(), Some(&good), &Plan::default(), &problems, &at(2))
        .await
        .unwrap()
        .unwrap();

    assert_eq!(written.spec, good.spec);
    let status = written.status.unwrap();
    assert_eq!(status.update_timestamp, Some(at(1)), "the spec has not changed");
    let [condition] = &status.conditions[..] else {
        panic!("{:?}", status.conditions)
    };
    assert_eq!(
        (condition.status.as_str(), condition.reason.as_str()),
        ("False", "NoTunnelLink")
    );
    assert_eq!(condition.message, "Network a: no good");
}

#[tokio::test]
async fn a_node_without_a_tunnel_and_without_an_object_writes_none() {
    let api = server(Value::Null);

    let written = Publisher::new(api.client())
        .publish(&facts(), None, &Plan::default(), &[], &at(1))
        .await;

    assert_eq!((written.unwrap(), api.requests().len()), (None, 0));
}

#[test]
fn an_object_that_is_being_deleted_is_left_alone() {
    let mut have = NodeInfo::new("node1", NodeInfoSpec::default());
    have.metadata.deletion_timestamp = Some(at(1));

    let refused = write(Some(&have), &vtep(&plan(&world())).unwrap(), &facts());

    assert!(matches!(refused, Err(PublishError::Terminating(name)) if name == "node1"));
}

#[test]
fn the_time_of_a_condition_is_that_of_its_last_turn() {
    let good = condition(&[], None, &at(1));
    let still_good = condition(&[], Some(&good), &at(2));
    let bad = condition(&[problem("A")], Some(&still_good), &at(3));
    let otherwise_bad = condition(&[problem("B")], Some(&bad), &at(4));

    let times =
        [&good, &still_good, &bad, &otherwise_bad].map(|condition| condition.last_transition_time.clone());
    assert_eq!(times, [at(1), at(1), at(3), at(3)]);
    assert_eq!(otherwise_bad.reason, "B");
}

#[test]
fn a_long_list_of_problems_is_cut() {
    let problems: Vec<_> = (0..1000).map(|_| problem("A")).collect();

    let message = message(&problems);

    assert!(message.len() < 5000 && message.ends_with(" more"), "{message}");
}
