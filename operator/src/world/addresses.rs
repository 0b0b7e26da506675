//! The allocator, kept in step with the objects: which Subnets are used, and who holds what.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hybridnet_api::address::from_object_name;
use hybridnet_api::{IpInstance, Network, Subnet};
use hybridnet_ipam::{
    Assignment, Error, Fault, Ipam, NetworkSpec, NetworkUsage, Owner, Record, Request, Reservation, State,
    SubnetError, SubnetSpec, SubnetUsage,
};
use kube::ResourceExt;

use crate::network::LONGEST_NAME;
use crate::world::store::{Key, Store};

pub mod unrecorded;

/// See the module.
#[derive(Debug, Default)]
pub struct Addresses {
    ipam: Ipam,
    /// Subnets that are not used, and why.
    refused: BTreeMap<String, Refusal>,
    /// Addresses with several holders.
    clashes: BTreeSet<(String, IpAddr)>,
    /// Addresses that cannot be recorded in a namespace because an object of another network has the
    /// name: by that object.
    blocked: BTreeMap<Key, (String, IpAddr, Owner)>,
}

/// Why a Subnet is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its Network is not there.
    #[error("network {0} does not exist: create it, or delete this subnet")]
    NoNetwork(String),
    /// Its addresses could not be recorded.
    #[error("the name is longer than {LONGEST_NAME} characters: use a shorter one")]
    LongName,
    /// Its fields make no sense, or another Subnet has its addresses.
    #[error(transparent)]
    Spec(SubnetError),
}

impl Refusal {
    /// The Subnet that is in the way, if that is the reason.
    pub fn conflict(&self) -> Option<&str> {
        match self {
            Self::Spec(SubnetError {
                fault: Fault::Overlap { other, .. },
                ..
            }) => Some(other),
            _ => None,
        }
    }
}

impl Addresses {
    /// Takes over all Networks and Subnets.
    pub fn refresh_all(&mut self, networks: &Store<Network>, subnets: &Store<Subnet>) {
        self.refused = refusals(networks, subnets);
        for network in networks.iter() {
            self.load(network, subnets);
        }
    }

    /// Takes over what one Network and its Subnets have become. Gives the Subnets that are used or refused
    /// otherwise than before: of this Network, or of another one that shared addresses with it.
    pub fn refresh(
        &mut self,
        networks: &Store<Network>,
        subnets: &Store<Subnet>,
        name: &str,
    ) -> BTreeSet<String> {
        let before = std::mem::replace(&mut self.refused, refusals(networks, subnets));
        let names = before.keys().chain(self.refused.keys());
        let changed: BTreeSet<String> = names
            .filter(|name| before.get(*name) != self.refused.get(*name))
            .cloned()
            .collect();
        let others = changed
            .iter()
            .filter_map(|subnet| subnets.get(&Key::cluster(subnet)))
            .map(|subnet| subnet.spec.network.as_str());
        let touched: BTreeSet<&str> = others.chain([name]).collect();
        for name in touched {
            match networks.get(&Key::cluster(name)) {
                Some(network) => self.load(network, subnets),
                None => self.ipam.forget(name),
            }
        }
        changed
    }

    /// An object exists. Twice is as once.
    pub fn adopt(&mut self, instance: &IpInstance) {
        let former = self.places(instance);
        if let Some(record) = record(instance) {
            self.ipam.adopt(record);
        }
        for (network, ip) in former.into_iter().chain(self.places(instance)) {
            self.check(network, ip);
        }
    }

    /// An object is gone from the API: its address is free, unless another object has it.
    pub fn release(&mut self, instance: &IpInstance) {
        let former = self.places(instance);
        if let Some((network, ip)) = former.first() {
            self.ipam.release(network, *ip, &owner(instance));
        }
        for (network, ip) in former {
            self.check(network, ip);
        }
        if let Some((network, ip, owner)) = self.blocked.remove(&Key::of(instance)) {
            self.ipam.release(&network, ip, &owner);
            self.check(network, ip);
        }
    }

    /// The object `by` of another network has the name that `instance` needs: until it is gone, the
    /// address of `instance` is kept back. To be settled as if it were written.
    pub fn block(&mut self, by: Key, instance: &IpInstance) {
        if let Some(record) = record(instance) {
            self.blocked.insert(by, (record.network, record.ip, record.owner));
        }
    }

