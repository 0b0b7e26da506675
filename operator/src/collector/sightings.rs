//! For how long something has been out of place, as far as this process knows.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::collector::finding::{Finding, Identity, Wait};

/// When what was found first.
#[derive(Debug, Default)]
pub struct Sightings {
    first: HashMap<Identity, Instant>,
}

impl Sightings {
    /// Takes in everything that a look has found, and gives what has been so for long enough. What was not
    /// found again begins anew when it is.
    pub fn due(&mut self, found: Vec<Finding>, grace: Duration, now: Instant) -> Vec<Finding> {
        let before = std::mem::take(&mut self.first);
        let mut due = vec![];
        for finding in found {
            let identity = finding.identity();
            let first = before.get(&identity).copied().unwrap_or(now);
            let wait = match finding.wait {
                Wait::Grace => grace,
                Wait::For(time) => time,
            };
            if now.duration_since(first) >= wait {
                due.push(finding);
            }
            self.first.insert(identity, first);
        }
        due
    }

    /// The finding is settled.
    pub fn forget(&mut self, finding: &Finding) {
        self.first.remove(&finding.identity());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::finding::{Kind, Repair, Subject};
    use crate::fixtures::instance;

    const GRACE: Duration = Duration::from_mins(10);
    const LOOK: Duration = Duration::from_mins(1);

    fn finding(wait: Wait) -> Finding {
        Finding {
            kind: Kind::PodGone,
            subject: Subject::Instance(instance("ns", "10.0.0.2").shared()),
            repair: Repair::Delete,
            wait,
            owner: None,
            note: String::new(),
        }
    }

    #[test]
    fn a_finding_is_due_when_it_has_been_seen_for_the_period_of_grace() {
        let (mut sightings, start) = (Sightings::default(), Instant::now());

        let looks = (0..=10).map(|look| {
            sightings
                .due(vec![finding(Wait::Grace)], GRACE, start + look * LOOK)
                .len()
        });

        assert_eq!(looks.collect::<Vec<_>>(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn what_was_gone_in_between_begins_anew() {
        let (mut sightings, start) = (Sightings::default(), Instant::now());
        sightings.due(vec![finding(Wait::Grace)], GRACE, start);
        sightings.due(vec![], GRACE, start + 5 * LOOK);

        assert!(
            sightings
                .due(vec![finding(Wait::Grace)], GRACE, start + 11 * LOOK)
                .is_empty()
        );
        assert_eq!(
            sightings
                .due(vec![finding(Wait::Grace)], GRACE, start + 21 * LOOK)
                .len(),
            1
        );
    }

    #[test]
    fn a_time_of_its_own_counts_instead_of_the_period_of_grace() {
        let (mut sightings, start) = (Sightings::default(), Instant::now());

        assert_eq!(
            sightings
                .due(vec![finding(Wait::For(Duration::ZERO))], GRACE, start)
                .len(),
            1
        );
        let later = finding(Wait::For(2 * LOOK));
        assert!(sightings.due(vec![later.clone()], GRACE, start + LOOK).is_empty());
        assert_eq!(sightings.due(vec![later], GRACE, start + 2 * LOOK).len(), 1);
    }
}
