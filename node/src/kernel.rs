//! Makes a [`Plan`] true: dump, compare, take the steps, say which.
//!
//! ```text
//!          dump              diff (pure)             apply
//! kernel ───────> State ──────────────────> Change… ───────> kernel
//!                          ^
//! Plan ────────────────────┘        events: what others change wakes the caller
//! ```
//! A kernel that holds the plan is only read. Each step stands for itself: one that fails is reported and the
//! others are taken. Everything happens in one network namespace, through sockets that were opened there.

pub mod answers;
pub mod apply;
pub mod change;
pub mod diff;
pub mod dump;
pub mod events;
mod grace;
pub mod names;
pub mod netns;
mod observe;
pub mod pods;
mod proven;
mod replicate;
pub mod resolve;
pub mod state;
mod sysctl;
mod wire;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use netlink_sys::{AsyncSocket, SocketAddr};
use rtnetlink::Handle;

use apply::{Report, Worker};
use change::Change;
use diff::{Removals, diff, host_end_sysctls};
use dump::DumpError;
use grace::Grace;
use netns::Netns;
use proven::{Doubtful, Proven};
use state::{Replication, State};

use crate::newcomers::Newcomers;
use crate::plan::Plan;
use crate::view::Machine;

/// The kernel, seen from one network namespace. Clones share their sockets.
#[derive(Clone, Debug)]
pub struct Kernel {
    handle: Handle,
    /// For pods alone: on a socket that lists are read from, an answer waits behind them.
    for_pods: Handle,
    /// How the kernel names our sockets when it tells of changes.
    ports: [u32; 2],
    netns: Netns,
    proc_sys: PathBuf,
    memory: Arc<Memory>,
    newcomers: Newcomers,
}

/// What need not be found out or said again.
#[derive(Debug, Default)]
struct Memory {
    filter_unsupported: AtomicBool,
    absent_sysctls: Mutex<BTreeSet<String>>,
    proven: Mutex<Proven>,
    grace: Mutex<Grace>,
}

impl Kernel {
    /// Opens sockets in a namespace. `proc_sys` is where sysctls are: `/proc/sys`, unless the container has
    /// that read-only.
    pub async fn open(netns: Netns, proc_sys: impl Into<PathBuf>) -> io::Result<Self> {
        let open = || {
            let (mut connection, handle, _) = rtnetlink::new_connection()?;
            let address: SocketAddr = connection.socket_mut().socket_mut().bind_auto()?;
            Ok::<_, io::Error>((connection, handle, address.port_number()))
        };
        let (connection, handle, port) = netns.run(open).await??;
        tokio::spawn(connection);
        let (connection, for_pods, port_for_pods) = netns.run(open).await??;
        tokio::spawn(connection);
        Ok(Self {
            handle,
            for_pods,
            ports: [port, port_for_pods],
            netns,
            proc_sys: proc_sys.into(),
            memory: Arc::default(),
            newcomers: Newcomers::default(),
        })
    }

    /// The namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The pods that came since the latest plan was begun: no plan of before takes anything from them.
    pub fn newcomers(&self) -> &Newcomers {
        &self.newcomers
    }

    /// Does without the filter for the overlay's broadcasts, as on a kernel that cannot have it.
    #[must_use]
    pub fn without_filter(self) -> Self {
        self.memory.filter_unsupported.store(true, Ordering::Relaxed);
        self
    }

    /// Removes forwarding entries after that time without a use for them, instead of half a minute.
    #[must_use]
    pub fn with_grace(self, period: Duration) -> Self {
        *lock(&self.memory.grace) = Grace::of(period);
        self
    }

    /// The machine, for a view.
    pub async fn observe(&self) -> Result<Machine, DumpError> {
        Ok(self.look().await?.0)
    }

    /// The machine, and all that comes by netlink, for [`Self::converge_from`].
    pub async fn look(&self) -> Result<(Machine, State), DumpError> {
        let mut state = dump::netlink(&self.handle).await?;
        state.sysctls = self.sysctls(vec![observe::IPV6_SWITCH.to_owned()]).await?;
        Ok((observe::machine(&state), state))
    }

    /// What the kernel holds of what a plan is about.
    pub async fn dump(&self, plan: &Plan) -> Result<State, DumpError> {
        let mut state = dump::netlink(&self.handle).await?;
        let all = Proven::default().doubtful(plan, &state, Instant::now());
        state.sysctls = self.sysctls(paths(plan, &all)).await?;
        state.replication = self.replication(plan, &state).await?;
        Ok(state)
    }

    /// Makes the plan true, as far as possible. With `removals` withheld nothing is taken away.
    pub async fn converge(&self, plan: &Plan, removals: Removals) -> Result<Report, DumpError> {
        let seen = dump::netlink(&self.handle).await?;
        self.converge_from(seen, plan, removals).await
    }

