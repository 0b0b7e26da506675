//! The network of the random histories, and how it may change: for the allocator as texts, for its naive twin
//! as lists.

use std::ops::RangeInclusive;

use hybridnet_ipam::Family;

use crate::fixtures::{Sub, ip, subnet};
use crate::model::NaiveSubnet;

#[derive(Clone, Copy, Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a change that may come alone"
)]
pub struct Shape {
    pub shrunk: bool,
    pub private: bool,
    pub without: bool,
    /// One IPv4 and one IPv6 subnet are for namespace `x` only.
    pub subnet_closed: bool,
    /// The network is for namespaces `x` and `y` only.
    pub network_closed: bool,
}

impl Shape {
    /// Namespaces that may use the network.
    pub fn allowed(self) -> &'static [&'static str] {
        if self.network_closed { &["x", "y"] } else { &[] }
    }

    /// Its subnets, twice.
    pub fn subnets(self) -> (Vec<Sub>, Vec<NaiveSubnet>) {
        let mut both = vec![self.a(), self.b(), self.c(), d()];
        if self.without {
            both.remove(2);
        }
        both.into_iter().unzip()
    }

    fn a(self) -> (Sub, NaiveSubnet) {
        let (end, hosts) = if self.shrunk {
            ("10.0.0.5", 2..=5)
        } else {
            ("10.0.0.9", 2..=9)
        };
        let text = subnet("a", "10.0.0.0/28")
            .gateway("10.0.0.1")
            .between("10.0.0.1", end)
            .reserving(&["10.0.0.3"])
            .reserving_ranges(&["10.0.0.8-10.0.0.12"])
            .excluding(&["10.0.0.4"]);
        let reserved = if self.shrunk {
            vec!["10.0.0.3"]
        } else {
            vec!["10.0.0.3", "10.0.0.8", "10.0.0.9"]
        };
        (text, naive("a", &v4(0, hosts), &["10.0.0.4"], &reserved))
    }

    fn b(self) -> (Sub, NaiveSubnet) {
        let text = subnet("b", "10.0.1.0/29").gateway("10.0.1.1");
        let list = naive("b", &v4(1, 2..=6), &[], &[]);
        let (text, list) = self.closed(text, list);
        let text = if self.private { text.private() } else { text };
        let private = self.private;
        (text, NaiveSubnet { private, ..list })
    }

    fn c(self) -> (Sub, NaiveSubnet) {
        let text = subnet("c", "fd00::/125").excluding_ranges(&["fd00::6/127"]);
        self.closed(text, naive("c", &v6(0, 1..=7), &["fd00::6", "fd00::7"], &[]))
    }

    fn closed(self, text: Sub, list: NaiveSubnet) -> (Sub, NaiveSubnet) {
        if self.subnet_closed {
            (
                text.only_for(&["x"]),
                NaiveSubnet {
                    allowed: &["x"],
                    ..list
                },
            )
        } else {
            (text, list)
        }
    }
}

fn d() -> (Sub, NaiveSubnet) {
    (subnet("d", "fd01::/126"), naive("d", &v6(1, 1..=3), &[], &[]))
}

fn naive(name: &'static str, all: &[String], excluded: &[&str], reserved: &[&str]) -> NaiveSubnet {
    let usable = all.iter().map(String::as_str);
    let choosable = usable.filter(|ip| !excluded.contains(ip) && !reserved.contains(ip));
    let choosable: Vec<_> = choosable.map(ip).collect();
    NaiveSubnet {
        name,
        family: Family::of(choosable[0]),
        private: false,
        choosable,
        reserved: reserved.iter().map(|text| ip(text)).collect(),
        allowed: &[],
    }
}

fn v4(third: u8, hosts: RangeInclusive<u8>) -> Vec<String> {
    hosts.map(|host| format!("10.0.{third}.{host}")).collect()
}

fn v6(net: u8, hosts: RangeInclusive<u8>) -> Vec<String> {
    hosts.map(|host| format!("fd0{net}::{host:x}")).collect()
}
