//! Plans of whole worlds. Rows are those of the datapath spec, section 11.

use std::sync::Arc;

use ipnetwork::IpNetwork;
use proptest::prelude::*;

use super::*;
use crate::testing::{SubnetExt, instance, node_info, overlay, subnet, terminating, underlay, world};
use crate::view::{LinkKind, View};

const VX: &str = "eth0.vxlan4";

fn routes(plan: &Plan, table: &Table) -> Vec<String> {
    plan.tables
        .get(table)
        .into_iter()
        .flat_map(|table| &table.routes)
        .map(ToString::to_string)
        .collect()
}

fn from(cidr: &str) -> Table {
    Table::FromSubnet(cidr.parse().unwrap())
}

fn problems(plan: &Plan) -> Vec<(&str, &str)> {
    plan.problems
        .iter()
        .map(|problem| (problem.about.as_str(), problem.reason))
        .collect()
}

fn proxied(plan: &Plan) -> Vec<String> {
    plan.proxy_neighbours
        .get(VX)
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect()
}

// Worlds.

fn single_stack() -> View {
    let mut view = world()
        .subnet(subnet("a", "overlay", "100.64.0.0/16"))
        .peer("node2", "192.168.0.2", 2)
        .peer("node1", "192.168.0.1", 1)
        .own(instance("web-0", "100.64.0.5/16"));
    view.machine.ipv6_usable = false;
    view
}

fn dual_stack() -> View {
    let mut view = world()
        .subnet(
            subnet("a", "overlay", "100.64.0.0/16")
                .gateway("100.64.0.1")
                .excluding(&["100.64.0.9"]),
        )
        .subnet(subnet("b", "overlay", "fd00:64::/64"))
        .peer("node2", "192.168.0.2", 2)
        .peer("node3", "192.168.0.3", 3)
        .own(instance("web-0", "100.64.0.5/16"))
        .own(instance("web-0", "fd00:64::5/64"))
        .own(instance("web-1", "100.64.0.6/16"))
        .link("hybr0d7763386da", LinkKind::Veth, 9);
    view.machine.default_routes[1].from_advertisement = true;
    view
}

fn without_nat() -> View {
    world()
        .network(underlay("vlan", "VLAN"))
        .subnet(subnet("a", "overlay", "100.64.0.0/16").without_nat())
        .subnet(subnet("v", "vlan", "10.0.0.0/24").gateway("10.0.0.1").vlan(0))
}

fn with_underlay() -> View {
    world()
        .network(underlay("bgp", "BGP"))
        .network(underlay("vlan", "VLAN"))
        .subnet(subnet("a", "overlay", "100.64.0.0/16"))
        .subnet(subnet("b", "overlay", "fd00:64::/64"))
        .subnet(subnet("g", "bgp", "10.1.0.0/24"))
        .subnet(
            subnet("v", "vlan", "10.0.0.0/24")
                .gateway("10.0.0.1")
                .range("10.0.0.100", "10.0.0.200")
                .vlan(0),
        )
        .subnet(subnet("v6", "vlan", "fd00:10::/64").gateway("fd00:10::1").vlan(0))
        .own(instance("vlan-pod", "10.0.0.100/24"))
}

fn ipv6_vtep() -> View {
    let mut view = world()
        .subnet(subnet("a", "overlay", "100.64.0.0/16"))
        .subnet(subnet("b", "overlay", "fd00:64::/64"))
        .peer("node2", "fd00:1::2", 2)
        .peer("node3", "192.168.0.3", 3);
    view.settings.vtep_cidrs = vec!["fd00:1::/64".parse().unwrap()];
    view
}

/// Datapath scenario 25: a fresh node, one overlay subnet.
/// Datapath scenario 24: IPv6 is switched off.
#[test]
fn a_fresh_node_with_one_overlay_subnet() {
    insta::assert_snapshot!(plan(&single_stack()));
}

#[test]
fn a_dual_stack_node_with_pods() {
    insta::assert_snapshot!(plan(&dual_stack()));
}

/// Datapath scenario 33: an overlay without NAT.
#[test]
fn an_overlay_that_does_not_masquerade() {
    insta::assert_snapshot!(plan(&without_nat()));
}

/// Datapath scenario 32: underlay ranges in the overlay's table.
#[test]
fn an_overlay_beside_underlay_networks() {
    insta::assert_snapshot!(plan(&with_underlay()));
}

