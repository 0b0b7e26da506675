use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::*;
use crate::ip_instance::Binding;
use crate::{IpInstanceSpec, NetworkSpec, SubnetSpec};

#[derive(Default)]
struct Cluster {
    networks: Vec<Arc<Network>>,
    subnets: Vec<Arc<Subnet>>,
    namespaces: Vec<Arc<Namespace>>,
    held: Vec<(&'static str, Arc<IpInstance>)>,
}

impl Catalogue for Cluster {
    fn network(&self, name: &str) -> Option<Arc<Network>> {
        self.networks
            .iter()
            .find(|network| network.name_any() == name)
            .cloned()
    }
    fn networks_of_type(&self, wanted: NetworkType) -> Vec<Arc<Network>> {
        let is_wanted = |network: &&Arc<Network>| network.spec.network_type() == Ok(wanted);
        self.networks.iter().filter(is_wanted).cloned().collect()
    }
    fn subnet(&self, name: &str) -> Option<Arc<Subnet>> {
        self.subnets
            .iter()
            .find(|subnet| subnet.name_any() == name)
            .cloned()
    }
    fn namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.namespaces
            .iter()
            .find(|namespace| namespace.name_any() == name)
            .cloned()
    }
    fn ip_instances_of_pod(&self, namespace: &str, pod_label: &str) -> Vec<Arc<IpInstance>> {
        self.held(namespace, pod_label)
    }
    fn ip_instances_of_vm(&self, namespace: &str, vm: &str) -> Vec<Arc<IpInstance>> {
        self.held(namespace, &format!("vm {vm}"))
    }
}

impl Cluster {
    fn held(&self, namespace: &str, holder: &str) -> Vec<Arc<IpInstance>> {
        let of_holder = self.held.iter().filter(|(of, _)| *of == holder);
        let held = of_holder.map(|(_, instance)| instance.clone());
        held.filter(|instance| instance.namespace().as_deref() == Some(namespace))
            .collect()
    }

    fn holding(mut self, holder: &'static str, instances: &[IpInstance]) -> Self {
        self.held.extend(
            instances
                .iter()
                .map(|instance| (holder, Arc::new(instance.clone()))),
        );
        self
    }

    fn namespace_with(mut self, annotations: Value) -> Self {
        self.namespaces.clear();
        self.namespaces.push(Arc::new(Namespace {
            metadata: meta("d", annotations),
            ..Namespace::default()
        }));
        self
    }
}

fn meta(name: &str, annotations: Value) -> ObjectMeta {
    serde_json::from_value(json!({"name": name, "namespace": "d", "annotations": annotations})).unwrap()
}

fn cluster() -> Cluster {
    let network = |name: &str, type_: &str, key: &str| {
        let mut spec = NetworkSpec {
            type_: Some(type_.to_owned()),
            ..NetworkSpec::default()
        };
        if !key.is_empty() {
            spec.node_selector = BTreeMap::from([("network".to_owned(), key.to_owned())]);
        }
        Arc::new(Network::new(name, spec))
    };
    let subnet = |name: &str, network: &str, version: &str| {
        let mut spec = SubnetSpec {
            network: network.to_owned(),
            ..SubnetSpec::default()
        };
        spec.range.version = version.to_owned();
        Arc::new(Subnet::new(name, spec))
    };
    let cluster = Cluster {
        networks: vec![
            network("under", "Underlay", "under"),
            network("over", "Overlay", ""),
            network("broken", "nonsense", ""),
        ],
        subnets: vec![
            subnet("u4", "under", "4"),
            subnet("u6", "under", "6"),
            subnet("o4", "over", "4"),
            subnet("o6", "over", "6"),
        ],
        ..Cluster::default()
    };
    cluster.namespace_with(json!({}))
}

fn key(name: &str) -> String {
    format!("networking.alibaba.com/{name}")
}

