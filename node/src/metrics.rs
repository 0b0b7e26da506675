//! What an operator counts. The Go project's daemon had no metrics of its own; ours begin with
//! `hybridnet_daemon_`. Parts that count for themselves register here ([`Metrics::register`]).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

/// All metrics of the daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// How long a pass over the kernel takes.
    pub pass_seconds: Histogram,
    /// Passes of which a part did not succeed.
    pub pass_errors: Counter,
    /// Changes made to the kernel by passes: after the first one, drift or news.
    pub kernel_changes: Counter,
    /// What is asked of this node and cannot be done.
    pub problems: Gauge,
    /// Remote addresses that can be resolved without a broadcast.
    pub index_addresses: Gauge,
    /// Questions of the kernel for a neighbour on the tunnel that were answered.
    pub neighbours_answered: Counter,
    /// Such questions for addresses that nobody is known to have.
    pub neighbours_unknown: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("hybridnet_daemon")),
            pass_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            pass_errors: Counter::default(),
            kernel_changes: Counter::default(),
            problems: Gauge::default(),
            index_addresses: Gauge::default(),
            neighbours_answered: Counter::default(),
            neighbours_unknown: Counter::default(),
        };
        metrics.register(
            "pass_seconds",
            "Time of a pass over the kernel",
            metrics.pass_seconds.clone(),
        );
        metrics.register(
            "pass_errors",
            "Passes of which a part failed",
            metrics.pass_errors.clone(),
        );
        metrics.register(
            "kernel_changes",
            "Changes that passes made",
            metrics.kernel_changes.clone(),
        );
        metrics.register(
            "problems",
            "What is asked and cannot be done",
            metrics.problems.clone(),
        );
        metrics.register(
            "index_addresses",
            "Remote addresses known",
            metrics.index_addresses.clone(),
        );
        metrics.register(
            "neighbours_answered",
            "Neighbours resolved",
            metrics.neighbours_answered.clone(),
        );
        metrics.register(
            "neighbours_unknown",
            "Neighbours nobody has",
            metrics.neighbours_unknown.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// Shows a metric under `hybridnet_daemon_<name>`.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .register(name, help, metric);
    }

    /// Counts one pass.
    pub fn pass(&self, took: Duration, changes: usize, problems: usize, failed: bool) {
        self.pass_seconds.observe(took.as_secs_f64());
        self.kernel_changes
            .inc_by(u64::try_from(changes).unwrap_or(u64::MAX));
        self.problems.set(i64::try_from(problems).unwrap_or(i64::MAX));
        if failed {
            self.pass_errors.inc();
        }
    }

    /// Everything in the `OpenMetrics` text format.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        text::encode(&mut page, &registry)?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_seen_on_the_page() {
        let metrics = Metrics::default();

        metrics.pass(Duration::from_millis(3), 5, 2, true);

        let page = metrics.encode().unwrap();
        for line in [
            "hybridnet_daemon_kernel_changes_total 5",
            "hybridnet_daemon_problems 2",
            "hybridnet_daemon_pass_errors_total 1",
            "hybridnet_daemon_pass_seconds_count 1",
        ] {
            assert!(page.lines().any(|of_page| of_page == line), "{line}: {page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }
}
