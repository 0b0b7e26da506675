//! What a change of leaders must leave alone, read before and after.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use hybridnet_api::network::Count;
use hybridnet_api::{IpInstance, Network, Subnet};
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::wait::{Look, until};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

/// The state of one namespace, and what the cluster counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Versions of `IPInstance`s and pods: equal means that nobody has written.
    pub versions: BTreeMap<String, String>,
    /// How often each event of a pod was told.
    pub events: BTreeMap<String, i64>,
    /// Total, used and available of Networks and Subnets, nodes and Subnets of Networks.
    pub counters: BTreeMap<String, Value>,
    /// Labels of nodes.
    pub nodes: BTreeMap<String, BTreeMap<String, String>>,
}

impl Snapshot {
    /// As soon as the numbers agree with the addresses that there are: they are written a moment later.
    pub async fn take(cluster: &Cluster, namespace: &str) -> Result<Self> {
        until("numbers written", Duration::from_secs(20), async || {
            Self::look(cluster, namespace).await
        })
        .await
    }

    async fn look(cluster: &Cluster, namespace: &str) -> Result<Look<Self>> {
        let client = cluster.kube().await?;
        let all = ListParams::default();
        let subnets = Api::<Subnet>::all(client.clone()).list(&all).await?.items;
        let addresses = Api::<IpInstance>::all(client.clone()).list(&all).await?.items;
        if let Some(subnet) = subnets.iter().find(|subnet| !is_counted(subnet, &addresses)) {
            return Ok(Err(format!("subnet {}: {:?}", subnet.name_any(), subnet.status)));
        }
        let networks = Api::<Network>::all(client.clone()).list(&all).await?.items;
        if let Some(network) = networks.iter().find(|network| !is_summed(network, &subnets)) {
            let status = &network.status;
            return Ok(Err(format!("network {}: {status:?}", network.name_any())));
        }
        let pods = Api::<Pod>::namespaced(client.clone(), namespace)
            .list(&all)
            .await?;
        let events = Api::<Event>::namespaced(client.clone(), namespace)
            .list(&all)
            .await?;
        let nodes = Api::<Node>::all(client).list(&all).await?;
        let own = |one: &&IpInstance| one.namespace().as_deref() == Some(namespace);
        let mut versions: BTreeMap<_, _> = addresses
            .iter()
            .filter(own)
            .map(|one| version("address", one))
            .collect();
        versions.extend(pods.iter().map(|one| version("pod", one)));
        Ok(Ok(Self {
            versions,
            events: told(&events.items),
            counters: counted(&networks, &subnets)?,
            nodes: nodes
                .iter()
                .map(|node| (node.name_any(), node.labels().clone()))
                .collect(),
        }))
    }

    /// Without the numbers of a Network and its Subnets, whose names begin alike: the two implementations count
    /// them differently.
    #[must_use]
    pub fn without_counting(mut self, prefix: &str) -> Self {
        self.counters
            .retain(|name, _| !name.split(' ').any(|word| word.starts_with(prefix)));
        self
    }
}

/// Whether the number of a Subnet's used addresses has been written. Those that are reserved do not count, and of
/// a Subnet with fields that the original does not know neither number is expected.
fn is_counted(subnet: &Subnet, addresses: &[IpInstance]) -> bool {
    let range = &subnet.spec.range;
    let name = subnet.name_any();
    let its = addresses.iter().filter(|one| one.spec.subnet == name);
    let used = its.filter(|one| {
        let ip = one.spec.ip().map(|ip| ip.to_string()).unwrap_or_default();
        !range.reserved_ips.contains(&ip)
    });
    let status = subnet.status.clone().unwrap_or_default();
    !range.exclude_ip_ranges.is_empty() || usize::try_from(status.used) == Ok(used.count())
}

/// Whether a Network's used addresses are those of its Subnets.
fn is_summed(network: &Network, subnets: &[Subnet]) -> bool {
    let name = network.name_any();
    let used = |version: &str| -> i32 {
        let its = subnets
            .iter()
            .filter(|subnet| subnet.spec.network == name && subnet.spec.range.version == version);
        its.filter_map(|subnet| Some(subnet.status.as_ref()?.used)).sum()
    };
    let status = network.status.clone().unwrap_or_default();
    let count = |count: Option<Count>| count.unwrap_or_default().used;
    (count(status.statistics), count(status.ipv6_statistics)) == (used("4"), used("6"))
}

/// How often each event of a pod was told.
fn told(events: &[Event]) -> BTreeMap<String, i64> {
    let mut told = BTreeMap::new();
    for event in events
        .iter()
        .filter(|event| event.involved_object.kind.as_deref() == Some("Pod"))
    {
        let name = event.involved_object.name.clone().unwrap_or_default();
        let key = format!("{name}: {}", event.reason.clone().unwrap_or_default());
        *told.entry(key).or_default() += i64::from(event.count.unwrap_or(1));
    }
    told
}

fn counted(networks: &[Network], subnets: &[Subnet]) -> Result<BTreeMap<String, Value>> {
    let mut counters = BTreeMap::new();
    for network in networks {
        let status = serde_json::to_value(network.status.clone().unwrap_or_default())?;
        let kept = [
            "subnetList",
            "nodeList",
            "statistics",
            "ipv6Statistics",
            "dualStackStatistics",
        ];
        counters.insert(format!("network {}", network.name_any()), only(&status, &kept));
    }
    for subnet in subnets {
        let status = serde_json::to_value(subnet.status.clone().unwrap_or_default())?;
        let kept = only(&status, &["total", "used", "available"]);
        counters.insert(format!("subnet {}", subnet.name_any()), kept);
    }
    Ok(counters)
}

/// Absent and zero are the same: the Go project writes zeros.
fn only(status: &Value, keys: &[&str]) -> Value {
    let kept = keys
        .iter()
        .map(|key| ((*key).to_owned(), status.get(key).cloned()));
    Value::Object(
        kept.map(|(key, value)| (key, value.unwrap_or_else(|| json!(0))))
            .collect(),
    )
}

fn version<K: Resource>(kind: &str, object: &K) -> (String, String) {
    let version = object.meta().resource_version.clone();
    (
        format!("{kind} {}", object.meta().name.clone().unwrap_or_default()),
        version.unwrap_or_default(),
    )
}
