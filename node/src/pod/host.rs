//! The host's side of a pod, of the parts that keep it so from then on: the kernel part and the firewall.

use std::net::Ipv4Addr;

use futures::TryStreamExt;
use netlink_packet_route::route::{RouteProtocol, RouteScope};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::inside::GATEWAY_V4;
use super::pair::{errno, find, open};
use super::{Error, HostSide, HostSideError};
use crate::firewall;
use crate::kernel::Kernel;
use crate::kernel::pods::NewPod;
use crate::plan::HostEnd;

/// Both, for the network namespace of this process.
#[derive(Clone, Debug)]
pub struct NodeSide {
    /// Programs links, routes and neighbours.
    pub kernel: Kernel,
    /// Number of the table of host routes.
    pub local_direct: u32,
}

impl HostSide for NodeSide {
    async fn attach(&self, name: &str, end: &HostEnd, uplink: &str) -> Result<(), HostSideError> {
        if end.addresses.iter().any(std::net::IpAddr::is_ipv4) {
            make_gateway_routable(&open()?).await?;
        }
        let (answers_on, local_direct) = ([uplink.to_owned()], self.local_direct);
        let new = NewPod {
            link: name,
            end,
            answers_on: &answers_on,
            local_direct,
        };
        self.kernel.add_pod(&new).await?;
        let addresses = end.addresses.clone();
        let admit = move || addresses.into_iter().try_for_each(firewall::add_local_pod);
        match tokio::task::spawn_blocking(admit).await? {
            // Without the table nothing is held up; the pass that loads it knows the pod.
            Ok(()) | Err(firewall::Error::NotLoaded) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The kernel answers ARP on behalf of another only for an address that it knows a way to. Without a default
/// route the pods' gateway is none (datapath 2.7, step 5).
async fn make_gateway_routable(handle: &Handle) -> Result<(), Error> {
    let what = format!("route {GATEWAY_V4}/32 dev lo");
    let question = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(GATEWAY_V4, 32)
        .build();
    let unknown = match handle.route().get(question).execute().try_next().await {
        Ok(_) => false,
        Err(error) if matches!(errno(&error), libc::ENETUNREACH | libc::EHOSTUNREACH) => true,
        Err(error) => return Err(Error::netlink(what)(error)),
    };
    if !unknown {
        return Ok(());
    }
    let loopback = find(handle, "lo")
        .await
        .map_err(Error::netlink("look up link lo"))?;
    let index = loopback.ok_or_else(|| Error::LinkGone("lo".to_owned()))?.index;
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(GATEWAY_V4, 32)
        .output_interface(index)
        .scope(RouteScope::Link)
        .protocol(RouteProtocol::Boot)
        .build();
    match handle.route().add(route).execute().await {
        Err(error) if errno(&error) != libc::EEXIST => Err(Error::netlink(what)(error)),
        _ => Ok(()),
    }
}
