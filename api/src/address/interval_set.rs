//! Sets of addresses as the fewest intervals: what they cost depends on their holes, never on their size.

use super::interval::{Interval, gaps, merged};

/// Numbers as disjoint intervals that do not touch, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntervalSet(Vec<Interval>);

impl FromIterator<Interval> for IntervalSet {
    /// The intervals may overlap and come in any order.
    fn from_iter<I: IntoIterator<Item = Interval>>(intervals: I) -> Self {
        Self(merged(intervals))
    }
}

impl IntervalSet {
    /// The intervals, in order.
    pub fn iter(&self) -> impl Iterator<Item = Interval> + '_ {
        self.0.iter().copied()
    }

    /// Whether there is no number at all.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lowest number.
    pub fn first(&self) -> Option<u128> {
        self.0.first().map(|interval| interval.first())
    }

    /// How many numbers there are. All of IPv6, which is one more than fits, counts one less.
    pub fn count(&self) -> u128 {
        let counts = self.iter().map(Interval::count);
        counts.fold(0, u128::saturating_add)
    }

    /// Whether the number is one of them.
    pub fn contains(&self, number: u128) -> bool {
        let next = self.0.partition_point(|interval| interval.last() < number);
        self.0.get(next).is_some_and(|interval| interval.contains(number))
    }

    /// What this one has and the other has not.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let left = self.iter().flat_map(|interval| {
            let from = other.0.partition_point(|taken| taken.last() < interval.first());
            let taken = other.0.iter().skip(from).copied();
            gaps(
                interval,
                taken.take_while(|taken| taken.first() <= interval.last()),
            )
        });
        Self(left.collect())
    }

    /// The lowest number that both have. Each interval is looked at once.
    pub fn first_shared(&self, other: &Self) -> Option<u128> {
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(one), Some(two)) = (ours.peek(), theirs.peek()) {
            if let Some(shared) = one.intersection(**two) {
                return Some(shared.first());
            }
            if one.last() < two.first() {
                ours.next();
            } else {
                theirs.next();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn some() -> impl Strategy<Value = Vec<Interval>> {
        let one = (0_u128..64, 0_u128..64).prop_map(|(a, b)| Interval::new(a.min(b), a.max(b)).unwrap());
        proptest::collection::vec(one, 0..8)
    }

    fn naive(intervals: &[Interval]) -> BTreeSet<u128> {
        let each = intervals.iter().flat_map(|one| one.first()..=one.last());
        each.collect()
    }

    fn enumerated(set: &IntervalSet) -> BTreeSet<u128> {
        naive(&set.iter().collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn a_set_of_intervals_is_a_set(left in some(), right in some()) {
            let (one, two) = (naive(&left), naive(&right));
            let (left, right): (IntervalSet, IntervalSet) =
                (left.into_iter().collect(), right.into_iter().collect());
            prop_assert_eq!(&enumerated(&left), &one);
            prop_assert_eq!(left.count(), one.len() as u128);
            prop_assert_eq!(left.first(), one.first().copied());
            prop_assert_eq!(left.is_empty(), one.is_empty());
            for number in 0..65 {
                prop_assert_eq!(left.contains(number), one.contains(&number));
            }
            prop_assert_eq!(enumerated(&left.without(&right)), &one - &two);
            prop_assert_eq!(left.first_shared(&right), one.intersection(&two).next().copied());
            prop_assert_eq!(right.first_shared(&left), left.first_shared(&right));
        }

        #[test]
        fn the_size_of_a_set_costs_nothing(from: u64, size in 0_u32..128) {
            let from = u128::from(from);
            let wide: IntervalSet = Interval::new(from, from.saturating_add(1 << size)).into_iter().collect();
            let all: IntervalSet = Interval::new(0, u128::MAX).into_iter().collect();
            prop_assert_eq!(wide.first_shared(&all), Some(from));
            prop_assert_eq!(all.without(&wide).first_shared(&wide), None);
            prop_assert!(wide.without(&all).is_empty());
            prop_assert_eq!(all.without(&wide).iter().count(), 1 + usize::from(from > 0));
        }
    }

    #[test]
    fn all_of_ipv6_is_one_interval() {
        let all: IntervalSet = Interval::new(0, u128::MAX).into_iter().collect();
        assert_eq!(all.count(), u128::MAX);
        assert!(all.contains(0) && all.contains(u128::MAX));
        assert!(all.without(&all).is_empty());
    }
}