#[test]
fn a_tunnel_over_ipv6() {
    insta::assert_snapshot!(plan(&ipv6_vtep()));
}

#[test]
fn without_an_overlay_network_nothing_is_wanted_of_the_overlay() {
    let mut view = dual_stack();
    view.networks.clear();

    let plan = plan(&view);

    assert_eq!(
        (plan.vxlan, plan.tables.len(), plan.firewall.vxlan),
        (None, 0, None)
    );
    assert_eq!(plan.subnets.len(), 2, "their rules stay");
    assert_eq!(plan.pods.len(), 2, "host routes do not depend on the overlay");
}

// Subnets.

#[test]
fn when_the_overlay_network_is_deleted_nothing_leads_into_it_any_more() {
    let mut view = world().network(underlay("vlan", "VLAN"));
    view.networks
        .retain(|network| network.metadata.name.as_deref() == Some("vlan"));
    let emptied = BTreeMap::from([(Table::ToOverlay, TableRoutes::default())]);

    assert_eq!(plan(&view).tables, emptied);

    // Of one that cannot be read nobody knows whether it is an overlay, and no network at all may be a mistake.
    let mut unknown = view.clone().network(underlay("new", "Teleport"));
    assert_eq!(plan(&unknown).tables, BTreeMap::new());
    unknown.networks.clear();
    assert_eq!(plan(&unknown).tables, BTreeMap::new());
}

/// Datapath scenario 32: the gateway is thrown out.
#[test]
fn a_vlan_subnet_is_reached_through_the_overlay_but_for_its_gateway() {
    let view = world()
        .network(underlay("vlan", "VLAN"))
        .subnet(subnet("a", "overlay", "100.64.0.0/16"))
        .subnet(subnet("v", "vlan", "10.0.0.0/24").gateway("10.0.0.1").vlan(0));

    assert_eq!(
        routes(&plan(&view), &from("100.64.0.0/16")),
        ["10.0.0.0/24 dev eth0.vxlan4", "throw 10.0.0.1/32",]
    );
}

/// Datapath scenario 26: nothing excluded, or a gateway.
/// Datapath scenario 27: one range and a gateway.
/// Datapath scenario 28: two ranges that touch.
/// Datapath scenario 29: three ranges with holes.
/// Datapath scenario 30: three ranges and excluded addresses.
#[test]
fn excluded_blocks_are_those_of_the_worked_values() {
    let blocks = |subnets: &[hybridnet_api::Subnet]| {
        let mut view = world();
        view.subnets = subnets.iter().cloned().map(Arc::new).collect();
        let all = routes(&plan(&view), &Table::ToOverlay);
        let throws = all
            .iter()
            .filter_map(|route| route.strip_prefix("throw 192.168.3"));
        throws.map(ToOwned::to_owned).collect::<Vec<_>>().join(" ")
    };
    let part = |name| subnet(name, "overlay", "192.168.3.0/24");
    let row_27 = ".0/26 .64/27 .96/30 .201/32 .202/31 .204/30 .208/28 .224/27";

    assert_eq!(blocks(&[part("a")]), "");
    assert_eq!(blocks(&[part("a").gateway("192.168.3.1")]), ".1/32");
    let one = part("a")
        .gateway("192.168.3.1")
        .range("192.168.3.100", "192.168.3.200");
    assert_eq!(blocks(&[one]), row_27);
    let (low, high) = (part("a").range("192.168.3.100", "192.168.3.150"), part("b"));
    assert_eq!(
        blocks(&[low.clone(), high.clone().range("192.168.3.151", "192.168.3.200")]),
        row_27
    );
    let third = part("c").range("192.168.3.208", "192.168.3.223");
    assert_eq!(
        blocks(&[
            low.clone(),
            high.clone().range("192.168.3.152", "192.168.3.200"),
            third.clone()
        ]),
        ".0/26 .64/27 .96/30 .151/32 .201/32 .202/31 .204/30 .224/27"
    );
    let low = low
        .gateway("192.168.3.1")
        .excluding(&["192.168.3.50", "192.168.3.120", "192.168.3.121"]);
    let high = high
        .range("192.168.3.151", "192.168.3.200")
        .excluding(&["192.168.3.160"]);
    let third = third.excluding(&["192.168.3.207", "192.168.3.224"]);
    assert_eq!(
        blocks(&[low, high, third]),
        ".0/26 .64/27 .96/30 .120/31 .160/32 .201/32 .202/31 .204/30 .224/27"
    );
}

