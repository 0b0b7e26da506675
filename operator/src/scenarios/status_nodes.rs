//! The common fixture of the spec (section 6): which nodes belong to which networks, and what their labels say.

use serde_json::json;

use super::status::{condition, labels};
use super::*;
use crate::fixtures::{Made, network};

const NETWORKS: &str = "/apis/networking.alibaba.com/v1/networks";
const SUBNETS: &str = "/apis/networking.alibaba.com/v1/subnets";

const UNDERLAY: &str = "underlay-network-attachment=true";
const OVERLAY: &str = "overlay-network-attachment=true";
const BGP: &str = "bgp-network-attachment=true";

pub(super) fn rack(name: &str) -> Made<crate::world::Node> {
    node(name).label("network", "underlay-network")
}

fn underlay() -> Made<hybridnet_api::Network> {
    network("underlay-network")
        .net_id(100)
        .selector("network", "underlay-network")
}

/// Three nodes, the first two of an underlay network; an overlay network; three subnets.
pub(super) fn common() -> Arc<Server> {
    let server = Arc::new(Server::default());
    server.put(&underlay().build());
    server.put(&network("overlay-network").type_("Overlay").net_id(100).build());
    server.put(
        &subnet("underlay-subnet", "underlay-network", "192.168.56.0/24")
            .gateway("192.168.56.1")
            .build(),
    );
    for (name, cidr, id) in [
        ("overlay-ipv4-subnet", "100.10.0.0/24", 44),
        ("overlay-ipv6-subnet", "fe80::/120", 66),
    ] {
        server.put(&subnet(name, "overlay-network", cidr).net_id(id).build());
    }
    for node in [rack("node1"), rack("node2"), node("node3")] {
        server.put(&node.build());
    }
    server.put(&namespace("ns"));
    server
}

fn list(server: &Server, network: &str, key: &str) -> serde_json::Value {
    server.get(&format!("{NETWORKS}/{network}")).unwrap()["status"][key].clone()
}

/// The three quota labels of a node, in the order IPv4, IPv6, dual stack: `n`, `e` or nothing.
fn quota(server: &Server, node: &str) -> String {
    let labels = labels(server, node);
    let letter = |family: &str| {
        let key = format!("{family}-address-quota=");
        let found = labels.iter().find_map(|label| label.strip_prefix(&key));
        found.and_then(|value| value.chars().next())
    };
    ["ipv4", "ipv6", "dualstack"]
        .into_iter()
        .filter_map(letter)
        .collect()
}

fn attachments(server: &Server, node: &str) -> Vec<String> {
    let all = labels(server, node).into_iter();
    all.filter(|label| label.contains("attachment")).collect()
}

/// Scenario 96: node and subnet lists of networks.
#[tokio::test(start_paused = true)]
async fn networks_list_their_nodes_and_subnets() {
    let server = common();

    let _cluster = at_rest(&server).await;

    assert_eq!(
        list(&server, "underlay-network", "nodeList"),
        json!(["node1", "node2"])
    );
    assert_eq!(
        list(&server, "overlay-network", "nodeList"),
        json!(["node1", "node2", "node3"])
    );
    assert_eq!(
        list(&server, "underlay-network", "subnetList"),
        json!(["underlay-subnet"])
    );
    assert_eq!(
        list(&server, "overlay-network", "subnetList"),
        json!(["overlay-ipv4-subnet", "overlay-ipv6-subnet"])
    );
}

/// Scenario 97: attachment labels of the nodes.
/// Scenario 98: quota labels of the nodes.
#[tokio::test(start_paused = true)]
async fn nodes_say_which_networks_they_are_attached_to_and_what_is_free() {
    let server = common();

    let _cluster = at_rest(&server).await;

    for node in ["node1", "node2"] {
        assert_eq!(attachments(&server, node), [OVERLAY, UNDERLAY]);
        assert_eq!(quota(&server, node), "nee");
    }
    assert_eq!(attachments(&server, "node3"), [OVERLAY]);
    assert_eq!(quota(&server, "node3"), "");
}

