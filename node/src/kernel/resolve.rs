//! Answers to "who has this address?" on the overlay: the kernel asks by netlink first (`app_solicit`), and
//! on the wire only if we stay silent for a second (datapath spec 5.3).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::MulticastGroup;
use tokio::time::{MissedTickBehavior, interval};

use super::Kernel;
use super::apply::{delete_neighbour, set_neighbour};
use super::dump::parse::destination;
use super::dump::{self, DumpError};
use super::events::{Messages, subscribe};
use super::names::VXLAN_INFIX;
use super::state::{Kind, Link};
use super::wire;
use crate::mac::Mac;

/// Questions that are answered at one go. More than these at once go unanswered: the kernel asks the wire.
const MOST: usize = 4096;

/// Where an address is.
pub trait Whereabouts: Send + Sync {
    /// MAC of the tunnel end of the node that has it; `None` if it is unknown.
    fn tunnel_end(&self, ip: IpAddr) -> Option<Mac>;
}

impl<F: Fn(IpAddr) -> Option<Mac> + Send + Sync> Whereabouts for F {
    fn tunnel_end(&self, ip: IpAddr) -> Option<Mac> {
        self(ip)
    }
}

/// The kernel's questions, one subscription.
#[derive(Debug)]
pub struct Responder {
    kernel: Kernel,
    messages: Messages,
    /// Whether a link is an overlay's, by number, as far as it was asked for.
    overlays: BTreeMap<u32, bool>,
}

/// A question, and what the kernel knows already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    link: u32,
    ip: IpAddr,
    /// The MAC in doubt. Its owner is being asked on the wire: we speak up only if we know better.
    held: Option<Mac>,
}

impl Kernel {
    /// Subscribes to the kernel's questions; [`Responder::run`] answers them.
    pub async fn responder(&self) -> io::Result<Responder> {
        let messages = subscribe(&self.netns, &[MulticastGroup::Neigh, MulticastGroup::Link]).await?;
        Ok(Responder {
            kernel: self.clone(),
            messages,
            overlays: BTreeMap::new(),
        })
    }

    /// Tells the kernel that addresses moved to other nodes, those that it has spoken with. Without this it
    /// finds out within seconds.
    pub async fn neighbours_moved(&self, moved: &BTreeMap<IpAddr, Mac>) -> Result<(), DumpError> {
        for link in self.overlays().await? {
            for (ip, mac) in moved {
                let set = set_neighbour(&self.handle, link, *ip, *mac, 0).await;
                wire::absent_is_fine(set).map_err(|source| DumpError::new("neighbours", source))?;
            }
        }
        Ok(())
    }

    /// Forgets neighbours on overlays that nobody has answered for lately (`STALE`, `FAILED`): entries would
    /// else fill the table with pods that are gone.
    pub async fn purge_neighbours(&self) -> Result<usize, DumpError> {
        let overlays = self.overlays().await?;
        let mut purged = 0;
        for message in self.neighbours().await? {
            let is_old = matches!(
                message.header.state,
                NeighbourState::Stale | NeighbourState::Failed
            );
            if is_old && overlays.contains(&message.header.ifindex) {
                let deleted = delete_neighbour(&self.handle, message).await;
                deleted.map_err(|source| DumpError::new("neighbours", source))?;
                purged += 1;
            }
        }
        Ok(purged)
    }

    async fn neighbours(&self) -> Result<Vec<NeighbourMessage>, DumpError> {
        let request = dump::neighbours(AddressFamily::Unspec, false);
        let list = wire::dump(&self.handle, request)
            .await
            .map_err(|source| DumpError::new("neighbours", source))?;
        let neighbour = |message| match message {
            RouteNetlinkMessage::NewNeighbour(message) if message.header.family != AddressFamily::Bridge => {
                Some(message)
            }
            _ => None,
        };
        Ok(list.into_iter().filter_map(neighbour).collect())
    }

    async fn overlays(&self) -> Result<BTreeSet<u32>, DumpError> {
        let links = dump::links_of(&self.handle).await?;
        let overlays = links.into_iter().filter(|(name, link)| is_overlay(name, link));
        Ok(overlays.map(|(_, link)| link.index).collect())
    }
}

impl Responder {
    /// Answers until the subscription ends, and forgets old neighbours at the start and every `purge`. After
    /// it returned, subscribe again.
    pub async fn run(mut self, whereabouts: &impl Whereabouts, purge: Duration) {
        let mut purge = interval(purge);
        purge.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut questions = BTreeSet::new();
        self.catch_up(&mut questions).await;
        loop {
            self.answer(std::mem::take(&mut questions), whereabouts).await;
            tokio::select! {
                message = self.messages.next() => {
                    let Some((message, _)) = message else { return };
                    let mut lost = self.hear(&message.payload, &mut questions).await;
                    while let Some(Some((message, _))) = self.messages.next().now_or_never() {
                        lost |= self.hear(&message.payload, &mut questions).await;
                    }
                    if lost {
                        self.catch_up(&mut questions).await;
                    }
                }
                _ = purge.tick() => match self.kernel.purge_neighbours().await {
                    Ok(count) => tracing::debug!(count, "old neighbours of the overlay forgotten"),
                    Err(error) => tracing::warn!(%error, "old neighbours of the overlay stay"),
                },
            }
        }
    }

