//! What requests of the plugin cost, by phase: where a slow pod start spends its time.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::metrics::Metrics;

/// Parts of an ADD, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// The API server tells about the pod.
    Pod,
    /// Waiting for its addresses.
    Address,
    /// Waiting for the node's part of the network.
    Ready,
    /// Making the pair, addresses, routes.
    Wire,
    /// Waiting for the pod's first answer.
    Ping,
    /// All of it.
    Total,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Address => "address",
            Self::Ready => "ready",
            Self::Wire => "wire",
            Self::Ping => "ping",
            Self::Total => "total",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    verb: &'static str,
    result: &'static str,
}

/// Times and counts of requests. Clones share them.
#[derive(Clone, Debug)]
pub struct CniMetrics {
    phases: Family<PhaseLabel, Histogram, fn() -> Histogram>,
    requests: Family<Outcome, Counter>,
}

impl Default for CniMetrics {
    fn default() -> Self {
        // 0.5 ms to 65 s.
        let histogram = || Histogram::new(exponential_buckets(0.0005, 2.0, 18));
        Self {
            phases: Family::new_with_constructor(histogram),
            requests: Family::default(),
        }
    }
}

impl CniMetrics {
    /// Shown with the daemon's other metrics.
    pub fn registered(metrics: &Metrics) -> Self {
        let own = Self::default();
        metrics.register(
            "cni_add_seconds",
            "Time of ADD requests by phase",
            own.phases.clone(),
        );
        metrics.register("cni_requests", "Requests of the CNI plugin", own.requests.clone());
        own
    }

    pub(super) fn count(&self, verb: &'static str, success: bool) {
        let result = if success { "success" } else { "failure" };
        self.requests.get_or_create(&Outcome { verb, result }).inc();
    }

    pub(super) fn observe(&self, phase: Phase, seconds: f64) {
        self.phases
            .get_or_create(&PhaseLabel {
                phase: phase.as_str(),
            })
            .observe(seconds);
    }

    pub(super) fn start(&self) -> Clock {
        let now = Instant::now();
        Clock {
            metrics: self.clone(),
            begin: now,
            last: now,
        }
    }
}

/// Runs while one ADD does.
#[derive(Debug)]
pub(super) struct Clock {
    metrics: CniMetrics,
    begin: Instant,
    last: Instant,
}

impl Clock {
    /// `phase` has ended now.
    pub fn ended(&mut self, phase: Phase) {
        let now = Instant::now();
        self.metrics.observe(phase, (now - self.last).as_secs_f64());
        self.last = now;
    }

    /// The ADD has ended; only successes count, since failures measure our patience.
    pub fn done(self) -> f64 {
        let seconds = self.begin.elapsed().as_secs_f64();
        self.metrics.observe(Phase::Total, seconds);
        seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_and_outcomes_are_on_the_page() {
        let all = Metrics::default();
        let metrics = CniMetrics::registered(&all);

        let mut clock = metrics.start();
        clock.ended(Phase::Pod);
        clock.done();
        metrics.count("add", true);

        let page = all.encode().unwrap();
        for line in [
            "hybridnet_daemon_cni_add_seconds_count{phase=\"pod\"} 1",
            "hybridnet_daemon_cni_add_seconds_count{phase=\"total\"} 1",
            "hybridnet_daemon_cni_requests_total{verb=\"add\",result=\"success\"} 1",
        ] {
            assert!(page.lines().any(|of_page| of_page == line), "{line}: {page}");
        }
    }
}
