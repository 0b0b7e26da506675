//! Patience with forwarding entries that no plan wants any more. A `NodeInfo` goes for a moment when a node joins
//! anew or somebody deletes it by hand; its entries must not (datapath spec 5.2).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::change::Change;
use super::state::Forward;

/// How long an entry must have been unwanted before it goes.
pub(super) const PERIOD: Duration = Duration::from_secs(30);

/// Since when entries are unwanted.
#[derive(Debug)]
pub(super) struct Grace {
    period: Duration,
    since: BTreeMap<Forward, Instant>,
}

impl Default for Grace {
    fn default() -> Self {
        Self::of(PERIOD)
    }
}

impl Grace {
    pub(super) fn of(period: Duration) -> Self {
        Self {
            period,
            since: BTreeMap::new(),
        }
    }

    /// The steps without those that come too early. An entry that is wanted in between begins anew.
    pub(super) fn due(&mut self, changes: Vec<Change>, now: Instant) -> Vec<Change> {
        let before = std::mem::take(&mut self.since);
        let mut is_due = |change: &Change| {
            let Change::DeleteForward(entry) = change else {
                return true;
            };
            let since = before.get(entry).copied().unwrap_or(now);
            self.since.insert(entry.clone(), since);
            now.saturating_duration_since(since) >= self.period
        };
        changes.into_iter().filter(|change| is_due(change)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mac::Mac;

    fn deletion(node: u8) -> Change {
        Change::DeleteForward(Forward {
            link: "eth0.vxlan4".into(),
            mac: Mac([2, 0, 0, 0, 0, node]),
            to: [192, 168, 0, node].into(),
        })
    }

    #[test]
    fn an_entry_goes_when_it_has_been_unwanted_for_the_whole_period() {
        let (mut grace, start) = (Grace::default(), Instant::now());
        let mut after =
            |seconds, changes: &[Change]| grace.due(changes.to_vec(), start + Duration::from_secs(seconds));

        assert_eq!(after(0, &[deletion(2)]), []);
        assert_eq!(after(29, &[deletion(2), deletion(3)]), []);
        assert_eq!(after(30, &[deletion(2), deletion(3)]), [deletion(2)]);
        assert_eq!(after(59, &[deletion(3)]), [deletion(3)]);
    }

    #[test]
    fn an_entry_that_was_wanted_in_between_has_the_whole_period_again() {
        let (mut grace, start) = (Grace::default(), Instant::now());
        let mut after =
            |seconds, changes: &[Change]| grace.due(changes.to_vec(), start + Duration::from_secs(seconds));

        assert_eq!(after(0, &[deletion(2)]), []);
        assert_eq!(after(20, &[]), []);
        assert_eq!(after(40, &[deletion(2)]), []);
        assert_eq!(after(70, &[deletion(2)]), [deletion(2)]);
    }

    #[test]
    fn other_steps_are_not_held_up() {
        let other = Change::DeleteLink { name: "old".into() };

        assert_eq!(
            Grace::default().due(vec![deletion(2), other.clone()], Instant::now()),
            [other]
        );
    }
}
