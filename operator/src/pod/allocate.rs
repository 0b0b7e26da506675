//! New addresses for a pod: chosen and held under the lock of the world, written, and settled.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use hybridnet_api::{IpInstance, mac};
use hybridnet_ipam::{Claimant, Families, Family, Request};
use kube::ResourceExt;
use tracing::warn;

use crate::ip_instance;
use crate::pod::choose::{self, Choice};
use crate::pod::step::Instances;
use crate::pod::write::{Fate, Plan};
use crate::pod::{PodError, Pods, object};
use crate::world::State;
use crate::world::pod::Pod;
use crate::world::store::Key;

/// Names that are another's are rare; so many at once mean that the allocator is wrong.
pub(super) const ATTEMPTS: usize = 8;

impl Pods {
    /// Gives the pod what it lacks. Gives the new addresses as a text; nothing when it lacks nothing.
    pub(super) async fn allocate(
        &self,
        key: &Key,
        pod: &Arc<Pod>,
        bound: &Instances,
    ) -> Result<Option<String>, PodError> {
        let mut network = String::new();
        for _ in 0..ATTEMPTS {
            let open = self.open().remove(key);
            let planned = match open {
                Some(plan) => Some(plan),
                None => self
                    .context
                    .world
                    .with(|state| self.plan(state, key, pod, bound))?,
            };
            let Some(mut plan) = planned else {
                return Ok(None);
            };
            network = plan.network();
            if let Err(error) = plan.write(&self.context).await {
                // Tried again with the same addresses, until it is known what became of them.
                self.open().insert(key.clone(), plan);
                return Err(error.into());
            }
            if let Some(addresses) = self.conclude(plan).await? {
                return Ok(Some(addresses));
            }
        }
        Err(PodError::Taken(network))
    }

    /// Ends an allocation of which everything is known: with its addresses, with the reason why there are
    /// none, or with nothing when others must be tried.
    async fn conclude(&self, plan: Plan) -> Result<Option<String>, PodError> {
        let written = plan.written();
        let whole = written.len() == plan.objects.len();
        let addresses = plan.to_string();
        let keys = plan.written_keys();
        let Plan {
            reservation, objects, ..
        } = plan;
        let others = objects
            .iter()
            .filter(|planned| matches!(planned.fate, Fate::NotOurs));
        let taken: Vec<_> = others.map(|planned| &planned.object).collect();
        self.context.world.settle(reservation, written, &taken);
        if whole {
            return Ok(Some(addresses));
        }
        // All or nothing. What is left is known by its pod, should this not succeed.
        for key in keys {
            let instance = self
                .context
                .world
                .with(|state| state.ip_instances.get(&key).cloned());
            if let Some(instance) = instance {
                ip_instance::delete(&self.context, &instance).await?;
            }
        }
        let refused = objects.into_iter().find_map(|planned| match planned.fate {
            Fate::Refused(error) => Some(error),
            _ => None,
        });
        if let Some(error) = refused {
            return Err(error.into());
        }
        warn!(addresses, "an address belongs to another, choosing again");
        Ok(None)
    }

    /// Chooses and holds addresses for what the pod lacks, under the lock of the world.
    fn plan(
        &self,
        state: &mut State,
        key: &Key,
        pod: &Pod,
        bound: &Instances,
    ) -> Result<Option<Plan>, PodError> {
        let choice = choose::choose(state, pod, &self.context.settings.reading)?;
        let Some(request) = request(&choice, pod, bound) else {
            return Ok(None);
        };
        let reservation = match state.addresses.allocate(&request) {
            Ok(reservation) => reservation,
            Err(error) => {
                if is_exhausted(&error) {
                    self.context.metrics.pool_exhausted(&request.network);
                }
                state.wait_for(&request.network, key.clone());
                return Err(error.into());
            }
        };
        let owner = self.owner(pod);
        let mac = bound.first().map(|instance| instance.spec.address.mac.clone());
        let mac = mac.unwrap_or_else(|| new_mac(|mac| state.index.has_mac(mac)));
        let addresses = reservation.addresses().iter();
        let objects = addresses
            .map(|address| object::new(pod, &owner, address, &mac))
            .collect();
        Ok(Some(Plan::new(pod.uid(), reservation, objects)))
    }

    /// Finds out what became of an allocation for a pod that is gone, or not the same any more.
    pub(super) async fn close_former(&self, key: &Key, uid: Option<&str>) -> Result<(), PodError> {
        let former = {
            let mut open = self.open();
            let is_former = open.get(key).is_some_and(|plan| Some(plan.uid.as_str()) != uid);
            if is_former { open.remove(key) } else { None }
        };
        let Some(mut plan) = former else {
            return Ok(());
        };
        if let Err(error) = plan.find(&self.context).await {
            self.open().insert(key.clone(), plan);
            return Err(error.into());
        }
        let written = plan.written();
        self.context.world.settle(plan.reservation, written, &[]);
        Ok(())
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Key, Plan>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the pod lacks of its choice; nothing when it has it all.
fn request(choice: &Choice, pod: &Pod, bound: &[Arc<IpInstance>]) -> Option<Request> {
    let has = |family: &Family| {
        let mut addresses = bound.iter().filter_map(|instance| instance.spec.ip());
        addresses.any(|ip| Family::of(ip) == *family)
    };
    let wanted = choice.families.families();
    let missing: Vec<Family> = wanted.iter().copied().filter(|family| !has(family)).collect();
    let families = match missing.as_slice() {
        [] => return None,
        [Family::V4] => Families::Ipv4Only,
        [Family::V6] => Families::Ipv6Only,
        _ => Families::DualStack,
    };
    let subnets = if choice.subnets.len() == wanted.len() {
        let pairs = choice.subnets.iter().zip(wanted);
        pairs
            .filter(|(_, family)| missing.contains(family))
            .map(|(subnet, _)| subnet.clone())
            .collect()
    } else {
        choice.subnets.clone()
    };
    let network = bound
        .first()
        .map_or(&choice.network, |instance| &instance.spec.network);
    Some(Request {
        network: network.clone(),
        families,
        subnets,
        claimant: Claimant {
            namespace: pod.namespace().unwrap_or_default(),
            pod: pod.name_any(),
            pod_uid: pod.uid().to_owned(),
        },
        ..Request::default()
    })
}

fn is_exhausted(error: &hybridnet_ipam::Error) -> bool {
    use hybridnet_ipam::Error::{NoAddressAvailable, NoSubnetAvailable};
    matches!(error, NoAddressAvailable { .. } | NoSubnetAvailable { .. })
}

/// A MAC that `is_taken` does not know: two pods of a network must not share one.
fn new_mac(is_taken: impl Fn(&str) -> bool) -> String {
    loop {
        let mac = mac::generate(rand::random());
        if !is_taken(&mac) {
            return mac;
        }
    }
}