    /// Where an object is known to be, by its name.
    fn places(&self, instance: &IpInstance) -> Vec<(String, IpAddr)> {
        let namespace = instance.namespace().unwrap_or_default();
        self.ipam.addresses_of(&namespace, &instance.name_any())
    }

    /// The allocator itself, to compare with.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn ipam(&self) -> &Ipam {
        &self.ipam
    }

    /// Chooses addresses and holds them.
    pub fn allocate(&mut self, request: &Request) -> Result<Reservation, Error> {
        self.ipam.allocate(request)
    }

    /// Holds particular addresses.
    pub fn assign(&mut self, assignment: &Assignment) -> Result<Reservation, Error> {
        self.ipam.assign(assignment)
    }

    /// Ends a reservation: `written` of its addresses have an object now, or may have one.
    pub fn settle(&mut self, reservation: Reservation, written: &[IpAddr]) {
        let touched: Vec<_> = reservation
            .addresses()
            .iter()
            .map(|address| (address.network.clone(), address.ip))
            .collect();
        self.ipam.settle(reservation, written);
        for (network, ip) in touched {
            self.check(network, ip);
        }
    }

    /// How full a Network is; zeros while it is not there.
    pub fn network_usage(&self, network: &str) -> NetworkUsage {
        self.ipam.network_usage(network).unwrap_or_default()
    }

    /// How full a Subnet is; zeros while it is not used.
    pub fn subnet_usage(&self, network: &str, subnet: &str) -> SubnetUsage {
        self.ipam.subnet_usage(network, subnet).unwrap_or_default()
    }

    /// Whether what a reservation holds may still be written for a pod of the namespace.
    pub fn stands(&self, namespace: &str, reservation: &Reservation) -> bool {
        self.ipam.stands(namespace, reservation)
    }

    /// The Subnet that counts an address: after a change of ranges another one than its object names.
    pub fn subnet_of(&self, network: &str, ip: IpAddr) -> Option<&str> {
        self.ipam.subnet_of(network, ip)
    }

    /// Addresses in use of a Subnet that its range does not have any more.
    pub fn left_behind(&self, network: &str, subnet: &str) -> Vec<IpAddr> {
        self.ipam.left_behind(network, subnet)
    }

    /// Why a Subnet is not used; nothing when it is.
    pub fn refusal(&self, subnet: &str) -> Option<&Refusal> {
        self.refused.get(subnet)
    }

    /// Other objects (namespace and name) that have the address of this one.
    pub fn rivals(&self, instance: &IpInstance) -> Vec<Key> {
        let places = addresses_of(instance).into_iter();
        let places = places.map(|ip| (instance.spec.network.clone(), ip));
        let clashing = places.filter(|place| self.clashes.contains(place));
        clashing
            .flat_map(|(network, ip)| self.ipam.holders(&network, ip))
            .map(|held| Key {
                namespace: held.owner.namespace,
                name: held.owner.instance,
            })
            .filter(|key| *key != Key::of(instance))
            .collect()
    }

    /// How many addresses have several holders.
    pub fn set_aside(&self) -> usize {
        self.clashes.len()
    }

    /// How many Subnets are not used, for whatever reason.
    pub fn refused(&self) -> usize {
        self.refused.len()
    }

    /// How many Subnets are not used because of another one.
    pub fn conflicting_subnets(&self) -> usize {
        self.refused
            .values()
            .filter(|refusal| refusal.conflict().is_some())
            .count()
    }

    fn load(&mut self, network: &Network, subnets: &Store<Subnet>) {
        let name = network.name_any();
        let used: Vec<_> = oldest_first(subnets)
            .into_iter()
            .filter(|subnet| subnet.spec.network == name && !self.refused.contains_key(&subnet.name_any()))
            .map(subnet_spec)
            .collect();
        for error in self.ipam.refresh(&network_spec(network), &used) {
            self.refused.insert(error.subnet.clone(), Refusal::Spec(error));
        }
    }

    fn check(&mut self, network: String, ip: IpAddr) {
        let holders = self.ipam.holders(&network, ip);
        let objects: BTreeSet<_> = holders
            .iter()
            .map(|held| (&held.owner.namespace, &held.owner.instance))
            .collect();
        if objects.len() > 1 {
            self.clashes.insert((network, ip));
        } else {
            self.clashes.remove(&(network, ip));
        }
    }
}

