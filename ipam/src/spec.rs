//! Networks and subnets as the allocator needs them: plain values, texts as the user wrote them.

/// A Network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Name of the object.
    pub name: String,
    /// `spec.netID`: what subnets without their own inherit.
    pub net_id: Option<i32>,
    /// `status.lastAllocatedSubnet`: where the search for an IPv4 subnet starts after a restart.
    pub last_allocated_subnet: Option<String>,
    /// `status.lastAllocatedIPv6Subnet`: the same for IPv6.
    pub last_allocated_ipv6_subnet: Option<String>,
}

/// A Subnet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubnetSpec {
    /// Name of the object.
    pub name: String,
    /// `spec.network`.
    pub network: String,
    /// `spec.netID`.
    pub net_id: Option<i32>,
    /// `spec.range.version`: `"4"`, `"6"`, or empty for the family of the CIDR.
    pub version: String,
    /// `spec.range.cidr`.
    pub cidr: String,
    /// `spec.range.start`; absent or empty means the first address after the network address.
    pub start: Option<String>,
    /// `spec.range.end`; absent or empty means the last one, in IPv4 before the broadcast address.
    pub end: Option<String>,
    /// `spec.range.gateway`.
    pub gateway: Option<String>,
    /// `spec.range.reservedIPs`.
    pub reserved: Vec<String>,
    /// `spec.range.excludeIPs`.
    pub excluded: Vec<String>,
    /// `spec.config.private`.
    pub private: bool,
    /// `status.lastAllocatedIP`: where the search for an address goes on after a restart.
    pub last_allocated: Option<String>,
}
