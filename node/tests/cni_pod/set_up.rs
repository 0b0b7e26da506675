//! What a pod and its host have after an ADD (datapath spec 11, rows 1 to 4, 22).

use serde_json::{Value, json};

use crate::world::{LINK, MAC, Space, add, dual_stack, endpoint, host, is_clean, on, web};
use hybridnet_node::pod::{PodNetwork, Sandbox};

#[test]
fn a_pod_and_its_host_reach_each_other_in_both_families() {
    let (host, pod) = (host(), Space::new("pod"));

    add(&host, &web(&pod, "c1"), &dual_stack()).unwrap();

    for ip in ["10.14.0.5", "fd00::5"] {
        pod.answers_to(&host, ip);
    }
    for ip in ["192.168.0.1", "fd00:1::1"] {
        host.answers_to(&pod, ip);
    }
}

#[test]
fn the_pods_side_is_exactly_this() {
    let (host, pod) = (host(), Space::new("pod"));

    add(&host, &web(&pod, "c1"), &dual_stack()).unwrap();

    let link = pod.link("eth0").unwrap();
    assert_eq!(
        (&link["address"], &link["mtu"], &link["operstate"]),
        (&json!(MAC), &json!(1450), &json!("UP"))
    );
    let addresses = pod.list("addr show dev eth0")[0]["addr_info"]
        .as_array()
        .unwrap()
        .clone();
    let global: Vec<_> = addresses
        .iter()
        .filter(|address| address["scope"] == "global")
        .map(|address| {
            (
                address["local"].clone(),
                address["prefixlen"].clone(),
                address["noprefixroute"].clone(),
            )
        })
        .collect();
    let expected =
        [("10.14.0.5", 16), ("fd00::5", 64)].map(|(ip, length)| (json!(ip), json!(length), json!(true)));
    assert_eq!(global, expected);
    assert_eq!(
        routes(&pod, "-4"),
        [
            ("default", json!("169.254.1.1"), json!(null)),
            ("169.254.1.1", json!(null), json!("link"))
        ]
        .map(|(to, via, scope)| json!([to, via, scope]))
    );
    let link_local = json!(["fe80::/64", null, null]);
    let default = json!(["default", "fe80::ecee:eeff:feee:eeee", null]);
    assert_eq!(routes(&pod, "-6"), [default, link_local]);
    assert_eq!(pod.sysctl("net/ipv6/conf/eth0/accept_dad"), "0");
    assert_eq!(pod.sysctl("net/ipv6/conf/eth0/accept_ra"), "0");
}

/// Destination, gateway and scope of all routes of the main table, sorted.
fn routes(space: &Space, family: &str) -> Vec<Value> {
    let mut routes: Vec<_> = space
        .list(&format!("{family} route show table main"))
        .iter()
        .map(|route| {
            let scope = route["scope"].as_str().filter(|scope| *scope != "global");
            json!([route["dst"], route["gateway"], scope])
        })
        .collect();
    routes.sort_by_key(|route| (route[1].is_null(), route.to_string()));
    routes
}

