//! The controller of Subnets: their numbers, and whether they are used (control-plane spec 4.8).
//!
//! Woken by its Subnet, by addresses that come and go, and by another Subnet that shares addresses with
//! it. Writes the status when it differs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hybridnet_api::names::{finalizer, reason};
use hybridnet_api::{Subnet, SubnetStatus};
use hybridnet_ipam::{Counts, SubnetUsage};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use tracing::{info, warn};

use crate::conditions::{self, CONFLICT, EXHAUSTED, Finding, READY};
use crate::context::{Context, WriteError, without_finalizer};
use crate::events::source;
use crate::network::shown;
use crate::patch::difference;
use crate::queue::Outcome;
use crate::world::State;
use crate::world::addresses::Refusal;
use crate::world::store::Key;

/// The controller.
#[derive(Debug)]
pub struct Subnets {
    context: Context,
    /// Under which Network the metrics of a Subnet are shown.
    shown: Mutex<HashMap<String, String>>,
}

/// Everything that a Subnet's status follows from.
#[derive(Debug)]
struct Seen {
    subnet: Arc<Subnet>,
    usage: SubnetUsage,
    refusal: Option<Refusal>,
    /// Addresses in use that the range does not have any more.
    left_behind: Vec<IpAddr>,
}

impl Subnets {
    /// For this manager.
    pub fn new(context: &Context) -> Self {
        Self {
            context: Context {
                announcer: context.announcer.of(source::SUBNET),
                ..context.clone()
            },
            shown: Mutex::default(),
        }
    }

    /// Makes the status of one Subnet true.
    pub async fn reconcile(self: Arc<Self>, key: Key) -> Result<Outcome, WriteError> {
        let Some(seen) = self.context.world.with(|state| Seen::of(state, &key)) else {
            self.show(&key.name, None);
            return Ok(Outcome::Done);
        };
        if seen.subnet.meta().deletion_timestamp.is_some() {
            self.show(&key.name, None);
            if let Some(patch) = without_finalizer(seen.subnet.as_ref(), finalizer::METRICS_REGISTERED) {
                self.context
                    .patch(&self.context.all::<Subnet>(), &key, &patch)
                    .await?;
            }
            return Ok(Outcome::Done);
        }
        self.show(&key.name, Some(&seen));
        self.write(&key, &seen).await?;
        Ok(Outcome::Done)
    }

    async fn write(&self, key: &Key, seen: &Seen) -> Result<(), WriteError> {
        let before = seen.subnet.status.clone().unwrap_or_default();
        let after = desired(seen, &before, Timestamp::now());
        let Some(patch) = difference(seen.subnet.status.as_ref(), &after) else {
            return Ok(());
        };
        let subnet = seen.subnet.as_ref();
        self.tell(subnet, &before, &after);
        info!(
            subnet = key.name,
            used = after.used,
            available = after.available,
            "status changes"
        );
        let written = self
            .context
            .patch_status(&self.context.all::<Subnet>(), key, patch)
            .await;
        if let Err(error) = &written {
            let note = error.to_string();
            self.context
                .announcer
                .warning(subnet, reason::UPDATE_STATUS_FAIL, note);
        }
        written
    }

    /// What has become of the Subnet, once for each change.
    fn tell(&self, subnet: &Subnet, before: &SubnetStatus, after: &SubnetStatus) {
        let in_the_way = |condition: &Condition| condition.type_ == CONFLICT && condition.status == "True";
        // The same message stands in both conditions.
        let conflict = after.conditions.iter().any(in_the_way);
        let changes = conditions::changes(&before.conditions, &after.conditions);
        for (reason, note) in changes.filter_map(|condition| {
            let reason = match (condition.type_.as_str(), condition.status.as_str()) {
                (READY, "False") if !conflict => reason::INVALID_SPEC,
                (CONFLICT, "True") => reason::SUBNET_CONFLICT,
                (EXHAUSTED, "True") => reason::SUBNET_EXHAUSTED,
                _ => return None,
            };
            Some((reason, &condition.message))
        }) {
            warn!(subnet = subnet.name_any(), reason, note, "told on the subnet");
            self.context.announcer.warning(subnet, reason, note.clone());
        }
    }

