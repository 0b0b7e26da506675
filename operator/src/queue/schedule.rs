//! When which key is worked on: the pure half of a [`Queue`](super::Queue).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// The first delay after a failure; it doubles with each.
const FIRST_DELAY: Duration = Duration::from_millis(10);
/// Failures are tried again at least this often.
const LAST_DELAY: Duration = Duration::from_secs(30);

/// How a piece of work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left to do until something changes.
    Done,
    /// Look again after this time.
    After(Duration),
    /// Try again, later each time.
    Failed,
}

/// Keys that wait, and keys that are being worked on. A key is in work at most once; if it is added
/// meanwhile, it is worked on once more.
#[derive(Debug)]
pub struct Schedule<K> {
    /// At least this long from one start to the next of the same key.
    pace: Duration,
    due: BTreeMap<(Instant, u64), K>,
    waiting: HashMap<K, (Instant, u64)>,
    working: HashSet<K>,
    again: HashSet<K>,
    failures: HashMap<K, u32>,
    started: HashMap<K, Instant>,
    /// Keeps keys that are due at the same time in the order of their coming.
    sequence: u64,
}

impl<K: Clone + Eq + Hash> Schedule<K> {
    /// Nothing to do.
    pub fn new(pace: Duration) -> Self {
        Self {
            pace,
            due: BTreeMap::new(),
            waiting: HashMap::new(),
            working: HashSet::new(),
            again: HashSet::new(),
            failures: HashMap::new(),
            started: HashMap::new(),
            sequence: 0,
        }
    }

    /// The key is to be worked on now, or as soon as the pace allows.
    pub fn add(&mut self, key: K, now: Instant) {
        if self.working.contains(&key) {
            self.again.insert(key);
            return;
        }
        let at = self
            .started
            .get(&key)
            .map_or(now, |started| (*started + self.pace).max(now));
        self.add_at(key, at);
    }

    /// Everything that failed and waits is tried now: what it lacked may have come.
    pub fn hasten(&mut self, now: Instant) {
        let failed: Vec<K> = self.failures.keys().cloned().collect();
        for key in failed {
            self.add(key, now);
        }
    }

    /// The next key that is due, now in work.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let ((at, _), key) = self.due.first_key_value()?;
        let key = (*at <= now).then(|| key.clone())?;
        self.begin(&key, now);
        Some(key)
    }

    /// All keys that are due, in the order of [`pop`](Self::pop).
    #[cfg(any(test, feature = "simulation"))]
    pub fn all_due(&self, now: Instant) -> Vec<K> {
        let due = self.due.iter().take_while(|((at, _), _)| *at <= now);
        due.map(|(_, key)| key.clone()).collect()
    }

    /// A key that waits is now in work.
    pub fn begin(&mut self, key: &K, now: Instant) {
        if let Some(place) = self.waiting.remove(key) {
            self.due.remove(&place);
        }
        self.working.insert(key.clone());
        if !self.pace.is_zero() {
            let pace = self.pace;
            self.started.retain(|_, started| now - *started < pace);
            self.started.insert(key.clone(), now);
        }
    }

    /// The work on a key has ended.
    pub fn finish(&mut self, key: K, outcome: Outcome, now: Instant) {
        self.working.remove(&key);
        let again = self.again.remove(&key);
        match outcome {
            Outcome::Failed => {
                let failures = self.failures.entry(key.clone()).or_insert(0);
                let delay = delay(*failures);
                *failures = failures.saturating_add(1);
                self.add_at(key.clone(), now + delay);
            }
            Outcome::After(delay) => {
                self.failures.remove(&key);
                self.add_at(key.clone(), now + delay);
            }
            Outcome::Done => {
                self.failures.remove(&key);
            }
        }
        if again {
            self.add(key, now);
        }
    }

    /// When to look again; nothing means that only an [`add`](Self::add) brings work.
    pub fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many keys wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn add_at(&mut self, key: K, at: Instant) {
        match self.waiting.get(&key) {
            Some((known, _)) if *known <= at => return,
            Some(place) => {
                self.due.remove(place);
            }
            None => {}
        }
        self.sequence += 1;
        self.due.insert((at, self.sequence), key.clone());
        self.waiting.insert(key, (at, self.sequence));
    }
}

fn delay(failures: u32) -> Duration {
    FIRST_DELAY.saturating_mul(1 << failures.min(16)).min(LAST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    fn schedule() -> (Schedule<&'static str>, Instant) {
        (Schedule::new(Duration::ZERO), Instant::now())
    }

    #[test]
    fn keys_come_in_the_order_of_their_adding_and_only_once() {
        let (mut schedule, now) = schedule();
        for key in ["b", "a", "b", "c"] {
            schedule.add(key, now);
        }

        let order: Vec<_> = std::iter::from_fn(|| schedule.pop(now)).collect();

        assert_eq!(order, ["b", "a", "c"]);
    }

    #[test]
    fn a_key_in_work_is_not_given_out_again_but_afterwards() {
        let (mut schedule, now) = schedule();
        schedule.add("a", now);
        schedule.pop(now);
        schedule.add("a", now);
        assert_eq!(schedule.pop(now), None);

        schedule.finish("a", Outcome::Done, now);

        assert_eq!(schedule.pop(now), Some("a"));
    }

    #[test]
    fn failures_come_back_later_each_time_and_at_least_every_half_minute() {
        let (mut schedule, mut now) = schedule();
        schedule.add("a", now);
        let mut delays = vec![];
        for _ in 0..20 {
            schedule.pop(now).unwrap();
            schedule.finish("a", Outcome::Failed, now);
            let next = schedule.next().unwrap();
            delays.push(next - now);
            now = next;
        }

        assert!(delays.is_sorted());
        assert_eq!(
            (delays[0], delays[1], delays[19]),
            (FIRST_DELAY, 2 * FIRST_DELAY, LAST_DELAY)
        );
    }

    #[test]
    fn success_forgets_the_failures() {
        let (mut schedule, now) = schedule();
        for outcome in [Outcome::Failed, Outcome::Failed, Outcome::Done, Outcome::Failed] {
            schedule.add("a", now);
            schedule.pop(now).unwrap();
            schedule.finish("a", outcome, now);
        }

        assert_eq!(schedule.next(), Some(now + FIRST_DELAY));
    }

    #[test]
    fn what_failed_can_be_hastened() {
        let (mut schedule, now) = schedule();
        schedule.add("a", now);
        schedule.pop(now);
        schedule.finish("a", Outcome::Failed, now);
        assert_eq!(schedule.pop(now), None);

        schedule.hasten(now);

        assert_eq!(schedule.pop(now), Some("a"));
    }

    #[test]
    fn a_paced_key_starts_at_once_and_then_at_its_pace() {
        let now = Instant::now();
        let mut schedule = Schedule::new(STEP);
        schedule.add("a", now);
        assert_eq!(schedule.pop(now), Some("a"));
        schedule.add("a", now);
        schedule.finish("a", Outcome::Done, now);

        assert_eq!(schedule.next(), Some(now + STEP));
        schedule.add("b", now);
        assert_eq!(schedule.pop(now), Some("b"));
        assert_eq!(schedule.pop(now + STEP), Some("a"));
    }

    #[test]
    fn an_earlier_time_wins() {
        let (mut schedule, now) = schedule();
        schedule.add("a", now);
        schedule.pop(now);
        schedule.finish("a", Outcome::After(STEP), now);

        schedule.add("a", now);

        assert_eq!(schedule.pop(now), Some("a"));
        assert_eq!(schedule.waiting(), 0);
    }
}
