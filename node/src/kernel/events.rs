//! What others change in the kernel wakes the reconciler: soon, once for many changes, and not for our own, as
//! far as the kernel says whose they are: of forwarding entries and IPv6 addresses it does not.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::{RouteFlags, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{AsyncSocket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::MulticastGroup;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Kernel;
use super::dump::parse::table_of;
use super::names::{HOST_END, HOST_END_PREFIX, TABLE_LOCAL, TABLE_MAIN, is_global_unicast};
use super::netns::Netns;
use crate::mac::Mac;

/// Room for the notifications of a few thousand changes at once.
const RECEIVE_BUFFER: usize = 8 << 20;
/// `NUD_PERMANENT` or `NUD_NOARP`: not learned.
const SET: u16 = 0x80 | 0x40;

pub(super) type Messages = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// Kinds of changes since the last wake-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "a set of kinds, each of which may have changed"
)]
pub struct Wake {
    /// Links other than host ends of pods.
    pub links: bool,
    /// Host ends of pods that need repair: set down, or with another MAC.
    pub pods: bool,
    /// Addresses that are not of a link alone.
    pub addresses: bool,
    /// Routes of tables that may be ours, or default routes.
    pub routes: bool,
    /// Policy rules.
    pub rules: bool,
    /// Forwarding entries that somebody set.
    pub forwards: bool,
    /// Notifications were lost: anything may have changed.
    pub lost: bool,
}

/// Wake-ups of one namespace; dropping it ends them.
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
    debounce: Duration,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    wake: Wake,
    closed: bool,
}

impl Kernel {
    /// Subscribes to changes by others. From here on nothing is missed; what came before is for a dump.
    /// `debounce` is how long after a first change more of them are waited for.
    pub async fn events(&self, debounce: Duration) -> io::Result<Events> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Neigh,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv4Rule,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv6Route,
            MulticastGroup::Ipv6Rule,
        ];
        let messages = subscribe(&self.netns, &groups).await?;
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(gather(messages, self.ports, Arc::clone(&shared)));
        Ok(Events {
            shared,
            debounce,
            task,
        })
    }
}

impl Events {
    /// Waits for changes and gathers for a moment. `None`: the socket is gone, subscribe again and compare
    /// everything. May be dropped while it waits: nothing is forgotten.
    pub async fn next(&mut self) -> Option<Wake> {
        loop {
            let changed = self.shared.changed.notified();
            if self.shared.is_due() {
                break;
            }
            changed.await;
        }
        tokio::time::sleep(self.debounce).await;
        self.shared.take()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn is_due(&self) -> bool {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.closed || pending.wake != Wake::default()
    }

    fn take(&self) -> Option<Wake> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let wake = std::mem::take(&mut pending.wake);
        (wake != Wake::default() || !pending.closed).then_some(wake)
    }

    fn add(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }
}

/// Folds notifications as they come, so that they take no room however long nobody asks.
async fn gather(mut messages: Messages, own_ports: [u32; 2], shared: Arc<Shared>) {
    while let Some((message, _)) = messages.next().await {
        // The kernel names the socket whose request caused a change.
        let cause = message.header.port_number;
        if cause != 0 && own_ports.contains(&cause) {
            continue;
        }
        let mut wake = Wake::default();
        mark(&message.payload, &mut wake);
        if wake != Wake::default() {
            shared.add(|pending| mark(&message.payload, &mut pending.wake));
        }
    }
    shared.add(|pending| pending.closed = true);
}

/// Opens a socket of its own: requests on it could be confused with notifications.
pub(super) async fn subscribe(netns: &Netns, groups: &[MulticastGroup]) -> io::Result<Messages> {
    let groups = groups.to_vec();
    let open = move || {
        let (mut connection, _, messages) = rtnetlink::new_multicast_connection(&groups)?;
        let socket = connection.socket_mut().socket_mut();
        // Beyond the limit for users if we may, else as much as that.
        if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
        }
        Ok::<_, io::Error>((connection, messages))
    };
    let (connection, messages) = netns.run(open).await??;
    tokio::spawn(connection);
    Ok(messages)
}

/// What a notification says to a reconciler.
fn mark(payload: &NetlinkPayload<RouteNetlinkMessage>, wake: &mut Wake) {
    use RouteNetlinkMessage as M;
    match payload {
        NetlinkPayload::Overrun(_) => wake.lost = true,
        NetlinkPayload::InnerMessage(M::NewLink(link)) => mark_link(link, false, wake),
        NetlinkPayload::InnerMessage(M::DelLink(link)) => mark_link(link, true, wake),
        NetlinkPayload::InnerMessage(M::NewAddress(address) | M::DelAddress(address)) => {
            wake.addresses |= is_of_interest(address);
        }
        NetlinkPayload::InnerMessage(M::NewRoute(route) | M::DelRoute(route)) => {
            wake.routes |= may_be_ours(route);
        }
        NetlinkPayload::InnerMessage(M::NewRule(_) | M::DelRule(_)) => wake.rules = true,
        NetlinkPayload::InnerMessage(M::NewNeighbour(entry) | M::DelNeighbour(entry)) => {
            wake.forwards |= is_set_forward(entry);
        }
        _ => {}
    }
}

