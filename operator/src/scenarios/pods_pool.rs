//! Addresses and MACs that a workload names for its pods (control-plane spec 4.3.3, 4.3.6).

use serde_json::json;

use super::asking::*;
use super::*;
use crate::fixtures::{instance, network};

fn pooled(name: &str, uid: &str, pool: &str) -> Asking {
    stateful(name, "IPv4").uid(uid).key(annotation::IP_POOL, pool)
}

/// Waits for the pod's end.
async fn end(server: &Server, cluster: &Cluster, name: &str) {
    delete(server, name);
    cluster.rest().await;
}

/// Scenario 70: an address a pod.
#[tokio::test(start_paused = true)]
async fn each_pod_gets_the_address_of_its_place() {
    let server = common();
    let cluster = at_rest(&server).await;
    let pool = "100.10.0.150,100.10.0.160,100.10.0.170";

    for place in 0..3 {
        let pod = pooled(&format!("pod-sts-{place}"), &format!("uid-{place}"), pool);
        pod.on("node3").put(&server);
    }
    bound(&cluster, 3).await;

    let of = |name: &str| {
        let object = object(&server, name);
        (
            object["spec"]["binding"]["podName"].clone(),
            object["spec"]["address"]["ip"].clone(),
        )
    };
    assert_eq!(of("100-10-0-150"), (json!("pod-sts-0"), json!("100.10.0.150/24")));
    assert_eq!(of("100-10-0-160"), (json!("pod-sts-1"), json!("100.10.0.160/24")));
    assert_eq!(of("100-10-0-170"), (json!("pod-sts-2"), json!("100.10.0.170/24")));
}

