//! Plans for VLANs. Rows are those of the datapath spec, section 11.

use hybridnet_api::Network;

use crate::plan::{Plan, Table, plan};
use crate::testing::{SubnetExt, instance_of, subnet, terminating, underlay, world};
use crate::view::{LinkKind, Tag, View};

/// Node 1, in the VLAN network `vlan` whose subnets say their identifiers.
fn vlan() -> View {
    world().network(underlay("vlan", "VLAN"))
}

/// The network, without this node.
fn left() -> Network {
    let mut network = underlay("vlan", "VLAN");
    network.status.as_mut().unwrap().node_list = vec!["node2".into()];
    network
}

fn tagged(view: View, name: &str, id: u16) -> View {
    let parent = view.machine.link("eth0").unwrap().index;
    view.link(name, LinkKind::Vlan(Tag { id, parent }), 1)
}

fn from(cidr: &str) -> Table {
    Table::FromSubnet(cidr.parse().unwrap())
}

fn routes(plan: &Plan, cidr: &str) -> Option<Vec<String>> {
    let table = plan.tables.get(&from(cidr))?;
    Some(table.routes.iter().map(ToString::to_string).collect())
}

/// Those of underlay networks.
fn troubles(plan: &Plan) -> Vec<(&str, &str)> {
    plan.problems
        .iter()
        .filter(|problem| problem.reason != "NotInThisRelease")
        .map(|problem| (problem.about.as_str(), problem.reason))
        .collect()
}

fn segments(plan: &Plan) -> Vec<String> {
    let line = |(name, segment)| format!("{name}{segment}");
    plan.segments.iter().map(line).collect()
}

fn proxied(plan: &Plan, link: &str) -> Vec<String> {
    let all = plan.proxy_neighbours.get(link).into_iter().flatten();
    all.map(ToString::to_string).collect()
}

fn v(cidr: &str, gateway: &str, id: i32) -> hybridnet_api::Subnet {
    subnet("v", "vlan", cidr).gateway(gateway).vlan(id)
}

/// Datapath scenario 34: a tagged subnet of this node.
#[test]
fn a_tagged_subnet_has_its_link_and_its_table() {
    let plan = plan(&vlan().subnet(v("10.0.0.0/24", "10.0.0.1", 100)));

    assert_eq!(segments(&plan), ["eth0", "eth0.100 type vlan id 100 dev eth0"]);
    assert_eq!(
        routes(&plan, "10.0.0.0/24").unwrap(),
        [
            "0.0.0.0/0 via 10.0.0.1 dev eth0.100",
            "10.0.0.0/24 dev eth0.100 scope link"
        ]
    );
    let path = plan.path_of("10.0.0.5/24".parse().unwrap()).unwrap();
    assert_eq!(
        path.to_string(),
        "VLAN dev eth0.100 mtu 1500 via 10.0.0.1, answered for on eth0.100 eth0.vxlan4"
    );
    assert_eq!(troubles(&plan), []);
}

/// Datapath scenario 35: the same subnet, another node.
#[test]
fn a_subnet_of_other_nodes_is_only_reached_through_the_tunnel() {
    let view = world()
        .network(left())
        .subnet(subnet("a", "overlay", "100.64.0.0/16"))
        .subnet(v("10.0.0.0/24", "10.0.0.1", 100));

    let plan = plan(&view);

    assert_eq!(segments(&plan), ["eth0"], "where leftovers are looked for");
    assert_eq!(routes(&plan, "10.0.0.0/24"), None);
    assert!(
        !plan.subnets.contains(&"10.0.0.0/24".parse().unwrap()),
        "a rule of the past goes"
    );
    assert_eq!(
        routes(&plan, "100.64.0.0/16").unwrap(),
        ["10.0.0.0/24 dev eth0.vxlan4", "throw 10.0.0.1/32"]
    );
    assert!(plan.firewall.local_underlay.is_empty());
    assert_eq!(plan.path_of("10.0.0.5/24".parse().unwrap()), None);
}

