//! What a namespace may have: how many addresses, and of which networks and subnets.

use super::asking::*;
use super::*;
use crate::world::State;

fn limited(limit: &str) -> core::Namespace {
    let mut namespace = namespace("ns");
    let annotations = namespace.metadata.annotations.get_or_insert_default();
    annotations.insert(annotation::ADDRESS_LIMIT.to_owned(), limit.to_owned());
    namespace
}

fn count(of: usize) -> impl Fn(&mut State) -> bool {
    move |state| state.ip_instances.iter().count() == of
}

#[tokio::test(start_paused = true)]
async fn a_pod_beyond_the_limit_waits_until_an_address_goes_or_the_limit_is_raised() {
    let server = server();
    server.put(&limited("2"));
    let cluster = at_rest(&server).await;
    asking("a").overlay("DualStack").put(&server);
    bound(&cluster, 2).await;

    asking("b").overlay("IPv4").put(&server);
    // Long enough for the pauses between attempts to have grown.
    tokio::time::sleep(std::time::Duration::from_mins(2)).await;
    let told = events_of(&cluster, "IPAllocationFail");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("namespace ns may hold 2 addresses"), "{told:?}");
    assert_eq!(instances(&server).len(), 2);

    let raised = tokio::time::Instant::now();
    server.put(&limited("3"));
    cluster.until("a third address", count(3)).await;
    assert!(raised.elapsed() < std::time::Duration::from_secs(1));

    asking("c").overlay("IPv4").put(&server);
    tokio::time::sleep(std::time::Duration::from_mins(2)).await;
    assert_eq!(instances(&server).len(), 3);
    let freed = tokio::time::Instant::now();
    server.remove(&format!("{PODS}/b"));
    let has_c = |state: &mut State| {
        let mut objects = state.ip_instances.iter();
        objects.any(|object| {
            object
                .spec
                .binding
                .as_ref()
                .is_some_and(|binding| binding.pod_name == "c")
        })
    };
    cluster.until("an address for c", has_c).await;
    assert!(freed.elapsed() < std::time::Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_retained_address_counts_once_and_its_pod_is_not_refused() {
    let server = server();
    server.put(&limited("1"));
    let cluster = at_rest(&server).await;
    stateful("web-0", "IPv4").put(&server);
    bound(&cluster, 1).await;
    delete(&server, "web-0");
    cluster.rest().await;

    asking("p").overlay("IPv4").put(&server);
    cluster.rest().await;
    assert_eq!(events_of(&cluster, "IPAllocationFail").len(), 1);

    stateful("web-0", "IPv4").uid("again").put(&server);
    bound(&cluster, 1).await;
    assert_eq!(instances(&server), ["10-0-0-1"]);
    assert_eq!(events_of(&cluster, "IPAllocationFail").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pool_can_change_at_the_limit() {
    let server = server();
    server.put(&limited("1"));
    let cluster = at_rest(&server).await;
    let pooled = |uid: &str, pool: &str| stateful("web-0", "IPv4").uid(uid).key(annotation::IP_POOL, pool);
    pooled("one", "10.0.0.7").put(&server);
    bound(&cluster, 1).await;
    delete(&server, "web-0");
    cluster.rest().await;

    pooled("two", "10.0.0.8").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(instances(&server), ["10-0-0-8"]);
    assert_eq!(events_of(&cluster, "IPAllocationFail"), Vec::<String>::new());
    assert_eq!(events_of(&cluster, "IPReleaseSucceed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_cannot_be_read_is_told_and_holds_nobody_up() {
    let server = server();
    server.put(&limited("many"));
    let cluster = at_rest(&server).await;

    asking("p").overlay("IPv4").put(&server);
    bound(&cluster, 1).await;

    let told = events_of(&cluster, "InvalidSpec");
    assert!(
        told.len() == 1 && told[0].contains("namespace ns") && told[0].contains("\"many\""),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_subnet_for_other_namespaces_is_passed_over_and_refused_by_name() {
    let server = server();
    let mut closed = subnet("s4", "net", "10.0.0.0/24").build();
    closed.spec.config.get_or_insert_default().allowed_namespaces = vec!["other".to_owned()];
    server.put(&closed);
    server.put(&subnet("t4", "net", "10.1.0.0/24").build());
    let cluster = at_rest(&server).await;

    asking("p").overlay("IPv4").put(&server);
    stateful("web-0", "IPv4")
        .key(annotation::IP_POOL, "10.0.0.7")
        .put(&server);
    let named = asking("named").overlay("IPv4").handled();
    named.key(annotation::SPECIFIED_SUBNET, "s4").put(&server);
    bound(&cluster, 1).await;

    assert_eq!(instances(&server), ["10-1-0-1"]);
    let told = events_of(&cluster, "IPAllocationFail");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter().all(|event| event.contains("allowedNamespaces")),
        "{told:?}"
    );
}
