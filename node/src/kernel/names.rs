//! Numbers and names that the kernel and the nodes of the Go project share with us (datapath spec 4, 5).

use std::net::{IpAddr, Ipv6Addr};

use crate::mac::Mac;

/// The local table: addresses of this machine.
pub const TABLE_LOCAL: u32 = 255;
/// The main table.
pub const TABLE_MAIN: u32 = 254;
/// Tables of subnets: the first number. The last one is [`FROM_SUBNET_LAST`].
pub const FROM_SUBNET_FIRST: u32 = 10_000;
/// Tables of subnets: the last number.
pub const FROM_SUBNET_LAST: u32 = 39_999;
/// Marks that keep a packet from the tables of subnets: kube-proxy's masquerade (0x4000), full NAT (0x40).
pub const SKIP_FROM_SUBNET: u32 = 0x4040;
/// Replies of overlay pods to nodes.
pub const OVERLAY_REPLY: u32 = 0x20;
/// Host ends of pods all have the same MAC, the answer to the pod's question for its gateway.
pub const HOST_END: Mac = Mac([0xee; 6]);
/// The gateway of IPv6 pods: the link-local address of [`HOST_END`].
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0xecee, 0xeeff, 0xfeee, 0xeeee);
/// What broadcasts and multicasts on the overlay are sent to: one entry for each of the other nodes.
pub const REPLICATION: Mac = Mac([0xff, 0xff, 0xff, 0xff, 0xff, 0xf1]);
/// The default entry of a VXLAN link, for destinations without their own.
pub const EVERYWHERE: Mac = Mac([0; 6]);
/// How a link is recognised as an overlay's.
pub const VXLAN_INFIX: &str = ".vxlan";
/// How the name of a pod's host end begins.
pub const HOST_END_PREFIX: &str = "hybr";
/// Metric of IPv6 routes that were added without one.
pub const METRIC_V6: u32 = 1024;

/// Whether subnets may have this table.
pub fn is_subnet_table(number: u32) -> bool {
    (FROM_SUBNET_FIRST..=FROM_SUBNET_LAST).contains(&number)
}

/// Whether an address can be a node's: not of a link, a host or a group.
pub fn is_global_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast())
        }
        IpAddr::V6(v6) => {
            !(v6.is_unspecified() || v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast())
        }
    }
}
