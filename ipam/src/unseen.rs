//! Addresses that are held without an `IPInstance` having been seen: what a collector of leaks looks at.

use std::net::IpAddr;

use crate::holding::{Held, Holding, Standing};
use crate::ipam::Ipam;

impl Ipam {
    /// Holders of which the API has shown no object: reservations in flight, and committed ones. Under way
    /// for long they are leaks. Costs nothing for addresses whose objects were seen.
    pub fn unseen(&self) -> impl Iterator<Item = (&str, IpAddr, Held)> {
        let all = self.networks.iter().flat_map(|(name, network)| {
            let held = network.held.iter();
            held.map(move |(ip, holding)| (name.as_str(), *ip, holding))
        });
        all.filter(|(_, _, holding)| holding.has_unseen())
            .flat_map(|(name, ip, holding)| {
                let views = holding.views();
                let unseen = views.filter(|held| !matches!(held.standing, Standing::Seen(_)));
                unseen.map(move |held| (name, ip, held))
            })
    }
}

impl Holding {
    fn has_unseen(&self) -> bool {
        self.claim.is_some()
            || self
                .entries
                .iter()
                .any(|entry| entry.owner.instance_uid.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use crate::{AddressRange, Claimant, NetworkSpec, Owner, Record, Request, State, SubnetSpec};

    use super::*;

    fn ipam() -> Ipam {
        let mut ipam = Ipam::default();
        let network = NetworkSpec {
            name: "net".to_owned(),
            ..NetworkSpec::default()
        };
        let subnet = SubnetSpec {
            name: "s".to_owned(),
            network: "net".to_owned(),
            range: AddressRange {
                version: "4".to_owned(),
                cidr: "10.0.0.0/24".to_owned(),
                ..AddressRange::default()
            },
            ..SubnetSpec::default()
        };
        assert!(ipam.refresh(&network, &[subnet]).is_empty());
        ipam
    }

    fn unseen(ipam: &Ipam) -> Vec<(String, Standing)> {
        ipam.unseen()
            .map(|(network, ip, held)| (format!("{network} {ip} {}", held.owner.pod), held.standing))
            .collect()
    }

    #[test]
    fn an_address_is_unseen_from_its_reservation_until_its_object_is_seen() {
        let mut ipam = ipam();
        let claimant = Claimant {
            namespace: "ns".to_owned(),
            pod: "p".to_owned(),
            pod_uid: "u".to_owned(),
        };
        let request = Request {
            network: "net".to_owned(),
            claimant,
            ..Request::default()
        };
        let reservation = ipam.allocate(&request).unwrap();
        let (ip, instance) = {
            let address = &reservation.addresses()[0];
            (address.ip, address.instance.clone())
        };
        let it = "net 10.0.0.1 p".to_owned();
        assert_eq!(unseen(&ipam), [(it.clone(), Standing::InFlight)]);

        ipam.commit(reservation);
        assert_eq!(unseen(&ipam), [(it, Standing::Written)]);

        let owner = Owner {
            namespace: "ns".to_owned(),
            instance,
            instance_uid: "i".to_owned(),
            pod: "p".to_owned(),
            pod_uid: "u".to_owned(),
        };
        let _ = ipam.adopt(Record {
            network: "net".to_owned(),
            subnet: "s".to_owned(),
            ip,
            owner,
            state: State::Allocated,
        });
        assert_eq!(unseen(&ipam), []);
    }
}