    /// Metrics do not wait for a change of the status: they must be there after a restart too.
    fn show(&self, name: &str, seen: Option<&Seen>) {
        let network = seen.map(|seen| seen.subnet.spec.network.clone());
        let mut shown_under = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match &network {
            Some(network) => shown_under.insert(name.to_owned(), network.clone()),
            None => shown_under.remove(name),
        };
        drop(shown_under);
        let metrics = &self.context.metrics;
        if let Some(before) = before.filter(|before| Some(before) != network.as_ref()) {
            metrics.remove_subnet(&before, name);
        }
        if let (Some(network), Some(seen)) = (network, seen) {
            metrics.set_subnet_usage(&network, name, shown(seen.usage.counts));
        }
        let refused = self.context.world.with(|state| state.addresses.refused());
        metrics.objects.set_invalid("Subnet", refused);
    }
}

impl Seen {
    fn of(state: &State, key: &Key) -> Option<Self> {
        let subnet = state.subnets.get(key)?.clone();
        Some(Self {
            usage: state.addresses.subnet_usage(&subnet.spec.network, &key.name),
            refusal: state.addresses.refusal(&key.name).cloned(),
            left_behind: state.addresses.left_behind(&subnet.spec.network, &key.name),
            subnet,
        })
    }
}

fn desired(seen: &Seen, before: &SubnetStatus, now: Timestamp) -> SubnetStatus {
    let counts = seen.usage.counts;
    let last = seen.usage.last_allocated.map(|ip| ip.to_string());
    // Where the search goes on must survive a time in which the Subnet is not used.
    let last = last.or_else(|| seen.refusal.as_ref().map(|_| before.last_allocated_ip.clone()));
    let generation = seen.subnet.metadata.generation;
    SubnetStatus {
        total: Counts::clamp(counts.total),
        used: Counts::clamp(counts.used),
        available: Counts::clamp(counts.available),
        last_allocated_ip: last.unwrap_or_default(),
        conditions: conditions::updated(&before.conditions, findings(seen), generation, now),
    }
}

fn findings(seen: &Seen) -> Vec<Finding> {
    let refusal = seen.refusal.as_ref();
    let message = refusal.map(ToString::to_string).unwrap_or_default();
    let conflict = refusal.and_then(Refusal::conflict).is_some();
    let reason = match refusal {
        None => "Usable",
        Some(Refusal::NoNetwork(_)) => "NetworkNotFound",
        Some(_) if conflict => "Overlaps",
        Some(_) => "InvalidSpec",
    };
    vec![
        Finding {
            type_: READY,
            holds: refusal.is_none(),
            reason,
            message: message.clone(),
        },
        if conflict {
            Finding {
                type_: CONFLICT,
                holds: true,
                reason,
                message,
            }
        } else {
            left_behind(&seen.left_behind)
        },
        exhausted(seen),
    ]
}

/// The webhook lets no range shrink under an address in use; one that did so all the same is used on.
fn left_behind(addresses: &[IpAddr]) -> Finding {
    let (reason, message) = match addresses {
        [] => ("None", String::new()),
        [first, ..] => (
            "AddressesLeftBehind",
            format!(
                "addresses in use are not in the range: {} of them, {first} the first; they stay their pods' own: \
                 extend the range, or delete those pods",
                addresses.len()
            ),
        ),
    };
    Finding {
        type_: CONFLICT,
        holds: !addresses.is_empty(),
        reason,
        message,
    }
}

/// A Subnet that is not used promises nothing, so it lacks nothing.
fn exhausted(seen: &Seen) -> Finding {
    let counts = seen.usage.counts;
    let (holds, reason, message) = match &seen.refusal {
        Some(_) => (false, "NotUsed", String::new()),
        None if counts.available > 0 => (false, "AddressesFree", String::new()),
        None if counts.total == 0 => (
            true,
            "NoFreeAddress",
            "the range has no address beside the gateway, excluded and reserved ones: extend it".to_owned(),
        ),
        None => (
            true,
            "NoFreeAddress",
            format!(
                "all addresses ({}) are in use: extend the range, add a subnet to network {}, or delete pods",
                counts.total, seen.subnet.spec.network
            ),
        ),
    };
    Finding {
        type_: EXHAUSTED,
        holds,
        reason,
        message,
    }
}