#[test]
fn a_node_that_left_the_network_keeps_its_pods_and_gets_no_new_ones() {
    let subnet = v("10.0.0.0/24", "10.0.0.1", 0);
    let view = world()
        .network(left())
        .subnet(subnet)
        .own(instance_of("vlan", "web-0", "10.0.0.5/24"));

    let plan = plan(&view);

    assert!(routes(&plan, "10.0.0.0/24").is_some());
    assert_eq!(proxied(&plan, "eth0"), ["10.0.0.5"]);
    assert!(plan.firewall.local_underlay.contains_key("eth0"));
    assert_eq!(plan.path_of("10.0.0.6/24".parse().unwrap()), None);
}

#[test]
fn untagged_and_tagged_subnets_of_both_families_stand_side_by_side() {
    let view = vlan()
        .subnet(v("10.0.0.0/24", "10.0.0.1", 0))
        .subnet(subnet("w", "vlan", "10.0.7.0/24").gateway("10.0.7.1").vlan(7))
        .subnet(subnet("w6", "vlan", "fd00:7::/64").gateway("fd00:7::1").vlan(7))
        .own(instance_of("vlan", "web-0", "10.0.0.5/24"))
        .own(instance_of("vlan", "web-1", "10.0.7.5/24"))
        .own(instance_of("vlan", "web-1", "fd00:7::5/64"));

    let plan = plan(&tagged(view, "eth0.7", 7));

    insta::assert_snapshot!(plan);
}

#[test]
fn an_identifier_of_the_network_counts_where_the_subnet_has_none() {
    let mut network = underlay("vlan", "VLAN");
    network.spec.net_id = Some(9);
    let mut own = v("10.0.0.0/24", "10.0.0.1", 0);
    own.spec.net_id = None;

    let plan = plan(&world().network(network).subnet(own));

    assert_eq!(segments(&plan), ["eth0", "eth0.9 type vlan id 9 dev eth0"]);
}

#[test]
fn an_identifier_that_no_frame_has_costs_its_subnet_and_no_other() {
    for id in [-1, 4095, 70_000] {
        let view = vlan()
            .subnet(v("10.0.0.0/24", "10.0.0.1", id))
            .subnet(subnet("w", "vlan", "10.0.7.0/24").gateway("10.0.7.1").vlan(0));

        let plan = plan(&view);

        assert_eq!(troubles(&plan), [("Subnet v (10.0.0.0/24)", "InvalidNetID")]);
        assert_eq!(routes(&plan, "10.0.0.0/24"), None);
        assert!(routes(&plan, "10.0.7.0/24").is_some());
        assert!(
            plan.subnets.contains(&"10.0.0.0/24".parse().unwrap()),
            "what the kernel has of it stays"
        );
    }
}

/// Datapath scenario 37: a gateway outside of the CIDR.
#[test]
fn a_gateway_outside_of_its_subnet_or_none_at_all_is_refused() {
    let outside = plan(&vlan().subnet(v("10.0.0.0/24", "10.0.1.1", 0)));
    let other_family = plan(&vlan().subnet(v("10.0.0.0/24", "fd00::1", 0)));
    let none = plan(&vlan().subnet(v("10.0.0.0/24", "", 0)));

    for plan in [&outside, &other_family, &none] {
        assert_eq!(troubles(plan), [("Subnet v (10.0.0.0/24)", "InvalidGateway")]);
        assert_eq!(routes(plan, "10.0.0.0/24"), None);
    }
    assert!(
        outside
            .problems
            .iter()
            .any(|problem| problem.message.contains("is not inside the vlan subnet cidr"))
    );
}

