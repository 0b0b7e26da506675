//! What the node answers for, looked at once in a while: the kernel tells nobody when a proxy neighbour goes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_route::neighbour::NeighbourFlags;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::time::{MissedTickBehavior, interval};

use super::Kernel;
use super::dump::parse::destination;
use super::dump::{self, DumpError};
use super::wire;

/// One short request; what is missing is back within a second.
const PERIOD: Duration = Duration::from_millis(500);

/// What the node answered for when it was looked at last: number of the link, and address.
#[derive(Debug)]
pub struct Answers {
    kernel: Kernel,
    known: BTreeSet<(u32, IpAddr)>,
}

impl Answers {
    /// Waits until something is missing that was there before. After a pass that took it away itself, the next one
    /// finds nothing to do.
    pub async fn missed(&mut self) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.kernel.answered().await {
                Ok(now) => {
                    let before = std::mem::replace(&mut self.known, now);
                    if !before.is_subset(&self.known) {
                        return;
                    }
                }
                Err(error) => tracing::debug!(%error, "what this node answers for is not known"),
            }
        }
    }
}

impl Kernel {
    /// Begins to look.
    pub async fn answers(&self) -> Result<Answers, DumpError> {
        Ok(Answers {
            kernel: self.clone(),
            known: self.answered().await?,
        })
    }

    async fn answered(&self) -> Result<BTreeSet<(u32, IpAddr)>, DumpError> {
        let request = dump::neighbours(AddressFamily::Unspec, true);
        let list = wire::dump(&self.handle, request)
            .await
            .map_err(|source| DumpError::new("proxy neighbours", source))?;
        let answer = |message| match message {
            RouteNetlinkMessage::NewNeighbour(message)
                if message.header.flags.contains(NeighbourFlags::Proxy) =>
            {
                Some((message.header.ifindex, destination(&message)?))
            }
            _ => None,
        };
        Ok(list.into_iter().filter_map(answer).collect())
    }
}