/// Scenario 99: a selector moves between nodes.
#[tokio::test(start_paused = true)]
async fn labels_move_with_the_selector_of_a_network() {
    let server = common();
    let cluster = at_rest(&server).await;

    let elsewhere = network("underlay-network").net_id(100).selector("rack", "3");
    server.put(&node("node3").label("rack", "3").build());
    server.put(&elsewhere.build());
    cluster.rest().await;
    assert_eq!(attachments(&server, "node1"), [OVERLAY]);
    assert_eq!(
        (quota(&server, "node1"), quota(&server, "node3")),
        (String::new(), "nee".to_owned())
    );
    assert_eq!(list(&server, "underlay-network", "nodeList"), json!(["node3"]));

    server.put(&underlay().build());
    cluster.rest().await;
    assert_eq!(attachments(&server, "node1"), [OVERLAY, UNDERLAY]);
    assert_eq!(
        (quota(&server, "node1"), quota(&server, "node3")),
        ("nee".to_owned(), String::new())
    );
}

/// Scenario 100: a node leaves its network and returns.
#[tokio::test(start_paused = true)]
async fn labels_follow_a_node_that_leaves_its_network_and_returns() {
    let server = common();
    let cluster = at_rest(&server).await;

    server.put(&node("node1").label("network", "another").build());
    cluster.rest().await;
    assert_eq!(
        (attachments(&server, "node1"), quota(&server, "node1")),
        (vec![OVERLAY.to_owned()], String::new())
    );
    assert_eq!(list(&server, "underlay-network", "nodeList"), json!(["node2"]));

    server.put(&rack("node1").build());
    cluster.rest().await;
    assert_eq!(quota(&server, "node1"), "nee");
    assert_eq!(
        list(&server, "underlay-network", "nodeList"),
        json!(["node1", "node2"])
    );
}

/// Scenario 101: quota follows subnets of both families.
#[tokio::test(start_paused = true)]
async fn quota_follows_the_subnets_that_come_and_go() {
    let server = common();
    let (v4, v6) = ("underlay-subnet", "underlay-subnet-v6");
    server.remove(&format!("{SUBNETS}/{v4}"));
    let cluster = at_rest(&server).await;
    assert_eq!(quota(&server, "node1"), "eee");

    let ipv4 = subnet(v4, "underlay-network", "192.168.56.0/24").gateway("192.168.56.1");
    server.put(&ipv4.build());
    cluster.rest().await;
    assert_eq!(quota(&server, "node1"), "nee");

    let ipv6 = subnet(v6, "underlay-network", "fe90::/120").gateway("fe90::1");
    server.put(&ipv6.build());
    cluster.rest().await;
    assert_eq!(quota(&server, "node1"), "nnn");

    server.remove(&format!("{SUBNETS}/{v4}"));
    cluster.rest().await;
    assert_eq!(quota(&server, "node1"), "ene");

    server.remove(&format!("{SUBNETS}/{v6}"));
    cluster.rest().await;
    assert_eq!(quota(&server, "node1"), "eee");
}

/// Scenario 102: BGP attachment comes and goes with `GlobalBGP`.
#[tokio::test(start_paused = true)]
async fn bgp_attachment_and_the_list_of_the_global_network_need_both_networks() {
    let server = common();
    let bgp = underlay().mode("BGP");
    server.put(&bgp.build());
    let cluster = at_rest(&server).await;
    assert_eq!(attachments(&server, "node1"), [OVERLAY, UNDERLAY]);

    server.put(&network("global").type_("GlobalBGP").build());
    cluster.rest().await;
    assert_eq!(attachments(&server, "node1"), [BGP, OVERLAY, UNDERLAY]);
    assert_eq!(attachments(&server, "node3"), [OVERLAY]);
    assert_eq!(list(&server, "global", "nodeList"), json!(["node1", "node2"]));

    server.remove(&format!("{NETWORKS}/global"));
    cluster.rest().await;
    assert_eq!(attachments(&server, "node1"), [OVERLAY, UNDERLAY]);

    server.put(&network("global").type_("GlobalBGP").build());
    server.remove(&format!("{NETWORKS}/underlay-network"));
    cluster.rest().await;
    assert_eq!(attachments(&server, "node1"), [OVERLAY]);
    assert_eq!(list(&server, "global", "nodeList"), json!(null));
}

