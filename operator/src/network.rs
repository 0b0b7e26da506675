//! The controller of Networks: their status, and what is wrong with them (control-plane spec 4.7).
//!
//! Woken by its Network, by Subnets and addresses of the Network, and by nodes that come, go or change
//! labels. Writes the status when it differs; nothing else reads back what it writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hybridnet_api::names::{finalizer, reason};
use hybridnet_api::network::Count;
use hybridnet_api::{Network, NetworkStatus, NetworkType};
use hybridnet_ipam::{Counts, NetworkUsage};
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use tracing::info;

use crate::conditions::{self, CONFLICT, Finding, READY};
use crate::context::{Context, WriteError, without_finalizer};
use crate::events::source;
use crate::metrics::Usage;
use crate::patch::difference;
use crate::queue::Outcome;
use crate::quota::Quota;
use crate::world::store::Key;
use crate::world::{State, Wake};

/// Names longer than this cannot be label values.
pub const LONGEST_NAME: usize = 63;

/// The controller.
#[derive(Debug)]
pub struct Networks {
    context: Context,
    /// What was last said about free addresses: nodes are woken when it changes.
    quotas: Mutex<HashMap<String, Quota>>,
}

/// Everything that a Network's status follows from.
#[derive(Debug)]
struct Seen {
    network: Arc<Network>,
    /// Sorted.
    subnets: Vec<String>,
    /// Sorted.
    nodes: Vec<String>,
    usage: NetworkUsage,
    clash: Option<Clash>,
}

/// A Network that stands in another one's way and loses.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Clash {
    /// Pods on this node get addresses from the other one.
    Node { node: String, other: String },
    /// The cluster has one already.
    Type { type_: NetworkType, other: String },
}

impl Networks {
    /// For this manager.
    pub fn new(context: &Context) -> Self {
        Self {
            context: Context {
                announcer: context.announcer.of(source::NETWORK),
                ..context.clone()
            },
            quotas: Mutex::default(),
        }
    }

    /// Makes the status of one Network true.
    pub async fn reconcile(self: Arc<Self>, key: Key) -> Result<Outcome, WriteError> {
        let Some(seen) = self.context.world.with(|state| Seen::of(state, &key)) else {
            self.forget(&key.name);
            return Ok(Outcome::Done);
        };
        if seen.network.meta().deletion_timestamp.is_some() {
            self.forget(&key.name);
            if let Some(patch) = without_finalizer(seen.network.as_ref(), finalizer::METRICS_REGISTERED) {
                self.context
                    .patch(&self.context.all::<Network>(), &key, &patch)
                    .await?;
            }
            return Ok(Outcome::Done);
        }
        self.show(&key.name, &seen);
        self.write(&key, &seen).await?;
        Ok(Outcome::Done)
    }

    async fn write(&self, key: &Key, seen: &Seen) -> Result<(), WriteError> {
        let before = seen.network.status.clone().unwrap_or_default();
        let after = desired(seen, &before, Timestamp::now());
        let Some(patch) = difference(seen.network.status.as_ref(), &after) else {
            return Ok(());
        };
        let network = seen.network.as_ref();
        if let Some(clash) = &seen.clash {
            let note = clash.to_string();
            self.context
                .announcer
                .warning(network, reason::INVALID_SPEC, note);
        }
        info!(network = key.name, nodes = seen.nodes.len(), "status changes");
        let api = self.context.all::<Network>();
        let written = self.context.patch_status(&api, key, patch).await;
        if let Err(error) = &written {
            let note = error.to_string();
            self.context
                .announcer
                .warning(network, reason::UPDATE_STATUS_FAIL, note);
        }
        written
    }

    /// Metrics do not wait for a change of the status: they must be there after a restart too.
    fn show(&self, name: &str, seen: &Seen) {
        let usage = &seen.usage;
        let dual = i64::try_from(usage.dual_stack_available()).unwrap_or(i64::MAX);
        let (ipv4, ipv6) = (shown(usage.ipv4.counts), shown(usage.ipv6.counts));
        self.context.metrics.set_network_usage(name, ipv4, ipv6, dual);
        let quota = Quota::of(usage);
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        let flipped = quotas.insert(name.to_owned(), quota) != Some(quota);
        drop(quotas);
        if flipped && seen.network.spec.network_type() == Ok(NetworkType::Underlay) {
            let queues = self.context.world.queues();
            seen.nodes
                .iter()
                .for_each(|node| queues.wake(Wake::Node(node.clone())));
        }
    }

    fn forget(&self, name: &str) {
        self.context.metrics.remove_network(name);
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        quotas.remove(name);
    }
}

