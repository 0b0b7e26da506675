//! What can happen, at random.

use std::net::IpAddr;

use hybridnet_ipam::{Claimant, Families};
use proptest::prelude::*;

use crate::fixtures::{claimant, ip};
use crate::shape::Shape;

#[derive(Clone, Debug)]
pub enum Step {
    Allocate {
        families: Families,
        named: bool,
        place: usize,
        pod: usize,
    },
    Assign {
        address: usize,
        force: bool,
        pod: usize,
    },
    /// What namespaces may hold from now on.
    Limit(Option<u64>),
    Commit(usize),
    Rollback(usize),
    CommitFirstOnly(usize),
    /// An object appears; `named` makes its name that of another address.
    Adopt {
        address: usize,
        named: Option<usize>,
        pod: usize,
        bound: bool,
    },
    /// Somebody writes another address into an object.
    Edit {
        object: usize,
        address: usize,
    },
    /// Somebody writes another network into an object.
    MoveAway(usize),
    /// The watch shows what a reservation has written.
    Fulfil(usize),
    Release(usize),
    ReleaseByAnother(usize),
    Change(Shape),
    Restart,
}

pub fn step() -> impl Strategy<Value = Step> {
    let families = prop_oneof![
        Just(Families::Ipv4Only),
        Just(Families::Ipv6Only),
        Just(Families::DualStack)
    ];
    let another_name = prop::option::weighted(0.15, 0..40usize);
    prop_oneof![
        8 => (families, prop::bool::weighted(0.3), 0..4usize, 0..6usize)
            .prop_map(|(families, named, place, pod)| Step::Allocate { families, named, place, pod }),
        3 => (0..40usize, any::<bool>(), 0..6usize)
            .prop_map(|(address, force, pod)| Step::Assign { address, force, pod }),
        1 => prop::option::of(0..8u64).prop_map(Step::Limit),
        5 => any::<usize>().prop_map(Step::Commit),
        3 => any::<usize>().prop_map(Step::Rollback),
        1 => any::<usize>().prop_map(Step::CommitFirstOnly),
        2 => (0..40usize, another_name, 0..6usize, any::<bool>())
            .prop_map(|(address, named, pod, bound)| Step::Adopt { address, named, pod, bound }),
        1 => (any::<usize>(), 0..40usize).prop_map(|(object, address)| Step::Edit { object, address }),
        1 => any::<usize>().prop_map(Step::MoveAway),
        2 => any::<usize>().prop_map(Step::Fulfil),
        5 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::ReleaseByAnother),
        1 => shape().prop_map(Step::Change),
        1 => Just(Step::Restart),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let closed = (prop::bool::weighted(0.3), prop::bool::weighted(0.1));
    (flags, closed).prop_map(
        |((shrunk, private, without), (subnet_closed, network_closed))| Shape {
            shrunk,
            private,
            without,
            subnet_closed,
            network_closed,
        },
    )
}

/// Where adoptions and assignments aim at: usable, reserved, excluded, gateway, outside of everything.
pub fn address(index: usize) -> IpAddr {
    let host = index % 10 + 1;
    match index / 10 {
        0 => ip(&format!("10.0.0.{host}")),
        1 => ip(&format!("10.0.1.{host}")),
        2 => ip(&format!("fd00::{host:x}")),
        _ => ip(&format!("fd01::{host:x}")),
    }
}

/// One of six pods in three namespaces.
pub fn pod(index: usize) -> Claimant {
    claimant(["x/p", "x/q", "x/r", "y/p", "y/q", "z/p"][index])
}