/// Scenario 103: `GlobalBGP` with mode BGP and netID.
#[tokio::test(start_paused = true)]
async fn a_global_network_with_the_mode_of_an_underlay_is_taken_for_what_it_is() {
    let server = common();
    server.put(&underlay().mode("BGP").build());
    server.put(
        &network("global")
            .type_("GlobalBGP")
            .mode("BGP")
            .net_id(65000)
            .build(),
    );

    let _cluster = at_rest(&server).await;

    assert_eq!(attachments(&server, "node1"), [BGP, OVERLAY, UNDERLAY]);
    assert_eq!(list(&server, "global", "nodeList"), json!(["node1", "node2"]));
}

/// Scenario 106: a terminating node leaves the list.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_being_deleted_is_on_no_list() {
    let server = common();
    let cluster = at_rest(&server).await;

    server.put(&rack("node1").finalizer("example.com/drain").terminating().build());
    cluster.rest().await;

    assert_eq!(list(&server, "underlay-network", "nodeList"), json!(["node2"]));
    assert_eq!(
        list(&server, "overlay-network", "nodeList"),
        json!(["node2", "node3"])
    );
}

/// Scenario 107: labels removed by hand return.
#[tokio::test(start_paused = true)]
async fn labels_that_somebody_takes_away_or_changes_are_put_back() {
    let server = common();
    let cluster = at_rest(&server).await;

    server.put(&rack("node1").build());
    server.put(
        &rack("node2")
            .label("networking.alibaba.com/ipv4-address-quota", "empty")
            .label("networking.alibaba.com/bgp-network-attachment", "true")
            .build(),
    );
    cluster.rest().await;

    for node in ["node1", "node2"] {
        assert_eq!(attachments(&server, node), [OVERLAY, UNDERLAY], "{node}");
        assert_eq!(quota(&server, node), "nee", "{node}");
    }
}

/// Scenario 108: the last free address empties the quota.
#[tokio::test(start_paused = true)]
async fn quota_flips_exactly_when_the_last_address_goes_and_when_one_returns() {
    let server = common();
    let two = subnet("underlay-subnet", "underlay-network", "192.168.56.0/24")
        .gateway("192.168.56.1")
        .range("192.168.56.10", "192.168.56.11");
    server.put(&two.build());
    let cluster = at_rest(&server).await;

    server.put(&pod("a", "node1"));
    cluster.rest().await;
    assert_eq!(quota(&server, "node2"), "nee");

    server.put(&pod("b", "node1"));
    cluster.rest().await;
    assert_eq!(quota(&server, "node2"), "eee");
    let exhausted = |path: &str| condition(&server, path, "Exhausted")["status"].clone();
    let (of_network, of_subnet) = (
        format!("{NETWORKS}/underlay-network"),
        format!("{SUBNETS}/underlay-subnet"),
    );
    assert_eq!(
        (exhausted(&of_network), exhausted(&of_subnet)),
        (json!("True"), json!("True"))
    );

    server.remove("/api/v1/namespaces/ns/pods/a");
    cluster.rest().await;
    assert_eq!(quota(&server, "node2"), "nee");
    assert_eq!(
        (exhausted(&of_network), exhausted(&of_subnet)),
        (json!("False"), json!("False"))
    );
    for reason in ["NetworkExhausted: ", "SubnetExhausted: "] {
        let told = cluster.events();
        let told: Vec<_> = told.iter().filter(|event| event.starts_with(reason)).collect();
        assert_eq!(told.len(), 1, "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_underlay_networks_that_match_a_node_the_second_by_name_is_told() {
    let server = common();
    let cluster = at_rest(&server).await;
    server.put(&network("zone").net_id(7).selector("zone", "1").build());
    server.put(&node("node3").label("zone", "1").build());
    cluster.rest().await;
    let conflict = || condition(&server, &format!("{NETWORKS}/zone"), "Conflict");
    assert_eq!(conflict()["status"], json!("False"));

    server.put(&rack("node3").label("zone", "1").build());
    cluster.rest().await;

    assert_eq!(conflict()["status"], json!("True"));
    let said: Vec<_> = cluster
        .events()
        .into_iter()
        .filter(|event| event.starts_with("NetworkConflict"))
        .collect();
    assert!(said.len() == 1 && said[0].contains("node node3"), "{said:?}");

    server.put(&node("node3").label("zone", "1").build());
    cluster.rest().await;
    assert_eq!(conflict()["status"], json!("False"));
}
