//! What is wrong with the objects of the API, and with our view of them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Objects {
    invalid: Family<KindLabel, Gauge>,
    listed: Family<KindLabel, Gauge>,
}

impl Objects {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "objects_invalid",
            "Objects that cannot be used as they stand; their events and conditions say why",
            self.invalid.clone(),
        );
        registry.register(
            "kinds_listed",
            "1 for each kind that has been listed since we lead; without all of them nothing is allocated",
            self.listed.clone(),
        );
    }

    /// Shows how many objects of a kind are of no use.
    pub fn set_invalid(&self, kind: &str, number: usize) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.invalid.get_or_create(&label(kind)).set(number);
    }

    /// Shows whether a kind has been listed.
    pub fn set_listed(&self, kind: &str, listed: bool) {
        self.listed.get_or_create(&label(kind)).set(i64::from(listed));
    }
}

fn label(kind: &str) -> KindLabel {
    KindLabel {
        kind: kind.to_owned(),
    }
}