/// Datapath scenario 39: the subnet is deleted.
#[test]
fn a_subnet_that_is_gone_is_in_no_table() {
    // Its rule is in the kernel, and its range is not among the known ones any more.
    let mut view = dual_stack();
    view.subnets.remove(0);

    let plan = plan(&view);

    assert!(!plan.tables.contains_key(&from("100.64.0.0/16")));
    assert_eq!(
        plan.subnets,
        ["fd00:64::/64".parse::<IpNetwork>().unwrap()].into()
    );
    assert_eq!(routes(&plan, &Table::ToOverlay), ["fd00:64::/64 dev eth0.vxlan4"]);
}

#[test]
fn a_bad_subnet_costs_a_problem_and_nothing_else() {
    let view = world()
        .subnet(subnet("good", "overlay", "100.64.0.0/16"))
        .subnet(subnet("host-bits", "overlay", "100.65.0.1/16"))
        .subnet(subnet("lost", "gone", "100.66.0.0/16"))
        .subnet(subnet("outside", "overlay", "100.67.0.0/16").range("10.0.0.1", "10.0.0.9"))
        .subnet(subnet("text", "overlay", "nonsense"));

    let plan = plan(&view);

    let invalid = ["host-bits", "lost", "outside", "text"].map(|name| format!("Subnet {name}"));
    assert_eq!(
        problems(&plan),
        invalid.each_ref().map(|about| (about.as_str(), "InvalidSubnet"))
    );
    assert_eq!(
        routes(&plan, &Table::ToOverlay),
        ["100.64.0.0/16 dev eth0.vxlan4", "100.67.0.0/16 dev eth0.vxlan4",]
    );
    assert!(
        plan.subnets.contains(&"100.66.0.0/16".parse().unwrap()),
        "the rule of a lost subnet stays"
    );
}

#[test]
fn one_range_in_two_modes_belongs_to_the_first_by_name() {
    let view = world()
        .network(underlay("vlan", "VLAN"))
        .subnet(subnet("b", "vlan", "100.64.0.0/16"))
        .subnet(subnet("a", "overlay", "100.64.0.0/16"));

    let plan = plan(&view);

    assert!(plan.firewall.overlay.contains(&"100.64.0.0/16".parse().unwrap()));
    assert!(plan.firewall.underlay.is_empty());
    assert_eq!(
        problems(&plan),
        [
            ("Network vlan", "NotInThisRelease"),
            ("Subnet b", "InvalidSubnet")
        ]
    );
}

// Networks.

#[test]
fn an_underlay_network_of_this_node_is_refused_by_name_and_one_of_others_is_not_our_business() {
    let mut elsewhere = underlay("elsewhere", "BGP");
    elsewhere.status = None;
    let view = world().network(underlay("vlan", "VLAN")).network(elsewhere);

    let plan = plan(&view);

    assert_eq!(problems(&plan), [("Network vlan", "NotInThisRelease")]);
    assert!(plan.vxlan.is_some());
}

#[test]
fn an_overlay_without_an_identifier_is_a_problem() {
    for id in [0, -1, 1 << 24] {
        let mut view = dual_stack();
        view.networks = vec![Arc::new(overlay("overlay", id))];

        let plan = plan(&view);

        assert_eq!(problems(&plan), [("Network overlay", "InvalidNetID")]);
        assert_eq!(plan.vxlan, None);
    }
}

#[test]
fn of_two_overlays_the_first_by_name_counts() {
    let plan = plan(&world().network(overlay("a-new-one", 5)));

    assert_eq!(plan.vxlan.map(|vxlan| vxlan.vni), Some(5));
    assert_eq!(plan.problems.len(), 1);
}

// The tunnel's end.

#[test]
fn the_first_preferred_link_that_exists_carries_the_tunnel() {
    let mut view = world()
        .link("eth1", LinkKind::Other, 7)
        .address("eth1", "10.9.0.1/24");
    view.settings.prefer_vxlan = vec!["eth9".into(), "eth1".into(), "eth0".into()];
    view.machine.default_routes.clear();

    let vxlan = plan(&view).vxlan.unwrap();

    assert_eq!(
        (vxlan.name.as_str(), vxlan.local),
        ("eth1.vxlan4", "10.9.0.1".parse().unwrap())
    );
}

