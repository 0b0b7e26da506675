//! What is wrong with a Network, as its conditions say it.

use std::fmt::Display;

use hybridnet_api::{Network, NetworkType};
use hybridnet_ipam::FamilyUsage;
use kube::ResourceExt;

use crate::conditions::{CONFLICT, EXHAUSTED, Finding, READY};
use crate::network::{LONGEST_NAME, Seen};

/// A Network that stands in another one's way and loses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Clash {
    /// Pods on this node get addresses from the other one.
    Node { node: String, other: String },
    /// The cluster has one already.
    Type { type_: NetworkType, other: String },
}

impl Display for Clash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node { node, other } => write!(
                f,
                "node {node} is selected by network {other} too, which its pods get their addresses from: \
                 change nodeSelector of one of them"
            ),
            Self::Type { type_, other } => write!(
                f,
                "a cluster has one network of type {type_}, and network {other} is it: delete one of them"
            ),
        }
    }
}

pub(super) fn findings(seen: &Seen) -> Vec<Finding> {
    let fault = fault(&seen.network);
    let ready = Finding {
        type_: READY,
        holds: fault.is_none(),
        reason: if fault.is_none() { "Usable" } else { "InvalidSpec" },
        message: fault.unwrap_or_default(),
    };
    let (conflict, message) = match &seen.clash {
        Some(clash @ Clash::Node { .. }) => ("NodeShared", clash.to_string()),
        Some(clash @ Clash::Type { .. }) => ("TypeTaken", clash.to_string()),
        None => ("None", String::new()),
    };
    let conflict = Finding {
        type_: CONFLICT,
        holds: seen.clash.is_some(),
        reason: conflict,
        message,
    };
    vec![ready, conflict, exhausted(seen)]
}

/// Of a family that the Network has subnets of, nothing is left for pods that name no subnet.
fn exhausted(seen: &Seen) -> Finding {
    let is_full = |usage: &FamilyUsage| usage.counts.total > 0 && usage.open == 0;
    let families = [("IPv4", &seen.usage.ipv4), ("IPv6", &seen.usage.ipv6)];
    let full = families.into_iter().filter(|(_, usage)| is_full(usage));
    let full: Vec<_> = full.map(|(family, _)| family).collect();
    let message = full.join(" and no ");
    Finding {
        type_: EXHAUSTED,
        holds: !full.is_empty(),
        reason: if full.is_empty() {
            "AddressesFree"
        } else {
            "NoFreeAddress"
        },
        message: if full.is_empty() {
            String::new()
        } else {
            format!(
                "no {message} address is left for pods that name no subnet: add a subnet, extend one, or delete pods"
            )
        },
    }
}

/// What makes a Network useless.
pub(super) fn fault(network: &Network) -> Option<String> {
    if network.name_any().len() > LONGEST_NAME {
        return Some(format!(
            "the name is longer than {LONGEST_NAME} characters: use a shorter one"
        ));
    }
    match network.spec.network_type() {
        Err(error) => return Some(error.to_string()),
        Ok(NetworkType::Underlay) if network.spec.node_selector.is_empty() => {
            return Some("an underlay network without nodeSelector has no nodes: give one".to_owned());
        }
        Ok(_) => {}
    }
    network.spec.network_mode().err().map(|error| error.to_string())
}
