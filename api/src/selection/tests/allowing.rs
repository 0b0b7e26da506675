//! Networks and subnets that are for some namespaces only. All pods of these tests are in namespace `d`.

use super::*;

fn for_namespaces(mut cluster: Cluster, names: &[&str]) -> Cluster {
    let list = json!({"allowedNamespaces": names});
    for network in &mut cluster.networks {
        Arc::make_mut(network).spec.config = serde_json::from_value(list.clone()).ok();
    }
    cluster
}

fn with_subnets_for(mut cluster: Cluster, names: &[&str]) -> Cluster {
    let list = json!({"allowedNamespaces": names});
    for subnet in &mut cluster.subnets {
        Arc::make_mut(subnet).spec.config = serde_json::from_value(list.clone()).ok();
    }
    cluster
}

#[test]
fn a_network_of_other_namespaces_cannot_be_named() {
    let pod = meta("p", keys(&[("specified-network", "over")]));
    assert_eq!(
        chosen(&pod, &for_namespaces(cluster(), &["team-a", "team-b"])).unwrap_err(),
        "networking.alibaba.com/specified-network: network \"over\" gives no addresses to namespace \"d\": name another \
         one, or add the namespace to its spec.config.allowedNamespaces"
    );
    assert!(chosen(&pod, &for_namespaces(cluster(), &["team-a", "d"])).is_ok());
    assert!(chosen(&pod, &for_namespaces(cluster(), &[])).is_ok());
    // Nor by the namespace itself, nor by one of its subnets.
    let by_namespace = cluster().namespace_with(keys(&[("specified-network", "over")]));
    assert!(chosen(&meta("p", json!({})), &for_namespaces(by_namespace, &["team-a"])).is_err());
    let by_subnet = meta("p", keys(&[("specified-subnet", "o4")]));
    let text = chosen(&by_subnet, &for_namespaces(cluster(), &["team-a"])).unwrap_err();
    assert!(text.contains("network \"over\" gives no addresses"), "{text}");
}

#[test]
fn a_subnet_of_other_namespaces_cannot_be_named() {
    let pod = meta(
        "p",
        keys(&[("specified-subnet", "u4/u6"), ("ip-family", "DualStack")]),
    );
    assert_eq!(
        chosen(&pod, &with_subnets_for(cluster(), &["team-a"])).unwrap_err(),
        "networking.alibaba.com/specified-subnet: subnet \"u4\" gives no addresses to namespace \"d\": name another one, \
         or add the namespace to its spec.config.allowedNamespaces"
    );
    assert!(chosen(&pod, &with_subnets_for(cluster(), &["d"])).is_ok());
    // Who names none gets addresses of another one, if there is.
    let network = meta("p", keys(&[("specified-network", "under")]));
    assert!(chosen(&network, &with_subnets_for(cluster(), &["team-a"])).is_ok());
}

#[test]
fn what_a_pod_keeps_is_its_own_whoever_is_allowed_by_now() {
    let cluster = cluster().holding("web-0", &[instance("a", "over", "4")]);
    let cluster = with_subnets_for(for_namespaces(cluster, &["team-a"]), &["team-a"]);
    assert!(chosen(&stateful("web-0", json!({})), &cluster).unwrap().retained);
    let anew = stateful(
        "web-0",
        keys(&[("ip-retain", "false"), ("specified-network", "over")]),
    );
    assert!(chosen(&anew, &cluster).is_err());
}
