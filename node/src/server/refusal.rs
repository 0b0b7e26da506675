//! Why a request is refused: the status and the text that the plugin hands to the runtime. Texts begin as those
//! of the Go project do, since people search for them (datapath spec 2.5).

use crate::pod;
use crate::watch::WaitError;

use super::cluster::{ApiError, PodError};
use super::endpoint::BadInstances;
use super::readiness::NotReady;

/// A request that is not granted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request does not say what an ADD needs.
    #[error("failed to parse add request: {0} is missing")]
    Incomplete(&'static str),
    /// The API server did not tell about the pod.
    #[error("failed to get pod {namespace}/{pod}: {source}")]
    Pod {
        /// Namespace of the pod.
        namespace: String,
        /// Its name.
        pod: String,
        /// Why.
        source: PodError,
    },
    /// The sandbox is of a pod that is gone; its successor's address is not for it.
    #[error(
        "failed to get pod {namespace}/{pod}: the pod with UID {wanted} is gone, the one of that name now has {found}"
    )]
    Replaced {
        /// Namespace of the pod.
        namespace: String,
        /// Its name.
        pod: String,
        /// UID that the runtime sent.
        wanted: String,
        /// UID of the pod in the API.
        found: String,
    },
    /// No address, or not all, within the time.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The annotation for felix could not be written.
    #[error("failed to patch pod {namespace}/{pod}: {source}")]
    Annotate {
        /// Namespace of the pod.
        namespace: String,
        /// Its name.
        pod: String,
        /// Why.
        source: ApiError,
    },
    /// The addresses do not make one pod.
    #[error(transparent)]
    Instances(#[from] BadInstances),
    /// This node cannot carry the pod's network, or not yet.
    #[error("failed to configure nic: {0}")]
    NotReady(#[from] NotReady),
    /// The kernel.
    #[error("failed to configure nic: {0}")]
    SetUp(#[source] pod::Error),
    /// The daemon ends.
    #[error("failed to configure nic: the daemon is going away")]
    GoingAway,
    /// The kernel, on the way down.
    #[error("failed to del container nic for {pod}.{namespace}: {source}")]
    TakeDown {
        /// Namespace of the pod.
        namespace: String,
        /// Its name.
        pod: String,
        /// Why.
        source: pod::Error,
    },
}

impl Refusal {
    /// 400 for what the cluster or the request lacks, 500 for what this node cannot do.
    pub fn status(&self) -> u16 {
        match self {
            Self::Incomplete(_)
            | Self::Pod { .. }
            | Self::Replaced { .. }
            | Self::Wait(_)
            | Self::Annotate { .. } => 400,
            Self::Instances(_)
            | Self::NotReady(_)
            | Self::SetUp(_)
            | Self::GoingAway
            | Self::TakeDown { .. } => 500,
        }
    }
}
