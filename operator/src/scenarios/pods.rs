use serde_json::json;

use super::*;

/// Scenario 58: a dual-stack pod has one MAC.
#[tokio::test(start_paused = true)]
async fn a_plain_pod_costs_one_write_an_address_and_no_read() {
    let server = server();
    let cluster = at_rest(&server).await;
    let before = cluster.api.requests().len();

    server.put(&overlay_pod("p", "DualStack"));
    cluster
        .until("two addresses", |state| state.ip_instances.iter().count() == 2)
        .await;
    cluster.rest().await;
    let requests = cluster.api.requests().split_off(before);

    let about_addresses: Vec<_> = requests
        .iter()
        .filter(|request| !request.contains("status"))
        .collect();
    let event = "POST /apis/events.k8s.io/v1/namespaces/ns/events".to_owned();
    let object = format!("POST {OBJECTS}");
    assert_eq!(about_addresses, [&object, &object, &event]);
    assert_eq!(instances(&server), ["10-0-0-1", "fd00-0-0-0-0-0-0-1"]);
    let macs = instances(&server).into_iter().map(|name| {
        let object = server.get(&format!("{OBJECTS}/{name}")).unwrap();
        object["spec"]["address"]["mac"].clone()
    });
    let macs: Vec<_> = macs.collect();
    assert_eq!(macs[0], macs[1]);
    assert!(
        cluster
            .events()
            .contains(&"IPAllocationSucceed: allocated 10.0.0.1, fd00::1".to_owned()),
        "{:?}",
        cluster.events()
    );
}

/// Scenario 85: a manager that starts in a settled cluster.
#[tokio::test(start_paused = true)]
async fn a_manager_that_starts_in_a_settled_cluster_writes_nothing() {
    let server = server();
    let first = at_rest(&server).await;
    for name in ["a", "b", "c"] {
        server.put(&overlay_pod(name, "DualStack"));
    }
    first
        .until("six addresses", |state| state.ip_instances.iter().count() == 6)
        .await;
    first.rest().await;
    drop(first);

    let second = at_rest(&server).await;

    assert_eq!(second.writes(), Vec::<String>::new());
    assert_eq!(second.events(), Vec::<String>::new());
}

/// Scenario 83: a plain pod that is gone.
#[tokio::test(start_paused = true)]
async fn the_address_of_a_pod_that_is_gone_is_free_when_its_object_is() {
    let server = server();
    let cluster = at_rest(&server).await;
    server.put(&overlay_pod("p", "IPv4"));
    cluster
        .until("an address", |state| state.ip_instances.iter().count() == 1)
        .await;
    cluster.rest().await;

    server.remove("/api/v1/namespaces/ns/pods/p");
    cluster
        .until("no address", |state| state.ip_instances.iter().count() == 0)
        .await;
    cluster.rest().await;

    assert_eq!(instances(&server), Vec::<String>::new());
    let used = |path: &str| server.get(path).unwrap()["status"]["used"].clone();
    assert_eq!(used("/apis/networking.alibaba.com/v1/subnets/s4"), json!(0));
}

/// Scenario 79: a pod of a job that is done.
#[tokio::test(start_paused = true)]
async fn a_completed_pod_gives_its_address_back_and_says_so_once() {
    let server = server();
    let cluster = at_rest(&server).await;
    server.put(&overlay_pod("job", "IPv4"));
    cluster
        .until("an address", |state| state.ip_instances.iter().count() == 1)
        .await;

    let mut ended = overlay_pod("job", "IPv4");
    ended.status = Some(
        serde_json::from_value(
            json!({"phase": "Succeeded", "podIP": "10.0.0.1", "containerStatuses": [
            {"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"terminated": {"exitCode": 0}}}]}),
        )
        .unwrap(),
    );
    server.put(&ended);
    cluster
        .until("no address", |state| state.ip_instances.iter().count() == 0)
        .await;
    server.put(&ended);
    cluster.rest().await;

    let released: Vec<_> = cluster
        .events()
        .into_iter()
        .filter(|event| event.contains("IPRelease"))
        .collect();
    assert_eq!(released, ["IPReleaseSucceed: released 10.0.0.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_found_no_address_gets_one_as_soon_as_there_is_one() {
    let server = server();
    server.put(
        &subnet("s4", "net", "10.0.0.0/24")
            .range("10.0.0.5", "10.0.0.5")
            .build(),
    );
    let cluster = at_rest(&server).await;
    server.put(&overlay_pod("first", "IPv4"));
    cluster
        .until("an address", |state| state.ip_instances.iter().count() == 1)
        .await;
    server.put(&overlay_pod("second", "IPv4"));
    // Long enough for the pauses between attempts to have grown.
    tokio::time::sleep(std::time::Duration::from_mins(2)).await;
    let told: Vec<_> = cluster
        .events()
        .into_iter()
        .filter(|event| event.contains("IPAllocationFail"))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("no IPv4 subnet with a free address"), "{told:?}");
    let freed = tokio::time::Instant::now();

    server.remove("/api/v1/namespaces/ns/pods/first");

    cluster
        .until("the second pod's address", |state| {
            let mut objects = state.ip_instances.iter();
            objects.any(|object| {
                object
                    .spec
                    .binding
                    .as_ref()
                    .is_some_and(|binding| binding.pod_name == "second")
            })
        })
        .await;
    assert!(
        freed.elapsed() < std::time::Duration::from_secs(1),
        "{:?}",
        freed.elapsed()
    );
}

/// Scenario 82: a pod that the selector does not select.
#[tokio::test(start_paused = true)]
async fn only_pods_that_the_selector_selects_get_addresses() {
    let server = server();
    let cluster = Cluster::start(server.clone(), &["--pod-label-selector=ours"]);
    server.put(&overlay_pod("theirs", "IPv4"));
    let mut ours = overlay_pod("ours", "IPv4");
    ours.metadata.labels = Some([("ours".to_owned(), String::new())].into());
    server.put(&ours);

    cluster.rest().await;

    let holders = cluster.world.with(|state| {
        let objects = state.ip_instances.iter();
        objects
            .filter_map(|object| Some(object.spec.binding.as_ref()?.pod_name.clone()))
            .collect::<Vec<_>>()
    });
    assert_eq!(holders, ["ours"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_words_that_make_no_sense_is_told_and_helped_once_they_do() {
    let server = server();
    let cluster = at_rest(&server).await;
    let mut wrong = overlay_pod("p", "IPv5");
    let annotations = wrong.metadata.annotations.get_or_insert_default();
    annotations.insert(annotation::HANDLED_BY_WEBHOOK.to_owned(), "true".to_owned());
    server.put(&wrong);
    cluster.rest().await;
    assert!(
        cluster
            .events()
            .iter()
            .any(|event| event.contains("IPAllocationFail") && event.contains("IPv5")),
        "{:?}",
        cluster.events()
    );

    server.put(&overlay_pod("p", "IPv6"));

    cluster
        .until("an address", |state| state.ip_instances.iter().count() == 1)
        .await;
    assert_eq!(instances(&server), ["fd00-0-0-0-0-0-0-1"]);
}
