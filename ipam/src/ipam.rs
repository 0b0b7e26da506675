//! The allocator's operations (control-plane spec 3.5).

use std::collections::BTreeMap;
use std::net::IpAddr;

use hybridnet_api::address::{Family, object_name};

use crate::error::{Error, SubnetError};
use crate::holding::{Adoption, Claim, Conflict, Entry, Held, Holding, Owner, Record, Release};
use crate::network::Network;
use crate::request::{Address, Claimant, Request, Reservation, Ticket};
use crate::spec::{NetworkSpec, SubnetSpec};
use crate::usage::{NetworkUsage, SubnetUsage};

/// All networks with their subnets and holders. See the [crate's documentation](crate) for how it is used.
/// Two are equal when everything that is asked of them later has the same answer.
#[derive(Clone, Debug, Default)]
pub struct Ipam {
    pub(crate) networks: BTreeMap<String, Network>,
    /// How many reservations there were: no part of the state.
    tickets: u64,
}

impl PartialEq for Ipam {
    fn eq(&self, other: &Self) -> bool {
        self.networks == other.networks
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

    /// Reserves new addresses: one a family, all or none. Equal state gives an equal choice.
    pub fn allocate(&mut self, request: &Request) -> Result<Reservation, Error> {
        check_claimant(&request.network, &request.claimant)?;
        let families = request.families.families();
        let given = request.subnets.len();
        if given != 0 && given != families.len() {
            let network = request.network.clone();
            return Err(Error::WrongNumberOfSubnets {
                network,
                families: request.families,
                given,
            });
        }
        let network = self.loaded(&request.network)?;
        let named = |place: usize| request.subnets.get(place).map(String::as_str);
        let choices = families
            .iter()
            .enumerate()
            .map(|(place, family)| network.choose(*family, named(place)));
        let choices: Vec<_> = choices.collect::<Result<_, _>>()?;

        let ticket = self.next_ticket();
        let mut chosen = Vec::new();
        for choice in choices {
            self.loaded_mut(&request.network)?.step(ticket, &choice);
            let ip = choice.ip;
            let owner = request.claimant.owner_of(object_name(ip), String::new());
            chosen.push((choice.subnet, ip, owner));
        }
        self.reserve(ticket, &request.network, chosen)
    }

    /// The `IPInstance`s of a reservation are written: its addresses stay taken.
    pub fn commit(&mut self, reservation: Reservation) {
        let written: Vec<IpAddr> = reservation.addresses.iter().map(|address| address.ip).collect();
        self.settle(reservation, &written);
    }

    /// Nothing of a reservation is written, and that is certain: holders and positions are as if it had
    /// never been. What the API showed meanwhile stays.
    pub fn rollback(&mut self, reservation: Reservation) {
        self.settle(reservation, &[]);
    }

    /// Only these of a reservation are written (or perhaps written: when in doubt, count it in, and
    /// release it when the API is known not to have it). The others are rolled back.
    pub fn settle(&mut self, reservation: Reservation, written: &[IpAddr]) {
        let Reservation {
            ticket,
            network: name,
            addresses,
        } = reservation;
        let Some(network) = self.networks.get_mut(&name) else {
            return;
        };
        for Address { ip, subnet, .. } in addresses {
            let Some(holding) = network.held.get_mut(&ip) else {
                continue;
            };
            if written.contains(&ip) {
                holding.commit(ticket);
                network.settle(ticket, Family::of(ip), &subnet);
            } else {
                holding.rollback(ticket);
                network.undo(ticket, Family::of(ip), &subnet);
                network.sync_pool(ip, &subnet);
            }
        }
        self.drop_empty(&name);
    }

    /// An `IPInstance` exists: at start-up, or because the watch says so, new or changed. Doing it twice
    /// changes nothing. A reservation that this object fulfils is committed by it.
    pub fn adopt(&mut self, record: Record) -> Adoption {
        let Record {
            network: name,
            subnet,
            ip,
            owner,
            state,
        } = record;
        let ip = ip.to_canonical();
        let network = self.networks.entry(name.clone()).or_default();
        let holding = network.held.entry(ip).or_default();
        let fulfilled = holding.adopt(Entry {
            subnet: subnet.clone(),
            owner,
            state,
        });
        let rivals = holding.rivals();
        if let Some(claim) = fulfilled {
            network.settle(claim.ticket, Family::of(ip), &claim.subnet);
        }
        network.sync_pool(ip, &subnet);
        match rivals {
            Some(owners) => Adoption::Conflict(Conflict {
                network: name,
                ip,
                owners,
            }),
            None if network.containing(ip, Some(&subnet)).is_some() => Adoption::Held,
            None => Adoption::Outside,
        }
    }

    /// The `IPInstance` of this owner is known to be gone from the API; the only way in which a committed
    /// address becomes free. Of another object with the same name, known by its UID or its pod's, nothing
    /// is touched.
    pub fn release(&mut self, network: &str, ip: IpAddr, owner: &Owner) -> Release {
        let ip = ip.to_canonical();
        let Some(known) = self.networks.get_mut(network) else {
            return Release::NotTheOwner;
        };
        let Some(holding) = known.held.get_mut(&ip) else {
            return Release::NotTheOwner;
        };
        let subnet = holding
            .entries
            .first()
            .map(|entry| entry.subnet.clone())
            .unwrap_or_default();
        if !holding.release(owner) {
            return Release::NotTheOwner;
        }
        let freed = holding.is_free();
        known.sync_pool(ip, &subnet);
        self.drop_empty(network);
        if freed { Release::Freed } else { Release::StillHeld }
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

    pub(crate) fn loaded(&self, name: &str) -> Result<&Network, Error> {
        let network = self.networks.get(name).filter(|network| network.loaded);
        network.ok_or_else(|| Error::NetworkNotFound {
            network: name.to_owned(),
        })
    }

    fn loaded_mut(&mut self, name: &str) -> Result<&mut Network, Error> {
        let network = self.networks.get_mut(name).filter(|network| network.loaded);
        network.ok_or_else(|| Error::NetworkNotFound {
            network: name.to_owned(),
        })
    }

    pub(crate) fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Claims addresses that were found claimable.
    pub(crate) fn reserve(
        &mut self,
        ticket: Ticket,
        name: &str,
        chosen: Vec<(String, IpAddr, Owner)>,
    ) -> Result<Reservation, Error> {
        let network = self.loaded_mut(name)?;
        let mut addresses = Vec::new();
        for (subnet, ip, owner) in chosen {
            addresses.extend(network.address(&subnet, ip).map(|address| Address {
                instance: owner.instance.clone(),
                ..address
            }));
            let holding = network.held.entry(ip).or_default();
            holding.claim = Some(Claim {
                ticket,
                subnet: subnet.clone(),
                owner,
            });
            network.sync_pool(ip, &subnet);
        }
        Ok(Reservation {
            ticket,
            network: name.to_owned(),
            addresses,
        })
    }

    fn drop_empty(&mut self, name: &str) {
        if self
            .networks
            .get(name)
            .is_some_and(|network| !network.loaded && network.held.is_empty())
        {
            self.networks.remove(name);
        }
    }
}

impl Claimant {
    pub(crate) fn owner_of(&self, instance: String, instance_uid: String) -> Owner {
        Owner {
            namespace: self.namespace.clone(),
            instance,
            instance_uid,
            pod: self.pod.clone(),
            pod_uid: self.pod_uid.clone(),
        }
    }
}

pub(crate) fn check_claimant(network: &str, claimant: &Claimant) -> Result<(), Error> {
    let fields = [
        ("network", network),
        ("pod", &claimant.pod),
        ("namespace", &claimant.namespace),
    ];
    match fields.into_iter().find(|(_, value)| value.is_empty()) {
        Some((field, _)) => Err(Error::Missing { field }),
        None => Ok(()),
    }
}
