//! Addresses that outlive the pods of a stateful workload (control-plane spec 4.3.3).

use serde_json::json;

use super::asking::*;
use super::*;
use crate::fixtures::instance;

/// Scenario 63: a pod of a workload.
/// Scenario 64: the pod ends.
/// Scenario 65: its successor on another node.
#[tokio::test(start_paused = true)]
async fn a_stateful_pod_keeps_its_object_over_a_restart() {
    let server = common();
    let cluster = at_rest(&server).await;
    let pod = |uid: &str, node: &str| asking("pod-4").uid(uid).on(node).of("StatefulSet", "fake");
    pod("one", "node1").put(&server);
    bound(&cluster, 1).await;
    let before = identities(&server);
    let first = object(&server, "192-168-56-2");
    assert_eq!(
        first["spec"]["binding"]["referredObject"]["kind"],
        json!("StatefulSet")
    );
    assert_eq!(first["spec"]["binding"]["stateful"]["index"], json!(4));
    let pod_now = server.get(&format!("{PODS}/pod-4")).unwrap();
    assert_eq!(pod_now["metadata"]["finalizers"], json!([FINALIZER]));
    let mut used = first.clone();
    used["status"] =
        json!({"nodeName": "node1", "podName": "pod-4", "podNamespace": "ns", "sandboxID": "abc"});
    server.put_value(&format!("{OBJECTS}/192-168-56-2"), used);

    delete(&server, "pod-4");
    cluster.rest().await;

    assert_eq!(server.get(&format!("{PODS}/pod-4")), None);
    let kept = object(&server, "192-168-56-2");
    let binding = &kept["spec"]["binding"];
    assert_eq!(
        (&binding["podName"], &binding["nodeName"]),
        (&json!("pod-4"), &json!(""))
    );
    assert_eq!(binding.get("podUID"), None);
    let labels = kept["metadata"]["labels"].as_object().unwrap();
    assert!(!labels.contains_key("networking.alibaba.com/node"));
    assert!(!labels.contains_key("networking.alibaba.com/pod-uid"));
    let status = kept["status"].as_object().unwrap();
    assert_eq!(status.keys().collect::<Vec<_>>(), ["updateTimestamp"]);

    pod("two", "node2").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(identities(&server), before);
    let again = object(&server, "192-168-56-2");
    assert_eq!(again["spec"]["address"], first["spec"]["address"]);
    assert_eq!(again["spec"]["binding"]["podUID"], json!("two"));
    assert_eq!(
        again["metadata"]["labels"]["networking.alibaba.com/node"],
        json!("node2")
    );
    let told = cluster.events();
    for expected in [
        "IPAllocationSucceed: allocated 192.168.56.2",
        "IPReserveSucceed: reserved 192.168.56.2",
        "IPAllocationSucceed: kept 192.168.56.2",
    ] {
        assert_eq!(
            told.iter().filter(|event| **event == expected).count(),
            1,
            "{told:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_step_of_a_stateful_pods_life_is_written_once() {
    let server = server();
    let cluster = at_rest(&server).await;
    let pod = |uid: &str| stateful("web-0", "IPv4").handled().uid(uid);
    pod("one").put(&server);
    bound(&cluster, 1).await;
    delete(&server, "web-0");
    cluster.rest().await;
    pod("two").put(&server);
    bound(&cluster, 1).await;
    pod("two").finalized().label("touched", "yes").put(&server);
    cluster.rest().await;

    let writes = cluster.writes().into_iter();
    let writes: Vec<_> = writes
        .filter(|write| !write.contains("nets/") && !write.contains("networks/") && !write.contains("nodes/"))
        .collect();
    let (pod, object) = (format!("PATCH {PODS}/web-0"), format!("{OBJECTS}/10-0-0-1"));
    assert_eq!(
        writes,
        [
            pod.clone(),
            format!("POST {OBJECTS}"),
            format!("PATCH {object}/status"),
            format!("PATCH {object}"),
            pod.clone(),
            pod,
            format!("PATCH {object}"),
        ]
    );
}

/// Scenario 66: a container that runs on.
#[tokio::test(start_paused = true)]
async fn nothing_is_taken_from_a_pod_whose_containers_run() {
    let server = server();
    let cluster = at_rest(&server).await;
    let pod = stateful("web-0", "IPv4").finalized();
    pod.clone().status("Running", "", Some(running())).put(&server);
    bound(&cluster, 1).await;
    let before = object(&server, "10-0-0-1");

    delete(&server, "web-0");
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    assert_eq!(object(&server, "10-0-0-1"), before);

    let mut stopped = server.get(&format!("{PODS}/web-0")).unwrap();
    stopped["status"]["containerStatuses"][0]["state"] = ended();
    server.put_value(&format!("{PODS}/web-0"), stopped);
    cluster.rest().await;

    assert_eq!(
        object(&server, "10-0-0-1")["spec"]["binding"]["nodeName"],
        json!("")
    );
    assert_eq!(server.get(&format!("{PODS}/web-0")), None);
}

/// Scenario 67: both families kept without any annotation.
#[tokio::test(start_paused = true)]
async fn kept_addresses_need_no_annotation() {
    let server = common();
    let cluster = at_rest(&server).await;
    let pod = |uid: &str| asking("web-0").uid(uid).on("node1").of("StatefulSet", "web");
    let asked = pod("one").key(annotation::SPECIFIED_NETWORK, "overlay-network");
    asked.key(annotation::IP_FAMILY, "DualStack").put(&server);
    bound(&cluster, 2).await;
    let before = identities(&server);

    delete(&server, "web-0");
    cluster.rest().await;
    pod("two").put(&server);
    bound(&cluster, 2).await;

    assert_eq!(identities(&server), before);
    assert_eq!(before.len(), 2);
}

/// Scenario 68: a pod that keeps nothing any more.
#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_retain_gets_another_address() {
    let server = server();
    let cluster = at_rest(&server).await;
    stateful("web-0", "IPv4").uid("one").put(&server);
    bound(&cluster, 1).await;
    delete(&server, "web-0");
    cluster.rest().await;
    assert_eq!(instances(&server), ["10-0-0-1"]);

    let renewed = stateful("web-0", "IPv4").uid("two");
    renewed.key(annotation::IP_RETAIN, "false").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(instances(&server), ["10-0-0-2"]);
    assert_eq!(
        events_of(&cluster, "IPReleaseSucceed"),
        ["IPReleaseSucceed: released 10.0.0.1"]
    );

    delete(&server, "web-0");
    cluster.rest().await;
    // What nobody will take up again is given back at once.
    assert_eq!(instances(&server), Vec::<String>::new());
}

/// Scenario 69: the pod's word against the default.
#[tokio::test(start_paused = true)]
async fn a_pod_that_retains_does_so_whatever_the_default() {
    let server = server();
    let cluster = Cluster::start(server.clone(), &["--default-ip-retain=false"]);
    cluster.rest().await;
    let retains = |name: &str, uid: &str| stateful(name, "IPv4").uid(uid).key(annotation::IP_RETAIN, "true");
    retains("web-0", "one").put(&server);
    stateful("web-1", "IPv4").uid("three").put(&server);
    bound(&cluster, 2).await;
    let kept = object(&server, "10-0-0-1")["spec"]["binding"]["podName"].clone();

    delete(&server, "web-0");
    delete(&server, "web-1");
    cluster.rest().await;

    assert_eq!(instances(&server).len(), 1);
    retains("web-0", "two").put(&server);
    bound(&cluster, 1).await;
    assert_eq!(
        object(&server, &instances(&server)[0])["spec"]["binding"]["podUID"],
        json!("two")
    );
    assert!(kept == json!("web-0") || kept == json!("web-1"));
}

/// Scenario 144: a left-over of release 0.8.9, without a pool.
#[tokio::test(start_paused = true)]
async fn a_left_over_goes_when_the_pod_comes_again() {
    let server = server();
    let owner = crate::fixtures::pod("web-0")
        .controlled_by("StatefulSet", "web")
        .build();
    let of = |ip: &str| {
        instance("ns", ip)
            .in_subnet("s4", "net")
            .pod("web-0")
            .owned_like(&owner, 0)
    };
    let was_bound = of("10.0.0.7").build();
    let mut left_over = of("10.0.0.8").build();
    let binding = left_over.spec.binding.as_mut().unwrap();
    binding.node_name.clear();
    binding.pod_uid.clear();
    server.put(&was_bound);
    server.put(&left_over);
    let cluster = at_rest(&server).await;
    assert_eq!(instances(&server).len(), 2);

    stateful("web-0", "IPv4").uid("second").put(&server);
    cluster.rest().await;

    assert_eq!(instances(&server), ["10-0-0-7"]);
    assert_eq!(
        object(&server, "10-0-0-7")["spec"]["binding"]["podUID"],
        json!("second")
    );
    assert_eq!(
        events_of(&cluster, "IPReleaseSucceed"),
        ["IPReleaseSucceed: released 10.0.0.8"]
    );
}

/// Scenario 81: an evicted pod of a workload.
#[tokio::test(start_paused = true)]
async fn an_evicted_pod_of_a_workload_is_let_go_and_its_address_kept_and_that_is_said_once() {
    let server = server();
    let cluster = at_rest(&server).await;
    stateful("web-0", "IPv4").put(&server);
    bound(&cluster, 1).await;

    let evicted = stateful("web-0", "IPv4")
        .finalized()
        .status("Failed", "Evicted", None);
    evicted.put(&server);
    cluster.rest().await;
    let reserved = object(&server, "10-0-0-1");
    let pod = server.get(&format!("{PODS}/web-0")).unwrap();
    assert_eq!(pod["metadata"]["finalizers"], json!([]));
    stateful("web-0", "IPv4")
        .status("Failed", "Evicted", None)
        .put(&server);
    cluster.rest().await;

    assert_eq!(reserved["spec"]["binding"]["nodeName"], json!(""));
    assert_eq!(object(&server, "10-0-0-1"), reserved);
    assert_eq!(events_of(&cluster, "IPReserveSucceed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_kept_address_whose_subnet_or_network_is_gone_is_told() {
    for (path, said) in [
        ("subnets/s4", "subnet s4, which does not exist"),
        ("networks/net", "network net, which does not exist"),
    ] {
        let server = server();
        let cluster = at_rest(&server).await;
        stateful("web-0", "IPv4").handled().uid("one").put(&server);
        bound(&cluster, 1).await;
        delete(&server, "web-0");
        cluster.rest().await;

        server.remove(&format!("/apis/networking.alibaba.com/v1/{path}"));
        stateful("web-0", "IPv4").handled().uid("two").put(&server);
        cluster.rest().await;

        assert_eq!(
            object(&server, "10-0-0-1")["spec"]["binding"]["nodeName"],
            json!("")
        );
        let told = events_of(&cluster, "IPAllocationFail");
        assert!(told.len() == 1 && told[0].contains(said), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_address_is_not_taken_to_a_node_that_its_network_does_not_reach() {
    let server = common();
    let cluster = at_rest(&server).await;
    let pod = |uid: &str, node: &str| asking("web-0").uid(uid).on(node).of("StatefulSet", "web");
    pod("one", "node1").put(&server);
    bound(&cluster, 1).await;
    delete(&server, "web-0");
    cluster.rest().await;

    pod("two", "node3").put(&server);
    cluster.rest().await;
    let told = events_of(&cluster, "IPAllocationFail");
    assert!(
        told.len() == 1 && told[0].contains("does not reach node node3"),
        "{told:?}"
    );

    server.remove(&format!("{PODS}/web-0"));
    pod("three", "node2").put(&server);
    bound(&cluster, 1).await;
    assert_eq!(
        object(&server, "192-168-56-2")["spec"]["binding"]["podUID"],
        json!("three")
    );
}

#[tokio::test(start_paused = true)]
async fn a_template_that_moved_on_to_another_network_or_subnet_keeps_the_kept_addresses() {
    let server = server();
    server.put(&subnet("t4", "net", "10.1.0.0/24").build());
    let cluster = at_rest(&server).await;
    stateful("web-0", "IPv4").handled().uid("one").put(&server);
    bound(&cluster, 1).await;
    let before = identities(&server);
    delete(&server, "web-0");
    cluster.rest().await;

    let moved = stateful("web-0", "IPv4").handled().uid("two");
    let moved = moved.key(annotation::SPECIFIED_NETWORK, "gone");
    moved.key(annotation::SPECIFIED_SUBNET, "t4").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(identities(&server), before);
    delete(&server, "web-0");
    cluster.rest().await;
    let renewed = stateful("web-0", "IPv4").handled().uid("three");
    let renewed = renewed.key(annotation::IP_RETAIN, "false");
    renewed.key(annotation::SPECIFIED_SUBNET, "t4").put(&server);
    bound(&cluster, 1).await;
    assert_eq!(instances(&server), ["10-1-0-1"]);
}
