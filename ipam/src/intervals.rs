//! A set of numbers as its maximal ranges: the size of a subnet costs nothing, only its holes do.

use std::collections::BTreeMap;

use hybridnet_api::address::Interval;

/// Disjoint ranges, never touching each other, by their first number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intervals {
    ranges: BTreeMap<u128, u128>,
    count: u128,
}

impl FromIterator<Interval> for Intervals {
    /// The intervals must neither overlap nor touch.
    fn from_iter<I: IntoIterator<Item = Interval>>(intervals: I) -> Self {
        let mut all = Self::default();
        for interval in intervals {
            all.ranges.insert(interval.first(), interval.last());
            all.count = all.count.saturating_add(interval.count());
        }
        all
    }
}

impl Intervals {
    /// How many numbers there are. All of IPv6, which is one more than fits, counts one less.
    pub(crate) fn count(&self) -> u128 {
        self.count
    }

    pub(crate) fn contains(&self, number: u128) -> bool {
        self.range_of(number).is_some()
    }

    pub(crate) fn first(&self) -> Option<u128> {
        self.ranges.first_key_value().map(|(start, _)| *start)
    }

    /// The least number above `number`.
    pub(crate) fn first_after(&self, number: u128) -> Option<u128> {
        let next = number.checked_add(1)?;
        if self.contains(next) {
            return Some(next);
        }
        self.ranges.range(next..).next().map(|(start, _)| *start)
    }

    /// Takes a number out; false when it was not in.
    pub(crate) fn remove(&mut self, number: u128) -> bool {
        let Some((start, end)) = self.range_of(number) else {
            return false;
        };
        self.ranges.remove(&start);
        if start < number {
            self.ranges.insert(start, number - 1);
        }
        if number < end {
            self.ranges.insert(number + 1, end);
        }
        self.count -= 1;
        true
    }

    /// Puts a number in; false when it was in.
    pub(crate) fn insert(&mut self, number: u128) -> bool {
        if self.contains(number) {
            return false;
        }
        let below = number.checked_sub(1).and_then(|below| self.range_of(below));
        let above = number.checked_add(1).and_then(|above| self.range_of(above));
        if let Some((start, _)) = above {
            self.ranges.remove(&start);
        }
        let start = below.map_or(number, |(start, _)| start);
        let end = above.map_or(number, |(_, end)| end);
        self.ranges.insert(start, end);
        self.count = self.count.saturating_add(1);
        true
    }

    fn range_of(&self, number: u128) -> Option<(u128, u128)> {
        let (start, end) = self.ranges.range(..=number).next_back()?;
        (*end >= number).then_some((*start, *end))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn between(first: u128, last: u128) -> Intervals {
        Interval::new(first, last).into_iter().collect()
    }

    #[test]
    fn all_of_ipv6_is_one_range() {
        let mut all = between(0, u128::MAX);
        assert!(all.remove(u128::MAX));
        assert_eq!(all.first_after(u128::MAX - 2), Some(u128::MAX - 1));
        assert_eq!(all.first_after(u128::MAX - 1), None);
        assert!(all.insert(u128::MAX));
        assert_eq!(all, between(0, u128::MAX));
    }

    proptest! {
        #[test]
        fn a_set_of_ranges_is_a_set(steps in prop::collection::vec((any::<bool>(), 0u128..40), 0..80)) {
            let mut ranges = between(10, 29);
            let mut naive: BTreeSet<u128> = (10..=29).collect();
            for (put, number) in steps {
                if put {
                    prop_assert_eq!(ranges.insert(number), naive.insert(number));
                } else {
                    prop_assert_eq!(ranges.remove(number), naive.remove(&number));
                }
                prop_assert_eq!(ranges.count(), naive.len() as u128);
                prop_assert_eq!(ranges.first(), naive.first().copied());
                for probe in 0..40 {
                    prop_assert_eq!(ranges.contains(probe), naive.contains(&probe));
                    prop_assert_eq!(ranges.first_after(probe), naive.range(probe + 1..).next().copied());
                }
                let flat: Vec<u128> = ranges.ranges.iter().flat_map(|(start, end)| *start..=*end).collect();
                prop_assert_eq!(flat, naive.iter().copied().collect::<Vec<_>>());
                let touching = ranges.ranges.values().any(|end| ranges.ranges.contains_key(&(end + 1)));
                prop_assert!(!touching, "ranges that touch are one range");
            }
        }
    }
}
