//! Which nodes carry which networks: the one definition for node labels, node lists and pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::world::Node;
use hybridnet_api::{Network, NetworkMode, NetworkType};
use kube::ResourceExt;

/// All networks in the order of their names, so that every choice comes out the same each time.
#[derive(Debug)]
pub struct Topology<'a> {
    networks: Vec<&'a Arc<Network>>,
}

/// What a node is attached to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// An underlay network matches the node.
    pub underlay: bool,
    /// There is an overlay network.
    pub overlay: bool,
    /// A BGP network matches the node, and a global BGP network exists.
    pub bgp: bool,
}

impl<'a> Topology<'a> {
    /// Of these networks.
    pub fn new(networks: impl Iterator<Item = &'a Arc<Network>>) -> Self {
        let mut networks: Vec<_> = networks.collect();
        networks.sort_by_key(|network| network.name_any());
        Self { networks }
    }

    /// The underlay network of a node: the first that matches.
    pub fn underlay_of(&self, node: &Node) -> Option<&'a Arc<Network>> {
        self.underlays_of(node).next()
    }

    /// All underlay networks that match a node; there should be one at most.
    pub fn underlays_of(&self, node: &Node) -> impl Iterator<Item = &'a Arc<Network>> {
        self.of_type(NetworkType::Underlay)
            .filter(|network| selects(network, node))
    }

    /// The network of a type of which a cluster has at most one.
    pub fn unique(&self, type_: NetworkType) -> Option<&'a Arc<Network>> {
        self.of_type(type_).next()
    }

    /// What a node is attached to.
    pub fn attachment(&self, node: &Node) -> Attachment {
        let underlay = self.underlay_of(node).is_some();
        let in_bgp = || {
            self.networks
                .iter()
                .any(|network| network.spec.network_mode() == Ok(NetworkMode::Bgp) && selects(network, node))
        };
        Attachment {
            underlay,
            overlay: self.unique(NetworkType::Overlay).is_some(),
            bgp: underlay && self.unique(NetworkType::GlobalBgp).is_some() && in_bgp(),
        }
    }

    /// Whether pods of the network can run on the node.
    pub fn carries(&self, network: &Network, node: &Node) -> bool {
        match network.spec.network_type() {
            Ok(NetworkType::Underlay) => selects(network, node),
            Ok(NetworkType::Overlay) => true,
            Ok(NetworkType::GlobalBgp) => self.attachment(node).bgp,
            Err(_) => false,
        }
    }

    /// All networks of a type.
    pub fn of_type(&self, type_: NetworkType) -> impl Iterator<Item = &'a Arc<Network>> {
        self.networks
            .iter()
            .copied()
            .filter(move |network| network.spec.network_type() == Ok(type_))
    }
}

/// An empty selector selects nothing: an underlay network without one is a mistake.
fn selects(network: &Network, node: &Node) -> bool {
    let empty = BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let selector = &network.spec.node_selector;
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{network, node};

    fn attachment(networks: &[Arc<Network>], node: &Node) -> (bool, bool, bool) {
        let found = Topology::new(networks.iter()).attachment(node);
        (found.underlay, found.overlay, found.bgp)
    }

    #[test]
    fn bgp_needs_a_matching_network_and_a_global_one() {
        let node = node("n").label("network", "a").build();
        let bgp = network("a").selector("network", "a").mode("BGP").shared();
        let global = network("global").type_("GlobalBGP").shared();
        let vlan = network("a").selector("network", "a").shared();

        assert_eq!(
            attachment(std::slice::from_ref(&bgp), &node),
            (true, false, false)
        );
        assert_eq!(attachment(&[bgp, global.clone()], &node), (true, false, true));
        assert_eq!(attachment(&[vlan, global.clone()], &node), (true, false, false));
        assert_eq!(attachment(&[global], &node), (false, false, false));
    }

    #[test]
    fn a_global_network_with_mode_bgp_does_not_attach_a_node() {
        let node = node("n").label("network", "a").build();
        let networks = [
            network("a").selector("network", "a").shared(),
            network("global").type_("GlobalBGP").mode("BGP").shared(),
        ];

        assert_eq!(attachment(&networks, &node), (true, false, false));
    }

    #[test]
    fn of_two_networks_that_match_the_first_by_name_is_taken() {
        let node = node("n").label("x", "1").label("y", "1").build();
        let networks = [
            network("b").selector("x", "1").shared(),
            network("a").selector("y", "1").shared(),
        ];
        let topology = Topology::new(networks.iter());

        assert_eq!(
            topology.underlay_of(&node).map(|network| network.name_any()),
            Some("a".to_owned())
        );
        assert_eq!(topology.underlays_of(&node).count(), 2);
    }

    #[test]
    fn every_node_carries_the_overlay_and_none_an_underlay_without_selector() {
        let node = node("n").build();
        let networks = [network("o").type_("Overlay").shared(), network("u").shared()];
        let topology = Topology::new(networks.iter());

        let carried = networks
            .each_ref()
            .map(|network| topology.carries(network, &node));

        assert_eq!(carried, [true, false]);
    }
}
