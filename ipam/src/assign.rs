//! Particular addresses for a pod: those it had, or those that an `ip-pool` names (control-plane spec
//! 3.5, `Assign`).

use std::net::IpAddr;

use hybridnet_api::address::{Family, number, object_name};

use crate::error::Error;
use crate::holding::{Entry, Holding, Owner, State};
use crate::ipam::Ipam;
use crate::network::Network;
use crate::request::{Assignment, Reservation, Wanted};
use crate::reserve::check_claimant;
use crate::subnet::Subnet;

impl Ipam {
    /// Reserves particular addresses, all or none. What the pod already holds is its to have again; what
    /// another pod of its namespace has retained, or the subnet has on its reserved list, takes force. An
    /// address that an object of the namespace has already is no new one: it neither counts against the
    /// limit nor does it matter whom network and subnet allow by now. No cursor moves.
    pub fn assign(&mut self, assignment: &Assignment) -> Result<Reservation, Error> {
        check_claimant(&assignment.network, &assignment.claimant)?;
        let families = assignment.families.families();
        let given = assignment.addresses.len();
        if given != families.len() {
            let network = assignment.network.clone();
            return Err(Error::WrongNumberOfAddresses {
                network,
                families: assignment.families,
                given,
            });
        }
        let network = self.loaded(&assignment.network)?;
        let pairs = families.iter().zip(&assignment.addresses);
        let chosen = pairs.map(|(family, wanted)| claimable(network, assignment, *family, wanted));
        let chosen: Vec<_> = chosen.collect::<Result<_, _>>()?;
        let is_new = |(_, _, owner): &&(_, _, Owner)| self.directory.addresses(&owner.name()) == 0;
        let asked = chosen.iter().filter(is_new).count();
        self.check_limit(&assignment.claimant.namespace, assignment.limit, asked)?;
        let ticket = self.next_ticket();
        self.reserve(ticket, &assignment.network, chosen)
    }
}

/// The subnet of a wanted address and the owner to be, if the claimant may have it.
fn claimable(
    network: &Network,
    assignment: &Assignment,
    family: Family,
    wanted: &Wanted,
) -> Result<(String, IpAddr, Owner), Error> {
    let ip = wanted.ip.to_canonical();
    if Family::of(ip) != family {
        let (network, families) = (assignment.network.clone(), assignment.families);
        return Err(Error::WrongFamily {
            network,
            families,
            family,
            ip,
        });
    }
    let (name, subnet) = subnet_of(network, assignment, family, wanted)?;
    let refuse = |holder: String| Error::NotAvailable {
        network: assignment.network.clone(),
        subnet: name.to_owned(),
        ip,
        holder,
    };
    let owner = match network.held.get(&ip) {
        None => {
            network.admit(&assignment.claimant.namespace, Some(name))?;
            if subnet.range.reserved.contains(number(ip)) && !assignment.force {
                return Err(refuse("on the subnet's list of reserved addresses".to_owned()));
            }
            assignment.claimant.owner_of(object_name(ip), String::new())
        }
        Some(holding) => successor(holding, assignment).map_err(refuse)?,
    };
    Ok((name.to_owned(), ip, owner))
}

/// The subnet that a wanted address belongs to.
fn subnet_of<'a>(
    network: &'a Network,
    assignment: &Assignment,
    family: Family,
    wanted: &'a Wanted,
) -> Result<(&'a str, &'a Subnet), Error> {
    let ip = wanted.ip.to_canonical();
    let missing = |subnet: &str| Error::SubnetNotFound {
        network: assignment.network.clone(),
        family,
        subnet: subnet.to_owned(),
    };
    let name = match &wanted.subnet {
        Some(name) => name.as_str(),
        None => network
            .containing(ip, None)
            .ok_or_else(|| Error::NoSubnetContains {
                network: assignment.network.clone(),
                family,
                ip,
            })?,
    };
    let subnet = network
        .subnets
        .get(name)
        .filter(|subnet| subnet.range.family() == family);
    let subnet = subnet.ok_or_else(|| missing(name))?;
    if subnet.range.contains(number(ip)) {
        return Ok((name, subnet));
    }
    Err(Error::NotInSubnet {
        network: assignment.network.clone(),
        subnet: name.to_owned(),
        ip,
    })
}

/// The owner that follows on the present holder, or who that is.
fn successor(holding: &Holding, assignment: &Assignment) -> Result<Owner, String> {
    let claimant = &assignment.claimant;
    if let Some(claim) = &holding.claim {
        return Err(format!(
            "being given to pod {}/{}",
            claim.owner.namespace, claim.owner.pod
        ));
    }
    let [
        Entry {
            owner,
            state,
            recorded,
            ..
        },
    ] = holding.entries.as_slice()
    else {
        return Err(format!("held by {} IPInstances at once", holding.entries.len()));
    };
    if !recorded {
        let Owner {
            namespace, instance, ..
        } = owner;
        return Err(format!(
            "the name of IPInstance {namespace}/{instance}, which has another address"
        ));
    }
    let own = owner.namespace == claimant.namespace && owner.pod == claimant.pod;
    // Another namespace would need a second object for the same address.
    let taken_over = *state == State::Reserved && assignment.force && owner.namespace == claimant.namespace;
    if own || taken_over {
        return Ok(claimant.owner_of(owner.instance.clone(), owner.instance_uid.clone()));
    }
    let how = if *state == State::Reserved {
        "retained for"
    } else {
        "in use by"
    };
    Err(format!(
        "{how} pod {}/{} (IPInstance {})",
        owner.namespace, owner.pod, owner.instance
    ))
}
