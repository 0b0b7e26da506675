//! The loop that makes the kernel what the API asks: look, plan, converge; again whenever something changed,
//! and once in a while without a reason, because not every drift is announced (datapath spec 9).

use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::node_info::NodeFacts;
use crate::plan::{self, Plan, Problem};
use crate::view::{Machine, Settings, View};
use crate::watch::Caches;

/// Sysctls and filters change without notice.
const FULL_CHECK: Duration = Duration::from_secs(30);
/// Changes seldom come alone.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// Drift is repaired within a second, however long a pass takes.
const LONGEST_DEBOUNCE: Duration = Duration::from_millis(400);
/// Pauses after errors: a link may be missing for a moment only.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// What a failure is about when the kernel could not be read at all.
pub const KERNEL: &str = "kernel";

/// What the loop needs of the kernel, of which tests have another.
pub trait Machinery: Send + Sync {
    /// Why the machine cannot be looked at.
    type Error: Display + Send;
    /// What was seen besides, to compare the plan with.
    type Sight: Send;

    /// Looks at this machine, to begin a pass: the plan that follows is made from caches that are read after it.
    fn observe(&self) -> impl Future<Output = Result<(Machine, Self::Sight), Self::Error>> + Send;

    /// Makes the kernel what the plan says, as far as it can.
    fn converge(&self, plan: &Plan, seen: Self::Sight) -> impl Future<Output = Outcome> + Send;
}

/// What came of converging.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many changes were made.
    pub changes: usize,
    /// What could not be done; the rest was.
    pub failures: Vec<Problem>,
}

/// The result of the latest pass.
#[derive(Clone, Debug, Default)]
pub struct Converged {
    /// What was planned.
    pub plan: Arc<Plan>,
    /// What of it is not in the kernel.
    pub failures: Vec<Problem>,
}

impl Converged {
    /// Everything that a user should know.
    pub fn problems(&self) -> Vec<Problem> {
        self.plan.problems.iter().chain(&self.failures).cloned().collect()
    }
}

/// The loop's inputs and outputs.
#[derive(Debug)]
pub struct Reconciler<M> {
    /// The kernel.
    pub machinery: M,
    /// The API's objects.
    pub caches: Caches,
    /// The Node object, as soon as it has been read.
    pub facts: watch::Receiver<Option<NodeFacts>>,
    /// Flags.
    pub settings: Settings,
    /// Name of this node.
    pub node: String,
    /// The latest result; nothing before the first pass.
    pub converged: watch::Sender<Option<Converged>>,
    /// When the loop last came round.
    pub pulse: watch::Sender<Instant>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl<M: Machinery> Reconciler<M> {
    /// Runs until `stop`. `kicks` says that something in the kernel may have changed. Nothing is done before
    /// everything has been listed once: what is missing may only not have been seen yet (datapath spec 10.3).
    pub async fn run(mut self, kicks: Arc<Notify>, mut stop: watch::Receiver<bool>) {
        let mut stopped = pin!(stop.wait_for(|stop| *stop).map(drop));
        let mut changes = self.caches.changes();
        tokio::select! {
            () = self.synced() => {}
            () = &mut stopped => return,
        }
        let mut retry = FIRST_RETRY;
        loop {
            // What came meanwhile is part of this pass.
            changes.forget();
            let _ = kicks.notified().now_or_never();
            let begin = Instant::now();
            let clean = self.pass().await;
            self.pulse.send_replace(Instant::now());
            let again = if clean { FULL_CHECK } else { retry };
            retry = if clean {
                FIRST_RETRY
            } else {
                (retry * 2).min(LAST_RETRY)
            };
            let pause = (begin.elapsed() * 2).clamp(DEBOUNCE, LONGEST_DEBOUNCE);
            tokio::select! {
                () = changes.next() => sleep(pause).await,
                () = kicks.notified() => sleep(pause).await,
                // An error means that the reader is gone, and with it the process.
                _ = self.facts.changed() => {}
                () = sleep_until(Instant::now() + again) => {}
                () = &mut stopped => return,
            }
        }
    }

    async fn synced(&mut self) {
        let (caches, pulse) = (self.caches.clone(), self.pulse.clone());
        let ready = async {
            caches.synced().await;
            // An error means that the reader is gone, and with it the process.
            let _ = self.facts.wait_for(Option::is_some).await;
        };
        // An API server that is away does not make the process a dead one.
        let beat = async {
            loop {
                pulse.send_replace(Instant::now());
                sleep(FULL_CHECK).await;
            }
        };
        tokio::select! {
            () = ready => {}
            () = beat => {}
        }
    }

    /// One pass; whether all of it succeeded.
    async fn pass(&self) -> bool {
        let begin = Instant::now();
        let (machine, seen) = match self.machinery.observe().await {
            Ok(seen) => seen,
            Err(error) => {
                warn!(%error, "the machine cannot be looked at");
                self.metrics.pass(begin.elapsed(), 0, 0, true);
                return false;
            }
        };
        let plan = Arc::new(plan::plan(&self.view(machine)));
        let outcome = self.machinery.converge(&plan, seen).await;
        if outcome.changes > 0 {
            info!(changes = outcome.changes, took = ?begin.elapsed(), "kernel converged");
        }
        let now = Converged {
            plan,
            failures: outcome.failures,
        };
        let problems = now.problems();
        self.say(&problems);
        let clean = now.failures.is_empty();
        self.metrics
            .pass(begin.elapsed(), outcome.changes, problems.len(), !clean);
        self.metrics
            .index_addresses
            .set(i64::try_from(self.caches.directory.len()).unwrap_or(i64::MAX));
        self.converged.send_replace(Some(now));
        clean
    }

    fn view(&self, machine: Machine) -> View {
        View {
            node: self.node.clone(),
            settings: self.settings.clone(),
            machine,
            node_addresses: self
                .facts
                .borrow()
                .as_ref()
                .map(|facts| facts.addresses.clone())
                .unwrap_or_default(),
            networks: self.caches.networks.all(),
            subnets: self.caches.subnets.all(),
            node_infos: self.caches.node_infos.all(),
            own: self.caches.own.cache().all(),
        }
    }

    /// A problem that stays is said once.
    fn say(&self, problems: &[Problem]) {
        let before = self
            .converged
            .borrow()
            .as_ref()
            .map(Converged::problems)
            .unwrap_or_default();
        for problem in problems.iter().filter(|problem| !before.contains(problem)) {
            warn!(
                about = problem.about,
                reason = problem.reason,
                "{}",
                problem.message
            );
        }
        for problem in before.iter().filter(|problem| !problems.contains(problem)) {
            info!(about = problem.about, reason = problem.reason, "problem solved");
        }
    }
}

#[cfg(test)]
mod tests;