fn keys(pairs: &[(&str, &str)]) -> Value {
    pairs
        .iter()
        .map(|(name, value)| (key(name), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn stateful(name: &str, annotations: Value) -> ObjectMeta {
    let mut meta = meta(name, annotations);
    meta.owner_references = Some(vec![OwnerReference {
        kind: "StatefulSet".to_owned(),
        controller: Some(true),
        ..OwnerReference::default()
    }]);
    meta
}

fn chosen(metadata: &ObjectMeta, cluster: &Cluster) -> Result<Selection, String> {
    chosen_with(metadata, cluster, &Settings::default(), None)
}

fn chosen_with(
    metadata: &ObjectMeta,
    cluster: &Cluster,
    settings: &Settings,
    vm: Option<&str>,
) -> Result<Selection, String> {
    let name = metadata.name.as_deref().unwrap_or_default();
    let subject = Subject {
        namespace: "d",
        name,
        metadata,
        vm,
    };
    select(&subject, cluster, settings).map_err(|error| error.to_string())
}

fn instance(name: &str, network: &str, version: &str) -> IpInstance {
    let mut spec = IpInstanceSpec {
        network: network.to_owned(),
        ..IpInstanceSpec::default()
    };
    spec.address.version = version.to_owned();
    let mut instance = IpInstance::new(name, spec);
    instance.metadata.namespace = Some("d".to_owned());
    instance
}

fn bound(mut instance: IpInstance) -> IpInstance {
    instance.spec.binding = Some(Binding {
        node_name: "node1".to_owned(),
        ..Binding::default()
    });
    instance
}

fn created(mut instance: IpInstance, second: i64) -> IpInstance {
    instance.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
    instance
}

#[test]
fn a_pod_that_says_nothing_gets_the_defaults() {
    let chosen = chosen(&meta("p", json!({})), &cluster()).unwrap();
    let expected = Selection {
        network: None,
        subnets: vec![],
        network_type: NetworkType::Underlay,
        family: PodFamily::Ipv4Only,
        node_selector: BTreeMap::new(),
        retained: false,
    };
    assert_eq!(chosen, expected);
}

#[test]
fn defaults_fill_what_the_winning_level_left_open() {
    let settings = Settings {
        default_network_type: NetworkType::Overlay,
        default_ip_family: PodFamily::DualStack,
        ..Settings::default()
    };
    let family = meta("p", keys(&[("ip-family", "ipv6")]));
    let only_family = chosen_with(&family, &cluster(), &settings, None).unwrap();
    assert_eq!(
        (only_family.network_type, only_family.family),
        (NetworkType::Overlay, PodFamily::Ipv6Only)
    );
    // The default type is for pods without a network, and never overrides one.
    let network = meta("p", keys(&[("specified-network", "under")]));
    let only_network = chosen_with(&network, &cluster(), &settings, None).unwrap();
    assert_eq!(
        (only_network.network_type, only_network.family),
        (NetworkType::Underlay, PodFamily::DualStack)
    );
}

#[test]
fn levels_win_as_a_whole() {
    let cluster =
        cluster().namespace_with(keys(&[("specified-network", "over"), ("ip-family", "DualStack")]));
    let from_namespace = chosen(&meta("p", json!({})), &cluster).unwrap();
    assert_eq!(from_namespace.network.as_deref(), Some("over"));
    assert_eq!(from_namespace.family, PodFamily::DualStack);
    let own_family = chosen(&meta("p", keys(&[("ip-family", "IPv4")])), &cluster).unwrap();
    assert_eq!(
        (own_family.network, own_family.network_type),
        (None, NetworkType::Underlay)
    );
}

#[test]
fn labels_say_what_annotations_do_not_but_never_the_family() {
    let mut pod = meta("p", keys(&[("specified-network", "")]));
    let labels = [("specified-network", "over"), ("ip-family", "DualStack")];
    pod.labels = serde_json::from_value(keys(&labels)).ok();
    let chosen = chosen(&pod, &cluster()).unwrap();
    assert_eq!(chosen.network.as_deref(), Some("over"));
    assert_eq!(
        (chosen.network_type, chosen.family),
        (NetworkType::Overlay, PodFamily::Ipv4Only)
    );
}

#[test]
fn subnets_bring_their_network() {
    let pod = meta(
        "p",
        keys(&[("specified-subnet", "u4/u6"), ("ip-family", "dualstack")]),
    );
    let chosen = chosen(&pod, &cluster()).unwrap();
    assert_eq!(chosen.network.as_deref(), Some("under"));
    assert_eq!(chosen.subnets, ["u4", "u6"]);
    assert_eq!(
        chosen.node_selector.get("network").map(String::as_str),
        Some("under")
    );
}

#[test]
fn contradictions_are_errors_that_name_both_sides() {
    for (pairs, said) in [
        (
            vec![("specified-network", "none")],
            vec!["network \"none\" not found"],
        ),
        (
            vec![("specified-network", "broken")],
            vec!["\"broken\" cannot be used", "nonsense"],
        ),
        (
            vec![("specified-subnet", "none")],
            vec!["of the pod", "subnet \"none\" not found"],
        ),
        (vec![("specified-subnet", "u4/")], vec!["subnet \"\" not found"]),
        (
            vec![("specified-subnet", "u4/u6/o6")],
            vec!["u4/u6/o6", "more than two"],
        ),
        (
            vec![("specified-subnet", "u6/u4")],
            vec!["\"u6\" has version \"6\"", "\"4\" must stand there"],
        ),
        (
            vec![("specified-subnet", "u4/o4")],
            vec!["\"o4\" has version \"4\"", "\"6\" must stand there"],
        ),
        (
            vec![("specified-subnet", "u4/o6")],
            vec!["\"u4\" is in network \"under\"", "\"o6\" in \"over\""],
        ),
        (
            vec![("specified-network", "over"), ("specified-subnet", "u4")],
            vec!["is \"over\"", "subnet \"u4\"", "in \"under\""],
        ),
        (
            vec![("specified-network", "under"), ("network-type", "overlay")],
            vec!["\"overlay\"", "is Underlay"],
        ),
        (
            vec![("network-type", "Mesh")],
            vec!["\"Mesh\"", "Underlay, Overlay, GlobalBGP"],
        ),
        (vec![("ip-family", "IPv5")], vec!["\"IPv5\"", "DualStack"]),
    ] {
        let error = chosen(&meta("p", keys(&pairs)), &cluster()).unwrap_err();
        for part in said {
            assert!(error.contains(part), "{pairs:?}: {error}");
        }
    }
}

#[test]
fn an_unknown_namespace_is_an_error_only_when_it_is_asked() {
    let mut cluster = cluster();
    cluster.namespaces.clear();
    assert!(
        chosen(&meta("p", json!({})), &cluster)
            .unwrap_err()
            .contains("namespace \"d\" not found")
    );
    assert!(chosen(&meta("p", keys(&[("network-type", "overlay")])), &cluster).is_ok());
}

#[test]
fn kept_addresses_win_over_everything_that_the_pod_says() {
    let cluster = cluster().holding("web-0", &[instance("b", "over", "6"), instance("a", "over", "4")]);
    let pod = stateful(
        "web-0",
        keys(&[("specified-network", "under"), ("specified-subnet", "u4")]),
    );
    let kept = chosen(&pod, &cluster).unwrap();
    assert_eq!(
        (kept.network.as_deref(), kept.network_type),
        (Some("over"), NetworkType::Overlay)
    );
    assert!(kept.retained && kept.subnets.is_empty());
    assert_eq!(kept.family, PodFamily::DualStack);
    let anew = stateful(
        "web-0",
        keys(&[("specified-network", "under"), ("ip-retain", "false")]),
    );
    assert_eq!(chosen(&anew, &cluster).unwrap().network.as_deref(), Some("under"));
    let plain = meta("web-0", keys(&[("specified-network", "under")]));
    assert_eq!(
        chosen(&plain, &cluster).unwrap().network.as_deref(),
        Some("under")
    );
}

#[test]
fn one_kept_address_keeps_its_family() {
    for (version, family) in [("4", PodFamily::Ipv4Only), ("6", PodFamily::Ipv6Only)] {
        let cluster = cluster().holding("web-0", &[instance("a", "over", version)]);
        assert_eq!(
            chosen(&stateful("web-0", json!({})), &cluster).unwrap().family,
            family
        );
    }
}

#[test]
fn terminating_addresses_and_those_of_a_network_that_is_gone() {
    let mut leaving = instance("a", "over", "4");
    leaving.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let cluster_with_leaving = cluster().holding("web-0", &[leaving]);
    assert!(
        !chosen(&stateful("web-0", json!({})), &cluster_with_leaving)
            .unwrap()
            .retained
    );
    let lost = cluster().holding("web-0", &[instance("a", "gone", "4")]);
    assert!(
        chosen(&stateful("web-0", json!({})), &lost)
            .unwrap_err()
            .contains("\"gone\" not found")
    );
}

#[test]
fn left_overs_of_the_same_family_do_not_stop_a_pod() {
    let cluster = |instances: &[IpInstance]| cluster().holding("web-0", instances);
    let pod = stateful("web-0", json!({}));
    let old = created(instance("a", "over", "4"), 1);
    let young = created(instance("b", "under", "4"), 2);
    let network = |instances: &[IpInstance]| chosen(&pod, &cluster(instances)).unwrap().network.unwrap();
    assert_eq!(network(&[old.clone(), young.clone()]), "under");
    assert_eq!(network(&[bound(old.clone()), young.clone()]), "over");
    assert_eq!(
        network(&[instance("b", "under", "4"), instance("a", "over", "4")]),
        "over"
    );
}

#[test]
fn with_left_overs_and_a_pool_the_asked_family_counts() {
    let both = [instance("a", "over", "4"), instance("b", "over", "4")];
    let pool = keys(&[("ip-pool", "10.0.0.1/fd00::1"), ("ip-family", "DualStack")]);
    let pod = stateful("web-0", pool);
    let ambiguous = chosen(&pod, &cluster().holding("web-0", &both)).unwrap();
    assert_eq!(
        (ambiguous.family, ambiguous.network.as_deref()),
        (PodFamily::DualStack, Some("over"))
    );
    let clear = chosen(&pod, &cluster().holding("web-0", &both[..1])).unwrap();
    assert_eq!(clear.family, PodFamily::Ipv4Only);
}

#[test]
fn a_dual_stack_pod_torn_between_networks_is_an_error() {
    let cluster = cluster().holding(
        "web-0",
        &[instance("a", "over", "4"), instance("b", "under", "6")],
    );
    let error = chosen(&stateful("web-0", json!({})), &cluster).unwrap_err();
    assert!(
        error.contains("\"over\"") && error.contains("\"under\""),
        "{error}"
    );
}

#[test]
fn addresses_of_a_virtual_machine_are_kept_only_behind_the_gate() {
    let cluster = cluster().holding("vm mine", &[instance("a", "over", "4")]);
    let pod = meta("virt-launcher-mine-x", json!({}));
    let mut settings = Settings::default();
    assert!(
        !chosen_with(&pod, &cluster, &settings, Some("mine"))
            .unwrap()
            .retained
    );
    settings.gates.vm_ip_retain = true;
    assert!(
        chosen_with(&pod, &cluster, &settings, Some("mine"))
            .unwrap()
            .retained
    );
    assert!(!chosen_with(&pod, &cluster, &settings, None).unwrap().retained);
}

#[test]
fn long_pod_names_are_looked_up_by_their_label() {
    const LABEL: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa08b2f2b0864bac1ba1585043362cbec9";
    let cluster = cluster().holding(LABEL, &[instance("a", "over", "4")]);
    assert!(
        chosen(&stateful(&"a".repeat(70), json!({})), &cluster)
            .unwrap()
            .retained
    );
}

#[test]
fn preferred_addresses_are_one_of_each_family_ipv4_first() {
    let held: Vec<_> = [("a", "6"), ("b", "4"), ("c", "6"), ("d", "4")]
        .map(|(name, version)| Arc::new(instance(name, "n", version)))
        .to_vec();
    let names: Vec<_> = preferred(&held)
        .iter()
        .map(|instance| instance.name_any())
        .collect();
    assert_eq!(names, ["b", "a"]);
}