#[test]
fn preferred_links_that_do_not_exist_are_a_problem() {
    let mut view = world();
    view.settings.prefer_vxlan = vec!["eth8".into(), "eth9".into()];

    let plan = plan(&view);

    assert_eq!(problems(&plan), [("Node node1", "NoTunnelLink")]);
    assert!(
        plan.problems[0]
            .message
            .contains("--prefer-vxlan-interfaces=eth8,eth9"),
        "{plan}"
    );
}

/// Datapath scenario 50: `--vtep-address-cidrs` chooses.
#[test]
fn the_tunnels_address_is_from_the_allowed_ranges() {
    let mut view = world().address("eth0", "10.2.0.1/16");
    view.settings.vtep_cidrs = vec!["10.2.0.0/16".parse().unwrap()];
    assert_eq!(
        plan(&view).vxlan.unwrap().local,
        "10.2.0.1".parse::<IpAddr>().unwrap()
    );

    view.settings.vtep_cidrs = vec!["10.3.0.0/16".parse().unwrap()];
    let plan = plan(&view);
    assert_eq!(
        (plan.vxlan.as_ref(), problems(&plan)),
        (None, vec![("Node node1", "NoTunnelAddress")])
    );
}

#[test]
fn a_virtual_address_that_comes_first_does_not_move_the_tunnel() {
    let mut view = world();
    view.machine
        .addresses
        .insert(0, crate::testing::address("eth0", "192.168.0.100/32"));
    view.node_addresses.clear();
    view.node_infos = vec![Arc::new(node_info("node1", "192.168.0.1", 1))];
    assert_eq!(
        plan(&view).vxlan.unwrap().local,
        "192.168.0.1".parse::<IpAddr>().unwrap(),
        "it is published"
    );

    view.node_infos.clear();
    view.node_addresses = vec!["192.168.0.1".parse().unwrap()];
    assert_eq!(
        plan(&view).vxlan.unwrap().local,
        "192.168.0.1".parse::<IpAddr>().unwrap(),
        "it is the node's"
    );

    view.node_addresses.clear();
    assert_eq!(
        plan(&view).vxlan.unwrap().local,
        "192.168.0.100".parse::<IpAddr>().unwrap(),
        "it is the first"
    );
}

#[test]
fn an_address_that_is_gone_is_not_kept_although_it_is_published() {
    let mut view = world();
    view.node_infos = vec![Arc::new(node_info("node1", "192.168.0.77", 1))];

    assert_eq!(
        plan(&view).vxlan.unwrap().local,
        "192.168.0.1".parse::<IpAddr>().unwrap()
    );
}

#[test]
fn without_a_default_route_the_link_of_the_published_address_carries_the_tunnel() {
    let mut view = world();
    view.machine.default_routes.clear();
    assert_eq!(problems(&plan(&view)), [("Node node1", "NoTunnelLink")]);

    view.node_infos = vec![Arc::new(node_info("node1", "192.168.0.1", 1))];
    assert_eq!(plan(&view).vxlan.unwrap().name, VX);
}

#[test]
fn a_tunnel_that_cannot_be_planned_for_a_moment_keeps_its_routes_and_rules() {
    let view = dual_stack().link(VX, LinkKind::Vxlan, 1);
    let mut lost = view.clone();
    lost.machine.default_routes.clear();

    let (before, after) = (plan(&view), plan(&lost));

    assert_eq!(after.vxlan, None);
    assert_eq!(after.tables, before.tables);
    assert_eq!(after.firewall.vxlan, before.firewall.vxlan);
    assert_eq!(after.proxy_neighbours, before.proxy_neighbours);
}

#[test]
fn the_nodes_addresses_are_those_of_its_node_object_and_of_the_extra_ranges_once_each() {
    let mut view = world()
        .link("eth1", LinkKind::Other, 7)
        .link("docker0", LinkKind::Other, 8)
        .link(VX, LinkKind::Vxlan, 1)
        .address("eth1", "10.9.0.1/24")
        .address("eth1", "172.16.0.1/12")
        .address("eth1", "192.168.0.1/32")
        .address("docker0", "10.9.0.2/24")
        .address(VX, "10.9.0.3/24");
    view.settings.extra_local_cidrs = vec!["10.9.0.0/16".parse().unwrap()];

    let addresses: Vec<_> = plan(&view)
        .vxlan
        .unwrap()
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();

    assert_eq!(addresses, ["10.9.0.1/24", "192.168.0.1/24", "fd00:1::1/64"]);
}