/// Datapath scenario 36: the node's own default route has another gateway.
#[test]
fn a_subnet_of_the_nodes_own_range_must_have_the_nodes_gateway() {
    let view = vlan()
        .subnet(v("192.168.0.0/24", "192.168.0.1", 0))
        .subnet(subnet("w", "vlan", "10.0.7.0/24").gateway("10.0.7.1").vlan(0))
        .direct_route("eth0", "192.168.0.0/24", Some("192.168.0.1"));

    let plan = plan(&view);

    assert_eq!(troubles(&plan), [("Subnet v (192.168.0.0/24)", "OtherGateway")]);
    let message = &plan.problems.last().unwrap().message;
    assert!(
        message.contains("has a different gateway 192.168.0.254"),
        "{message}"
    );
    assert!(routes(&plan, "10.0.7.0/24").is_some(), "the others are carried");
}

#[test]
fn a_subnet_of_the_nodes_own_range_takes_the_source_of_its_direct_route() {
    let local = || vlan().subnet(v("192.168.0.0/24", "192.168.0.254", 0));

    let missing = plan(&local());
    assert_eq!(
        troubles(&missing),
        [("Subnet v (192.168.0.0/24)", "NoDirectRoute")]
    );
    assert_eq!(routes(&missing, "192.168.0.0/24"), None);

    let present = plan(&local().direct_route("eth0", "192.168.0.0/24", Some("192.168.0.1")));
    assert_eq!(
        routes(&present, "192.168.0.0/24").unwrap()[1],
        "192.168.0.0/24 dev eth0 scope link src 192.168.0.1"
    );

    // An address without a prefix route makes no local subnet.
    let mut without_route = local();
    for address in &mut without_route.machine.addresses {
        address.no_prefix_route = true;
    }
    assert_eq!(
        routes(&plan(&without_route), "192.168.0.0/24").unwrap()[1],
        "192.168.0.0/24 dev eth0 scope link"
    );
}

#[test]
fn a_router_that_is_known_by_its_link_local_address_may_be_the_gateway() {
    let view = vlan()
        .subnet(v("fd00:1::/64", "fd00:1::fe", 0))
        .direct_route("eth0", "fd00:1::/64", None);

    let plan = plan(&view);

    assert_eq!(troubles(&plan), []);
    assert!(routes(&plan, "fd00:1::/64").is_some());
}

#[test]
fn a_link_of_the_name_that_is_another_vlan_or_none_is_not_used() {
    let view = || vlan().subnet(v("10.0.0.0/24", "10.0.0.1", 100));
    let other_parent = LinkKind::Vlan(Tag { id: 100, parent: 99 });

    for taken in [
        tagged(view(), "eth0.100", 101),
        view().link("eth0.100", LinkKind::Other, 5),
        view().link("eth0.100", other_parent, 5),
        // And the VLAN itself may have a link already.
        tagged(view(), "storage", 100),
    ] {
        let plan = plan(&taken);

        assert_eq!(troubles(&plan), [("Subnet v (10.0.0.0/24)", "LinkTaken")]);
        assert!(plan.segments.values().all(|segment| segment.vlan.is_none()));
        assert_eq!(routes(&plan, "10.0.0.0/24"), None);
    }
}

#[test]
fn the_name_of_a_long_parent_is_cut() {
    let mut view =
        vlan()
            .link("enp175s0f0np0", LinkKind::Other, 7)
            .subnet(v("10.0.0.0/24", "10.0.0.1", 4094));
    view.settings.prefer_vlan = vec!["none".into(), "enp175s0f0np0".into()];

    assert_eq!(
        segments(&plan(&view)),
        [
            "enp175s0f0.4094 type vlan id 4094 dev enp175s0f0np0",
            "enp175s0f0np0"
        ]
    );
}

#[test]
fn without_a_link_for_underlay_networks_there_is_one_problem_and_nothing_goes() {
    let mut view = vlan().subnet(v("10.0.0.0/24", "10.0.0.1", 0));
    view.settings.prefer_vlan = vec!["eth9".into()];

    let plan = plan(&view);

    assert_eq!(troubles(&plan), [("Node node1", "NoUnderlayLink")]);
    assert!(plan.segments.is_empty());
    assert!(plan.subnets.contains(&"10.0.0.0/24".parse().unwrap()));
}

