//! What is wrong with an `IPInstance`: most of it only somebody can have done by hand.

use std::collections::HashMap;
use std::net::IpAddr;

use hybridnet_api::IpInstance;
use hybridnet_api::address::{from_object_name, parse_cidr};
use kube::{Resource, ResourceExt};

use crate::world::State;
use crate::world::store::Key;

/// See the module. Each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Name and address do not say the same, or nothing.
    #[error(
        "spec.address.ip {0:?} is not the address that this IPInstance is named after: delete it, and its pod gets \
         another one"
    )]
    Address(String),
    /// Releases before 0.5 wrote such ones.
    #[error(
        "spec.binding.referredObject.kind is empty, as in releases before 0.5: the address is kept from others; \
         delete this IPInstance once nothing uses it"
    )]
    Legacy,
    /// Its Network is not there.
    #[error("spec.network {0:?} does not exist: create the network, or delete this IPInstance")]
    NoNetwork(String),
    /// Its Subnet is not there.
    #[error("spec.subnet {0:?} does not exist: create the subnet, or delete this IPInstance")]
    NoSubnet(String),
    /// Its Subnet is another Network's.
    #[error(
        "spec.subnet {subnet:?} belongs to network {network:?}: spec.network must say so; delete this IPInstance"
    )]
    OtherNetwork {
        /// What the object says.
        subnet: String,
        /// What the Subnet says.
        network: String,
    },
    /// Its address is not in its Subnet.
    #[error("spec.address.ip {ip} is not in subnet {subnet} ({cidr}): delete this IPInstance")]
    Outside {
        /// The address.
        ip: IpAddr,
        /// Its Subnet.
        subnet: String,
        /// What the Subnet has.
        cidr: String,
    },
    /// Another object has the address too.
    #[error(
        "IPInstance {rival} has address {ip} of network {network} too: delete the pod of one of them; the address \
         is not given to others until then"
    )]
    Rival {
        /// The other object.
        rival: Key,
        /// As it stands in the object.
        ip: String,
        /// Where both are.
        network: String,
    },
}

/// The first thing that is wrong with an object, for its owner to read. One that is being deleted needs no
/// more help.
pub fn trouble(state: &State, instance: &IpInstance) -> Option<Trouble> {
    if instance.meta().deletion_timestamp.is_some() {
        return None;
    }
    let spec = &instance.spec;
    let named = from_object_name(&instance.name_any());
    let Some(ip) = spec.ip().filter(|ip| named == Some(*ip)) else {
        return Some(Trouble::Address(spec.address.ip.clone()));
    };
    if let Some(rival) = state.addresses.rivals(instance).into_iter().next() {
        return Some(Trouble::Rival {
            rival,
            ip: spec.address.ip.clone(),
            network: spec.network.clone(),
        });
    }
    let referred = spec.binding.as_ref().map(|binding| &binding.referred_object);
    if referred.is_none_or(|referred| referred.kind.is_empty()) {
        return Some(Trouble::Legacy);
    }
    misplaced(state, instance, ip)
}

fn misplaced(state: &State, instance: &IpInstance, ip: IpAddr) -> Option<Trouble> {
    let spec = &instance.spec;
    if state.networks.get(&Key::cluster(&spec.network)).is_none() {
        return Some(Trouble::NoNetwork(spec.network.clone()));
    }
    let Some(subnet) = state.subnets.get(&Key::cluster(&spec.subnet)) else {
        return Some(Trouble::NoSubnet(spec.subnet.clone()));
    };
    if subnet.spec.network != spec.network {
        return Some(Trouble::OtherNetwork {
            subnet: spec.subnet.clone(),
            network: subnet.spec.network.clone(),
        });
    }
    // A range that cannot be read is told on the Subnet. One that has shrunk leaves addresses in use.
    let cidr = parse_cidr(&subnet.spec.range.cidr)?;
    (!cidr.contains(ip)).then(|| Trouble::Outside {
        ip,
        subnet: spec.subnet.clone(),
        cidr: subnet.spec.range.cidr.clone(),
    })
}

/// Objects of which something was said, so that it is said once.
#[derive(Debug, Default)]
pub struct Said(HashMap<Key, Trouble>);

impl Said {
    /// Takes in what is wrong with an object now, and gives it when it is news.
    pub fn take<'a>(&mut self, key: &Key, now: Option<&'a Trouble>) -> Option<&'a Trouble> {
        let before = match now {
            Some(trouble) => self.0.insert(key.clone(), trouble.clone()),
            None => self.0.remove(key),
        };
        now.filter(|now| before.as_ref() != Some(*now))
    }

    /// How many have trouble.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