#[test]
fn a_pod_of_the_overlay_leaves_by_the_tunnel_and_is_answered_for_there() {
    let plan = plan(&dual_stack());

    let path = plan.path_of("fd00:64::5/64".parse().unwrap()).unwrap();

    assert_eq!(
        path.to_string(),
        format!("VXLAN dev {VX} mtu 1450, answered for on {VX}")
    );
    assert_eq!(plan.path_of("10.9.0.5/24".parse().unwrap()), None);
}

#[test]
fn what_a_link_was_lent_of_a_pods_is_no_address_of_the_node() {
    let mut view = world().address("eth0", "10.9.0.5/24");
    view.settings.extra_local_cidrs = vec!["10.9.0.0/16".parse().unwrap()];
    let lent = view.machine.addresses.last_mut().unwrap();
    (lent.global_scope, lent.no_prefix_route) = (false, true);

    let addresses = plan(&view).vxlan.unwrap().addresses;

    assert!(!addresses.contains(&"10.9.0.5/24".parse().unwrap()));
}

#[test]
fn long_names_of_links_are_cut_and_stay_recognisable() {
    let mut view = world()
        .link("enp175s0f0np0", LinkKind::Other, 7)
        .address("enp175s0f0np0", "10.9.0.1/24");
    view.settings.prefer_vxlan = vec!["enp175s0f0np0".into()];

    assert_eq!(plan(&view).vxlan.unwrap().name, "enp175s0.vxlan4");
}

#[test]
fn what_fits_into_the_tunnel_depends_on_the_outer_family() {
    assert_eq!(plan(&dual_stack()).vxlan.unwrap().mtu, 1450);
    assert_eq!(plan(&ipv6_vtep()).vxlan.unwrap().mtu, 1430);
}

#[test]
fn cloned_machines_are_reported_and_half_published_ones_passed_over() {
    let mut half = node_info("node5", "192.168.0.5", 5);
    half.spec.vtep_info.as_mut().unwrap().mac.clear();
    let mut view = world()
        .peer("node3", "192.168.0.3", 3)
        .peer("node2", "192.168.0.2", 3)
        .peer("node4", "192.168.0.4", 1);
    view.node_infos.push(Arc::new(half));

    let plan = plan(&view);

    assert_eq!(
        problems(&plan),
        [
            ("NodeInfo node3", "DuplicateMAC"),
            ("NodeInfo node4", "DuplicateMAC")
        ]
    );
    let peers = plan.vxlan.unwrap().peers;
    assert_eq!(
        peers.into_values().map(|ip| ip.to_string()).collect::<Vec<_>>(),
        ["192.168.0.2"]
    );
}

// Pods.

#[test]
fn reserved_addresses_and_those_of_other_nodes_are_not_answered_for() {
    let mut reserved = instance("web-0", "100.64.0.5/16");
    reserved.spec.binding = None;
    let mut moved = instance("web-1", "100.64.0.6/16");
    moved.spec.binding.as_mut().unwrap().node_name = "node2".into();
    let view = world()
        .own(reserved)
        .own(moved)
        .own(instance("web-2", "100.64.0.7/16"));

    assert_eq!(proxied(&plan(&view)), ["100.64.0.7"]);
}

#[test]
fn an_address_on_its_way_out_is_served_while_its_pod_is_there() {
    let view = world().own(terminating(instance("web-0", "100.64.0.5/16")));
    assert!(proxied(&plan(&view)).is_empty());

    // Row 1: this is the link of web-0 in default.
    let running = view.link("hybr0d7763386da", LinkKind::Veth, 9);
    let plan = plan(&running);
    assert_eq!(proxied(&plan), ["100.64.0.5"]);
    assert!(plan.pods.contains_key("hybr0d7763386da"));
    assert!(plan.firewall.local_pods.contains(&"100.64.0.5".parse().unwrap()));
}

#[test]
fn a_successor_of_the_same_name_ends_the_old_address() {
    let view = world()
        .link("hybr0d7763386da", LinkKind::Veth, 9)
        .own(terminating(instance("web-0", "100.64.0.5/16")))
        .own(instance("web-0", "100.64.0.6/16"));

    assert_eq!(proxied(&plan(&view)), ["100.64.0.6"]);
}

#[test]
fn underlay_pods_are_answered_for_on_the_tunnel_too() {
    assert_eq!(proxied(&plan(&with_underlay())), ["10.0.0.100"]);
}

