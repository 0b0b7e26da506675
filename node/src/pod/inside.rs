//! The pod's side, done inside its namespace (datapath spec 2.8).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use netlink_packet_route::address::{AddressAttribute, AddressFlags};
use netlink_packet_route::route::{RouteMessage, RouteProtocol, RouteScope};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

use super::namespace::Namespace;
use super::obstacle::Found;
use super::pair::{delete, errno, find};
use super::{Endpoint, Error, POD_LINK};
use crate::kernel::names::GATEWAY_V6;

/// The gateway of IPv4 pods: nobody's address, answered by the host's end on behalf of everybody.
pub(super) const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// Gives the pod's end its addresses and routes and sets it up.
pub(super) async fn configure(
    namespace: &Namespace,
    endpoint: &Endpoint,
    proc_sys: &Path,
) -> Result<(), Error> {
    let (proc_sys, v6) = (proc_sys.to_owned(), endpoint.has_v6());
    // Written inside, since `/proc/sys/net` is that of the thread which opens it; and before the link is up.
    let handle = namespace.open_socket(move || set_sysctls(&proc_sys, v6)).await?;
    let index = set_up(&handle).await?;
    for address in &endpoint.addresses {
        add_address(&handle, index, *address).await?;
        add_routes(&handle, index, address.is_ipv6()).await?;
    }
    Ok(())
}

/// Removes the pod's end, and so the pair. An `eth0` that is no pair's end was never ours.
pub(super) async fn remove_link(namespace: &Namespace) -> Result<(), Error> {
    let handle = namespace.open_socket(|| Ok(())).await?;
    let found = find(&handle, POD_LINK).await.map_err(lookup(POD_LINK))?;
    match found.filter(|found| found.veth) {
        Some(found) => delete(&handle, POD_LINK, found.index).await,
        None => Ok(()),
    }
}

/// The pod's `eth0`, after removing a pair that the Go release left wholly inside when it was interrupted.
pub(super) async fn find_link(namespace: &Namespace, host_link: &str) -> Result<Option<Found>, Error> {
    let handle = namespace.open_socket(|| Ok(())).await?;
    if let Some(left) = find(&handle, host_link).await.map_err(lookup(host_link))? {
        delete(&handle, host_link, left.index).await?;
    }
    find(&handle, POD_LINK).await.map_err(lookup(POD_LINK))
}

fn lookup(name: &str) -> impl FnOnce(rtnetlink::Error) -> Error + use<> {
    Error::netlink(format!("look up link {name} in the pod"))
}

fn set_sysctls(proc_sys: &Path, v6: bool) -> Result<(), Error> {
    let conf = proc_sys.join("net/ipv6/conf");
    // A pod has one way out. Nobody on the link, and nobody the host forwards for, may show it another.
    write_if_there(&conf.join(POD_LINK).join("accept_ra"), "0")?;
    if !v6 {
        return Ok(());
    }
    // Its address is known to be unique; without this it is unusable for a second or two.
    write_if_there(&conf.join(POD_LINK).join("accept_dad"), "0")?;
    // Runtimes switch IPv6 off in namespaces whose configuration they do not know.
    for link in ["lo", POD_LINK] {
        write_if_there(&conf.join(link).join("disable_ipv6"), "0")?;
    }
    Ok(())
}

/// Writes what differs. A kernel without IPv6 has no such files.
fn write_if_there(path: &PathBuf, value: &str) -> Result<(), Error> {
    let failed = |source| Error::Sysctl {
        path: path.clone(),
        source,
    };
    match std::fs::read_to_string(path) {
        Ok(present) if present.trim_end() == value => Ok(()),
        Ok(_) => std::fs::write(path, value).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

async fn set_up(handle: &Handle) -> Result<u32, Error> {
    let found = find(handle, POD_LINK).await.map_err(lookup(POD_LINK))?;
    let Some(Found { index, .. }) = found else {
        return Err(Error::LinkGone(format!("{POD_LINK} in the pod")));
    };
    let up = LinkUnspec::new_with_index(index).up().build();
    let failed = Error::netlink(format!("set link {POD_LINK} in the pod up"));
    handle.link().set(up).execute().await.map_err(failed)?;
    Ok(index)
}

/// Without a route for the prefix: also neighbours of the same subnet are reached through the host.
async fn add_address(handle: &Handle, index: u32, address: IpNetwork) -> Result<(), Error> {
    let mut request = handle.address().add(index, address.ip(), address.prefix());
    let mut flags = AddressFlags::Noprefixroute | AddressFlags::Permanent;
    if address.is_ipv6() {
        flags |= AddressFlags::Nodad;
    }
    request
        .message_mut()
        .attributes
        .push(AddressAttribute::Flags(flags));
    let failed = Error::netlink(format!("add address {address} to link {POD_LINK} in the pod"));
    request.execute().await.map_err(failed)
}

async fn add_routes(handle: &Handle, index: u32, v6: bool) -> Result<(), Error> {
    if v6 {
        // A link-local gateway is on the link by nature, it needs no route of its own.
        let default = RouteMessageBuilder::<Ipv6Addr>::new().gateway(GATEWAY_V6);
        let default = default
            .output_interface(index)
            .protocol(RouteProtocol::Boot)
            .build();
        return add_route(handle, default, format!("::/0 via {GATEWAY_V6}")).await;
    }
    let gateway = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(GATEWAY_V4, 32)
        .output_interface(index)
        .scope(RouteScope::Link)
        .protocol(RouteProtocol::Boot)
        .build();
    add_route(handle, gateway, format!("{GATEWAY_V4}/32")).await?;
    let default = RouteMessageBuilder::<Ipv4Addr>::new().gateway(GATEWAY_V4);
    let default = default
        .output_interface(index)
        .protocol(RouteProtocol::Boot)
        .build();
    add_route(handle, default, format!("0.0.0.0/0 via {GATEWAY_V4}")).await
}

/// One that is there already stays: somebody gave the pod another link and route before us.
async fn add_route(handle: &Handle, route: RouteMessage, text: String) -> Result<(), Error> {
    match handle.route().add(route).execute().await {
        Err(error) if errno(&error) != libc::EEXIST => Err(Error::netlink(format!(
            "add route {text} dev {POD_LINK} in the pod"
        ))(error)),
        _ => Ok(()),
    }
}
