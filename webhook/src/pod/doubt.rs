//! What a user is warned of while the pod comes in. Terminals are narrow and the API server may cut a warning,
//! so keys stand without their prefix, and of many things one is named.

use std::fmt;
use std::net::IpAddr;

use hybridnet_api::address::Family;
use hybridnet_api::selection::PodFamily;

/// One of several things, and how many there are beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOf<T> {
    first: T,
    more: usize,
}

impl<T> OneOf<T> {
    /// Nothing when there is none.
    pub fn all(things: impl IntoIterator<Item = T>) -> Option<Self> {
        let mut things = things.into_iter();
        let first = things.next()?;
        let more = things.count();
        Some(Self { first, more })
    }
}

impl<T: fmt::Display> fmt::Display for OneOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.more {
            0 => write!(f, "{}", self.first),
            more => write!(f, "{} and {more} more", self.first),
        }
    }
}

/// What may not be as the user thinks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// One address for two pods.
    #[error("ip-pool: {0} listed twice: give each pod an address of its own")]
    SharedAddress(OneOf<IpAddr>),
    /// One MAC for two pods.
    #[error("mac-pool: {0} listed twice: give each pod a MAC of its own")]
    SharedMac(OneOf<String>),
    /// Sections, counted from 0, that do not have the addresses that the pods ask for.
    #[error("ip-pool: section {sections} not {family}, which ip-family asks for: change one of the two")]
    PoolFamily {
        /// Where.
        sections: OneOf<usize>,
        /// What is asked for.
        family: PodFamily,
    },
    /// Addresses that nobody can get.
    #[error("ip-pool: {ips} in no Subnet of network {network:?}: use addresses of its Subnets")]
    Astray {
        /// The addresses.
        ips: OneOf<IpAddr>,
        /// The network of the pool.
        network: String,
    },
    /// Addresses of other pods of the workload that they may not use.
    #[error("ip-pool: {ips} of Subnet {subnet:?}, whose allowedNamespaces lack {namespace:?}")]
    PoolNotAllowed {
        /// The addresses.
        ips: OneOf<IpAddr>,
        /// The subnet of the first.
        subnet: String,
        /// Of the pod.
        namespace: String,
    },
    /// A pool that ends before the pod's section.
    #[error("{key}: it has {sections} sections and none for ordinal {ordinal}: add one for each pod")]
    PoolTooShort {
        /// `ip-pool` or `mac-pool`.
        key: &'static str,
        /// How many there are.
        sections: usize,
        /// Of the pod.
        ordinal: i32,
    },
    /// A key that only counts for stateful pods.
    #[error("{key}: without effect, it is for pods of {kinds}")]
    OnlyForStateful {
        /// The key.
        key: &'static str,
        /// Kinds of workloads.
        kinds: String,
    },
    /// Not a boolean.
    #[error("ip-retain: {value:?} is neither \"true\" nor \"false\": the default, {default}, counts")]
    Retain {
        /// What stands there.
        value: String,
        /// What counts.
        default: bool,
    },
    /// Not a number.
    #[error(
        "namespace {namespace:?}: address-limit {value:?} is no whole number: no limit holds; write one, such as 20"
    )]
    Limit {
        /// Whose limit.
        namespace: String,
        /// What stands there.
        value: String,
    },
    /// The pod will wait.
    #[error("specified-subnet: {0:?} has no address left: the pod waits until one is free")]
    FullSubnet(String),
    /// The pod will wait until an administrator does something.
    #[error(
        "specified-network: {network:?} has no {family} Subnet that this namespace may use: the pod gets no address"
    )]
    NothingOpen {
        /// What is named.
        network: String,
        /// What is missing.
        family: Family,
    },
    /// The pod will wait for ever.
    #[error("specified-subnet: {subnets:?} not {family}, which ip-family asks for: change one of the two")]
    SubnetFamily {
        /// What is named.
        subnets: String,
        /// What is asked for.
        family: PodFamily,
    },
    /// A pair of the node selector that we set.
    #[error("nodeSelector {key}: {user:?} replaced by {ours:?}")]
    NodeSelector {
        /// The label.
        key: String,
        /// What stood there.
        user: String,
        /// What stands there now.
        ours: String,
    },
    /// An annotation that gives way to addresses which are there.
    #[error("{key}: {user:?} replaced by {ours:?}: the pod keeps its addresses")]
    Replaced {
        /// The key without its prefix.
        key: &'static str,
        /// What stood there.
        user: String,
        /// What stands there now.
        ours: String,
    },
    /// Subnets of another network than the one whose addresses the pod keeps.
    #[error("specified-subnet: {user:?} ignored: the pod keeps its addresses in network {network:?}")]
    IgnoredSubnet {
        /// What stood there.
        user: String,
        /// The network of the addresses.
        network: String,
    },
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    /// What fits a line of a terminal, with names as they are usual and the longest addresses.
    const LINE: usize = 120;

    fn all() -> Vec<Doubt> {
        let ip = IpAddr::from(Ipv6Addr::from_bits(u128::MAX));
        let ips = OneOf { first: ip, more: 9 };
        let (name, namespace) = (|| "shop-backend-v6".to_owned(), || "shop".to_owned());
        vec![
            Doubt::SharedAddress(ips.clone()),
            Doubt::SharedMac(OneOf {
                first: "02:12:34:56:78:9a".to_owned(),
                more: 9,
            }),
            Doubt::PoolFamily {
                sections: OneOf { first: 100, more: 9 },
                family: PodFamily::DualStack,
            },
            Doubt::Astray {
                ips: ips.clone(),
                network: namespace(),
            },
            Doubt::PoolNotAllowed {
                ips,
                subnet: namespace(),
                namespace: namespace(),
            },
            Doubt::PoolTooShort {
                key: "mac-pool",
                sections: 100,
                ordinal: i32::MAX,
            },
            Doubt::OnlyForStateful {
                key: "ip-retain",
                kinds: "StatefulSet, CloneSet".to_owned(),
            },
            Doubt::Retain {
                value: "perhaps".to_owned(),
                default: false,
            },
            Doubt::Limit {
                namespace: namespace(),
                value: "twenty".to_owned(),
            },
            Doubt::FullSubnet(name()),
            Doubt::NothingOpen {
                network: name(),
                family: Family::V6,
            },
            Doubt::SubnetFamily {
                subnets: format!("{}/{}", name(), name()),
                family: PodFamily::Ipv4Only,
            },
            Doubt::NodeSelector {
                key: hybridnet_api::names::label::UNDERLAY_ATTACHMENT.to_owned(),
                user: "false".to_owned(),
                ours: "true".to_owned(),
            },
            Doubt::Replaced {
                key: "specified-network",
                user: name(),
                ours: name(),
            },
            Doubt::IgnoredSubnet {
                user: name(),
                network: name(),
            },
        ]
    }

    #[test]
    fn every_warning_fits_a_line() {
        for doubt in all() {
            let text = doubt.to_string();
            assert!(text.len() <= LINE, "{}: {text}", text.len());
        }
    }

    #[test]
    fn of_many_one_is_named_and_the_others_are_counted() {
        assert_eq!(OneOf::<u8>::all([]), None);
        assert_eq!(OneOf::all([7]).map(|one| one.to_string()).as_deref(), Some("7"));
        let three = OneOf::all([7, 8, 9]).map(|one| one.to_string());
        assert_eq!(three.as_deref(), Some("7 and 2 more"));
    }
}
