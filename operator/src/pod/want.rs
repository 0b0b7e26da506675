//! Which addresses a pod is to have: of those it has or finds kept, which stay, and what is to come.

use std::net::IpAddr;
use std::sync::Arc;

use hybridnet_api::IpInstance;
use hybridnet_api::names::annotation::{IP_POOL, MAC_POOL};
use hybridnet_api::pod::{annotation, ordinal};
use hybridnet_api::pool::{ip_entry, mac_entry};
use hybridnet_api::selection::{SelectionError, preferred};
use hybridnet_ipam::{Error, Families, Family};
use kube::ResourceExt;

use crate::pod::choose::Choice;
use crate::pod::error::PodError;
use crate::pod::step::{Holdings, Instances};
use crate::world::pod::Pod;

/// What a pod is to have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Objects that it has or takes up again.
    pub stay: Instances,
    /// Particular addresses that it lacks.
    pub named: Vec<IpAddr>,
    /// Families of which it lacks any address.
    pub any: Vec<Family>,
    /// Objects that it is rid of.
    pub left: Instances,
}

/// What the pools of a stateful workload have for its pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pools {
    /// Its addresses, if the workload names any.
    pub addresses: Option<Vec<IpAddr>>,
    /// Its MAC.
    pub mac: Option<String>,
}

impl Pools {
    /// Those of the pod.
    pub fn of(pod: &Pod) -> Result<Self, PodError> {
        let ordinal = ordinal(&pod.name_any());
        let words = |key| annotation(&pod.metadata, key);
        let failed = |key| move |source| PodError::Pool { key, source };
        let addresses = words(IP_POOL).map(|pool| ip_entry(pool, ordinal));
        let mac = words(MAC_POOL).map(|pool| mac_entry(pool, ordinal));
        Ok(Self {
            addresses: addresses.transpose().map_err(failed(IP_POOL))?,
            mac: mac.transpose().map_err(failed(MAC_POOL))?,
        })
    }
}

impl Wanted {
    /// Of a pod whose workload names its addresses: those and no others.
    pub fn named(addresses: &[IpAddr], choice: &Choice, holdings: &Holdings) -> Result<Self, Error> {
        check_families(addresses, choice)?;
        let all = holdings.all();
        let has = |ip: &IpAddr| {
            let mut matching = all.iter().filter(|instance| {
                let held = instance.spec.ip().map(|held| held.to_canonical());
                held == Some(ip.to_canonical()) && instance.spec.network == choice.network
            });
            matching.next().cloned()
        };
        let (found, lacking): (Vec<_>, Vec<_>) = addresses
            .iter()
            .map(|ip| has(ip).ok_or(*ip))
            .partition(Result::is_ok);
        let stay: Instances = found.into_iter().flatten().collect();
        Ok(Self {
            left: without(&all, &stay),
            named: lacking.into_iter().filter_map(Result::err).collect(),
            stay,
            any: vec![],
        })
    }

    /// Of a pod that keeps what it finds: one address a family, and of what it lacks any. What it finds
    /// decides which families it has; what it asks for besides only counts if it goes together.
    pub fn kept(choice: &Choice, holdings: &Holdings) -> Result<Self, SelectionError> {
        let all = holdings.all();
        let stay = preferred(&all);
        if let [first, second] = stay.as_slice()
            && first.spec.network != second.spec.network
        {
            return Err(SelectionError::TornApart {
                first: first.name_any(),
                first_network: first.spec.network.clone(),
                second: second.name_any(),
                second_network: second.spec.network.clone(),
            });
        }
        let has: Vec<_> = stay.iter().map(|instance| instance.spec.family()).collect();
        let asked = choice.families.families();
        let apart = !has.is_empty() && !asked.iter().any(|family| has.contains(family));
        let lacking = asked.iter().filter(|family| !apart && !has.contains(family));
        Ok(Self {
            left: without(&all, &stay),
            any: lacking.copied().collect(),
            stay,
            named: vec![],
        })
    }

    /// Of any other pod: what it has is its own.
    pub fn plain(choice: &Choice, bound: &Instances) -> Self {
        let has: Vec<_> = bound.iter().map(|instance| instance.spec.family()).collect();
        let asked = choice.families.families().iter();
        Self {
            any: asked.filter(|family| !has.contains(family)).copied().collect(),
            stay: bound.clone(),
            ..Self::default()
        }
    }

    /// Subnets for the families of which any address will do, as the allocator wants them.
    pub fn subnets(&self, choice: &Choice) -> Vec<String> {
        let families = choice.families.families();
        if choice.subnets.len() != families.len() {
            return choice.subnets.clone();
        }
        let pairs = choice.subnets.iter().zip(families);
        pairs
            .filter(|(_, family)| self.any.contains(family))
            .map(|(subnet, _)| subnet.clone())
            .collect()
    }
}

impl Holdings {
    /// What the pod has and what it finds.
    pub fn all(&self) -> Instances {
        self.bound.iter().chain(&self.kept).cloned().collect()
    }
}

/// These families, in one word; nothing when there is none.
pub fn together(families: impl IntoIterator<Item = Family>) -> Option<Families> {
    let (mut v4, mut v6) = (false, false);
    for family in families {
        match family {
            Family::V4 => v4 = true,
            Family::V6 => v6 = true,
        }
    }
    match (v4, v6) {
        (true, true) => Some(Families::DualStack),
        (true, false) => Some(Families::Ipv4Only),
        (false, true) => Some(Families::Ipv6Only),
        (false, false) => None,
    }
}

fn check_families(addresses: &[IpAddr], choice: &Choice) -> Result<(), Error> {
    let families = choice.families.families();
    if addresses.len() != families.len() {
        return Err(Error::WrongNumberOfAddresses {
            network: choice.network.clone(),
            families: choice.families,
            given: addresses.len(),
        });
    }
    let mut pairs = addresses.iter().zip(families);
    match pairs.find(|(ip, family)| Family::of(**ip) != **family) {
        None => Ok(()),
        Some((ip, family)) => Err(Error::WrongFamily {
            network: choice.network.clone(),
            families: choice.families,
            family: *family,
            ip: *ip,
        }),
    }
}

fn without(all: &Instances, stay: &[Arc<IpInstance>]) -> Instances {
    all.iter().filter(|one| !stay.contains(one)).cloned().collect()
}

#[cfg(test)]
mod tests;