    /// Takes a notification in; whether some were lost.
    async fn hear(
        &mut self,
        payload: &NetlinkPayload<RouteNetlinkMessage>,
        questions: &mut BTreeSet<Question>,
    ) -> bool {
        use RouteNetlinkMessage as M;
        match payload {
            NetlinkPayload::Overrun(_) => return true,
            NetlinkPayload::InnerMessage(M::NewLink(link) | M::DelLink(link)) => {
                self.overlays.remove(&link.header.index);
            }
            NetlinkPayload::InnerMessage(M::GetNeighbour(message)) => {
                self.consider(message, true, questions).await;
            }
            NetlinkPayload::InnerMessage(M::NewNeighbour(message)) => {
                self.consider(message, false, questions).await;
            }
            _ => {}
        }
        false
    }

    async fn consider(
        &mut self,
        message: &NeighbourMessage,
        asked: bool,
        questions: &mut BTreeSet<Question>,
    ) {
        if let Some(question) = question(message, asked)
            && questions.len() < MOST
            && self.is_overlay(question.link).await
        {
            questions.insert(question);
        }
    }

    /// Questions that were put while nobody listened.
    async fn catch_up(&mut self, questions: &mut BTreeSet<Question>) {
        match self.kernel.neighbours().await {
            Ok(list) => {
                for message in &list {
                    self.consider(message, false, questions).await;
                }
            }
            Err(error) => tracing::warn!(%error, "open questions of the kernel are not known"),
        }
    }

    async fn answer(&self, questions: BTreeSet<Question>, whereabouts: &impl Whereabouts) {
        for Question { link, ip, held } in questions {
            let known = whereabouts.tunnel_end(ip);
            let Some(mac) = known.filter(|mac| held != Some(*mac)) else {
                continue;
            };
            let flags = netlink_packet_core::NLM_F_CREATE;
            match set_neighbour(&self.kernel.handle, link, ip, mac, flags).await {
                Ok(()) => tracing::trace!(%ip, %mac, "neighbour set"),
                Err(error) => tracing::debug!(%ip, %mac, %error, "neighbour not set"),
            }
        }
    }

    async fn is_overlay(&mut self, link: u32) -> bool {
        if let Some(known) = self.overlays.get(&link) {
            return *known;
        }
        let found = dump::link(&self.kernel.handle, link).await;
        let is_overlay = found.is_some_and(|(name, link)| is_overlay(&name, &link));
        self.overlays.insert(link, is_overlay);
        is_overlay
    }
}

fn is_overlay(name: &str, link: &Link) -> bool {
    name.contains(VXLAN_INFIX) && matches!(link.kind, Kind::Vxlan(_))
}

/// Whether a notification is a question. An entry in `PROBE` is being verified on the wire with its MAC; when
/// that failed, the kernel asks us as well (`asked`).
fn question(message: &NeighbourMessage, asked: bool) -> Option<Question> {
    let held = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(octets) => octets.as_slice().try_into().ok().map(Mac),
        _ => None,
    });
    let held = match message.header.state {
        NeighbourState::Incomplete => None,
        NeighbourState::Probe if asked => None,
        NeighbourState::Probe => Some(held?),
        _ => return None,
    };
    Some(Question {
        link: message.header.ifindex,
        ip: destination(message)?,
        held,
    })
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::neighbour::NeighbourAddress;

    use super::*;

    fn neighbour(state: NeighbourState, held: Option<Mac>) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = 7;
        message.header.state = state;
        let address = NeighbourAddress::Inet([10, 0, 0, 5].into());
        message.attributes.push(NeighbourAttribute::Destination(address));
        message
            .attributes
            .extend(held.map(|mac| NeighbourAttribute::LinkLayerAddress(mac.0.to_vec())));
        message
    }

    #[test]
    fn a_neighbour_without_a_mac_is_a_question() {
        let incomplete = neighbour(NeighbourState::Incomplete, None);

        let expected = Question {
            link: 7,
            ip: [10, 0, 0, 5].into(),
            held: None,
        };
        assert_eq!(question(&incomplete, false), Some(expected));
        assert_eq!(question(&incomplete, true), Some(expected));
    }

    #[test]
    fn one_that_is_verified_on_the_wire_is_a_question_only_if_we_know_better_or_the_wire_is_silent() {
        let held = Mac([2, 0, 0, 0, 0, 2]);
        let probe = neighbour(NeighbourState::Probe, Some(held));

        assert_eq!(
            question(&probe, false).and_then(|question| question.held),
            Some(held)
        );
        assert_eq!(question(&probe, true).map(|question| question.held), Some(None));
    }

    #[test]
    fn what_is_known_is_no_question() {
        let held = Some(Mac([2, 0, 0, 0, 0, 2]));
        for state in [
            NeighbourState::Reachable,
            NeighbourState::Stale,
            NeighbourState::Delay,
            NeighbourState::Failed,
        ] {
            assert_eq!(question(&neighbour(state, held), false), None, "{state}");
        }
    }
}
