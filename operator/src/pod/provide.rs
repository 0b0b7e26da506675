//! Addresses for a pod: planned under the lock of the world, written, and settled.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use hybridnet_api::names::reason;
use hybridnet_api::pod::is_stateful;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::ip_instance;
use crate::metrics::AllocateType;
use crate::pod::Pods;
use crate::pod::choose::is_handled;
use crate::pod::error::PodError;
use crate::pod::machine;
use crate::pod::plan::{Account, Claim};
use crate::pod::record::record;
use crate::pod::step::{Holdings, Instances, is_bound_to, keeps};
use crate::pod::write::{Fate, Piece, Plan};
use crate::world::pod::Pod;
use crate::world::store::Key;

/// Names that are another's are rare; so many at once mean that the allocator is wrong.
pub(super) const ATTEMPTS: usize = 8;

/// How a plan ended.
enum Ended {
    /// The pod has all of it, and is rid of the rest next.
    Whole { word: &'static str, left: Instances },
    /// An address belongs to another: others must be tried.
    Again,
}

impl Pods {
    /// Gives the pod what it lacks.
    pub(super) async fn provide(
        &self,
        key: &Key,
        pod: &Arc<Pod>,
        holdings: &Holdings,
    ) -> Result<(), PodError> {
        let started = Instant::now();
        let account = self.account(key, pod, holdings).await?;
        let claim = Claim {
            context: &self.context,
            key,
            pod,
            account: &account,
        };
        let Some(pod) = self.recorded(&claim, holdings).await? else {
            return Ok(());
        };
        let claim = Claim { pod: &pod, ..claim };
        let renewed = self.gave_back(&claim, holdings).await?;
        let given = self.give(&claim).await;
        for kind in observed(&given, &account, renewed) {
            let metrics = &self.context.metrics;
            metrics.allocation(*kind, given.is_ok(), started.elapsed());
        }
        given.map(|_| ())
    }

    async fn account(&self, key: &Key, pod: &Pod, holdings: &Holdings) -> Result<Account, PodError> {
        if is_stateful(&pod.metadata, &self.context.settings.reading) {
            return Ok(Account::Workload);
        }
        let machine = machine::of_pod(&self.context, key, pod, &holdings.bound).await?;
        Ok(machine.map_or(Account::Pod, Account::Machine))
    }

    /// The pod, with everything in it that must be there before its addresses are; nothing when it is gone.
    async fn recorded(&self, claim: &Claim<'_>, holdings: &Holdings) -> Result<Option<Arc<Pod>>, PodError> {
        let Claim { key, pod, .. } = *claim;
        if *claim.account == Account::Pod {
            return Ok(Some(pod.clone()));
        }
        let chosen = is_handled(pod) || !holdings.bound.is_empty();
        let selection = if chosen {
            None
        } else {
            let world = &self.context.world;
            let selection = world.with(|state| {
                claim.want(state)?;
                claim.asked(None).selection(state).map_err(PodError::from)
            });
            Some(selection?)
        };
        let Some(patch) = record(pod, selection.as_ref()) else {
            return Ok(Some(pod.clone()));
        };
        let api = self.context.in_namespace::<Pod>(&key.namespace);
        if !self.context.patch_if_there(&api, key, &patch).await? {
            return Ok(None);
        }
        let now = self.context.world.with(|state| state.pods.get(key).cloned());
        Ok(now.filter(|now| now.uid() == pod.uid()))
    }

    /// A pod that does not keep its addresses gets others: those of its predecessor go first.
    async fn gave_back(&self, claim: &Claim<'_>, holdings: &Holdings) -> Result<bool, PodError> {
        let renews = *claim.account == Account::Workload
            && !keeps(claim.pod, &self.context.settings.reading)
            && !holdings.kept.is_empty();
        if renews {
            self.release(claim.pod, &holdings.kept).await?;
        }
        Ok(renews)
    }

