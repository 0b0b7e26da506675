use http::Method;
use hybridnet_service::testing::Answer;
use serde_json::json;

use super::*;
use crate::fixtures::instance;
use crate::testing::cluster::Fault;
use crate::world::store::Key;

/// Scenario 87: one half of a dual-stack pod is refused.
#[tokio::test(start_paused = true)]
async fn of_a_dual_stack_pod_nothing_stays_written_when_one_half_is_refused() {
    let server = server();
    let cluster = at_rest(&server).await;
    server.fault(Fault {
        method: Method::POST,
        about: "fd00",
        answer: Answer::status(422, "Invalid"),
        carried_out: false,
    });
    server.put(&overlay_pod("p", "DualStack"));

    cluster
        .until("both halves", |state| {
            let alive = state
                .ip_instances
                .iter()
                .filter(|object| object.metadata.deletion_timestamp.is_none());
            alive.count() == 2
        })
        .await;
    cluster.rest().await;

    let deleted = cluster
        .writes()
        .iter()
        .any(|write| write.starts_with("DELETE") && write.contains("10-0-0-1"));
    assert!(deleted, "{:?}", cluster.writes());
    assert_eq!(instances(&server).len(), 2);
    let used = cluster
        .world
        .with(|state| state.addresses.network_usage("net").ipv4.counts.used);
    assert_eq!(used, 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_of_which_nobody_heard_is_found_again_with_the_same_address() {
    let server = server();
    let cluster = at_rest(&server).await;
    server.fault(Fault {
        method: Method::POST,
        about: "10-0-0-1",
        answer: Answer::status(504, "Timeout"),
        carried_out: true,
    });

    server.put(&overlay_pod("p", "IPv4"));
    cluster.rest().await;

    assert_eq!(instances(&server), ["10-0-0-1"]);
    let used = cluster
        .world
        .with(|state| state.addresses.network_usage("net").ipv4.counts.used);
    assert_eq!(used, 1);
}

#[tokio::test(start_paused = true)]
async fn an_address_whose_write_is_in_doubt_is_free_when_its_pod_is_gone_and_it_was_never_written() {
    let server = server();
    let cluster = at_rest(&server).await;
    for _ in 0..1000 {
        server.fault(Fault {
            method: Method::POST,
            about: "10-0-0-",
            answer: Answer::status(500, "InternalError"),
            carried_out: false,
        });
    }
    server.put(&overlay_pod("p", "IPv4"));
    cluster.rest().await;
    let used = || {
        cluster
            .world
            .with(|state| state.addresses.network_usage("net").ipv4.counts.used)
    };
    assert_eq!(used(), 1);
    // Whatever makes somebody count meanwhile.
    let path = "/apis/networking.alibaba.com/v1/subnets/s4";
    let mut touched = server.get(path).unwrap();
    touched["metadata"]["labels"] = json!({"touched": "yes"});
    server.put_value(path, touched);
    cluster.rest().await;
    let counted = || server.get(path).unwrap()["status"]["used"].clone();
    assert_eq!(counted(), json!(1));

    server.remove("/api/v1/namespaces/ns/pods/p");
    cluster.rest().await;

    assert_eq!((used(), counted()), (0, json!(0)));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_goes_while_the_other_one_is_written_is_given_again() {
    let server = server();
    let cluster = at_rest(&server).await;
    for _ in 0..5 {
        server.fault(Fault {
            method: Method::POST,
            about: "fd00",
            answer: Answer::status(500, "InternalError"),
            carried_out: false,
        });
    }
    server.put(&overlay_pod("p", "DualStack"));
    cluster
        .until("the first address", |state| {
            state.ip_instances.iter().count() == 1
        })
        .await;

    server.remove(&format!("{OBJECTS}/10-0-0-1"));
    cluster.rest().await;

    assert_eq!(instances(&server), ["10-0-0-2", "fd00-0-0-0-0-0-0-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_another_pod_has_is_left_to_it() {
    let server = server();
    let cluster = at_rest(&server).await;
    // An object that the manager has not heard of yet.
    let theirs = instance("ns", "10.0.0.1")
        .in_subnet("s4", "net")
        .pod("other")
        .build();
    server.put_unheard(&theirs);

    server.put(&overlay_pod("p", "IPv4"));
    cluster
        .until("two objects", |state| state.ip_instances.iter().count() >= 1)
        .await;
    cluster.rest().await;

    let kept = server.get(&format!("{OBJECTS}/10-0-0-2")).unwrap();
    assert_eq!(kept["spec"]["binding"]["podName"], json!("p"));
}

#[tokio::test(start_paused = true)]
async fn one_address_in_two_namespaces_is_given_to_nobody_else_and_reported() {
    let server = server();
    server.put(&overlay_pod("p", "IPv4"));
    let mut other = overlay_pod("p", "IPv4");
    other.metadata.namespace = Some("other".to_owned());
    server.put(&other);
    server.put(&instance("ns", "10.0.0.1").in_subnet("s4", "net").pod("p").build());
    server.put(
        &instance("other", "10.0.0.1")
            .in_subnet("s4", "net")
            .pod("p")
            .build(),
    );

    let cluster = at_rest(&server).await;
    server.put(&overlay_pod("q", "IPv4"));
    cluster
        .until("an address for q", |state| state.ip_instances.iter().count() == 3)
        .await;
    cluster.rest().await;

    assert!(server.get(&format!("{OBJECTS}/10-0-0-2")).is_some());
    let told: Vec<_> = cluster
        .events()
        .into_iter()
        .filter(|event| event.contains("has address 10.0.0.1"))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(cluster.world.with(|state| state.addresses.set_aside()), 1);
}

/// Scenario 95: an address of a deleted network.
#[tokio::test(start_paused = true)]
async fn an_object_of_a_deleted_network_can_go() {
    let server = Arc::new(Server::default());
    let object = instance("ns", "10.9.9.9")
        .in_subnet("gone", "gone")
        .terminating()
        .build();
    server.put(&object);

    let cluster = at_rest(&server).await;

    cluster
        .until("nothing", |state| state.ip_instances.iter().count() == 0)
        .await;
    assert_eq!(cluster.writes(), [format!("PATCH {OBJECTS}/10-9-9-9")]);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_when_the_finalizer_goes_is_tried_again() {
    let server = server();
    server.put(
        &instance("ns", "10.0.0.9")
            .in_subnet("s4", "net")
            .terminating()
            .build(),
    );
    server.fault(Fault {
        method: Method::PATCH,
        about: "10-0-0-9",
        answer: Answer::status(409, "Conflict"),
        carried_out: false,
    });

    let cluster = at_rest(&server).await;

    cluster
        .until("nothing", |state| state.ip_instances.iter().count() == 0)
        .await;
    assert_eq!(instances(&server), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_an_object_of_another_network_has_is_kept_back_until_that_is_gone() {
    let server = server();
    let stray = instance("ns", "10.0.0.1").in_subnet("old", "old").build();
    server.put(&stray);
    let cluster = at_rest(&server).await;
    let used = || {
        cluster
            .world
            .with(|state| state.addresses.network_usage("net").ipv4.counts.used)
    };

    server.put(&overlay_pod("p", "IPv4"));
    cluster
        .until("an address", |state| state.ip_instances.iter().count() == 2)
        .await;
    cluster.rest().await;
    assert!(server.get(&format!("{OBJECTS}/10-0-0-2")).is_some());
    assert_eq!(used(), 2);

    server.remove(&format!("{OBJECTS}/10-0-0-1"));
    assert_eq!(used(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_address_is_not_its_name_takes_both_and_is_reported() {
    let server = server();
    let mut odd = instance("ns", "10.0.0.1").in_subnet("s4", "net").build();
    odd.spec.address.ip = "10.0.0.2/24".to_owned();
    server.put(&odd);

    let cluster = at_rest(&server).await;
    server.put(&overlay_pod("p", "IPv4"));
    cluster
        .until("an address", |state| state.ip_instances.iter().count() == 2)
        .await;
    cluster.rest().await;

    assert!(server.get(&format!("{OBJECTS}/10-0-0-3")).is_some());
    let told = cluster.events();
    assert!(told.iter().any(|event| event.contains("named after")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_write_in_doubt_is_not_tried_again_when_its_object_has_come_and_gone() {
    let server = server();
    let cluster = at_rest(&server).await;
    let fails = |code, carried_out| {
        server.fault(Fault {
            method: Method::POST,
            about: "10-0-0-1",
            answer: Answer::status(code, "Fault"),
            carried_out,
        });
    };
    fails(504, true);
    for _ in 0..1000 {
        fails(500, false);
    }
    let object = Key {
        namespace: "ns".to_owned(),
        name: "10-0-0-1".to_owned(),
    };

    server.put(&overlay_pod("p", "IPv4"));
    cluster
        .until("the object is seen", |state| {
            state.ip_instances.get(&object).is_some()
        })
        .await;
    server.remove("/apis/networking.alibaba.com/v1/namespaces/ns/ipinstances/10-0-0-1");
    cluster.rest().await;

    assert_eq!(instances(&server), ["10-0-0-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_write_that_was_carried_out_unheard_takes_nothing_back() {
    let server = server();
    let cluster = at_rest(&server).await;
    for (code, carried_out) in [(504, true), (403, false)] {
        server.fault(Fault {
            method: Method::POST,
            about: "fd00",
            answer: Answer::status(code, "Fault"),
            carried_out,
        });
    }

    server.put(&overlay_pod("p", "DualStack"));
    cluster.rest().await;

    assert_eq!(instances(&server).len(), 2);
    let deleted = cluster
        .writes()
        .into_iter()
        .filter(|write| write.starts_with("DELETE"));
    assert_eq!(deleted.count(), 0);
}