impl Seen {
    fn of(state: &State, key: &Key) -> Option<Self> {
        let network = state.networks.get(key)?.clone();
        let topology = state.topology();
        let present = |meta: &kube::api::ObjectMeta| meta.deletion_timestamp.is_none();
        let nodes = state.nodes.iter();
        let mut nodes: Vec<_> = nodes
            .filter(|node| present(&node.metadata) && topology.carries(&network, node))
            .collect();
        nodes.sort_by_key(|node| node.name_any());
        let subnets = state.subnets.iter();
        let mut subnets: Vec<_> = subnets
            .filter(|subnet| present(&subnet.metadata) && subnet.spec.network == key.name)
            .map(|subnet| subnet.name_any())
            .collect();
        subnets.sort();
        let type_ = network.spec.network_type().ok();
        let clash = match type_ {
            Some(NetworkType::Underlay) => nodes.iter().find_map(|node| {
                let other = topology.underlay_of(node)?.name_any();
                (other != key.name).then(|| Clash::Node {
                    node: node.name_any(),
                    other,
                })
            }),
            Some(type_) => topology.unique(type_).and_then(|first| {
                let other = first.name_any();
                (other != key.name).then_some(Clash::Type { type_, other })
            }),
            None => None,
        };
        Some(Self {
            subnets,
            nodes: nodes.iter().map(|node| node.name_any()).collect(),
            usage: state.addresses.network_usage(&key.name),
            clash,
            network,
        })
    }
}

impl std::fmt::Display for Clash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node { node, other } => write!(
                f,
                "node {node} is selected by network {other} too, which its pods get their addresses from: \
                 change nodeSelector of one of them"
            ),
            Self::Type { type_, other } => write!(
                f,
                "a cluster has one network of type {type_}, and network {other} is it: delete one of them"
            ),
        }
    }
}

fn desired(seen: &Seen, before: &NetworkStatus, now: Timestamp) -> NetworkStatus {
    let usage = &seen.usage;
    let dual = Count {
        available: Counts::clamp(usage.dual_stack_available()),
        ..Count::default()
    };
    let generation = seen.network.metadata.generation;
    NetworkStatus {
        last_allocated_subnet: usage.ipv4.last_subnet.clone().unwrap_or_default(),
        last_allocated_ipv6_subnet: usage.ipv6.last_subnet.clone().unwrap_or_default(),
        subnet_list: seen.subnets.clone(),
        node_list: seen.nodes.clone(),
        statistics: Some(count(usage.ipv4.counts)),
        ipv6_statistics: Some(count(usage.ipv6.counts)),
        dual_stack_statistics: Some(dual),
        conditions: conditions::updated(&before.conditions, findings(seen), generation, now),
    }
}

fn findings(seen: &Seen) -> Vec<Finding> {
    let fault = fault(&seen.network);
    let ready = Finding {
        type_: READY,
        holds: fault.is_none(),
        reason: if fault.is_none() { "Usable" } else { "InvalidSpec" },
        message: fault.unwrap_or_default(),
    };
    let (conflict, message) = match &seen.clash {
        Some(clash @ Clash::Node { .. }) => ("NodeShared", clash.to_string()),
        Some(clash @ Clash::Type { .. }) => ("TypeTaken", clash.to_string()),
        None => ("None", String::new()),
    };
    let conflict = Finding {
        type_: CONFLICT,
        holds: seen.clash.is_some(),
        reason: conflict,
        message,
    };
    vec![ready, conflict]
}

/// What makes a Network useless.
fn fault(network: &Network) -> Option<String> {
    if network.name_any().len() > LONGEST_NAME {
        return Some(format!(
            "the name is longer than {LONGEST_NAME} characters: use a shorter one"
        ));
    }
    match network.spec.network_type() {
        Err(error) => return Some(error.to_string()),
        Ok(NetworkType::Underlay) if network.spec.node_selector.is_empty() => {
            return Some("an underlay network without nodeSelector has no nodes: give one".to_owned());
        }
        Ok(_) => {}
    }
    network.spec.network_mode().err().map(|error| error.to_string())
}

fn count(counts: Counts) -> Count {
    Count {
        total: Counts::clamp(counts.total),
        used: Counts::clamp(counts.used),
        available: Counts::clamp(counts.available),
    }
}

/// Numbers for the metrics.
pub(crate) fn shown(counts: Counts) -> Usage {
    let number = |number: u128| i64::try_from(number).unwrap_or(i64::MAX);
    Usage {
        total: number(counts.total),
        used: number(counts.used),
        available: number(counts.available),
    }
}
