//! The collector of leaks: looks over everything once in a while, for what the controllers, woken by single
//! changes, must have missed.
//!
//! ```text
//!   Snapshot ──► findings (pure) ──► Sightings: long enough? ──► repair: live re-check, then act by UID
//!                    ▲                                               │
//!              owners, read live                                event, metric
//! ```
//!
//! It never acts on what it has seen only once, except where a user has set the time, and never on an
//! address that a live pod has: right before each deed pod, object and owner are read again. A restart
//! starts the periods of grace anew, so a manager that starts in a settled cluster writes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use hybridnet_api::names::reason;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::warn;

use crate::collector::finding::{Finding, Kind};
use crate::collector::sightings::Sightings;
use crate::collector::snapshot::Snapshot;
use crate::context::Context;
use crate::events::source;
use crate::workload::{Workload, WorkloadRef};

pub mod finding;
pub mod look;
mod repair;
pub mod sightings;
pub mod snapshot;

/// Requests at once: a look must not stand in the way of pods that wait for addresses.
const AT_ONCE: usize = 8;

/// However short a period of grace is asked for: a write without an answer must have ended by then.
const LEAST_GRACE: Duration = Duration::from_secs(12);

/// What time it is; the time that objects carry.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The collector.
pub struct Collector {
    context: Context,
    grace: Duration,
    clock: Clock,
    sightings: Sightings,
    /// What is wrong with owners, so that it is said once.
    said: BTreeMap<WorkloadRef, String>,
}

impl Collector {
    /// Acts on what has been out of place for `grace`, and for some seconds at least.
    pub fn new(context: &Context, grace: Duration, clock: Clock) -> Self {
        Self {
            context: Context {
                announcer: context.announcer.of(source::COLLECTOR),
                ..context.clone()
            },
            grace: grace.max(LEAST_GRACE),
            clock,
            sightings: Sightings::default(),
            said: BTreeMap::new(),
        }
    }

    /// Looks once in `interval`, until `stop` says true. Whatever fails is tried again at the next look.
    pub async fn run(mut self, interval: Duration, mut stop: watch::Receiver<bool>) {
        let mut looks = interval_at(Instant::now() + interval, interval);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looking = async {
            loop {
                looks.tick().await;
                self.look().await;
            }
        };
        tokio::select! {
            () = looking => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Looks once, and repairs what has been out of place for long enough.
    pub async fn look(&mut self) {
        let world = Snapshot::of(&self.context.world);
        let owners = self.read(look::owners(&world)).await;
        self.tell(&owners);
        let found = look::findings(&world, &owners, (self.clock)());
        for kind in Kind::ALL {
            let number = found.iter().filter(|finding| finding.kind == kind).count();
            self.context.metrics.leaks.set_found(kind.as_str(), number);
        }
        let due = self.sightings.due(found, self.grace, Instant::now());
        let repairs = stream::iter(due).map(|finding| self.repair(finding));
        let repaired: Vec<_> = repairs.buffer_unordered(AT_ONCE).collect().await;
        for finding in repaired.into_iter().flatten() {
            self.sightings.forget(&finding);
        }
    }

    async fn read(&self, owners: Vec<WorkloadRef>) -> BTreeMap<WorkloadRef, Workload> {
        let workloads = &self.context.workloads;
        let answers = stream::iter(owners).map(|owner| async move {
            let workload = workloads.resolve(&owner).await;
            (owner, workload)
        });
        answers.buffer_unordered(AT_ONCE).collect().await
    }

    /// Gives the finding back when it is settled.
    async fn repair(&self, finding: Finding) -> Option<Finding> {
        let kind = finding.kind.as_str();
        let repaired = repair::repair(&self.context, &finding, (self.clock)()).await;
        let result = match &repaired {
            Ok(true) => "done",
            Ok(false) => "skipped",
            Err(error) => {
                warn!(kind, object = %finding.subject, %error, "not repaired, tried again at the next look");
                "failed"
            }
        };
        self.context.metrics.leaks.repaired(kind, result);
        repaired.is_ok().then_some(finding)
    }

    /// Says what is wrong with owners, once.
    fn tell(&mut self, owners: &BTreeMap<WorkloadRef, Workload>) {
        let mut said = BTreeMap::new();
        let mut unknown = 0;
        for (owner, workload) in owners {
            match workload {
                Workload::Unknown { why } => {
                    unknown += 1;
                    if self.said.get(owner) != Some(why) {
                        warn!(%owner, why, "owner of addresses not known, they are kept");
                    }
                    said.insert(owner.clone(), why.clone());
                }
                Workload::Present {
                    fault: Some(fault), ..
                } => {
                    if self.said.get(owner) != Some(fault) {
                        let about = owner.object_reference();
                        self.context
                            .announcer
                            .warning_about(about, reason::INVALID_SPEC, fault.clone());
                    }
                    said.insert(owner.clone(), fault.clone());
                }
                Workload::Present { .. } | Workload::Gone => {}
            }
        }
        self.said = said;
        self.context.metrics.leaks.set_unknown(unknown);
    }
}
