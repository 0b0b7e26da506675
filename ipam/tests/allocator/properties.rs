//! Random histories of the allocator beside its naive twin: after each step both say the same, so no
//! address is given twice, none is lost, limits are exact, and equal input gives an equal choice.

use std::net::IpAddr;

use hybridnet_ipam::Families;
use proptest::prelude::*;

use crate::pair::Pair;
use crate::step::{pod, step};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_allocator_says_what_the_naive_one_says(steps in prop::collection::vec(step(), 1..40)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.run(step);
            pair.compare();
        }
    }

    #[test]
    fn reservations_taken_back_in_any_order_leave_nothing(
        count in 1usize..12,
        order in prop::collection::vec(any::<usize>(), 12),
    ) {
        let mut pair = Pair::new();
        pair.allocate(Families::DualStack, &[], &pod(0));
        pair.end(0, <[IpAddr]>::to_vec);
        let before = pair.real.ipam.clone();
        for who in 0..count {
            pair.allocate([Families::Ipv4Only, Families::Ipv6Only, Families::DualStack][who % 3], &[], &pod(who % 6));
        }
        for index in order {
            pair.end(index, |_| vec![]);
            pair.compare();
        }
        prop_assert!(pair.real.ipam == before);
    }
}
