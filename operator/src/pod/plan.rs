//! Under the lock of the world: what a pod is to have, held for it, and the objects that shall say so.

use std::net::IpAddr;
use std::sync::Arc;

use hybridnet_api::address::object_name;
use hybridnet_api::allowance::address_limit;
use hybridnet_api::names::reason;
use hybridnet_api::pod::controller_of;
use hybridnet_api::selection::preferred;
use hybridnet_api::{IpInstance, mac};
use hybridnet_ipam::{Assignment, Claimant, Error, Family, Request, Reservation};
use kube::{Resource, ResourceExt};

use crate::context::Context;
use crate::pod::choose::error::ChoiceError;
use crate::pod::choose::{Asked, Choice};
use crate::pod::error::PodError;
use crate::pod::machine::{self, Machine};
use crate::pod::object::{self, Owner};
use crate::pod::step::{Holdings, is_bound_to, is_of_plain_pod, keeps};
use crate::pod::want::{Pools, Wanted, together};
use crate::pod::write::{Piece, Plan};
use crate::world::State;
use crate::world::pod::Pod;
use crate::world::store::Key;

/// A pod that asks for addresses.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// What the controller has at hand.
    pub context: &'a Context,
    /// The pod's name.
    pub key: &'a Key,
    /// The pod.
    pub pod: &'a Arc<Pod>,
    /// Whose the addresses will be.
    pub account: &'a Account,
}

/// Whose the addresses of a pod are.
#[derive(Clone, Debug, PartialEq)]
pub enum Account {
    /// Its own.
    Pod,
    /// The stateful workload's that controls it.
    Workload,
    /// The virtual machine's that it runs.
    Machine(Machine),
}

impl Account {
    /// As objects say it.
    pub fn owner(&self, pod: &Pod) -> Owner {
        match (self, controller_of(&pod.metadata)) {
            (Self::Machine(machine), _) => Owner::machine(&machine.owner),
            (Self::Workload, Some(controller)) => Owner::workload(pod, controller),
            _ => Owner::pod(pod),
        }
    }

    fn machine(&self) -> Option<&Machine> {
        match self {
            Self::Machine(machine) => Some(machine),
            _ => None,
        }
    }
}

