//! Intervals of addresses: the difference, the union, and the aligned prefixes that make one up.

use ipnetwork::IpNetwork;

use super::family::{Family, number};

/// All numbers from `first` to `last`, both included. Never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    first: u128,
    last: u128,
}

impl Interval {
    /// Nothing when `last` comes before `first`.
    pub fn new(first: u128, last: u128) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// One number.
    pub const fn single(number: u128) -> Self {
        Self {
            first: number,
            last: number,
        }
    }

    /// All addresses of a prefix.
    pub fn of(network: IpNetwork) -> Self {
        Self {
            first: number(network.network()),
            last: number(network.broadcast()),
        }
    }

    /// The lowest number.
    pub const fn first(self) -> u128 {
        self.first
    }

    /// The highest number.
    pub const fn last(self) -> u128 {
        self.last
    }

    /// How many numbers there are. All of IPv6, which is one more than fits, counts one less.
    pub const fn count(self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// Whether the number is one of them.
    pub const fn contains(self, number: u128) -> bool {
        self.first <= number && number <= self.last
    }

    /// What both have.
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }

    /// The fewest aligned prefixes that make up the interval, from low to high.
    pub fn cover(self, family: Family) -> Vec<IpNetwork> {
        let mut prefixes = Vec::new();
        let mut at = self.first;
        loop {
            let (host_bits, end) = self.largest_block(at, family);
            let prefix = family.bits().saturating_sub(host_bits);
            let network = family.address(at).and_then(|ip| IpNetwork::new(ip, prefix).ok());
            prefixes.extend(network);
            if end == self.last {
                return prefixes;
            }
            at = end + 1;
        }
    }

    // Host bits and last number of the largest aligned block that starts at `at` and ends inside.
    fn largest_block(self, at: u128, family: Family) -> (u8, u128) {
        let aligned = at.trailing_zeros();
        let fitting = match (self.last - at).checked_add(1) {
            Some(room) => room.ilog2(),
            None => u128::BITS,
        };
        let host_bits = aligned.min(fitting).min(family.bits().into());
        let ones = 1_u128.checked_shl(host_bits).map_or(u128::MAX, |size| size - 1);
        (u8::try_from(host_bits).unwrap_or(u8::MAX), at + ones)
    }
}

/// The union as the fewest intervals, in order: what overlaps or touches becomes one.
pub fn merged(intervals: impl IntoIterator<Item = Interval>) -> Vec<Interval> {
    let mut sorted: Vec<_> = intervals.into_iter().collect();
    sorted.sort_unstable();
    let mut union = Vec::<Interval>::with_capacity(sorted.len());
    for next in sorted {
        match union.last_mut() {
            Some(before) if next.first <= before.last.saturating_add(1) => {
                before.last = before.last.max(next.last);
            }
            _ => union.push(next),
        }
    }
    union
}

/// What of `whole` none of `taken` has, in order.
pub fn gaps(whole: Interval, taken: impl IntoIterator<Item = Interval>) -> Vec<Interval> {
    let mut left = Vec::new();
    let mut at = Some(whole.first);
    for next in merged(taken) {
        let Some(start) = at.filter(|start| *start <= whole.last) else {
            break;
        };
        let before = next.first.checked_sub(1).map(|end| end.min(whole.last));
        left.extend(before.and_then(|end| Interval::new(start, end)));
        at = next.last.checked_add(1).map(|after| after.max(start));
    }
    left.extend(at.and_then(|start| Interval::new(start, whole.last)));
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interval(first: u128, last: u128) -> Interval {
        Interval::new(first, last).unwrap()
    }

    fn texts(first: u128, last: u128, family: Family) -> Vec<String> {
        let cover = interval(first, last).cover(family);
        cover.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn whole_families_are_one_prefix() {
        assert_eq!(texts(0, u128::from(u32::MAX), Family::V4), ["0.0.0.0/0"]);
        assert_eq!(texts(0, u128::MAX, Family::V6), ["::/0"]);
        assert_eq!(texts(1, u128::MAX, Family::V6).len(), 128);
    }

    #[test]
    fn all_of_ipv6_has_a_count_that_fits() {
        assert_eq!(interval(0, u128::MAX).count(), u128::MAX);
        assert_eq!(interval(7, 7).count(), 1);
        assert_eq!(Interval::new(8, 7), None);
    }

    #[test]
    fn neighbours_become_one() {
        let union = merged([interval(5, 6), interval(0, 1), interval(2, 3), interval(6, 9)]);
        assert_eq!(union, [interval(0, 3), interval(5, 9)]);
        assert_eq!(
            merged([interval(0, u128::MAX), interval(3, 4)]),
            [interval(0, u128::MAX)]
        );
    }

    fn some_intervals() -> impl Strategy<Value = Vec<Interval>> {
        let one = (0_u128..64, 0_u128..64).prop_map(|(a, b)| interval(a.min(b), a.max(b)));
        proptest::collection::vec(one, 0..8)
    }

    proptest! {
        #[test]
        fn a_cover_has_exactly_the_interval_and_no_two_blocks_that_could_be_one(a: u32, b: u32) {
            let (first, last) = (u128::from(a.min(b)), u128::from(a.max(b)));
            let blocks: Vec<_> = interval(first, last).cover(Family::V4);
            let mut at = first;
            for block in &blocks {
                let block = Interval::of(*block);
                prop_assert_eq!(block.first(), at);
                at = block.last() + 1;
            }
            prop_assert_eq!(at, last + 1);
            for pair in blocks.windows(2) {
                let wider = IpNetwork::new(pair[0].ip(), pair[0].prefix().saturating_sub(1)).unwrap();
                let joined = pair[0].prefix() == pair[1].prefix() && wider.contains(pair[1].ip())
                    && wider.network() == pair[0].ip();
                prop_assert!(!joined, "{} and {} could be one", pair[0], pair[1]);
            }
        }

        #[test]
        fn gaps_and_what_was_taken_make_up_the_whole(whole in (0_u128..64, 0_u128..64), taken in some_intervals()) {
            let whole = interval(whole.0.min(whole.1), whole.0.max(whole.1));
            let left = gaps(whole, taken.clone());
            for number in 0..64 {
                let is_left = left.iter().any(|gap| gap.contains(number));
                let is_taken = taken.iter().any(|one| one.contains(number));
                prop_assert_eq!(is_left, whole.contains(number) && !is_taken);
            }
        }
    }
}
