//! Whether nodes of an underlay network can take pods: labels that the scheduler reads through a pod's
//! node selector (control-plane spec 4.10). They are written with the others by [`crate::node`].

use std::collections::BTreeMap;

use hybridnet_api::names::{label, quota};
use hybridnet_ipam::NetworkUsage;

/// Whether a pod that names no subnet finds an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    ipv4: bool,
    ipv6: bool,
    dual_stack: bool,
}

impl Quota {
    /// Of a network. Private subnets do not count: the scheduler would send pods there for nothing.
    pub fn of(usage: &NetworkUsage) -> Self {
        Self {
            ipv4: usage.ipv4.open > 0,
            ipv6: usage.ipv6.open > 0,
            dual_stack: usage.dual_stack_open() > 0,
        }
    }

    /// Whether the labels of a node say it.
    pub fn is_said_by(self, labels: Option<&BTreeMap<String, String>>) -> bool {
        let said = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
        Self::labels(Some(self))
            .into_iter()
            .all(|(key, value)| said(key) == value)
    }

    /// The three labels of a node; without an underlay network they are absent.
    pub fn labels(quota: Option<Self>) -> [(&'static str, Option<&'static str>); 3] {
        let word = |free: bool| if free { quota::NON_EMPTY } else { quota::EMPTY };
        [
            (label::IPV4_QUOTA, quota.map(|quota| word(quota.ipv4))),
            (label::IPV6_QUOTA, quota.map(|quota| word(quota.ipv6))),
            (label::DUAL_STACK_QUOTA, quota.map(|quota| word(quota.dual_stack))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use hybridnet_ipam::FamilyUsage;

    use super::*;

    fn words(ipv4: u128, ipv6: u128) -> [Option<&'static str>; 3] {
        let open = |open| FamilyUsage {
            open,
            ..FamilyUsage::default()
        };
        let usage = NetworkUsage {
            ipv4: open(ipv4),
            ipv6: open(ipv6),
        };
        Quota::labels(Some(Quota::of(&usage))).map(|(_, word)| word)
    }

    #[test]
    fn one_free_address_of_a_family_is_enough_and_dual_stack_needs_both() {
        let (some, none) = (Some("nonempty"), Some("empty"));

        assert_eq!(words(0, 0), [none, none, none]);
        assert_eq!(words(1, 0), [some, none, none]);
        assert_eq!(words(1, 1), [some, some, some]);
        assert_eq!(words(0, 1), [none, some, none]);
        assert_eq!(Quota::labels(None).map(|(_, word)| word), [None, None, None]);
    }
}
