//! Networks and subnets as the allocator needs them: plain values, ranges as the user wrote them.

use hybridnet_api::subnet::AddressRange;

/// A Network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Name of the object.
    pub name: String,
    /// `spec.netID`: what subnets without their own inherit.
    pub net_id: Option<i32>,
    /// `spec.config.allowedNamespaces`: who may get new addresses; none means all.
    pub allowed_namespaces: Vec<String>,
    /// `status.lastAllocatedSubnet`: where the search for an IPv4 subnet starts after a restart.
    pub last_allocated_subnet: Option<String>,
    /// `status.lastAllocatedIPv6Subnet`: the same for IPv6.
    pub last_allocated_ipv6_subnet: Option<String>,
}

/// A Subnet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubnetSpec {
    /// Name of the object.
    pub name: String,
    /// `spec.network`.
    pub network: String,
    /// `spec.netID`.
    pub net_id: Option<i32>,
    /// `spec.range`.
    pub range: AddressRange,
    /// `spec.config.private`.
    pub private: bool,
    /// `spec.config.allowedNamespaces`: who may get new addresses; none means all.
    pub allowed_namespaces: Vec<String>,
    /// `status.lastAllocatedIP`: where the search for an address goes on after a restart.
    pub last_allocated: Option<String>,
}