/// Scenario 71: another address for the place.
/// Scenario 72: the same address again.
#[tokio::test(start_paused = true)]
async fn a_pool_that_stays_keeps_the_object_and_one_that_changes_replaces_it() {
    let server = server();
    let cluster = at_rest(&server).await;
    pooled("web-0", "one", "10.0.0.151").put(&server);
    bound(&cluster, 1).await;
    let before = identities(&server);

    end(&server, &cluster, "web-0").await;
    pooled("web-0", "two", "10.0.0.151").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(identities(&server), before);
    assert!(!cluster.writes().iter().any(|write| write.starts_with("DELETE")));

    end(&server, &cluster, "web-0").await;
    pooled("web-0", "three", "10.0.0.152").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(instances(&server), ["10-0-0-152"]);
    assert_eq!(
        events_of(&cluster, "IPReleaseSucceed"),
        ["IPReleaseSucceed: released 10.0.0.151"]
    );
    assert!(
        cluster
            .events()
            .contains(&"IPAllocationSucceed: assigned 10.0.0.152".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_dual_stack_pool_of_which_one_half_changes_keeps_the_other() {
    let server = server();
    let cluster = at_rest(&server).await;
    let dual = |uid: &str, pool: &str| {
        let pod = stateful("web-0", "DualStack").uid(uid);
        pod.key(annotation::IP_POOL, pool)
    };
    dual("one", "10.0.0.10/FD00::10").put(&server);
    bound(&cluster, 2).await;
    let before = identities(&server);
    assert_eq!(before[0][2], before[1][2]);

    end(&server, &cluster, "web-0").await;
    dual("two", "10.0.0.11/fd00:0::10").put(&server);
    bound(&cluster, 2).await;

    let after = identities(&server);
    assert_eq!(after[0][0], "10-0-0-11");
    assert_eq!(after[1], before[1]);
    // Both addresses of a pod have one MAC.
    assert_eq!(after[0][2], after[1][2]);
}

#[tokio::test(start_paused = true)]
async fn a_workload_may_change_the_families_of_its_pool() {
    let server = server();
    let cluster = at_rest(&server).await;
    pooled("web-0", "one", "10.0.0.10").put(&server);
    bound(&cluster, 1).await;
    let before = identities(&server);

    end(&server, &cluster, "web-0").await;
    let dual = stateful("web-0", "DualStack").uid("two");
    dual.key(annotation::IP_POOL, "10.0.0.10/fd00::10").put(&server);
    bound(&cluster, 2).await;

    assert_eq!(identities(&server)[0], before[0]);
    assert_eq!(instances(&server), ["10-0-0-10", "fd00-0-0-0-0-0-0-10"]);
}

/// Scenario 73: sections that are missing, empty or wrong.
/// Scenario 74: both families, and in the wrong order.
#[tokio::test(start_paused = true)]
async fn a_pool_without_an_address_for_the_pod_is_told() {
    for (name, family, pool, said) in [
        ("web-2", "IPv4", "10.0.0.1,10.0.0.2", "no section 2"),
        (
            "web-1",
            "IPv4",
            "10.0.0.1,,10.0.0.2",
            "section 1 of the pool is empty",
        ),
        ("web-0", "IPv4", "abc", "\"abc\""),
        ("web", "IPv4", "10.0.0.1", "no section"),
        ("web-0", "DualStack", "fd00::1/10.0.0.1", "an IPv4, a slash"),
        ("web-0", "IPv6", "10.0.0.1", "not an IPv6 address"),
        ("web-0", "IPv4", "10.9.9.9", "no IPv4 subnet contains 10.9.9.9"),
    ] {
        let server = server();
        let cluster = at_rest(&server).await;

        stateful(name, family).key(annotation::IP_POOL, pool).put(&server);
        cluster.rest().await;

        assert_eq!(instances(&server), Vec::<String>::new(), "{pool}");
        let told = events_of(&cluster, "IPAllocationFail");
        assert!(told.len() == 1 && told[0].contains(said), "{pool}: {told:?}");
    }
}

/// Scenario 75: pools of a plain pod.
#[tokio::test(start_paused = true)]
async fn a_plain_pod_has_no_pools() {
    let server = server();
    let cluster = at_rest(&server).await;

    let pod = asking("p-0")
        .overlay("IPv4")
        .key(annotation::IP_POOL, "10.0.0.77");
    pod.key(annotation::MAC_POOL, "00:16:ea:ae:3c:40").put(&server);
    bound(&cluster, 1).await;

    let [name, _, mac] = &identities(&server)[0];
    assert_eq!(name, "10-0-0-1");
    assert!(mac.starts_with("02:12:34:"), "{mac}");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_kept_for_another_pod_of_the_namespace_changes_hands() {
    let server = server();
    let cluster = at_rest(&server).await;
    stateful("web-0", "IPv4").put(&server);
    bound(&cluster, 1).await;
    end(&server, &cluster, "web-0").await;
    let before = identities(&server);

    let heir = asking("heir-0").overlay("IPv4").of("StatefulSet", "heir");
    heir.key(annotation::IP_POOL, "10.0.0.1").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(identities(&server), before);
    let binding = object(&server, "10-0-0-1")["spec"]["binding"].clone();
    assert_eq!(
        (&binding["podName"], &binding["referredObject"]["name"]),
        (&json!("heir-0"), &json!("heir"))
    );
    stateful("web-0", "IPv4").uid("again").put(&server);
    bound(&cluster, 2).await;
    assert_eq!(instances(&server), ["10-0-0-1", "10-0-0-2"]);
}

#[tokio::test(start_paused = true)]
async fn an_address_of_another_namespace_or_in_use_is_waited_for() {
    let server = server();
    server.put(&namespace("other"));
    server.put(&instance("other", "10.0.0.5").in_subnet("s4", "net").build());
    let cluster = at_rest(&server).await;
    asking("user").overlay("IPv4").put(&server);
    bound(&cluster, 1).await;

    stateful("web-0", "IPv4")
        .key(annotation::IP_POOL, "10.0.0.5,10.0.0.1")
        .put(&server);
    stateful("web-1", "IPv4")
        .key(annotation::IP_POOL, "10.0.0.5,10.0.0.1")
        .put(&server);
    cluster.rest().await;
    let told = events_of(&cluster, "IPAllocationFail");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter()
            .any(|event| event.contains("10.0.0.1 of subnet s4 is in use by pod ns/user"))
    );
    assert!(
        told.iter().any(|event| event.contains("retained for pod other/")),
        "{told:?}"
    );

    server.remove(&format!("{PODS}/user"));
    server.remove("/apis/networking.alibaba.com/v1/namespaces/other/ipinstances/10-0-0-5");
    bound(&cluster, 2).await;

    assert_eq!(instances(&server), ["10-0-0-1", "10-0-0-5"]);
}

/// Scenario 76: a MAC a pod, and it stays.
#[tokio::test(start_paused = true)]
async fn each_pod_gets_the_mac_of_its_place_and_keeps_it() {
    let server = server();
    let cluster = at_rest(&server).await;
    let macs = ["00:16:ea:ae:3c:40", "08:00:20:0a:8c:6d", "08:00:20:0a:0a:40"];
    let pool = "00-16-EA-AE-3C-40,08:00:20:0A:8C:6D,08:00:20:0a:0a:40";
    for place in 0..3 {
        let pod = stateful(&format!("web-{place}"), "DualStack");
        pod.key(annotation::MAC_POOL, pool).put(&server);
        bound(&cluster, 2 * (place + 1)).await;
    }
    let before = identities(&server);
    for mac in macs {
        assert_eq!(
            before.iter().filter(|[.., its]| its == mac).count(),
            2,
            "{before:?}"
        );
    }

    end(&server, &cluster, "web-1").await;
    stateful("web-1", "DualStack").uid("again").put(&server);
    bound(&cluster, 6).await;

    assert_eq!(identities(&server), before);
}

/// Scenario 77: a MAC that another pod has.
#[tokio::test(start_paused = true)]
async fn a_mac_is_given_once_a_network() {
    let server = server();
    server.put(&network("under").selector("rack", "a").build());
    server.put(&subnet("u4", "under", "10.1.0.0/24").build());
    server.put(&node("n").label("rack", "a").build());
    let cluster = at_rest(&server).await;
    let pool = "00:16:ea:ae:3c:40";
    stateful("web-0", "IPv4")
        .key(annotation::MAC_POOL, pool)
        .put(&server);
    bound(&cluster, 1).await;

    let rival = asking("rival-0")
        .of("StatefulSet", "rival")
        .key(annotation::MAC_POOL, pool);
    rival.clone().overlay("IPv4").put(&server);
    cluster.rest().await;
    assert_eq!(instances(&server), ["10-0-0-1"]);
    let told = events_of(&cluster, "IPAllocationFail");
    assert!(
        told.len() == 1 && told[0].contains("00:16:ea:ae:3c:40 is in use on network net by pod ns/web-0"),
        "{told:?}"
    );

    let elsewhere = asking("elsewhere-0").of("StatefulSet", "elsewhere");
    elsewhere.key(annotation::MAC_POOL, pool).put(&server);
    bound(&cluster, 2).await;
    assert_eq!(object(&server, "10-1-0-1")["spec"]["address"]["mac"], json!(pool));
}

/// Scenario 78: a MAC for an address that is kept.
#[tokio::test(start_paused = true)]
async fn the_mac_of_a_kept_address_stays_whatever_the_pool_says() {
    let server = server();
    let cluster = at_rest(&server).await;
    stateful("web-0", "IPv4").put(&server);
    bound(&cluster, 1).await;
    let before = identities(&server);
    end(&server, &cluster, "web-0").await;

    let again = stateful("web-0", "IPv4").uid("again");
    again.key(annotation::MAC_POOL, "00:16:ea:ae:3c:40").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(identities(&server), before);
}

/// Scenario 144: a left-over of release 0.8.9, with a pool.
#[tokio::test(start_paused = true)]
async fn of_an_address_and_a_left_over_the_one_that_the_pool_names_stays() {
    let server = server();
    let owner = crate::fixtures::pod("web-0")
        .controlled_by("StatefulSet", "web")
        .build();
    for ip in ["10.0.0.7", "10.0.0.8"] {
        let was = instance("ns", ip).in_subnet("s4", "net").pod("web-0");
        server.put(&was.owned_like(&owner, 0).build());
    }
    let cluster = at_rest(&server).await;

    pooled("web-0", "again", "10.0.0.8").put(&server);
    cluster.rest().await;

    assert_eq!(instances(&server), ["10-0-0-8"]);
    assert_eq!(
        object(&server, "10-0-0-8")["spec"]["binding"]["podUID"],
        json!("again")
    );
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_just_being_released_is_waited_for() {
    let server = server();
    let dying = instance("ns", "10.0.0.7")
        .in_subnet("s4", "net")
        .finalizer("theirs");
    server.put(&dying.terminating().build());
    let cluster = at_rest(&server).await;

    pooled("web-0", "one", "10.0.0.7").put(&server);
    cluster.rest().await;
    let told = events_of(&cluster, "IPAllocationFail");
    assert!(
        told.len() == 1 && told[0].contains("10.0.0.7 is just being released"),
        "{told:?}"
    );
    let gone = tokio::time::Instant::now();
    server.remove(&format!("{OBJECTS}/10-0-0-7"));

    let is_bound = |state: &mut crate::world::State| {
        let mut objects = state.ip_instances.iter();
        objects.any(|object| !object.spec.is_reserved())
    };
    cluster.until("the address", is_bound).await;
    assert!(gone.elapsed() < std::time::Duration::from_secs(1));
}
