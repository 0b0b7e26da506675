//! Whether a pod of a VLAN can have its address (datapath spec 6.3): nobody else has it, and its gateway
//! answers. Asked on the segment before the pod is there; probes first, so that nothing is announced that is not
//! ours (RFC 5227; RFC 4862). Afterwards the segment is told.
//!
//! ```text
//! machine (what to send when, what follows) <-> socket (frames of one link)
//!         arp, ndp: frames as bytes
//! ```

mod arp;
mod machine;
mod ndp;
mod socket;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::{Instant, timeout_at};

use crate::mac::Mac;
use machine::{Check, Question, Verdict};
use socket::{Ear, Port};

pub use machine::WINDOW;

/// One address of a pod, and its router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The pod's address.
    pub ip: IpAddr,
    /// Its subnet's gateway, of the same family.
    pub gateway: Option<IpAddr>,
}

/// What a neighbour said about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// "`ip` is at `mac`"; `answers`: as an answer, not in a question.
    Claims { ip: IpAddr, mac: Mac, answers: bool },
    /// "Does anybody have `ip`? I want it."
    Probes { ip: IpAddr, mac: Mac },
}

/// Why the pod cannot have its address. Texts begin as the Go project's do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else has it.
    #[error(
        "pod ip {ip} duplicated, somebody on link {link} has it and another hw addr is {mac}: remove the address \
         there, or name it in the excludeIPs of the pod's Subnet"
    )]
    Duplicate {
        /// The pod's address.
        ip: IpAddr,
        /// Link that was asked on.
        link: String,
        /// Who has it.
        mac: Mac,
    },
    /// The router is not there, or not for us.
    #[error(
        "failed to resolve {protocol} from pod {ip} to gateway {gateway} on link {link} within {limit:?}, vlan \
         network seems not working: check that the switch lets the VLAN through to this node, and the netID and \
         gateway of the pod's Subnet"
    )]
    SilentGateway {
        /// `arp` or `ndp`.
        protocol: &'static str,
        /// The pod's address.
        ip: IpAddr,
        /// Who should have answered.
        gateway: IpAddr,
        /// Link that was asked on.
        link: String,
        /// How long.
        limit: Duration,
    },
    /// A subnet of a VLAN cannot do without.
    #[error("pod ip {0} has no gateway of its family: set spec.range.gateway of its Subnet")]
    NoGateway(IpAddr),
    /// Went away, or has no MAC.
    #[error("forward link {0} is no Ethernet link here: if not exist, waiting for daemon to create it")]
    NoLink(String),
    /// Nothing to ask from.
    #[error("link {0} has no IPv6 link-local address: enable IPv6 on it (disable_ipv6, addr_gen_mode)")]
    NoLinkLocal(String),
    /// A packet socket.
    #[error("frames on link {link}: {source}")]
    Socket {
        /// The link.
        link: String,
        /// Its error.
        source: io::Error,
    },
}

/// Looks for duplicates and gateways of all `neighbours` on `link` at once. Takes [`WINDOW`] when all is well,
/// and at most `limit`.
pub async fn check(link: &str, neighbours: &[Neighbour], limit: Duration) -> Result<(), Error> {
    let port = port(link)?;
    let questions = questions(&port, link, neighbours)?;
    try_join_all(questions.iter().map(|question| ask(&port, link, question, limit))).await?;
    Ok(())
}

/// Tells everybody on `link` that the addresses are here.
pub async fn announce(link: &str, neighbours: &[Neighbour]) -> Result<(), Error> {
    let port = port(link)?;
    for question in questions(&port, link, neighbours)? {
        let ear = Ear::open(&port, link, &question).map_err(failed(link))?;
        for frame in question.announcement(port.mac) {
            ear.send(&frame).await.map_err(failed(link))?;
        }
    }
    Ok(())
}

async fn ask(port: &Port, link: &str, question: &Question, limit: Duration) -> Result<(), Error> {
    let ear = Ear::open(port, link, question).map_err(failed(link))?;
    let (begin, mut check) = (Instant::now(), Check::new(*question, port.mac, limit));
    loop {
        if let Some(verdict) = check.verdict(begin.elapsed()) {
            return told(verdict, link, question, limit);
        }
        for frame in check.send(begin.elapsed()) {
            ear.send(&frame).await.map_err(failed(link))?;
        }
        let until = begin + check.wake(begin.elapsed());
        if let Ok(heard) = timeout_at(until, ear.hear()).await {
            check.hear(&heard.map_err(failed(link))?);
        }
    }
}

fn told(verdict: Verdict, link: &str, question: &Question, limit: Duration) -> Result<(), Error> {
    let (ip, link) = (question.ip(), link.to_owned());
    match verdict {
        Verdict::Clear => Ok(()),
        Verdict::Duplicate(mac) => Err(Error::Duplicate { ip, link, mac }),
        Verdict::SilentGateway => Err(Error::SilentGateway {
            protocol: if ip.is_ipv4() { "arp" } else { "ndp" },
            ip,
            gateway: question.gateway(),
            link,
            limit,
        }),
    }
}

fn port(link: &str) -> Result<Port, Error> {
    let port = Port::of(link).map_err(failed(link))?;
    port.ok_or_else(|| Error::NoLink(link.to_owned()))
}

fn questions(port: &Port, link: &str, neighbours: &[Neighbour]) -> Result<Vec<Question>, Error> {
    let question = |neighbour: &Neighbour| match (neighbour.ip, neighbour.gateway) {
        (IpAddr::V4(ip), Some(IpAddr::V4(gateway))) => Ok(Question::V4 { ip, gateway }),
        (IpAddr::V6(ip), Some(IpAddr::V6(gateway))) => {
            let source = port
                .link_local
                .ok_or_else(|| Error::NoLinkLocal(link.to_owned()))?;
            Ok(Question::V6 { ip, gateway, source })
        }
        (ip, _) => Err(Error::NoGateway(ip)),
    };
    neighbours.iter().map(question).collect()
}

fn failed(link: &str) -> impl FnOnce(io::Error) -> Error + '_ {
    move |source| Error::Socket {
        link: link.to_owned(),
        source,
    }
}