/// The addresses that an object takes: the one that it records and the one that it is named after. They
/// are the same unless somebody has meddled with the object.
pub fn addresses_of(instance: &IpInstance) -> BTreeSet<IpAddr> {
    let named = from_object_name(&instance.name_any());
    instance.spec.ip().into_iter().chain(named).collect()
}

/// What the allocator is told; nothing of an object with which no address can be connected.
fn record(instance: &IpInstance) -> Option<Record> {
    let named = || from_object_name(&instance.name_any());
    Some(Record {
        network: instance.spec.network.clone(),
        subnet: instance.spec.subnet.clone(),
        ip: instance.spec.ip().or_else(named)?,
        owner: owner(instance),
        state: if instance.spec.is_reserved() {
            State::Reserved
        } else {
            State::Allocated
        },
    })
}

fn owner(instance: &IpInstance) -> Owner {
    let binding = instance.spec.binding.clone().unwrap_or_default();
    Owner {
        namespace: instance.namespace().unwrap_or_default(),
        instance: instance.name_any(),
        instance_uid: instance.uid().unwrap_or_default(),
        pod: binding.pod_name,
        pod_uid: binding.pod_uid,
    }
}

/// All Subnets that cannot be used. Of two that share addresses the younger one loses, of the same age
/// the second by name, whatever their Networks: packets know addresses only.
fn refusals(networks: &Store<Network>, subnets: &Store<Subnet>) -> BTreeMap<String, Refusal> {
    let mut refused = BTreeMap::new();
    let mut rest = vec![];
    for subnet in oldest_first(subnets) {
        let name = subnet.name_any();
        if name.len() > LONGEST_NAME {
            refused.insert(name, Refusal::LongName);
            continue;
        }
        if networks.get(&Key::cluster(&subnet.spec.network)).is_none() {
            let missing = Refusal::NoNetwork(subnet.spec.network.clone());
            refused.insert(name, missing);
        }
        // One pretended network for all, in which the allocator finds what does not go together.
        rest.push(SubnetSpec {
            network: ALL.to_owned(),
            ..subnet_spec(subnet)
        });
    }
    let all = NetworkSpec {
        name: ALL.to_owned(),
        ..NetworkSpec::default()
    };
    for error in Ipam::default().refresh(&all, &rest) {
        refused
            .entry(error.subnet.clone())
            .or_insert(Refusal::Spec(error));
    }
    refused
}

const ALL: &str = "all";

fn oldest_first(subnets: &Store<Subnet>) -> Vec<&Subnet> {
    let mut sorted: Vec<&Subnet> = subnets.iter().map(AsRef::as_ref).collect();
    sorted.sort_by_cached_key(|subnet| {
        let created = subnet.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, subnet.name_any())
    });
    sorted
}

fn network_spec(network: &Network) -> NetworkSpec {
    let status = network.status.as_ref();
    let last = |name: Option<&String>| name.filter(|name| !name.is_empty()).cloned();
    NetworkSpec {
        name: network.name_any(),
        net_id: network.spec.net_id,
        allowed_namespaces: network.spec.allowed_namespaces().to_vec(),
        last_allocated_subnet: last(status.map(|status| &status.last_allocated_subnet)),
        last_allocated_ipv6_subnet: last(status.map(|status| &status.last_allocated_ipv6_subnet)),
    }
}

fn subnet_spec(subnet: &Subnet) -> SubnetSpec {
    let last = subnet.status.as_ref().map(|status| &status.last_allocated_ip);
    SubnetSpec {
        name: subnet.name_any(),
        network: subnet.spec.network.clone(),
        net_id: subnet.spec.net_id,
        range: subnet.spec.range.clone(),
        private: subnet.spec.is_private(),
        allowed_namespaces: subnet.spec.allowed_namespaces().to_vec(),
        last_allocated: last.filter(|ip| !ip.is_empty()).cloned(),
    }
}
