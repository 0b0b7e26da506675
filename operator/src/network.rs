//! The controller of Networks: their status, and what is wrong with them (control-plane spec 4.7).
//!
//! Woken by its Network, by Subnets and addresses of the Network, and by nodes that come, go or change
//! labels. Writes the status when it differs; nothing else reads back what it writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hybridnet_api::names::{finalizer, reason};
use hybridnet_api::network::Count;
use hybridnet_api::{Network, NetworkStatus, NetworkType};
use hybridnet_ipam::{Counts, NetworkUsage};
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use tracing::info;

use crate::conditions::{self, CONFLICT, EXHAUSTED, READY};
use crate::context::{Context, WriteError, without_finalizer};
use crate::events::source;
use crate::metrics::Usage;
use crate::network::findings::{Clash, findings};
use crate::patch::difference;
use crate::queue::Outcome;
use crate::quota::Quota;
use crate::world::store::Key;
use crate::world::wake::Wake;
use crate::world::{Node, State};

mod findings;

/// Names longer than this cannot be label values.
pub const LONGEST_NAME: usize = 63;

/// The controller.
#[derive(Debug)]
pub struct Networks {
    context: Context,
    /// Whether each is faulty.
    shown: Mutex<HashMap<String, bool>>,
}

/// Everything that a Network's status follows from.
#[derive(Debug)]
struct Seen {
    network: Arc<Network>,
    /// Sorted.
    subnets: Vec<String>,
    /// Sorted.
    nodes: Vec<String>,
    /// Those among the nodes whose labels do not say how full the network is. What was last seen does not
    /// tell: a node may have been labelled since, by what it saw in between.
    outdated: Vec<String>,
    usage: NetworkUsage,
    clash: Option<Clash>,
}

impl Networks {
    /// For this manager.
    pub fn new(context: &Context) -> Self {
        Self {
            context: Context {
                announcer: context.announcer.of(source::NETWORK),
                ..context.clone()
            },
            shown: Mutex::default(),
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
        self.tell(network, &before, &after);
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

    /// What has become of the Network, once for each change.
    fn tell(&self, network: &Network, before: &NetworkStatus, after: &NetworkStatus) {
        let changes = conditions::changes(&before.conditions, &after.conditions);
        for (reason, note) in changes.filter_map(|condition| match condition.type_.as_str() {
            READY if condition.status == "False" => Some((reason::INVALID_SPEC, &condition.message)),
            CONFLICT if condition.status == "True" => Some((reason::NETWORK_CONFLICT, &condition.message)),
            EXHAUSTED if condition.status == "True" => Some((reason::NETWORK_EXHAUSTED, &condition.message)),
            _ => None,
        }) {
            self.context.announcer.warning(network, reason, note.clone());
        }
    }

    /// Metrics do not wait for a change of the status: they must be there after a restart too.
    fn show(&self, name: &str, seen: &Seen) {
        let usage = &seen.usage;
        let dual = i64::try_from(usage.dual_stack_available()).unwrap_or(i64::MAX);
        let (ipv4, ipv6) = (shown(usage.ipv4.counts), shown(usage.ipv6.counts));
        self.context.metrics.set_network_usage(name, ipv4, ipv6, dual);
        let mut shown = self.lock();
        shown.insert(name.to_owned(), findings::fault(&seen.network).is_some());
        self.count_faulty(&shown);
        drop(shown);
        let queues = self.context.world.queues();
        let outdated = seen.outdated.iter();
        outdated.for_each(|node| queues.wake(Wake::Node(node.clone())));
    }

    fn forget(&self, name: &str) {
        self.context.metrics.remove_network(name);
        let mut shown = self.lock();
        shown.remove(name);
        self.count_faulty(&shown);
    }

    fn count_faulty(&self, shown: &HashMap<String, bool>) {
        let faulty = shown.values().filter(|faulty| **faulty).count();
        self.context.metrics.objects.set_invalid("Network", faulty);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, bool>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
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
        nodes.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
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
        let usage = state.addresses.network_usage(&key.name);
        let quota = Quota::of(&usage);
        let is_outdated = |node: &&&Arc<Node>| {
            type_ == Some(NetworkType::Underlay) && !quota.is_said_by(node.metadata.labels.as_ref())
        };
        let outdated = nodes.iter().filter(is_outdated);
        Some(Self {
            subnets,
            outdated: outdated.map(|node| node.name_any()).collect(),
            nodes: nodes.iter().map(|node| node.name_any()).collect(),
            usage,
            clash,
            network,
        })
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

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::fixtures::{network, node, subnet};

    #[test]
    fn nodes_whose_labels_do_not_say_how_full_their_network_is_are_outdated() {
        let mut state = State::default();
        let underlay = network("net").net_id(7).selector("rack", "a").build();
        state.networks.apply(Event::Apply(underlay));
        state
            .subnets
            .apply(Event::Apply(subnet("s", "net", "10.0.0.0/24").build()));
        for (name, ipv4) in [("told", "nonempty"), ("late", "empty")] {
            let node = node(name)
                .label("rack", "a")
                .label("networking.alibaba.com/ipv4-address-quota", ipv4)
                .label("networking.alibaba.com/ipv6-address-quota", "empty")
                .label("networking.alibaba.com/dualstack-address-quota", "empty");
            state.nodes.apply(Event::Apply(node.build()));
        }
        state.addresses.refresh_all(&state.networks, &state.subnets);

        let seen = Seen::of(&state, &Key::cluster("net")).unwrap();

        assert_eq!(seen.nodes, ["late", "told"]);
        assert_eq!(seen.outdated, ["late"]);
    }
}
