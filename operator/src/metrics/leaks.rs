//! What the collector of leaks counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RepairLabels {
    kind: &'static str,
    result: &'static str,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Leaks {
    found: Family<KindLabel, Gauge>,
    repairs: Family<RepairLabels, Counter>,
    unknown: Gauge,
}

impl Leaks {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "leaks",
            "What the last look found out of place, also what is still in its period of grace",
            self.found.clone(),
        );
        registry.register(
            "repairs",
            "Leaks that were acted on; skipped: the live object said otherwise",
            self.repairs.clone(),
        );
        registry.register(
            "workloads_unknown",
            "Owners of addresses that could not be read; their addresses are kept",
            self.unknown.clone(),
        );
    }

    /// Shows how many there are of a kind.
    pub fn set_found(&self, kind: &'static str, number: usize) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.found.get_or_create(&KindLabel { kind }).set(number);
    }

    /// Counts an attempt to repair: `done`, `skipped` or `failed`.
    pub fn repaired(&self, kind: &'static str, result: &'static str) {
        self.repairs.get_or_create(&RepairLabels { kind, result }).inc();
    }

    /// Shows how many owners could not be read.
    pub fn set_unknown(&self, number: usize) {
        self.unknown.set(i64::try_from(number).unwrap_or(i64::MAX));
    }
}
