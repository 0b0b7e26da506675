//! One pod's network: a veth pair between the pod's namespace and this one, the pod's addresses and routes,
//! and the way to them (datapath spec 2.6 to 2.9). Owned by the CNI server, which asks for it; the kernel part
//! keeps the host's end as it is from then on.
//!
//! ```text
//!   pod's namespace          |  this namespace
//!   eth0, addresses, routes =|= hybrXXXXXXXXXXX --> table 39999, proxy neighbours, firewall
//! ```
//!
//! Setting up twice leaves one pair, the newer; taking down what is not there is done at once. Whatever fails
//! on the way up leaves nothing behind.

mod busy;
mod host;
mod inside;
mod label;
mod namespace;
mod obstacle;
mod pair;
pub mod ping;

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ipnetwork::IpNetwork;
use tracing::{debug, info};

use crate::mac::Mac;
use crate::plan::HostEnd;
pub use busy::Busy;
pub use host::NodeSide;
use namespace::Namespace;
use ping::Echo;

/// The pod's end of the pair.
pub const POD_LINK: &str = "eth0";

/// Whose network it is. Also what is written on the host's end (`ip link` shows it as its alias).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Namespace of the pod; empty when the runtime did not say.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// ID of the sandbox's container.
    pub container_id: String,
    /// Path of the network namespace; empty or dangling when it is gone.
    pub netns: PathBuf,
    /// Name of the host's end; empty without a pod's name.
    pub host_link: String,
}

/// What the pod gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// MAC of the pod's end.
    pub mac: Mac,
    /// Largest packet of both ends.
    pub mtu: u32,
    /// With the prefix lengths of their subnets; at most one a family, IPv4 first.
    pub addresses: Vec<IpNetwork>,
    /// Link that leads to the other nodes: the node answers there for the pod.
    pub uplink: String,
}

impl Endpoint {
    /// The addresses without their prefix lengths.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().map(IpNetwork::ip)
    }

    fn has_v6(&self) -> bool {
        self.addresses.iter().any(IpNetwork::is_ipv6)
    }
}

/// What surrounds a pair on the host: sysctls, routes, neighbours, filters. The kernel part and the firewall.
pub trait HostSide: Clone + Send + Sync + 'static {
    /// Sets up the link `name`, which exists, leads packets for the pod's addresses to it, and answers for them
    /// on `uplink`.
    fn attach(
        &self,
        name: &str,
        end: &HostEnd,
        uplink: &str,
    ) -> impl Future<Output = Result<(), HostSideError>> + Send;
}

/// What a [`HostSide`] could not do; its text names the object.
pub type HostSideError = Box<dyn std::error::Error + Send + Sync>;

/// Why a pod has no network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path leads nowhere, or not to a namespace of a pod.
    #[error("network namespace {}: {source}", path.display())]
    Namespace {
        /// What the runtime sent.
        path: PathBuf,
        /// Why it cannot be entered.
        source: io::Error,
    },
    /// Something else is where the pair belongs.
    #[error(transparent)]
    Obstacle(#[from] obstacle::Obstacle),
    /// A request to the kernel.
    #[error("{what}: {source}")]
    Netlink {
        /// The attempt and the object.
        what: String,
        /// The kernel's answer.
        source: Box<rtnetlink::Error>,
    },
    /// Somebody deletes links as we make them.
    #[error("link {0} went away while it was set up")]
    LinkGone(String),
    /// A file of `/proc/sys`.
    #[error("sysctl {}: {source}", path.display())]
    Sysctl {
        /// Its path.
        path: PathBuf,
        /// Why it cannot be read or written.
        source: io::Error,
    },
    /// A system call.
    #[error("{what}: {source}")]
    Io {
        /// The attempt and the object.
        what: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// The host's side.
    #[error(transparent)]
    HostSide(HostSideError),
    /// The pod was set up and does not answer.
    #[error(
        "pod network not ready after {attempts} ping {ip}: the pod's link is up but the pod does not answer"
    )]
    Silent {
        /// Whom we asked.
        ip: IpAddr,
        /// How often.
        attempts: usize,
    },
}

impl Error {
    fn netlink(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Self {
        let what = what.into();
        move |source| Self::Netlink {
            what,
            source: Box::new(source),
        }
    }
}

/// Makes and removes networks of pods; [`Pods`], unless a test has another.
pub trait PodNetwork: Clone + Send + Sync + 'static {
    /// Whether the sandbox's namespace is one that a network can be made in.
    fn verify(&self, sandbox: &Sandbox) -> Result<(), Error>;

