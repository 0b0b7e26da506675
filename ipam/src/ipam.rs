//! The state of the allocator, what it is asked, and the one way in which holders change.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hybridnet_api::address::Family;

use crate::directory::{Directory, ObjectName};
use crate::error::{Error, SubnetError};
use crate::holding::{Conflict, Held, Holding};
use crate::network::Network;
use crate::request::Ticket;
use crate::spec::{NetworkSpec, SubnetSpec};
use crate::usage::{NetworkUsage, SubnetUsage};

/// All networks with their subnets and holders. See the [crate's documentation](crate) for how it is used.
/// Two are equal when everything that is asked of them later has the same answer.
#[derive(Clone, Debug, Default)]
pub struct Ipam {
    pub(crate) networks: BTreeMap<String, Network>,
    pub(crate) directory: Directory,
    /// How many reservations there were: no part of the state.
    tickets: u64,
}

impl PartialEq for Ipam {
    fn eq(&self, other: &Self) -> bool {
        (&self.networks, &self.directory) == (&other.networks, &other.directory)
    }
}

impl Eq for Ipam {}

impl Ipam {
    /// Takes over a Network and **all** its Subnets; call it whenever one of them changes. Give the oldest
    /// Subnet first: of two that share addresses the first one stays. Returns the Subnets that are left
    /// out. Doing it twice changes nothing. Addresses in use stay in use, also those outside the new
    /// ranges; positions stay, so the ones of the status count only where there is none yet.
    #[must_use = "a refused subnet is an event on that subnet"]
    pub fn refresh(&mut self, network: &NetworkSpec, subnets: &[SubnetSpec]) -> Vec<SubnetError> {
        self.networks
            .entry(network.name.clone())
            .or_default()
            .refresh(network, subnets)
    }

    /// Forgets a Network that is gone. Who holds its addresses is kept, should it come back.
    pub fn forget(&mut self, network: &str) {
        if let Some(known) = self.networks.get_mut(network) {
            known.forget();
        }
        self.drop_empty(network);
    }

    /// Who holds an address; nobody when it is free or unknown.
    pub fn holders(&self, network: &str, ip: IpAddr) -> Vec<Held> {
        let holding = self
            .networks
            .get(network)
            .and_then(|network| network.held.get(&ip.to_canonical()));
        holding
            .map(|holding| holding.views().collect())
            .unwrap_or_default()
    }

    /// All held addresses by network and address, for comparison with what the API lists.
    pub fn held(&self) -> impl Iterator<Item = (&str, IpAddr, Held)> {
        self.networks.iter().flat_map(|(name, network)| {
            let views = |(ip, holding): (&IpAddr, _)| {
                Holding::views(holding)
                    .map(|held| (*ip, held))
                    .collect::<Vec<_>>()
            };
            network
                .held
                .iter()
                .flat_map(views)
                .map(|(ip, held)| (name.as_str(), ip, held))
        })
    }

    /// How many `IPInstance`s a namespace has, retained ones and those that are being written included: what
    /// a limit is compared with.
    pub fn held_by(&self, namespace: &str) -> u64 {
        self.directory.count(namespace)
    }

    /// All networks and addresses in which an `IPInstance` is in the way: those that it records, and the one
    /// that it is named after.
    pub fn addresses_of(&self, namespace: &str, instance: &str) -> Vec<(String, IpAddr)> {
        self.places(&ObjectName {
            namespace: namespace.to_owned(),
            instance: instance.to_owned(),
        })
    }

    /// All addresses with several holders.
    pub fn conflicts(&self) -> impl Iterator<Item = Conflict> {
        self.networks.iter().flat_map(|(name, network)| {
            network.held.iter().filter_map(|(ip, holding)| {
                let owners = holding.rivals()?;
                Some(Conflict {
                    network: name.clone(),
                    ip: *ip,
                    owners,
                })
            })
        })
    }

    /// How full a network is; absent when it is not loaded.
    pub fn network_usage(&self, network: &str) -> Option<NetworkUsage> {
        let network = self.networks.get(network).filter(|network| network.loaded)?;
        Some(NetworkUsage {
            ipv4: network.usage(Family::V4),
            ipv6: network.usage(Family::V6),
        })
    }

    /// How full a subnet is; absent when it is not loaded, or refused.
    pub fn subnet_usage(&self, network: &str, subnet: &str) -> Option<SubnetUsage> {
        self.networks.get(network)?.subnet_usage(subnet)
    }

    /// The subnet in whose range an address is, whatever its object says.
    pub fn subnet_of(&self, network: &str, ip: IpAddr) -> Option<&str> {
        self.networks.get(network)?.containing(ip.to_canonical(), None)
    }

    /// Addresses in use whose objects name this subnet, and which its range does not have (any more): they stay
    /// their owners', and nobody else gets them.
    pub fn left_behind(&self, network: &str, subnet: &str) -> Vec<IpAddr> {
        let known = self.networks.get(network);
        known.map(|known| known.left_behind(subnet)).unwrap_or_default()
    }

    pub(crate) fn loaded(&self, name: &str) -> Result<&Network, Error> {
        let network = self.networks.get(name).filter(|network| network.loaded);
        network.ok_or_else(|| Error::NetworkNotFound {
            network: name.to_owned(),
        })
    }

    pub(crate) fn loaded_mut(&mut self, name: &str) -> Result<&mut Network, Error> {
        let network = self.networks.get_mut(name).filter(|network| network.loaded);
        network.ok_or_else(|| Error::NetworkNotFound {
            network: name.to_owned(),
        })
    }

    pub(crate) fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Changes who holds an address, and what follows from it: the directory and the pool.
    pub(crate) fn change<R>(
        &mut self,
        network: &str,
        ip: IpAddr,
        change: impl FnOnce(&mut Holding) -> R,
    ) -> R {
        let known = self.networks.entry(network.to_owned()).or_default();
        let holding = known.held.entry(ip).or_default();
        let before = holding.names();
        let outcome = change(holding);
        let after = holding.names();
        self.directory.update(network, ip, &before, &after);
        known.sync_pool(ip);
        outcome
    }

    /// Where the objects of a name are: at the address of their name in any network, and where they stray.
    pub(crate) fn places(&self, name: &ObjectName) -> Vec<(String, IpAddr)> {
        let mut places: Vec<_> = self
            .directory
            .strays(name)
            .map(|(network, ip)| (network.to_owned(), ip))
            .collect();
        let addresses = self.directory.addresses(name);
        let Some(ip) = name.address().filter(|_| places.len() < addresses) else {
            return places;
        };
        let is_there = |network: &Network| network.holds(ip, name);
        let at_home = self.networks.iter().filter(|(_, network)| is_there(network));
        places.extend(at_home.map(|(network, _)| (network.clone(), ip)));
        places
    }

    pub(crate) fn drop_empty(&mut self, name: &str) {
        if self
            .networks
            .get(name)
            .is_some_and(|network| !network.loaded && network.held.is_empty())
        {
            self.networks.remove(name);
        }
    }
}
