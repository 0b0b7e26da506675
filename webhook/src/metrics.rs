//! What an operator counts: admissions by kind, operation and result, their latency, and the end of the
//! serving certificate.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

const SECONDS: [f64; 12] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0,
];

/// All metrics of this program.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    admissions: Family<Labels, Counter>,
    latency: Family<Labels, Histogram, fn() -> Histogram>,
    expiry: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    path: &'static str,
    kind: &'static str,
    operation: &'static str,
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("hybridnet_webhook");
        let admissions = Family::default();
        let latency: Family<Labels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(SECONDS));
        let expiry = Gauge::default();
        registry.register(
            "admissions",
            "Admission requests that were answered",
            admissions.clone(),
        );
        registry.register(
            "admission_duration_seconds",
            "Time to answer a request",
            latency.clone(),
        );
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "End of the serving certificate in seconds after 1970; 0 when there is none",
            expiry.clone(),
        );
        Self {
            registry,
            admissions,
            latency,
            expiry,
        }
    }
}

impl Metrics {
    /// Counts one answer.
    pub fn answered(
        &self,
        path: &'static str,
        kind: &str,
        operation: &'static str,
        result: &'static str,
        took: Duration,
    ) {
        let labels = Labels {
            path,
            kind: known(kind),
            operation,
            result,
        };
        self.admissions.get_or_create(&labels).inc();
        self.latency.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// All metrics in the `OpenMetrics` text format; `expiry` is the end of the serving certificate.
    pub fn text(&self, expiry: Option<u64>) -> Result<String, std::fmt::Error> {
        self.expiry
            .set(expiry.and_then(|end| i64::try_from(end).ok()).unwrap_or_default());
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

// Whoever reaches the port may send any kind: it must not become a label.
fn known(kind: &str) -> &'static str {
    ["Pod", "Network", "Subnet", "IPInstance"]
        .into_iter()
        .find(|known| *known == kind)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_and_unknown_kinds_folded() {
        let metrics = Metrics::default();
        metrics.answered("mutate", "Pod", "CREATE", "allowed", Duration::from_millis(1));
        metrics.answered("mutate", "Junk", "CREATE", "allowed", Duration::from_millis(1));
        let text = metrics.text(Some(7)).expect("text");
        for line in [
            r#"hybridnet_webhook_admissions_total{path="mutate",kind="Pod",operation="CREATE",result="allowed"} 1"#,
            r#"hybridnet_webhook_admissions_total{path="mutate",kind="other",operation="CREATE",result="allowed"} 1"#,
            "hybridnet_webhook_certificate_expiry_timestamp_seconds 7",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
