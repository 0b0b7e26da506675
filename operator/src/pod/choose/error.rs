//! Why there is no network for a pod, each with the way out.

use hybridnet_api::NetworkType;
use hybridnet_api::selection::SelectionError;

/// Why there is nothing to choose.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// The words of the pod or its namespace.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// A word that the webhook would not have let pass.
    #[error("annotation {key} {value:?} is not understood: use {expected}")]
    Word {
        /// The annotation.
        key: &'static str,
        /// What it says.
        value: String,
        /// What it may say.
        expected: &'static str,
    },
    /// A name that nobody has.
    #[error("network {0} does not exist: create it, or name another one")]
    NoNetwork(String),
    /// The network of the pod's addresses is gone.
    #[error(
        "the pod keeps addresses of network {0}, which does not exist any more: create it again, or delete the pod's \
         IPInstances for new addresses"
    )]
    HeldNetworkGone(String),
    /// The subnet of one of the pod's addresses is gone.
    #[error(
        "the pod keeps {ip} of subnet {subnet}, which does not exist any more: create it again, or delete the \
         IPInstance for a new address"
    )]
    HeldSubnetGone {
        /// The address.
        ip: String,
        /// Its subnet.
        subnet: String,
    },
    /// The type is not there.
    #[error("there is no network of type {0}: create one, or ask for another type")]
    NoNetworkOfType(NetworkType),
    /// The node is not there, or not known yet.
    #[error("node {0} is not known")]
    NoNode(String),
    /// The node has no underlay.
    #[error("node {0} belongs to no underlay network: label it as a network's nodeSelector says")]
    NoUnderlay(String),
    /// The node has no BGP.
    #[error("node {0} belongs to no BGP network: pods of the global BGP network cannot run there")]
    NoBgp(String),
    /// The scheduler was not told, because the webhook was away.
    #[error(
        "network {specified} is asked for, but pods on node {node} get their addresses from network \
         {found}: delete the pod, so that it is scheduled with the webhook's help"
    )]
    OtherNetwork {
        /// What the pod asks for.
        specified: String,
        /// Where it runs.
        node: String,
        /// What there is.
        found: String,
    },
    /// The node is none of the network's, or not any more.
    #[error(
        "{}network {network} does not reach node {node}: label the node as the network's nodeSelector says, or delete \
         the pod, so that it is scheduled again",
        if *held { "the pod keeps addresses, but their " } else { "" }
    )]
    OutOfReach {
        /// The network.
        network: String,
        /// Where the pod runs.
        node: String,
        /// Whether the pod has addresses of the network.
        held: bool,
    },
}
