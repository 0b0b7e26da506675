//! Who has to look when something changes, and the queues through which it is told.

use std::time::Duration;

use crate::queue::Queue;
use crate::world::store::Key;

/// From one status of the same object to the next: a hundred pods must not cost a hundred writes.
const STATUS_PACE: Duration = Duration::from_millis(200);

/// Who shall look at the world.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wake {
    /// The controller of a pod.
    Pod(Key),
    /// The controllers of all pods that failed.
    FailedPods,
    /// The controller of an `IPInstance`.
    IpInstance(Key),
    /// The controller of a Network.
    Network(String),
    /// The controller of a Subnet.
    Subnet(String),
    /// The controller of a Node.
    Node(String),
}

/// One queue a controller.
#[derive(Clone, Debug)]
pub struct Queues {
    /// Pods.
    pub pods: Queue<Key>,
    /// `IPInstance`s.
    pub ip_instances: Queue<Key>,
    /// Networks.
    pub networks: Queue<Key>,
    /// Subnets.
    pub subnets: Queue<Key>,
    /// Nodes.
    pub nodes: Queue<Key>,
}

impl Queues {
    /// Empty ones.
    pub(super) fn new() -> Self {
        Self {
            pods: Queue::new("Pod", Duration::ZERO),
            ip_instances: Queue::new("IPInstance", Duration::ZERO),
            networks: Queue::new("NetworkStatus", STATUS_PACE),
            subnets: Queue::new("SubnetStatus", STATUS_PACE),
            nodes: Queue::new("Node", STATUS_PACE),
        }
    }

    /// Passes a wake on.
    pub fn wake(&self, wake: Wake) {
        match wake {
            Wake::Pod(key) => self.pods.add(key),
            Wake::FailedPods => self.pods.hasten(),
            Wake::IpInstance(key) => self.ip_instances.add(key),
            Wake::Network(name) => self.networks.add(Key::cluster(&name)),
            Wake::Subnet(name) => self.subnets.add(Key::cluster(&name)),
            Wake::Node(name) => self.nodes.add(Key::cluster(&name)),
        }
    }
}
