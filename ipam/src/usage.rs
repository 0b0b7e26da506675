//! How full networks and subnets are (control-plane spec 3.7).

use std::net::IpAddr;

/// Numbers of addresses. Addresses of the reserved list are never counted, in use or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// What may be handed out: the range less gateway, excluded and reserved addresses.
    pub total: u128,
    /// Those in use or in flight.
    pub used: u128,
    /// `total - used`.
    pub available: u128,
}

impl Counts {
    /// A number as the API's status fields hold it: what does not fit is the largest.
    pub fn clamp(number: u128) -> i32 {
        i32::try_from(number).unwrap_or(i32::MAX)
    }

    /// Adds `other`, stopping at the largest number.
    pub(crate) fn add(&mut self, other: Self) {
        self.total = self.total.saturating_add(other.total);
        self.used = self.used.saturating_add(other.used);
        self.available = self.available.saturating_add(other.available);
    }
}

/// A subnet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubnetUsage {
    /// Numbers of addresses.
    pub counts: Counts,
    /// The address handed out last: what belongs in `status.lastAllocatedIP`.
    pub last_allocated: Option<IpAddr>,
}

/// One family of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FamilyUsage {
    /// Sums over all subnets, also private ones: what the status shows.
    pub counts: Counts,
    /// What is available outside private subnets: what a pod that names no subnet can get. Quota labels
    /// and admission go by this number.
    pub open: u128,
    /// The subnet that the next search starts at; absent when there is none.
    pub last_subnet: Option<String>,
}

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkUsage {
    /// Its IPv4 subnets.
    pub ipv4: FamilyUsage,
    /// Its IPv6 subnets.
    pub ipv6: FamilyUsage,
}

impl NetworkUsage {
    /// How many dual-stack pods the status promises: the smaller of both families.
    pub fn dual_stack_available(&self) -> u128 {
        self.ipv4.counts.available.min(self.ipv6.counts.available)
    }

    /// How many dual-stack pods that name no subnet can get addresses.
    pub fn dual_stack_open(&self) -> u128 {
        self.ipv4.open.min(self.ipv6.open)
    }
}
