//! New addresses by choice, and how a reservation ends (control-plane spec 3.3 to 3.5).

use std::net::IpAddr;

use hybridnet_api::address::{Family, object_name};

use crate::directory::ObjectName;
use crate::error::Error;
use crate::holding::{Claim, Owner};
use crate::ipam::Ipam;
use crate::request::{Address, Claimant, Request, Reservation, Ticket};

impl Ipam {
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
        let namespace = request.claimant.namespace.as_str();
        network.admit(namespace, None)?;
        let named = |place: usize| request.subnets.get(place).map(String::as_str);
        let choices = families
            .iter()
            .enumerate()
            .map(|(place, family)| network.choose(*family, named(place), namespace));
        let choices: Vec<_> = choices.collect::<Result<_, _>>()?;
        self.check_limit(namespace, request.limit, choices.len())?;

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
        for Address { ip, subnet, .. } in addresses {
            let known = self.networks.get_mut(&name);
            let Some(network) = known.filter(|network| network.held.contains_key(&ip)) else {
                continue;
            };
            if written.contains(&ip) {
                network.settle(ticket, Family::of(ip), &subnet);
                self.change(&name, ip, |holding| holding.commit(ticket));
            } else {
                network.undo(ticket, Family::of(ip), &subnet);
                self.change(&name, ip, |holding| holding.rollback(ticket));
            }
        }
        self.drop_empty(&name);
    }

    /// Whether a reservation of this namespace still holds all its addresses, by itself or by objects of their
    /// names. An object that fulfilled it may have gone since: then others may have the address.
    pub fn stands(&self, namespace: &str, reservation: &Reservation) -> bool {
        let network = self.networks.get(&reservation.network);
        let mut addresses = reservation.addresses.iter();
        addresses.all(|address| {
            let name = ObjectName {
                namespace: namespace.to_owned(),
                instance: address.instance.clone(),
            };
            network.is_some_and(|network| network.holds(address.ip, &name))
        })
    }

    /// Claims addresses that were found claimable.
    pub(crate) fn reserve(
        &mut self,
        ticket: Ticket,
        name: &str,
        chosen: Vec<(String, IpAddr, Owner)>,
    ) -> Result<Reservation, Error> {
        let network = self.loaded(name)?;
        let addresses = chosen.iter().filter_map(|(subnet, ip, owner)| {
            let address = network.address(subnet, *ip)?;
            Some(Address {
                instance: owner.instance.clone(),
                ..address
            })
        });
        let addresses = addresses.collect();
        for (subnet, ip, owner) in chosen {
            let claim = Claim {
                ticket,
                subnet,
                owner,
            };
            self.change(name, ip, |holding| holding.claim = Some(claim));
        }
        Ok(Reservation {
            ticket,
            network: name.to_owned(),
            addresses,
        })
    }

    /// Whether a namespace may have as many more objects. Who needs none is never over the limit.
    pub(crate) fn check_limit(&self, namespace: &str, limit: Option<u64>, asked: usize) -> Result<(), Error> {
        let (Some(limit), held) = (limit, self.held_by(namespace)) else {
            return Ok(());
        };
        let asked = u64::try_from(asked).unwrap_or(u64::MAX);
        if asked == 0 || held.saturating_add(asked) <= limit {
            return Ok(());
        }
        Err(Error::NamespaceLimit {
            namespace: namespace.to_owned(),
            limit,
            held,
            asked,
        })
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
