//! Chapter 6.2 of the control-plane spec.

mod assigning;
mod choosing;
mod lasting;
mod namespaces;
mod ranges;

use crate::fixtures::{Sub, subnet};

const NO_SUBNET: &str =
    "network net: no IPv4 subnet with a free address that is not private: add an IPv4 subnet, or delete pods";

/// Five usable addresses, .2 to .6.
fn small() -> Sub {
    subnet("s", "10.0.0.0/29").gateway("10.0.0.1")
}

/// One usable address each.
fn pair() -> [Sub; 2] {
    [
        subnet("a", "10.0.0.0/30").gateway("10.0.0.1"),
        subnet("b", "10.0.1.0/30").gateway("10.0.1.1"),
    ]
}

/// .2, .5 and .6 by choice, .3 by assignment, .4 not at all.
fn listed() -> Sub {
    subnet("s", "192.168.1.0/29")
        .gateway("192.168.1.1")
        .reserving(&["192.168.1.3"])
        .excluding(&["192.168.1.4"])
}
