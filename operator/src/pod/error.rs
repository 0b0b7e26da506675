//! Why a pod has no addresses yet, each with the way out.

use std::net::IpAddr;

use hybridnet_api::names::annotation::MAC_POOL;
use hybridnet_api::pool::PoolError;

use crate::context::WriteError;
use crate::pod::choose::error::ChoiceError;
use crate::pod::provide::ATTEMPTS;
use crate::world::store::Key;

/// Why a pod has no addresses yet.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// It asks for what does not exist or does not go together.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// There is nothing to give.
    #[error(transparent)]
    Addresses(#[from] hybridnet_ipam::Error),
    /// The API server did not take it, or was not reached.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Something is not as it was seen.
    #[error(transparent)]
    Changed(WriteError),
    /// An object that was to go is not as it was seen, or gone by itself.
    #[error("IPInstance {0} is not as it was seen")]
    Outdated(Key),
    /// A pool has nothing for the pod.
    #[error("annotation {key}: {source}")]
    Pool {
        /// The annotation.
        key: &'static str,
        /// What is wrong with it.
        source: PoolError,
    },
    /// The MAC that it is to have is another's.
    #[error(
        "annotation {MAC_POOL}: {mac} is in use on network {network} by pod {holder}: give each pod another one"
    )]
    MacInUse {
        /// The MAC.
        mac: String,
        /// Where both would be.
        network: String,
        /// Who has it.
        holder: Key,
    },
    /// Its address is on its way out.
    #[error("address {0} is just being released: the pod gets it when that has ended")]
    Leaving(IpAddr),
    /// Another pod runs its virtual machine.
    #[error(
        "virtual machine {machine} has address {ip} in pod {pod} on node {node}: this pod gets it when that one has \
         ended"
    )]
    MachineRuns {
        /// Name of the machine.
        machine: String,
        /// Its address.
        ip: String,
        /// Who has it.
        pod: String,
        /// And where.
        node: String,
        /// Of the address.
        network: String,
    },
    /// What it runs is gone.
    #[error(
        "virtual machine instance {0} does not exist, so it is not known whose addresses the pod gets: delete the pod"
    )]
    NoInstance(String),
    /// The allocator offers what others have.
    #[error("{ATTEMPTS} addresses in a row belonged to others: look at the IPInstances of network {0}")]
    Taken(String),
}

impl PodError {
    /// Whether somebody changed an object meanwhile. That is no failure of the pod's.
    pub fn is_change(&self) -> bool {
        match self {
            Self::Changed(_) | Self::Outdated(_) => true,
            Self::Write(error) => error.is_conflict(),
            _ => false,
        }
    }

    /// Whether nothing is broken: what the pod lacks will come, and wakes it.
    pub fn is_wait(&self) -> bool {
        matches!(
            self,
            Self::Addresses(_) | Self::Leaving(_) | Self::MachineRuns { .. }
        )
    }
}