impl Claim<'_> {
    /// Chooses and holds what the pod lacks; nothing when it lacks nothing.
    pub fn plan(&self, state: &mut State) -> Result<Option<Plan>, PodError> {
        let (choice, wanted, pools) = self.want(state)?;
        let mac = self.mac(state, &choice, &wanted, pools.mac)?;
        let mut plan = Plan {
            uid: self.pod.uid().to_owned(),
            word: word(&wanted),
            network: choice.network.clone(),
            reservation: None,
            pieces: vec![],
            left: wanted.left.clone(),
        };
        match self.reserve(state, &choice, &wanted) {
            Ok(reservation) => plan.reservation = reservation,
            // What the pod is rid of makes room; the pod is looked at again when it is gone.
            Err(Error::NamespaceLimit { .. }) if !plan.left.is_empty() => return Ok(Some(plan)),
            Err(Error::NamespaceLimit { .. }) if self.makes_room(state) => return Ok(None),
            Err(error) => return Err(self.waiting(state, &choice.network, error)),
        }
        let owner = self.account.owner(self.pod);
        plan.pieces = match self.pieces(state, &wanted, plan.reservation.as_ref(), &owner, &mac) {
            Ok(pieces) => pieces,
            Err(error) => {
                if let Some(reservation) = plan.reservation {
                    state.addresses.settle(reservation, &[]);
                }
                state.wait_for(&choice.network, self.key.clone());
                return Err(error);
            }
        };
        Ok((!plan.pieces.is_empty() || !plan.left.is_empty()).then_some(plan))
    }

    /// What the pod is to have, and where.
    pub fn want(&self, state: &State) -> Result<(Choice, Wanted, Pools), PodError> {
        let pools = match self.account {
            Account::Workload => Pools::of(self.pod)?,
            _ => Pools::default(),
        };
        let holdings = self.holdings(state)?;
        let held = preferred(&holdings.all());
        let held = held.first().filter(|_| pools.addresses.is_none());
        let choice = self
            .asked(held.map(|instance| instance.spec.network.as_str()))
            .choose(state)?;
        let wanted = match (&pools.addresses, self.account) {
            (Some(addresses), _) => Wanted::named(addresses, &choice, &holdings)?,
            (None, Account::Pod) => Wanted::plain(&choice, &holdings.bound),
            (None, _) => Wanted::kept(&choice, &holdings).map_err(ChoiceError::from)?,
        };
        self.check_subnets(state, &wanted)?;
        Ok((choice, wanted, pools))
    }

    /// What a node has to know of an address is in its subnet.
    fn check_subnets(&self, state: &State, wanted: &Wanted) -> Result<(), ChoiceError> {
        let is_gone = |instance: &&Arc<IpInstance>| {
            let subnet = state.subnets.get(&Key::cluster(&instance.spec.subnet));
            subnet.is_none() && !is_bound_to(instance, self.pod)
        };
        match wanted.stay.iter().find(is_gone) {
            None => Ok(()),
            Some(instance) => Err(ChoiceError::HeldSubnetGone {
                ip: instance.spec.address.ip.clone(),
                subnet: instance.spec.subnet.clone(),
            }),
        }
    }

    /// The pod as one that asks for a network; `held` is the one of its addresses.
    pub fn asked<'b>(&'b self, held: Option<&'b str>) -> Asked<'b> {
        Asked {
            pod: self.pod,
            vm: self.account.machine().map(Machine::name),
            held,
            settings: &self.context.settings.reading,
        }
    }

    /// What the pod has, and of what is kept, what it may take up.
    fn holdings(&self, state: &State) -> Result<Holdings, PodError> {
        let of_name = state.instances_of(self.key);
        let mut holdings = Holdings::of(self.pod, &of_name);
        match self.account {
            Account::Workload if keeps(self.pod, &self.context.settings.reading) => {
                // That of a plain pod of the same name is just being deleted.
                holdings.kept.retain(|instance| !is_of_plain_pod(instance));
            }
            Account::Workload | Account::Pod => holdings.kept.clear(),
            Account::Machine(machine) => {
                let namespace = &self.key.namespace;
                let of_machine = state.instances_of_machine(&Key {
                    namespace: namespace.clone(),
                    name: machine.name().to_owned(),
                });
                holdings.kept = Holdings::of(self.pod, &of_machine).kept;
                if let Some(error) = machine::in_use(state, machine, namespace, &holdings.kept) {
                    return Err(error);
                }
            }
        }
        // What cannot be read is reported where it stands, and no pod gets it.
        let readable = |instance: &Arc<IpInstance>| instance.spec.ip().is_some();
        holdings.bound.retain(readable);
        holdings.kept.retain(readable);
        Ok(holdings)
    }

    fn reserve(
        &self,
        state: &mut State,
        choice: &Choice,
        wanted: &Wanted,
    ) -> Result<Option<Reservation>, Error> {
        let claimant = Claimant {
            namespace: self.key.namespace.clone(),
            pod: self.key.name.clone(),
            pod_uid: self.pod.uid().to_owned(),
        };
        let network = choice.network.clone();
        if let Some(families) = together(wanted.named.iter().map(|ip| Family::of(*ip))) {
            let addresses = wanted.named.iter();
            let assignment = Assignment {
                network,
                families,
                addresses: addresses
                    .map(|ip| hybridnet_ipam::Wanted {
                        subnet: None,
                        ip: *ip,
                    })
                    .collect(),
                force: true,
                claimant,
                limit: self.limit(state),
            };
            return state.addresses.assign(&assignment).map(Some);
        }
        let Some(families) = together(wanted.any.iter().copied()) else {
            return Ok(None);
        };
        let request = Request {
            network,
            families,
            subnets: wanted.subnets(choice),
            claimant,
            limit: self.limit(state),
        };
        state.addresses.allocate(&request).map(Some)
    }

    /// Whether an address of the pod's name is on its way out.
    fn makes_room(&self, state: &State) -> bool {
        let mut of_name = state.instances_of(self.key).into_iter();
        of_name.any(|instance| instance.meta().deletion_timestamp.is_some())
    }

    fn waiting(&self, state: &mut State, network: &str, error: Error) -> PodError {
        match &error {
            Error::NamespaceLimit { .. } => state.wait_for_room(self.key.clone()),
            Error::NoAddressAvailable { .. } | Error::NoSubnetAvailable { .. } => {
                self.context.metrics.pool_exhausted(network);
                state.wait_for(network, self.key.clone());
            }
            _ => state.wait_for(network, self.key.clone()),
        }
        error.into()
    }

    /// How many addresses the namespace may hold. A limit that cannot be read is none, and is told to those
    /// who ask for addresses.
    fn limit(&self, state: &State) -> Option<u64> {
        let namespace = state.namespaces.get(&Key::cluster(&self.key.namespace))?;
        address_limit(&namespace.metadata).unwrap_or_else(|error| {
            let note = format!("namespace {}: {error}", self.key.namespace);
            let announcer = &self.context.announcer;
            announcer.warning(self.pod.as_ref(), reason::INVALID_SPEC, note);
            None
        })
    }

    /// One object an address that the pod does not have yet, IPv4 first.
    fn pieces(
        &self,
        state: &State,
        wanted: &Wanted,
        reservation: Option<&Reservation>,
        owner: &Owner,
        mac: &str,
    ) -> Result<Vec<Piece>, PodError> {
        let bind = |ip: IpAddr, from: &Arc<IpInstance>| {
            Piece::new(ip, object::bound(from, self.pod, owner), Some(from.clone()))
        };
        let kept = wanted.stay.iter();
        let kept = kept.filter(|instance| !is_bound_to(instance, self.pod));
        let mut pieces: Vec<_> = kept
            .filter_map(|instance| Some(bind(instance.spec.ip()?, instance)))
            .collect();
        for address in reservation.into_iter().flat_map(Reservation::addresses) {
            pieces.push(match self.there(state, &address.network, &address.instance) {
                None => Piece::new(address.ip, object::new(self.pod, owner, address, mac), None),
                Some(there) if there.meta().deletion_timestamp.is_some() => {
                    return Err(PodError::Leaving(address.ip));
                }
                // Kept for another pod of the namespace: the address changes hands with its object.
                Some(there) => bind(address.ip, there),
            });
        }
        pieces.sort_by_key(|piece| piece.ip.is_ipv6());
        Ok(pieces)
    }

    /// Both addresses of a pod have one MAC, and that of an address that exists never changes.
    fn mac(
        &self,
        state: &State,
        choice: &Choice,
        wanted: &Wanted,
        of_pool: Option<String>,
    ) -> Result<String, PodError> {
        let mut named = wanted.named.iter();
        let present = wanted
            .stay
            .first()
            .or_else(|| named.find_map(|ip| self.there(state, &choice.network, &object_name(*ip))));
        if let Some(present) = present {
            return Ok(present.spec.address.mac.clone());
        }
        let with = |mac: &str| state.index.with_mac(&choice.network, mac).collect::<Vec<_>>();
        let Some(mac) = of_pool else {
            return Ok(new_mac(|mac| !with(mac).is_empty()));
        };
        let holders = with(&mac)
            .into_iter()
            .filter_map(|other| self.other_holder(other));
        match holders.min() {
            None => Ok(mac),
            Some(holder) => Err(PodError::MacInUse {
                mac,
                network: choice.network.clone(),
                holder,
            }),
        }
    }

    /// The pod of an address, if it is another one. Those that are being deleted do not count.
    fn other_holder(&self, instance: &IpInstance) -> Option<Key> {
        let binding = instance.spec.binding.as_ref();
        let holder = Key {
            namespace: instance.namespace().unwrap_or_default(),
            name: binding
                .map(|binding| binding.pod_name.clone())
                .unwrap_or_default(),
        };
        (instance.meta().deletion_timestamp.is_none() && holder != *self.key).then_some(holder)
    }

    fn there<'b>(&self, state: &'b State, network: &str, name: &str) -> Option<&'b Arc<IpInstance>> {
        let key = Key {
            namespace: self.key.namespace.clone(),
            name: name.to_owned(),
        };
        let instance = state.ip_instances.get(&key);
        instance.filter(|instance| instance.spec.network == network)
    }
}

fn word(wanted: &Wanted) -> &'static str {
    match (wanted.named.is_empty(), wanted.any.is_empty()) {
        (false, _) => "assigned",
        (true, false) => "allocated",
        (true, true) => "kept",
    }
}

/// A MAC that `is_taken` does not know: two pods of a network must not share one.
fn new_mac(is_taken: impl Fn(&str) -> bool) -> String {
    loop {
        let mac = mac::generate(rand::random());
        if !is_taken(&mac) {
            return mac;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_mac_that_the_network_knows_is_drawn_again() {
        let drawn = RefCell::new(vec![]);
        let is_taken = |mac: &str| {
            drawn.borrow_mut().push(mac.to_owned());
            drawn.borrow().len() < 4
        };

        let mac = new_mac(is_taken);

        assert_eq!(drawn.borrow().len(), 4);
        assert_eq!(drawn.borrow().last(), Some(&mac));
        assert!(mac.starts_with("02:12:34:"), "{mac}");
    }
}
