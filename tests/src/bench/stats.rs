//! Medians, percentiles, ratios: what a figure is made of.

use std::time::Duration;

/// The value below or at which the share `rank` (0 to 1) of the samples lies (nearest rank); nothing without samples.
pub fn percentile(samples: &[Duration], rank: f64) -> Option<Duration> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank is between 0 and the number of samples"
    )]
    let place = (rank.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied()
}

/// The middle sample; of an even number the upper one of the two in the middle. Nothing without samples.
pub fn median(samples: &[Duration]) -> Option<Duration> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

/// How many times as long `this` took as `that`; infinite when `that` took no time.
pub fn ratio(this: Duration, that: Duration) -> f64 {
    this.as_secs_f64() / that.as_secs_f64()
}

/// So many in this time, per second.
pub fn rate(count: usize, time: Duration) -> f64 {
    per(count_of(count), time.as_secs_f64())
}

/// A total shared among so many; nothing to share is nothing each.
pub fn each(total: u64, count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    let total = total as f64;
    per(total, count_of(count))
}

fn per(total: f64, parts: f64) -> f64 {
    if total == 0.0 { 0.0 } else { total / parts }
}

fn count_of(count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of objects are far below 2^52")]
    let count = count as f64;
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(values: &[u64]) -> Vec<Duration> {
        values.iter().copied().map(Duration::from_millis).collect()
    }

    #[test]
    fn percentiles_are_samples_in_order_of_size() {
        let samples: Vec<u64> = (1..=200).rev().collect();
        let samples = milliseconds(&samples);

        let of = |rank| percentile(&samples, rank).unwrap().as_millis();

        assert_eq!(
            [of(0.0), of(0.5), of(0.99), of(0.995), of(1.0), of(7.0)],
            [1, 100, 198, 199, 200, 200]
        );
    }

    #[test]
    fn the_median_of_an_odd_number_is_the_one_in_the_middle_and_none_of_none() {
        assert_eq!(median(&milliseconds(&[9, 1, 5])), Some(Duration::from_millis(5)));
        assert_eq!(median(&milliseconds(&[4, 2])), Some(Duration::from_millis(4)));
        assert_eq!((median(&[]), percentile(&[], 0.5)), (None, None));
    }

    #[test]
    fn nothing_in_no_time_is_no_rate() {
        assert!((rate(30, Duration::from_secs(2)) - 15.0).abs() < f64::EPSILON);
        assert!(rate(0, Duration::ZERO).abs() < f64::EPSILON);
        assert!((each(7, 2) - 3.5).abs() < f64::EPSILON);
        assert!(ratio(Duration::from_secs(1), Duration::ZERO).is_infinite());
        assert!((ratio(Duration::from_secs(3), Duration::from_secs(2)) - 1.5).abs() < f64::EPSILON);
    }
}
