//! Workloads that leave their pods behind, come again, or are of another kind.

use serde_json::json;

use super::asking::*;
use super::*;

fn owner_of(server: &Server, name: &str) -> (String, String) {
    let object = object(server, name);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (
        text(&object["metadata"]["ownerReferences"][0]["uid"]),
        text(&object["spec"]["binding"]["referredObject"]["uid"]),
    )
}

/// What the garbage collector does when a workload is deleted and its dependents shall stay.
fn orphan(server: &Server, path: &str) {
    let mut value = server.get(path).unwrap();
    value["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("ownerReferences");
    server.put_value(path, value);
}

/// Scenario 94: an orphan ends.
#[tokio::test(start_paused = true)]
async fn an_orphan_leaves_its_address_to_its_successor() {
    for stripped in [false, true] {
        let server = server();
        let cluster = at_rest(&server).await;
        stateful("web-0", "IPv4").put(&server);
        bound(&cluster, 1).await;
        let before = identities(&server);

        orphan(&server, &format!("{PODS}/web-0"));
        if stripped {
            orphan(&server, &format!("{OBJECTS}/10-0-0-1"));
        }
        cluster.rest().await;
        delete(&server, "web-0");
        cluster.rest().await;

        assert_eq!(server.get(&format!("{PODS}/web-0")), None);
        assert_eq!(
            object(&server, "10-0-0-1")["spec"]["binding"]["nodeName"],
            json!("")
        );

        let successor = asking("web-0").uid("again").overlay("IPv4");
        successor.of("StatefulSet", "web-again").put(&server);
        bound(&cluster, 1).await;
        assert_eq!(identities(&server), before);
        let owner = ("uid-web-again".to_owned(), "uid-web-again".to_owned());
        assert_eq!(owner_of(&server, "10-0-0-1"), owner);
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_takes_a_running_pod_in_gets_its_addresses_and_once() {
    let server = server();
    let cluster = at_rest(&server).await;
    let pod = |owner: &str| {
        let pod = asking("web-0").overlay("DualStack").of("StatefulSet", owner);
        pod.finalized().handled().status("Running", "", Some(running()))
    };
    pod("web").put(&server);
    bound(&cluster, 2).await;
    let before = identities(&server);

    for name in instances(&server) {
        orphan(&server, &format!("{OBJECTS}/{name}"));
    }
    pod("adopter").put(&server);
    cluster.rest().await;

    assert_eq!(identities(&server), before);
    let owner = ("uid-adopter".to_owned(), "uid-adopter".to_owned());
    for name in instances(&server) {
        assert_eq!(owner_of(&server, &name), owner);
        assert_eq!(
            object(&server, &name)["spec"]["binding"]["podUID"],
            json!("uid-web-0")
        );
    }
    let writes = cluster.writes().len();
    pod("adopter").label("touched", "yes").put(&server);
    cluster.rest().await;
    assert_eq!(cluster.writes().len(), writes);
}

#[tokio::test(start_paused = true)]
async fn pods_of_another_stateful_kind_take_up_the_addresses_of_their_names() {
    let server = server();
    let cluster = Cluster::start(
        server.clone(),
        &["--stateful-workload-kinds=StatefulSet,CloneSet"],
    );
    cluster.rest().await;
    stateful("web-0", "IPv4").put(&server);
    bound(&cluster, 1).await;
    delete(&server, "web-0");
    cluster.rest().await;
    let before = identities(&server);

    let clone = asking("web-0")
        .uid("clone")
        .overlay("IPv4")
        .of("CloneSet", "clones");
    clone.put(&server);
    bound(&cluster, 1).await;

    assert_eq!(identities(&server), before);
    let owner = ("uid-clones".to_owned(), "uid-clones".to_owned());
    assert_eq!(owner_of(&server, "10-0-0-1"), owner);
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_a_kind_that_is_not_stateful_any_more_can_go_and_its_address_is_kept() {
    let server = server();
    let kinds = "--stateful-workload-kinds=StatefulSet,CloneSet";
    let clone = |uid: &str| {
        asking("clone-x")
            .uid(uid)
            .overlay("IPv4")
            .of("CloneSet", "clones")
    };
    let with = Cluster::start(server.clone(), &[kinds]);
    with.rest().await;
    clone("one").put(&server);
    bound(&with, 1).await;
    let before = identities(&server);
    drop(with);
    let without = at_rest(&server).await;
    delete(&server, "clone-x");
    without.rest().await;
    assert_eq!(server.get(&format!("{PODS}/clone-x")), None);
    assert_eq!(identities(&server), before);
    drop(without);

    // Who took the flag away by mistake has lost nothing.
    let with = Cluster::start(server.clone(), &[kinds]);
    with.rest().await;
    clone("two").put(&server);
    bound(&with, 1).await;
    assert_eq!(identities(&server), before);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_not_selected_any_more_is_let_go() {
    let server = server();
    let first = Cluster::start(server.clone(), &["--pod-label-selector=ours"]);
    first.rest().await;
    stateful("web-0", "IPv4").label("ours", "").put(&server);
    bound(&first, 1).await;
    drop(first);

    let other = Cluster::start(server.clone(), &["--pod-label-selector=theirs"]);
    other.rest().await;
    delete(&server, "web-0");
    other.rest().await;

    assert_eq!(server.get(&format!("{PODS}/web-0")), None);
    assert_eq!(
        object(&server, "10-0-0-1")["spec"]["binding"]["nodeName"],
        json!("")
    );
}

#[tokio::test(start_paused = true)]
async fn a_stateful_pod_takes_nothing_up_from_a_plain_one_of_its_name() {
    let server = server();
    let cluster = at_rest(&server).await;
    asking("web-0").overlay("IPv4").uid("plain").put(&server);
    bound(&cluster, 1).await;

    server.remove(&format!("{PODS}/web-0"));
    stateful("web-0", "IPv4").uid("stateful").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(instances(&server), ["10-0-0-2"]);
    let owner = ("uid-web".to_owned(), "uid-web".to_owned());
    assert_eq!(owner_of(&server, "10-0-0-2"), owner);
}