fn mark_link(link: &LinkMessage, is_gone: bool, wake: &mut Wake) {
    // Ports of bridges are told of again as such.
    if link.header.interface_family == AddressFamily::Bridge {
        return;
    }
    let (mut is_pods, mut mac) = (false, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => is_pods = name.starts_with(HOST_END_PREFIX),
            LinkAttribute::Address(octets) => mac = octets.as_slice().try_into().ok().map(Mac),
            _ => {}
        }
    }
    if !is_pods {
        wake.links = true;
        return;
    }
    // Pods come and go all the time. Who brings one sets its link up, and a link that is gone needs nothing.
    let is_new = link.header.change_mask.bits() == u32::MAX;
    let is_well = link.header.flags.contains(LinkFlags::Up) && mac == Some(HOST_END);
    wake.pods |= !(is_new || is_gone || is_well);
}

fn is_of_interest(address: &AddressMessage) -> bool {
    address.attributes.iter().any(|attribute| match attribute {
        AddressAttribute::Address(ip) | AddressAttribute::Local(ip) => is_global_unicast(*ip),
        _ => false,
    })
}

fn may_be_ours(route: &RouteMessage) -> bool {
    let table = table_of(route);
    let in_main = table == TABLE_MAIN && route.header.destination_prefix_length == 0;
    let elsewhere = table != TABLE_MAIN && table != TABLE_LOCAL;
    (in_main || elsewhere) && !route.header.flags.contains(RouteFlags::Cloned)
}

fn is_set_forward(entry: &NeighbourMessage) -> bool {
    entry.header.family == AddressFamily::Bridge && u16::from(entry.header.state) & SET != 0
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::rule::RuleMessage;

    use super::*;

    fn host_end(flags: LinkFlags, change: u32, mac: Mac) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.flags = flags;
        link.header.change_mask = LinkFlags::from_bits_retain(change);
        link.attributes
            .push(LinkAttribute::IfName("hybr0d7763386da".into()));
        link.attributes.push(LinkAttribute::Address(mac.0.to_vec()));
        link
    }

    #[test]
    fn pods_that_come_and_go_wake_nobody_and_disturbed_ones_do() {
        let other = Mac([2, 0, 0, 0, 0, 1]);
        let cases = [
            (
                "arrives",
                host_end(LinkFlags::empty(), u32::MAX, other),
                false,
                false,
            ),
            ("is set up", host_end(LinkFlags::Up, 1, HOST_END), false, false),
            (
                "finds its peer up",
                host_end(LinkFlags::Up | LinkFlags::LowerUp, 0, HOST_END),
                false,
                false,
            ),
            (
                "goes",
                host_end(LinkFlags::empty(), u32::MAX, HOST_END),
                true,
                false,
            ),
            (
                "is set down",
                host_end(LinkFlags::empty(), 1, HOST_END),
                false,
                true,
            ),
            ("gets another MAC", host_end(LinkFlags::Up, 0, other), false, true),
        ];
        for (what, link, is_gone, expected) in cases {
            let mut wake = Wake::default();

            mark_link(&link, is_gone, &mut wake);

            assert_eq!(
                wake,
                Wake {
                    pods: expected,
                    ..Wake::default()
                },
                "{what}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lost_notifications_wake_whoever_waits_and_a_closed_socket_ends_it() {
        let (kernel, messages) = futures::channel::mpsc::unbounded();
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(gather(messages, [7, 8], Arc::clone(&shared)));
        let debounce = Duration::from_millis(20);
        let mut events = Events {
            shared,
            debounce,
            task,
        };
        let send = |payload, port| {
            let mut message = NetlinkMessage::new(netlink_packet_core::NetlinkHeader::default(), payload);
            message.header.port_number = port;
            kernel.unbounded_send((message, SocketAddr::new(0, 0))).unwrap();
        };
        let rule = || NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRule(RuleMessage::default()));

        send(rule(), 8);
        send(NetlinkPayload::Overrun(vec![]), 0);
        let lost = Wake {
            lost: true,
            ..Wake::default()
        };
        assert_eq!(events.next().await, Some(lost), "our own rule is no news");

        send(rule(), 9);
        drop(kernel);
        assert!(events.next().await.is_some_and(|wake| wake.rules));
        assert_eq!(events.next().await, None);
    }

    #[test]
    fn learned_forwards_and_routes_of_the_machine_wake_nobody() {
        let mut forward = NeighbourMessage::default();
        forward.header.family = AddressFamily::Bridge;
        forward.header.state = netlink_packet_route::neighbour::NeighbourState::Reachable;
        let mut route = RouteMessage::default();
        route.header.table = 254;
        route.header.destination_prefix_length = 24;

        assert!(!is_set_forward(&forward) && !may_be_ours(&route));

        forward.header.state = netlink_packet_route::neighbour::NeighbourState::Permanent;
        route.header.destination_prefix_length = 0;
        assert!(is_set_forward(&forward) && may_be_ours(&route));
    }
}
