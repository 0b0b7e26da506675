//! What a pod asks for and what it gets.

use std::net::IpAddr;

use hybridnet_api::selection::PodFamily as Families;

/// Who asks for addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimant {
    /// Namespace of the pod and of its `IPInstance`s.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod.
    pub pod_uid: String,
}

/// New addresses by choice of the allocator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Network to take them from.
    pub network: String,
    /// Families wanted.
    pub families: Families,
    /// Subnets by name: none or one, with `DualStack` none or two, IPv4 first.
    pub subnets: Vec<String>,
    /// For whom.
    pub claimant: Claimant,
    /// How many addresses the claimant's namespace may hold after this; absent means any number.
    pub limit: Option<u64>,
}

/// Particular addresses: retained ones, or those of an `ip-pool`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Network to take them from.
    pub network: String,
    /// Families wanted.
    pub families: Families,
    /// One address, with `DualStack` two, IPv4 first.
    pub addresses: Vec<Wanted>,
    /// Take also what is on the subnet's reserved list or retained by another pod of the namespace.
    pub force: bool,
    /// For whom.
    pub claimant: Claimant,
    /// How many addresses the claimant's namespace may hold after this; absent means any number. Those that
    /// the namespace already holds do not count again.
    pub limit: Option<u64>,
}

/// One particular address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Name of its subnet; absent means the one that contains it.
    pub subnet: Option<String>,
    /// The address.
    pub ip: IpAddr,
}

/// An address with what an `IPInstance` says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Prefix length of the subnet's CIDR.
    pub prefix_len: u8,
    /// Gateway of the subnet.
    pub gateway: Option<IpAddr>,
    /// The subnet's net ID, else the network's.
    pub net_id: Option<i32>,
    /// Name of the subnet.
    pub subnet: String,
    /// Name of the network.
    pub network: String,
    /// The object name that the `IPInstance` must carry.
    pub instance: String,
}

/// Addresses that are held while their `IPInstance`s are written. Give it back to
/// [`Ipam::commit`](crate::Ipam::commit), [`Ipam::rollback`](crate::Ipam::rollback) or
/// [`Ipam::settle`](crate::Ipam::settle); dropped, its addresses stay taken until the process ends.
#[must_use = "give it back by `commit`, `rollback` or `settle`, or its addresses stay taken"]
#[derive(Debug, PartialEq, Eq)]
pub struct Reservation {
    pub(crate) ticket: Ticket,
    pub(crate) network: String,
    pub(crate) addresses: Vec<Address>,
}

impl Reservation {
    /// The addresses, IPv4 before IPv6.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }
}

/// Tells one reservation from every other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);