    /// As [`Self::converge`], from what was seen when the plan was made: of it, only the sysctls are read anew.
    pub async fn converge_from(
        &self,
        seen: State,
        plan: &Plan,
        removals: Removals,
    ) -> Result<Report, DumpError> {
        let mut report = self.pass(seen, plan, removals).await?;
        if self.lacks_filter(&report) {
            // What was to be left to the filter is for forwarding entries now.
            let seen = dump::netlink(&self.handle).await?;
            let second = self.pass(seen, plan, removals).await?;
            report
                .errors
                .retain(|failure| !matches!(failure.change, Change::InstallFilter { .. }));
            report.changes.extend(second.changes);
            report.errors.extend(second.errors);
        }
        for change in &report.changes {
            if change.takes_from_another() {
                tracing::warn!(%change, "somebody else wrote to a routing table of ours: give them another");
            }
            tracing::debug!(%change, "changed");
        }
        self.mention(&report.absent_sysctls);
        Ok(report)
    }

    async fn pass(&self, mut state: State, plan: &Plan, removals: Removals) -> Result<Report, DumpError> {
        let doubtful = lock(&self.memory.proven).doubtful(plan, &state, Instant::now());
        state.sysctls = self.sysctls(paths(plan, &doubtful)).await?;
        state.replication = self.replication(plan, &state).await?;
        self.mention(&absent(plan, &state));
        let changes = diff(plan, &state, removals);
        lock(&self.memory.proven).learn(doubtful, &changes);
        let changes = lock(&self.memory.grace).due(changes, Instant::now());
        if changes.is_empty() {
            return Ok(Report::default());
        }
        let mut worker = Worker::new(&self.handle, &self.netns, self.proc_sys.clone());
        Ok(worker.take_all(changes, &state, &self.newcomers).await)
    }

    async fn sysctls(
        &self,
        paths: Vec<String>,
    ) -> Result<std::collections::BTreeMap<String, String>, DumpError> {
        let root = self.proc_sys.clone();
        let read = self.netns.run(move || sysctl::read(&root, &paths)).await;
        read.map_err(|source| DumpError::new("sysctls", source))
    }

    async fn replication(&self, plan: &Plan, state: &State) -> Result<Replication, DumpError> {
        if self.memory.filter_unsupported.load(Ordering::Relaxed) {
            return Ok(Replication::Unsupported);
        }
        let Some(tunnel) = plan
            .vxlan
            .as_ref()
            .filter(|tunnel| state.tunnel(&tunnel.name).is_some())
        else {
            return Ok(Replication::Missing);
        };
        let link = tunnel.name.clone();
        let installed = self.netns.run(move || replicate::is_installed(&link)).await;
        match installed.map_err(|source| DumpError::new("replication filters", source))? {
            Ok(true) => Ok(Replication::Filtered),
            Ok(false) => Ok(Replication::Missing),
            Err(error) => {
                self.give_up_filter(&error.to_string());
                Ok(Replication::Unsupported)
            }
        }
    }

    /// Whether the filter was refused just now, and for good.
    fn lacks_filter(&self, report: &Report) -> bool {
        let refused = report
            .errors
            .iter()
            .find(|failure| matches!(failure.change, Change::InstallFilter { .. }));
        let Some(failure) = refused else { return false };
        if is_transient(&failure.source) {
            return false;
        }
        self.give_up_filter(&failure.source.to_string());
        true
    }

    fn give_up_filter(&self, error: &str) {
        self.memory.filter_unsupported.store(true, Ordering::Relaxed);
        tracing::warn!(
            error,
            "no egress hook in this kernel: broadcasts of the overlay use default entries"
        );
    }

    fn mention(&self, absent: &BTreeSet<String>) {
        let mut known = lock(&self.memory.absent_sysctls);
        for path in absent {
            if known.insert(path.clone()) {
                tracing::info!(path, "no such sysctl in this network namespace: passed over");
            }
        }
    }
}

/// The link went away, or memory was short: next time may be better.
fn is_transient(error: &apply::StepError) -> bool {
    match error {
        apply::StepError::Refused(error) => {
            matches!(
                error.raw_os_error(),
                Some(libc::ENODEV | libc::ENOMEM | libc::EINTR | libc::ENOBUFS)
            )
        }
        _ => true,
    }
}

/// Sysctls of the plan that this kernel does not have; those of our links come with them.
fn absent(plan: &Plan, state: &State) -> BTreeSet<String> {
    let to_come = |path: &str| {
        let tunnel = plan.vxlan.iter().map(|tunnel| &tunnel.name);
        let link = tunnel
            .chain(plan.segments.keys())
            .find(|name| path.split('/').any(|part| part == *name));
        link.is_some_and(|name| !state.links.contains_key(name))
    };
    let wanted = plan
        .sysctls
        .keys()
        .filter(|path| !state.sysctls.contains_key(*path) && !to_come(path));
    wanted.cloned().collect()
}

/// Sysctls that a plan speaks of, and those of these pods.
fn paths(plan: &Plan, pods: &Doubtful<'_>) -> Vec<String> {
    let of_pods = pods
        .iter()
        .flat_map(|(name, (_, end))| host_end_sysctls(name, end).into_keys());
    plan.sysctls.keys().cloned().chain(of_pods).collect()
}

/// Nobody panics with half a change made.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
