//! What a waiting person sees: one line a step, with the time it took and, where it is long, an estimate.

use std::time::{Duration, Instant};

/// Says one line.
pub fn say(line: impl AsRef<str>) {
    eprintln!("lab: {}", line.as_ref());
}

/// Runs a step and says how long it took; silent when it took less than a second.
pub fn step<T, E>(what: &str, run: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let start = Instant::now();
    let outcome = run();
    let took = start.elapsed();
    if outcome.is_ok() && took >= Duration::from_secs(1) {
        say(format!("{what}: {}", seconds(took)));
    }
    outcome
}

/// `75.2 s`, or `3 min 05 s` from two minutes on.
pub fn seconds(time: Duration) -> String {
    if time.as_secs() < 120 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

/// The time that is left when `done` of `total` equal parts took `elapsed`; unknown before the first one.
pub fn remaining(done: usize, total: usize, elapsed: Duration) -> Option<Duration> {
    if done == 0 || total == 0 {
        return None;
    }
    let left = u32::try_from(total.saturating_sub(done)).ok()?;
    Some(
        elapsed
            .checked_div(u32::try_from(done).ok()?)?
            .saturating_mul(left),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_the_pace_so_far() {
        let cases = [
            (0, 10, 5, None),
            (5, 10, 50, Some(50)),
            (10, 10, 50, Some(0)),
            (12, 10, 60, Some(0)),
            (1, 4, 20, Some(60)),
        ];
        for (done, total, elapsed, left) in cases {
            let answer = remaining(done, total, Duration::from_secs(elapsed));
            assert_eq!(answer, left.map(Duration::from_secs), "{done} of {total}");
        }
    }

    #[test]
    fn long_times_are_told_in_minutes() {
        assert_eq!(seconds(Duration::from_millis(7250)), "7.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }
}
