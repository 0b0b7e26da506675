//! Numbers of Networks and Subnets: right at any moment, after any history.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

use super::status_nodes::{common, rack};
use super::*;
use crate::fixtures::{instance, network};

const API: &str = "/apis/networking.alibaba.com/v1";

fn number(server: &Server, path: &str, pointer: &str) -> i64 {
    let object = server.get(&format!("{API}/{path}")).unwrap_or_default();
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// Scenario 105: statistics follow allocation and release.
#[tokio::test(start_paused = true)]
async fn an_address_that_is_allocated_or_released_counts_at_once_in_both_places() {
    let server = common();
    let cluster = at_rest(&server).await;
    let used = || {
        (
            number(&server, "networks/underlay-network", "/status/statistics/used"),
            number(&server, "subnets/underlay-subnet", "/status/used"),
            number(&server, "subnets/underlay-subnet", "/status/available"),
        )
    };
    assert_eq!(used(), (0, 0, 253));

    server.put(&pod("p", "node1"));
    cluster.rest().await;
    assert_eq!(used(), (1, 1, 252));

    server.remove("/api/v1/namespaces/ns/pods/p");
    cluster.rest().await;
    assert_eq!(used(), (0, 0, 253));
}

/// Scenario 109: metrics are there after a restart.
#[tokio::test(start_paused = true)]
async fn a_manager_that_starts_again_shows_all_usage_without_a_change() {
    let server = common();
    let first = at_rest(&server).await;
    server.put(&pod("p", "node1"));
    first.rest().await;
    drop(first);

    let second = at_rest(&server).await;

    assert_eq!(second.writes(), Vec::<String>::new());
    let page = second.context.metrics.encode().unwrap();
    for line in [
        r#"ip_usage{networkName="underlay-network",ipFamily="ipv4",usageType="used"} 1"#,
        r#"ip_usage{networkName="overlay-network",ipFamily="dualstack",usageType="available"} 254"#,
        r#"subnet_ip_usage{subnetName="underlay-subnet",networkName="underlay-network",usageType="available"} 252"#,
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "{line} is missing in\n{page}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_made_to_speak_of_another_subnet_counts_there_and_only_there() {
    let server = server();
    server.put(&subnet("other", "net", "10.9.0.0/24").build());
    let object = |subnet: &str| instance("ns", "10.0.0.9").in_subnet(subnet, "net").build();
    server.put(&object("s4"));
    let cluster = at_rest(&server).await;
    assert_eq!(number(&server, "subnets/s4", "/status/used"), 1);

    let mut moved = object("s4");
    moved.spec.network = "elsewhere".to_owned();
    server.put(&moved);
    cluster.rest().await;
    assert_eq!(number(&server, "subnets/s4", "/status/used"), 0);

    server.put(&object("s4"));
    cluster.rest().await;
    assert_eq!(number(&server, "subnets/s4", "/status/used"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_went_over_to_another_range_counts_there_until_it_goes() {
    let server = server();
    let part = |name: &str, first: &str, last: &str| {
        let whole = subnet(name, "net", "10.9.0.0/24");
        server.put(&whole.range(first, last).build());
    };
    part("left", "10.9.0.1", "10.9.0.9");
    part("right", "10.9.0.10", "10.9.0.19");
    let object = instance("ns", "10.9.0.9").in_subnet("left", "net");
    server.put(&object.build());
    let cluster = at_rest(&server).await;
    let used = || ["left", "right"].map(|name| number(&server, &format!("subnets/{name}"), "/status/used"));
    assert_eq!(used(), [1, 0]);

    part("left", "10.9.0.1", "10.9.0.8");
    part("right", "10.9.0.9", "10.9.0.19");
    cluster.rest().await;
    assert_eq!(used(), [0, 1]);

    server.remove(&format!("{API}/namespaces/ns/ipinstances/10-9-0-9"));
    cluster.rest().await;
    assert_eq!(used(), [0, 0]);
}

/// Something that happens to the cluster of the history.
#[derive(Clone, Debug)]
enum Step {
    Pod(u8),
    NoPod(u8),
    Address(u8, u8),
    NoAddress(u8),
    Subnet(u8, u8),
    NoSubnet(u8),
    Node(u8, bool),
    NoNode(u8),
    Pause(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12_u8).prop_map(Step::Pod),
        3 => (0..12_u8).prop_map(Step::NoPod),
        2 => (0..12_u8, 0..3_u8).prop_map(|(ip, subnet)| Step::Address(ip, subnet)),
        2 => (0..12_u8).prop_map(Step::NoAddress),
        1 => (0..3_u8, 1..12_u8).prop_map(|(subnet, last)| Step::Subnet(subnet, last)),
        1 => (0..3_u8).prop_map(Step::NoSubnet),
        1 => (0..4_u8, any::<bool>()).prop_map(|(node, inside)| Step::Node(node, inside)),
        1 => (0..4_u8).prop_map(Step::NoNode),
        2 => (1..400_u16).prop_map(Step::Pause),
    ]
}

/// Subnet `s0` to `s2` of network `under`: addresses 10.N.0.2 up to 10.N.0.LAST+1.
fn range(number: u8, last: u8) -> hybridnet_api::Subnet {
    subnet(&format!("s{number}"), "under", &format!("10.{number}.0.0/24"))
        .gateway(&format!("10.{number}.0.1"))
        .range(
            &format!("10.{number}.0.2"),
            &format!("10.{number}.0.{}", last + 1),
        )
        .build()
}

fn small() -> Arc<Server> {
    let server = Arc::new(Server::default());
    server.put(
        &network("under")
            .net_id(1)
            .selector("network", "underlay-network")
            .build(),
    );
    server.put(&range(0, 4));
    server.put(&rack("n0").build());
    server.put(&namespace("ns"));
    server
}

async fn happen(server: &Server, step: &Step) {
    match step {
        Step::Pod(number) => server.put(&pod(&format!("p{number}"), "n0")),
        Step::NoPod(number) => server.remove(&format!("/api/v1/namespaces/ns/pods/p{number}")),
        Step::Address(last, number) => {
            let ip = format!("10.{number}.0.{}", last + 2);
            let path = format!("{OBJECTS}/{}", ip.replace('.', "-"));
            // Names are unique.
            if server.get(&path).is_none() {
                let object = instance("ns", &ip)
                    .in_subnet(&format!("s{number}"), "under")
                    .build();
                server.put(&object);
            }
        }
        Step::NoAddress(last) => {
            for number in 0..3 {
                server.remove(&format!("{OBJECTS}/10-{number}-0-{}", last + 2));
            }
        }
        Step::Subnet(number, last) => server.put(&range(*number, *last)),
        Step::NoSubnet(number) => server.remove(&format!("{API}/subnets/s{number}")),
        Step::Node(number, true) => server.put(&rack(&format!("n{number}")).build()),
        Step::Node(number, false) => server.put(&node(&format!("n{number}")).build()),
        Step::NoNode(number) => server.remove(&format!("/api/v1/nodes/n{number}")),
        Step::Pause(milliseconds) => {
            tokio::time::sleep(std::time::Duration::from_millis((*milliseconds).into())).await;
        }
    }
}

/// What the objects add up to, counted by the objects alone.
fn counted(server: &Server) -> BTreeMap<String, (i64, i64)> {
    let last = |ip: &Value| -> i64 {
        let text = ip.as_str().unwrap().split('/').next().unwrap();
        text.rsplit('.').next().unwrap().parse().unwrap()
    };
    let objects = server.paths("/ipinstances/");
    let objects: Vec<_> = objects.iter().filter_map(|path| server.get(path)).collect();
    let subnets = server.paths("/subnets/");
    subnets
        .iter()
        .filter_map(|path| server.get(path))
        .map(|subnet| {
            let (first, end) = (
                last(&subnet["spec"]["range"]["start"]),
                last(&subnet["spec"]["range"]["end"]),
            );
            let inside = objects.iter().filter(|object| {
                object["spec"]["subnet"] == subnet["metadata"]["name"]
                    && (first..=end).contains(&last(&object["spec"]["address"]["ip"]))
            });
            let name = subnet["metadata"]["name"].as_str().unwrap().to_owned();
            (name, (end - first + 1, i64::try_from(inside.count()).unwrap()))
        })
        .collect()
}

fn check(server: &Server) -> Result<(), TestCaseError> {
    let mut sums = (0, 0);
    for (name, (total, used)) in counted(server) {
        let status = |key: &str| number(server, &format!("subnets/{name}"), key);
        prop_assert_eq!(
            (
                status("/status/total"),
                status("/status/used"),
                status("/status/available")
            ),
            (total, used, total - used),
            "{}",
            name
        );
        sums = (sums.0 + total, sums.1 + used);
    }
    let (total, used) = sums;
    let of_network = |key: &str| number(server, "networks/under", &format!("/status/statistics/{key}"));
    prop_assert_eq!(
        (of_network("total"), of_network("used"), of_network("available")),
        (total, used, total - used)
    );
    let network = server.get(&format!("{API}/networks/under")).unwrap();
    let inside = |node: &Value| node["metadata"]["labels"]["network"] == json!("underlay-network");
    let nodes = server.paths("/nodes/");
    let nodes: Vec<_> = nodes.iter().filter_map(|path| server.get(path)).collect();
    let listed = nodes.iter().filter(|node| inside(node));
    let listed: BTreeSet<_> = listed.map(|node| node["metadata"]["name"].to_string()).collect();
    let list = network["status"]["nodeList"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    prop_assert_eq!(list.iter().map(Value::to_string).collect::<BTreeSet<_>>(), listed);
    for node in &nodes {
        let quota = &node["metadata"]["labels"]["networking.alibaba.com/ipv4-address-quota"];
        let expected = match (inside(node), total > used) {
            (false, _) => Value::Null,
            (true, true) => json!("nonempty"),
            (true, false) => json!("empty"),
        };
        prop_assert_eq!(quota, &expected, "{}", node["metadata"]["name"]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// After any history, at rest: statuses and labels are what the objects add up to, and the next manager
    /// agrees.
    #[test]
    fn numbers_lists_and_labels_are_what_the_objects_add_up_to(history in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let server = small();
            let cluster = at_rest(&server).await;
            for step in &history {
                happen(&server, step).await;
            }
            // A pod that waits is tried again at least every half minute.
            tokio::time::sleep(std::time::Duration::from_secs(40)).await;
            check(&server)?;
            drop(cluster);

            let next = at_rest(&server).await;
            let writes = next.writes();
            prop_assert_eq!(writes, Vec::<String>::new());
            check(&server)
        })?;
    }
}