    /// Says how the pod came to its addresses; nothing when it lacked nothing.
    async fn give(&self, claim: &Claim<'_>) -> Result<Option<&'static str>, PodError> {
        let (mut network, mut given) = (String::new(), None);
        for _ in 0..ATTEMPTS {
            let planned = match self.carried_on(claim.key).await? {
                Some(plan) => Some(plan),
                None => self.context.world.with(|state| claim.plan(state))?,
            };
            let Some(mut plan) = planned else {
                return Ok(given);
            };
            network.clone_from(&plan.network);
            if let Err(error) = plan.write(&self.context).await {
                // Tried again with the same addresses, until it is known what became of them.
                self.open().insert(claim.key.clone(), plan);
                return Err(error.into());
            }
            let writes = !plan.pieces.is_empty();
            if let Ended::Whole { word, left } = self.conclude(claim, plan).await? {
                given = writes.then_some(word).or(given);
                if !left.is_empty() {
                    self.release(claim.pod, &left).await?;
                    return Ok(given);
                }
                // Of two addresses, one may have gone while the other was written: that is seen next.
            }
        }
        given.map_or(Err(PodError::Taken(network)), |word| Ok(Some(word)))
    }

    /// Ends a plan of which everything is known.
    async fn conclude(&self, claim: &Claim<'_>, plan: Plan) -> Result<Ended, PodError> {
        let written = plan.written();
        let whole = written.len() == plan.pieces.len();
        let addresses = plan.to_string();
        let Plan {
            word,
            reservation,
            pieces,
            left,
            ..
        } = plan;
        let others = pieces.iter().filter(|piece| matches!(piece.fate, Fate::NotOurs));
        let taken: Vec<_> = others.map(|piece| &piece.object).collect();
        if let Some(reservation) = reservation {
            let namespace = &claim.key.namespace;
            self.context.world.settle(namespace, reservation, written, &taken);
        }
        if whole {
            if !pieces.is_empty() {
                self.announce_given(claim, word, &addresses);
            }
            return Ok(Ended::Whole { word, left });
        }
        if let Some(error) = self.undone(claim, pieces).await? {
            return Err(error);
        }
        warn!(addresses, "an address belongs to another, choosing again");
        Ok(Ended::Again)
    }

    /// All or nothing: new objects go again when others of the pod's could not be written. Gives the reason,
    /// unless other addresses are to be tried. What is left is known by its pod, should this not succeed.
    async fn undone(&self, claim: &Claim<'_>, pieces: Vec<Piece>) -> Result<Option<PodError>, PodError> {
        let refused = pieces.iter().any(|piece| matches!(piece.fate, Fate::Refused(_)));
        let changed = pieces.iter().any(|piece| matches!(piece.fate, Fate::Changed(_)));
        // What has only changed is taken as it is next time, beside what is written.
        let new = pieces
            .iter()
            .filter(|piece| piece.is_written() && piece.from.is_none());
        for piece in new.filter(|_| refused || !changed) {
            let key = Key::of(&piece.object);
            let world = &self.context.world;
            let instance = world.with(|state| state.ip_instances.get(&key).cloned());
            if let Some(instance) = instance.filter(|instance| is_bound_to(instance, claim.pod)) {
                ip_instance::delete(&self.context, &instance).await?;
            }
        }
        let mut errors = pieces.into_iter().filter_map(|piece| match piece.fate {
            Fate::Refused(error) => Some(PodError::Write(error)),
            Fate::Changed(error) if !refused => Some(PodError::Changed(error)),
            _ => None,
        });
        Ok(errors.next())
    }

    fn announce_given(&self, claim: &Claim<'_>, word: &'static str, addresses: &str) {
        let Claim { key, pod, .. } = claim;
        info!(pod = %key, node = pod.spec.node_name, word, addresses, "addresses given");
        let note = format!("{word} {addresses}");
        let announcer = &self.context.announcer;
        announcer.normal(pod.as_ref(), reason::IP_ALLOCATION_SUCCEED, note);
    }

    /// Finds out what became of a plan that is not for the pod of this UID, and ends it. Says whether there
    /// was one.
    pub(super) async fn close(&self, key: &Key, uid: Option<&str>) -> Result<bool, PodError> {
        let former = {
            let mut open = self.open();
            let is_former = open.get(key).is_some_and(|plan| Some(plan.uid.as_str()) != uid);
            if is_former { open.remove(key) } else { None }
        };
        let Some(plan) = former else {
            return Ok(false);
        };
        self.end(key, plan).await?;
        Ok(true)
    }

    /// The plan of which a write is in doubt, to be tried again. An object of it may have been seen and have gone
    /// since, and its address may be another's: then the plan ends, and the pod is given what is free now.
    async fn carried_on(&self, key: &Key) -> Result<Option<Plan>, PodError> {
        let Some(plan) = self.open().remove(key) else {
            return Ok(None);
        };
        let stands = plan.reservation.as_ref().is_none_or(|reservation| {
            let world = &self.context.world;
            world.with(|state| state.addresses.stands(&key.namespace, reservation))
        });
        if stands {
            return Ok(Some(plan));
        }
        self.end(key, plan).await?;
        Ok(None)
    }

    /// Finds out what a plan has written, and gives the rest back.
    async fn end(&self, key: &Key, mut plan: Plan) -> Result<(), PodError> {
        if let Err(error) = plan.find(&self.context).await {
            self.open().insert(key.clone(), plan);
            return Err(error.into());
        }
        let written = plan.written();
        if let Some(reservation) = plan.reservation {
            let world = &self.context.world;
            world.settle(&key.namespace, reservation, written, &[]);
        }
        Ok(())
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Key, Plan>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As what the original counts it: new addresses in place of kept ones both ways, addresses of a machine that
/// stay with it not at all.
fn observed(
    given: &Result<Option<&'static str>, PodError>,
    account: &Account,
    renewed: bool,
) -> &'static [AllocateType] {
    use AllocateType::{Normal, Stateful};
    match (given, account) {
        (Ok(Some("allocated")), _) if renewed => &[Normal, Stateful],
        (Ok(Some("allocated")) | Err(_), _) => &[Normal],
        (Ok(None), _) | (Ok(Some(_)), Account::Machine(_)) => &[],
        (Ok(Some(_)), _) => &[Stateful],
    }
}