    /// Gives the sandbox its network. Must run to its end: dropped half-way it leaves a pair that only the
    /// next set-up or take-down of this sandbox removes.
    fn set_up(
        &self,
        sandbox: &Sandbox,
        endpoint: &Endpoint,
    ) -> impl Future<Output = Result<Timing, Error>> + Send;

    /// Takes the sandbox's network away. The kernel removes routes and neighbours with the link.
    fn take_down(&self, sandbox: &Sandbox) -> impl Future<Output = Result<(), Error>> + Send;
}

/// How long the parts of a set-up took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// From the start to both ends configured.
    pub wired: std::time::Duration,
    /// From there to the pod's first answer.
    pub answered: std::time::Duration,
}

/// Sets up and takes down pods.
#[derive(Clone, Debug)]
pub struct Pods<H> {
    host: H,
    /// Where `/proc/sys` can be written: the usual place is read-only to a container without privileges.
    proc_sys: PathBuf,
    /// Whether a pod must answer a ping before its ADD succeeds.
    check: bool,
}

impl<H: HostSide> Pods<H> {
    /// `check`: flag `--check-pod-connectivity-from-host`.
    pub fn new(host: H, proc_sys: impl Into<PathBuf>, check: bool) -> Self {
        Self {
            host,
            proc_sys: proc_sys.into(),
            check,
        }
    }

    async fn make(&self, sandbox: &Sandbox, endpoint: &Endpoint) -> Result<Timing, Error> {
        let begin = Instant::now();
        let namespace = Namespace::open(&sandbox.netns)?;
        let pair = pair::create(sandbox, endpoint, &namespace).await?;
        match self.configure(sandbox, endpoint, &namespace, &pair, begin).await {
            Ok(timing) => Ok(timing),
            Err(error) => {
                info!(pod = sandbox.name, namespace = sandbox.namespace, %error, "network set-up undone");
                if let Err(error) = pair.remove().await {
                    info!(link = sandbox.host_link, %error, "link stays until the next attempt");
                }
                Err(error)
            }
        }
    }

    async fn configure(
        &self,
        sandbox: &Sandbox,
        endpoint: &Endpoint,
        namespace: &Namespace,
        pair: &pair::Pair,
        begin: Instant,
    ) -> Result<Timing, Error> {
        let end = HostEnd {
            addresses: endpoint.ips().collect(),
        };
        let host = async {
            pair.label(&label::text(sandbox)).await?;
            self.host
                .attach(&sandbox.host_link, &end, &endpoint.uplink)
                .await
                .map_err(Error::HostSide)
        };
        // The two ends have nothing in common.
        tokio::try_join!(host, inside::configure(namespace, endpoint, &self.proc_sys))?;
        let wired = begin.elapsed();
        if self.check {
            for ip in endpoint.ips() {
                self.await_answer(ip).await?;
            }
        }
        Ok(Timing {
            wired,
            answered: begin.elapsed().saturating_sub(wired),
        })
    }

    async fn await_answer(&self, ip: IpAddr) -> Result<(), Error> {
        match ping::ping(ip).await {
            Ok(Echo::Answered) => Ok(()),
            Ok(Echo::NoSource) => {
                // datapath 2.9: a host without an address of the family cannot ask.
                debug!(%ip, "not pinged: this node has no address of its family");
                Ok(())
            }
            Ok(Echo::Silent { attempts }) => Err(Error::Silent { ip, attempts }),
            Err(source) => Err(Error::Io {
                what: "icmp socket",
                source,
            }),
        }
    }
}

impl<H: HostSide> PodNetwork for Pods<H> {
    fn verify(&self, sandbox: &Sandbox) -> Result<(), Error> {
        Namespace::open(&sandbox.netns).map(|_| ())
    }

    async fn set_up(&self, sandbox: &Sandbox, endpoint: &Endpoint) -> Result<Timing, Error> {
        self.make(sandbox, endpoint).await
    }

    async fn take_down(&self, sandbox: &Sandbox) -> Result<(), Error> {
        if let Some(namespace) = open_if_there(&sandbox.netns)? {
            inside::remove_link(&namespace).await?;
        }
        // A namespace that we cannot see any more may still hold its end of the pair.
        if sandbox.host_link.is_empty() {
            Ok(())
        } else {
            pair::remove_of(sandbox).await
        }
    }
}

/// A path that leads nowhere, or no longer to a namespace, is what the runtime leaves of one that is gone.
fn open_if_there(path: &Path) -> Result<Option<Namespace>, Error> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    match Namespace::open(path) {
        Ok(namespace) => Ok(Some(namespace)),
        Err(Error::Namespace { source, .. }) if is_gone(&source) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput
    )
}