#[test]
fn subnets_of_one_range_are_one_and_must_agree_on_the_vlan() {
    let half = |name, start, end| {
        subnet(name, "vlan", "10.0.0.0/24")
            .gateway("10.0.0.1")
            .range(start, end)
            .vlan(7)
    };
    let view = vlan()
        .subnet(half("a", "10.0.0.10", "10.0.0.19"))
        .subnet(half("b", "10.0.0.20", "10.0.0.29"))
        .subnet(half("c", "10.0.0.30", "10.0.0.39").vlan(8));

    let plan = plan(&view);

    assert_eq!(troubles(&plan), [("Subnet c", "InvalidSubnet")]);
    assert!(plan.segments.contains_key("eth0.7") && !plan.segments.contains_key("eth0.8"));
    let pods = plan.pod_ranges.first().unwrap();
    let may = |ip: &str| pods.contains(ip.parse().unwrap());
    assert_eq!(
        ["10.0.0.1", "10.0.0.10", "10.0.0.29", "10.0.0.30"].map(may),
        [false, true, true, false]
    );
}

#[test]
fn pods_are_answered_for_on_their_segment_and_on_the_tunnel_as_long_as_they_are_there() {
    let view = |pod| {
        vlan()
            .subnet(v("10.0.0.0/24", "10.0.0.1", 7))
            .own(pod)
            .link("hybr0d7763386da", LinkKind::Veth, 9)
    };
    let pod = instance_of("vlan", "web-0", "10.0.0.5/24");

    for served in [pod.clone(), terminating(pod.clone())] {
        let plan = plan(&view(served));
        assert_eq!(proxied(&plan, "eth0.7"), ["10.0.0.5"]);
        assert_eq!(proxied(&plan, "eth0.vxlan4"), ["10.0.0.5"]);
        assert_eq!(
            plan.segments["eth0.7"].to_string(),
            " type vlan id 7 dev eth0 lent one of 10.0.0.0/24: 10.0.0.5"
        );
    }
    let mut gone = view(terminating(pod));
    gone.machine.links.retain(|link| link.kind != LinkKind::Veth);
    assert!(proxied(&plan(&gone), "eth0.7").is_empty());
}

#[test]
fn a_pod_whose_subnet_is_gone_is_answered_for_where_its_address_says() {
    let mut pod = instance_of("vlan", "web-0", "10.0.0.5/24");
    pod.spec.address.net_id = Some(0);
    let view = vlan().subnet(v("10.9.0.0/24", "10.9.0.1", 7)).own(pod);

    assert_eq!(proxied(&plan(&view), "eth0"), ["10.0.0.5"]);
}

#[test]
fn nothing_is_lent_when_that_is_switched_off() {
    let mut view =
        vlan()
            .subnet(v("10.0.0.0/24", "10.0.0.1", 0))
            .own(instance_of("vlan", "web-0", "10.0.0.5/24"));
    view.settings.lend_addresses = false;

    assert_eq!(segments(&plan(&view)), ["eth0"]);
}

/// Datapath scenario 64: the guard knows the links and ranges of this node.
#[test]
fn each_link_is_guarded_for_all_ranges_of_this_node() {
    let view = vlan()
        .subnet(v("10.0.0.0/24", "10.0.1.1", 0))
        .subnet(subnet("w", "vlan", "10.0.7.0/24").gateway("10.0.7.1").vlan(7))
        .network({
            let mut elsewhere = underlay("elsewhere", "VLAN");
            elsewhere.status = None;
            elsewhere
        })
        .subnet(
            subnet("e", "elsewhere", "10.0.8.0/24")
                .gateway("10.0.8.1")
                .vlan(8),
        );

    let guarded = plan(&view).firewall.local_underlay;

    let both = ["10.0.0.0/24", "10.0.7.0/24"].map(|range| range.parse().unwrap());
    assert_eq!(
        guarded,
        [
            ("eth0".to_owned(), both.into()),
            ("eth0.7".to_owned(), both.into())
        ]
        .into(),
        "also that which cannot be carried: it may have pods"
    );
}
