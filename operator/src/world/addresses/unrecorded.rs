//! Addresses that memory holds and the API does not: left over when the news of a write and its answer
//! crossed, and a loss until somebody looks.

use std::net::IpAddr;

use hybridnet_ipam::{Owner, Standing};

use crate::world::addresses::Addresses;
use crate::world::store::Key;

/// An address of which no object has been seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unrecorded {
    /// Its Network.
    pub network: String,
    /// Its Subnet.
    pub subnet: String,
    /// The address.
    pub ip: IpAddr,
    /// For whom it was taken.
    pub owner: Owner,
    /// Whether its pod's controller is still writing; only that may end it.
    pub in_flight: bool,
}

impl Unrecorded {
    /// The object that should be there.
    pub fn object(&self) -> Key {
        Key {
            namespace: self.owner.namespace.clone(),
            name: self.owner.instance.clone(),
        }
    }

    /// The pod that it was taken for.
    pub fn pod(&self) -> Key {
        Key {
            namespace: self.owner.namespace.clone(),
            name: self.owner.pod.clone(),
        }
    }
}

impl Addresses {
    /// All of them, less those that are kept back because another object has their name.
    pub fn unrecorded(&self) -> Vec<Unrecorded> {
        let is_blocked = |network: &str, ip: IpAddr, owner: &Owner| {
            let mut blocked = self.blocked.values();
            blocked.any(|(of, at, by)| of == network && *at == ip && by.namespace == owner.namespace)
        };
        self.ipam
            .unseen()
            .filter(|(network, ip, held)| !is_blocked(network, *ip, &held.owner))
            .map(|(network, ip, held)| Unrecorded {
                network: network.to_owned(),
                subnet: held.subnet,
                ip,
                owner: held.owner,
                in_flight: held.standing == Standing::InFlight,
            })
            .collect()
    }

    /// The API is known not to have the object: the address is free. Nothing happens when the object has
    /// been seen meanwhile. Says whether it was freed.
    pub fn forget(&mut self, lost: &Unrecorded) -> bool {
        let still = self
            .ipam
            .holders(&lost.network, lost.ip)
            .iter()
            .any(|held| held.standing == Standing::Written && held.owner == lost.owner);
        if still {
            self.ipam.release(&lost.network, lost.ip, &lost.owner);
            self.check(lost.network.clone(), lost.ip);
        }
        still
    }
}
