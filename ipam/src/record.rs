//! What the API shows: objects that exist, and objects that are gone.

use std::net::IpAddr;

use hybridnet_api::address::Family;

use crate::directory::ObjectName;
use crate::holding::{Adoption, Conflict, Entry, Holding, Owner, Record, Release};
use crate::ipam::Ipam;

impl Ipam {
    /// An `IPInstance` exists: at start-up, or because the watch says so, new or changed. Doing it twice
    /// changes nothing. A reservation that this object fulfils is committed by it.
    ///
    /// The record is all there is of the object: an address that it had before, and has not any more, is
    /// given up. Where its name stands for another address than it records, nobody gets that one either,
    /// since nobody could write an object for it.
    pub fn adopt(&mut self, record: Record) -> Adoption {
        let Record {
            network,
            subnet,
            ip,
            owner,
            state,
        } = record;
        let ip = ip.to_canonical();
        let name = owner.name();
        let named = name.address().filter(|named| *named != ip);
        self.leave(&name, &network, &[Some(ip), named]);
        for (at, recorded) in named.map(|named| (named, false)).into_iter().chain([(ip, true)]) {
            let entry = Entry {
                subnet: subnet.clone(),
                owner: owner.clone(),
                state,
                recorded,
            };
            self.enter(&network, at, entry);
        }
        let places = [Some(ip), named];
        let conflict = places
            .into_iter()
            .flatten()
            .find_map(|at| self.conflict(&network, at));
        match conflict {
            Some(conflict) => Adoption::Conflict(conflict),
            None if self.is_inside(&network, ip, &subnet) => Adoption::Held,
            None => Adoption::Outside,
        }
    }

    /// The `IPInstance` of this owner is known to be gone from the API; the only way in which a committed
    /// address becomes free. Of another object with the same name, known by its UID or its pod's, nothing
    /// is touched. An object whose UID is known is gone wherever it was; one that was never seen is gone at
    /// this address only.
    pub fn release(&mut self, network: &str, ip: IpAddr, owner: &Owner) -> Release {
        let ip = ip.to_canonical();
        let mut places = self.places(&owner.name());
        if owner.instance_uid.is_empty() {
            places.retain(|(at, place)| at == network && *place == ip);
        }
        let mut outcome = Release::NotTheOwner;
        for (network, ip) in places {
            let (released, free) = self.change(&network, ip, |holding| {
                let released = holding.release(owner);
                (released, holding.is_free())
            });
            outcome = match (released, free, outcome) {
                (false, ..) => outcome,
                (true, true, Release::NotTheOwner | Release::Freed) => Release::Freed,
                (true, ..) => Release::StillHeld,
            };
            self.drop_empty(&network);
        }
        outcome
    }

    /// The object is not where it was seen before, unless it is one of these addresses of the network.
    fn leave(&mut self, name: &ObjectName, network: &str, keep: &[Option<IpAddr>]) {
        let is_only_here = |place: &IpAddr| {
            let known = self.networks.get(network);
            self.directory.addresses(name) <= 1 && known.is_some_and(|known| known.holds(*place, name))
        };
        if keep.iter().flatten().any(is_only_here) {
            return;
        }
        for (at, place) in self.places(name) {
            if at != network || !keep.contains(&Some(place)) {
                self.change(&at, place, |holding| holding.forsake(name));
                self.drop_empty(&at);
            }
        }
    }

    fn enter(&mut self, network: &str, ip: IpAddr, entry: Entry) {
        let fulfilled = self.change(network, ip, |holding| holding.adopt(entry));
        if let Some(claim) = fulfilled
            && let Some(known) = self.networks.get_mut(network)
        {
            known.settle(claim.ticket, Family::of(ip), &claim.subnet);
        }
    }

    fn conflict(&self, network: &str, ip: IpAddr) -> Option<Conflict> {
        let holding = self.networks.get(network)?.held.get(&ip);
        let owners = holding.and_then(Holding::rivals)?;
        Some(Conflict {
            network: network.to_owned(),
            ip,
            owners,
        })
    }

    fn is_inside(&self, network: &str, ip: IpAddr, subnet: &str) -> bool {
        let known = self.networks.get(network);
        known.is_some_and(|known| known.containing(ip, Some(subnet)).is_some())
    }
}
