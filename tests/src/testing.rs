//! What the cluster tests of one program share: one cluster, one test at a time, and logs kept of a failure.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Result;
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::diagnose::gather;
use crate::progress::say;

/// A cluster that the first test starts and the end of the program ends.
pub struct Shared {
    cluster: OnceLock<Result<Cluster, String>>,
    turn: Mutex<()>,
}

impl Shared {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            cluster: OnceLock::new(),
            turn: Mutex::new(()),
        }
    }

    /// Runs a test on the cluster, alone. `start` makes the cluster if this is the first.
    ///
    /// # Panics
    /// When the test fails, with the folder of what the cluster knew about it.
    pub fn run(
        &self,
        name: &str,
        start: impl AsyncFnOnce() -> Result<Cluster>,
        test: impl AsyncFnOnce(&Cluster) -> Result<()>,
    ) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = runtime();
        let cluster = self
            .cluster
            .get_or_init(|| runtime.block_on(start()).map_err(|error| format!("{error:#}")));
        match cluster {
            Ok(cluster) => judge(&runtime, cluster, name, test),
            Err(error) => fail(&format!("no cluster: {error}")),
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

fn judge(runtime: &Runtime, cluster: &Cluster, name: &str, test: impl AsyncFnOnce(&Cluster) -> Result<()>) {
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(test(cluster))));
    if matches!(outcome, Ok(Ok(()))) {
        return;
    }
    let folder = runtime.block_on(gather(cluster, name));
    match outcome {
        Ok(Err(error)) => fail(&format!("{error:#}\nwhat the cluster knew: {}", folder.display())),
        Err(panic) => {
            say(format!("what the cluster knew: {}", folder.display()));
            resume_unwind(panic)
        }
        Ok(Ok(())) => {}
    }
}

/// A runtime for one test.
///
/// # Panics
/// When the system gives no threads.
pub fn runtime() -> Runtime {
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    built.unwrap_or_else(|error| fail(&format!("a runtime: {error}")))
}

#[expect(clippy::panic, reason = "a test fails by a panic")]
fn fail(message: &str) -> ! {
    panic!("{message}")
}