// Sysctls.

/// Datapath scenario 23: the default route is an advertised one.
#[test]
fn a_default_route_by_advertisement_survives_forwarding() {
    let plan = plan(&dual_stack());

    assert_eq!(
        plan.sysctls.get("net/ipv6/conf/eth0/accept_ra"),
        Some(&Sysctl::Exactly("2".into()))
    );
}

/// Datapath scenario 24: the kernel has no IPv6.
#[test]
fn without_ipv6_nothing_of_it_is_wanted() {
    let mut view = dual_stack();
    view.machine.ipv6_usable = false;

    let plan = plan(&view);

    assert!(plan.sysctls.keys().all(|path| !path.contains("ipv6")));
    assert!(
        plan.tables
            .values()
            .flat_map(|table| &table.routes)
            .all(|route| route.destination.is_ipv4())
    );
    assert!(
        plan.pods
            .values()
            .flat_map(|end| &end.addresses)
            .all(IpAddr::is_ipv4)
    );
    assert!(plan.vxlan.unwrap().addresses.iter().all(IpNetwork::is_ipv4));
}

#[test]
fn neighbour_thresholds_are_only_raised() {
    let plan = plan(&dual_stack());

    assert_eq!(
        plan.sysctls.get("net/ipv4/neigh/default/gc_thresh3"),
        Some(&Sysctl::AtLeast(4096))
    );
}

fn any_view() -> impl Strategy<Value = View> {
    let cidrs = prop::sample::subsequence(
        vec![
            "100.64.0.0/16",
            "100.65.0.0/16",
            "fd00:64::/64",
            "10.0.0.0/24",
            "10.0.1.0/24",
            "bad",
        ],
        0..=6,
    );
    let networks = prop::collection::vec(prop::sample::select(vec!["overlay", "vlan", "bgp", "gone"]), 6);
    let peers = prop::collection::vec((1..6_u8, 1..5_u8), 0..5);
    let pods = prop::collection::btree_set((0..4_u8, 2..9_u8, any::<bool>()), 0..6);
    (cidrs, networks, peers, pods, any::<bool>(), any::<bool>()).prop_map(
        |(cidrs, networks, peers, pods, ipv6, default_route)| {
            let mut view = world()
                .network(underlay("vlan", "VLAN"))
                .network(underlay("bgp", "BGP"));
            view.machine.ipv6_usable = ipv6;
            if !default_route {
                view.machine.default_routes.clear();
            }
            for (number, (cidr, network)) in cidrs.into_iter().zip(networks).enumerate() {
                view = view.subnet(subnet(&format!("s{number}"), network, cidr));
            }
            for (number, (mac, ip)) in peers.into_iter().enumerate() {
                view = view.peer(&format!("node{number}"), &format!("192.168.0.{ip}"), mac);
            }
            for (pod, ip, dying) in pods {
                let pod = instance(&format!("web-{pod}"), &format!("100.64.0.{ip}/16"));
                view = view.own(if dying { terminating(pod) } else { pod });
            }
            view.link("hybr0d7763386da", LinkKind::Veth, 9)
        },
    )
}

proptest! {
    #[test]
    fn the_order_of_objects_does_not_matter(
        (view, shuffled) in any_view().prop_flat_map(|view| {
            let orders = (
                Just(view.networks.clone()).prop_shuffle(),
                Just(view.subnets.clone()).prop_shuffle(),
                Just(view.node_infos.clone()).prop_shuffle(),
                Just(view.own.clone()).prop_shuffle(),
            );
            (Just(view), orders)
        }),
    ) {
        let mut other = view.clone();
        (other.networks, other.subnets, other.node_infos, other.own) = shuffled;

        prop_assert_eq!(plan(&view), plan(&other));
    }

    #[test]
    fn every_route_of_a_table_is_of_its_family_and_each_range_has_one(view in any_view()) {
        let plan = plan(&view);

        for (table, content) in &plan.tables {
            let mut seen = BTreeSet::new();
            for route in &content.routes {
                prop_assert!(seen.insert(route.destination), "{} twice in {}", route.destination, table);
                if let Table::FromSubnet(cidr) = table {
                    prop_assert_eq!(cidr.is_ipv4(), route.destination.is_ipv4());
                    prop_assert!(plan.subnets.contains(cidr));
                }
            }
        }
    }
}