#[test]
fn the_hosts_side_is_exactly_this() {
    let (host, pod) = (host(), Space::new("pod"));

    add(&host, &web(&pod, "c1"), &dual_stack()).unwrap();

    let link = host.link(LINK).unwrap();
    assert_eq!(
        (&link["address"], &link["mtu"]),
        (&json!("ee:ee:ee:ee:ee:ee"), &json!(1450))
    );
    assert_eq!(
        (&link["operstate"], &link["ifalias"]),
        (&json!("UP"), &json!("default/web-0 c1"))
    );
    for (family, ip) in [("-4", "10.14.0.5"), ("-6", "fd00::5")] {
        let routes = host.table(family, "39999");
        assert_eq!(routes.len(), 1, "{routes:?}");
        assert_eq!((&routes[0]["dst"], &routes[0]["dev"]), (&json!(ip), &json!(LINK)));
    }
    let proxies = |link: &str| {
        let list = host.list(&format!("neigh show proxy dev {link}"));
        list.iter()
            .map(|entry| entry["dst"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(proxies(LINK), ["fe80::ecee:eeff:feee:eeee"]);
    assert_eq!(proxies("eth0.vxlan4"), ["10.14.0.5", "fd00::5"]);
    for (path, value) in [
        ("ipv4/conf/{}/proxy_arp", "1"),
        ("ipv4/conf/{}/forwarding", "1"),
        ("ipv4/neigh/{}/proxy_delay", "0"),
        ("ipv6/conf/{}/proxy_ndp", "1"),
        ("ipv6/conf/{}/forwarding", "1"),
        ("ipv6/conf/{}/accept_ra", "0"),
    ] {
        assert_eq!(
            host.sysctl(&format!("net/{}", path.replace("{}", LINK))),
            value,
            "{path}"
        );
    }
}

#[test]
fn one_family_is_enough() {
    for (address, own, host_ip) in [
        ("10.14.0.5/16", "10.14.0.5", "192.168.0.1"),
        ("fd00::5/64", "fd00::5", "fd00:1::1"),
    ] {
        let (host, pod) = (host(), Space::new("pod"));

        add(&host, &web(&pod, "c1"), &endpoint(&[address])).unwrap();

        pod.answers_to(&host, own);
        host.answers_to(&pod, host_ip);
    }
}

#[test]
fn a_pod_whose_namespace_has_ipv6_switched_off_gets_it() {
    let (host, pod) = (host(), Space::new("pod"));
    pod.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");

    add(&host, &web(&pod, "c1"), &dual_stack()).unwrap();

    pod.answers_to(&host, "fd00::5");
    assert_eq!(pod.sysctl("net/ipv6/conf/lo/disable_ipv6"), "0");
}

#[test]
fn a_node_without_a_default_route_answers_for_the_gateway() {
    let (host, pod) = (host(), Space::new("pod"));
    host.ip("route del default");

    for _ in 0..2 {
        add(&host, &web(&pod, "c1"), &dual_stack()).unwrap();
    }

    host.answers_to(&pod, "192.168.0.1");
    let routes = host.list("route show table main 169.254.1.1");
    assert_eq!(routes.len(), 1, "{routes:?}");
    assert_eq!(
        (&routes[0]["dev"], &routes[0]["scope"]),
        (&json!("lo"), &json!("link"))
    );
}

#[test]
fn a_router_advertisement_does_not_reach_the_pods_configuration() {
    let (host, pod) = (host(), Space::new("pod"));

    add(&host, &web(&pod, "c1"), &endpoint(&["10.14.0.5/16"])).unwrap();

    assert_eq!(
        pod.sysctl("net/ipv6/conf/eth0/accept_ra"),
        "0",
        "of a pod without IPv6 as well"
    );
}

#[test]
fn twenty_pods_at_once_do_not_disturb_each_other() {
    let host = host();
    let spaces: Vec<_> = (0..20).map(|_| Space::new("pod")).collect();
    let pods: Vec<_> = spaces
        .iter()
        .enumerate()
        .map(|(number, space)| {
            let sandbox = Sandbox {
                name: format!("many-{number}"),
                host_link: format!("hybr{number:011x}"),
                ..web(space, "c1")
            };
            (
                sandbox,
                endpoint(&[
                    &format!("10.14.1.{}/16", number + 1),
                    &format!("fd00::1:{}/64", number + 1),
                ]),
            )
        })
        .collect();

    let begin = std::time::Instant::now();
    let pods = &pods;
    let failures = on(&host, |network| async move {
        let network = &network;
        let all = pods
            .iter()
            .map(|(sandbox, endpoint)| network.set_up(sandbox, endpoint));
        let outcomes = futures::future::join_all(all).await;
        outcomes
            .into_iter()
            .filter_map(|outcome| outcome.err().map(|error| error.to_string()))
            .collect::<Vec<_>>()
    });
    println!("20 pods, dual stack, pinged: {:?}", begin.elapsed());

    assert_eq!(failures, Vec::<String>::new());
    on(&host, |network| async move {
        for (sandbox, _) in pods {
            network.take_down(sandbox).await.unwrap();
        }
    });
    assert!(is_clean(&host));
}
