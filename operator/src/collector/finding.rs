//! What can be out of place, and how it is put in order.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use hybridnet_api::IpInstance;

use crate::workload::WorkloadRef;
use crate::world::addresses::unrecorded::Unrecorded;
use crate::world::pod::Pod;
use crate::world::store::Key;

/// What kind of leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An address is bound to a pod that is gone.
    PodGone,
    /// An address belongs to a workload that is gone.
    WorkloadGone,
    /// An address was kept for as long as its workload says.
    Expired,
    /// A pod cannot end because its node is gone.
    NodeGone,
    /// An address would be lost sight of when its object is deleted.
    NoFinalizer,
    /// An address is held in memory alone.
    Unrecorded,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::PodGone,
        Self::WorkloadGone,
        Self::Expired,
        Self::NodeGone,
        Self::NoFinalizer,
        Self::Unrecorded,
    ];

    /// As metrics have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PodGone => "pod-gone",
            Self::WorkloadGone => "workload-gone",
            Self::Expired => "expired",
            Self::NodeGone => "node-gone",
            Self::NoFinalizer => "no-finalizer",
            Self::Unrecorded => "unrecorded",
        }
    }
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// An address.
    Instance(Arc<IpInstance>),
    /// A pod.
    Pod(Arc<Pod>),
    /// A place in memory.
    Memory(Unrecorded),
}

impl Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Instance(instance) => write!(f, "IPInstance {}", Key::of(instance.as_ref())),
            Self::Pod(pod) => write!(f, "Pod {}", Key::of(pod.as_ref())),
            Self::Memory(lost) => write!(f, "{} of network {}", lost.ip, lost.network),
        }
    }
}

/// How it is put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Delete the object.
    Delete,
    /// Keep the object for a successor, as if its pod had ended in order.
    Unbind,
    /// Add our finalizer.
    Hold,
    /// Take it that nothing of the pod runs any more.
    GiveUp,
    /// Free the address, or have its pod looked at.
    Free,
}

/// For how long it must be so before it is acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The manager's period of grace.
    Grace,
    /// This long.
    For(Duration),
}

/// One thing that is out of place.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What kind of leak.
    pub kind: Kind,
    /// What it is about.
    pub subject: Subject,
    /// What to do.
    pub repair: Repair,
    /// When to do it.
    pub wait: Wait,
    /// The workload that decides about it.
    pub owner: Option<WorkloadRef>,
    /// For people.
    pub note: String,
}

/// The same finding at two looks.
pub type Identity = (Kind, String);

impl Finding {
    /// See [`Identity`].
    pub fn identity(&self) -> Identity {
        let uid = |meta: &kube::api::ObjectMeta| meta.uid.clone().unwrap_or_default();
        let of = match &self.subject {
            Subject::Instance(instance) => uid(&instance.metadata),
            Subject::Pod(pod) => uid(&pod.metadata),
            Subject::Memory(lost) => format!("{} {} {}", lost.network, lost.ip, lost.owner.pod_uid),
        };
        (self.kind, of)
    }
}
