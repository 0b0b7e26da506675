//! A summary over the last ten minutes, as the Go client library counts one.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_mins(10);
/// More samples than this in a window tell nothing new about the quantiles.
const SAMPLES: usize = 4096;
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// Count and sum since the start, quantiles over the window. Units are nanoseconds.
#[derive(Debug, Default)]
pub struct Summary {
    recent: VecDeque<(Instant, u64)>,
    count: u64,
    sum: u128,
}

impl Summary {
    /// Adds one sample.
    pub fn observe(&mut self, now: Instant, took: Duration) {
        self.forget(now);
        if self.recent.len() == SAMPLES {
            self.recent.pop_front();
        }
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.recent.push_back((now, nanoseconds));
        self.count += 1;
        self.sum += u128::from(nanoseconds);
    }

    /// Writes the lines of one label set; nothing when nothing was ever observed.
    pub fn encode(&mut self, page: &mut String, name: &str, labels: &str, now: Instant) -> std::fmt::Result {
        if self.count == 0 {
            return Ok(());
        }
        self.forget(now);
        let mut sorted: Vec<u64> = self.recent.iter().map(|(_, value)| *value).collect();
        sorted.sort_unstable();
        for q in QUANTILES {
            let value = quantile(&sorted, q).map_or("NaN".to_owned(), |value| value.to_string());
            writeln!(page, "{name}{{{labels},quantile=\"{q}\"}} {value}")?;
        }
        writeln!(page, "{name}_sum{{{labels}}} {}", self.sum)?;
        writeln!(page, "{name}_count{{{labels}}} {}", self.count)
    }

    fn forget(&mut self, now: Instant) {
        while self
            .recent
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            self.recent.pop_front();
        }
    }
}

/// The least sample that is not below the share `q` of all.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a rank among at most 4096 samples"
)]
fn quantile(sorted: &[u64], q: f64) -> Option<u64> {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_over_the_samples() {
        let sorted: Vec<u64> = (1..=100).collect();

        let found = QUANTILES.map(|q| quantile(&sorted, q));

        assert_eq!(found, [Some(50), Some(90), Some(99)]);
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn old_samples_leave_the_quantiles_but_not_the_count() {
        let mut summary = Summary::default();
        let start = Instant::now();
        summary.observe(start, Duration::from_nanos(7));
        let mut page = String::new();

        summary
            .encode(&mut page, "m", "a=\"b\"", start + Duration::from_mins(11))
            .unwrap();

        assert!(page.contains("m{a=\"b\",quantile=\"0.5\"} NaN\n"), "{page}");
        assert!(page.contains("m_count{a=\"b\"} 1\n"), "{page}");
    }
}
