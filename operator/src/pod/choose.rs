//! Which network, families and subnets a pod gets on its node (control-plane spec 4.3.2).
//!
//! The words of a pod that the webhook has seen are taken as they are, those of another are completed from
//! its namespace and the defaults first. Either way what they name must be there, and reach the pod's node.

use hybridnet_api::names::annotation;
use hybridnet_api::pod::{annotation as value_of, annotation_or_label, label as label_of};
use hybridnet_api::selection::{Selection, SelectionError, Subject, select};
use hybridnet_api::settings::Settings;
use hybridnet_api::{Network, NetworkType};
use hybridnet_ipam::Families;
use kube::ResourceExt;
use kube::api::ObjectMeta;

use crate::pod::choose::error::ChoiceError;
use crate::world::State;
use crate::world::pod::Pod;
use crate::world::store::Key;

pub mod error;

/// What a pod gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Name of the network.
    pub network: String,
    /// One address of each.
    pub families: Families,
    /// Names of subnets, IPv4 first; mostly none.
    pub subnets: Vec<String>,
}

/// A pod that asks.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The virtual machine that it runs.
    pub vm: Option<&'a str>,
    /// The network of the addresses that it has already.
    pub held: Option<&'a str>,
    /// How pods are read.
    pub settings: &'a Settings,
}

/// Whether the webhook has written the choice into the pod.
pub fn is_handled(pod: &Pod) -> bool {
    value_of(&pod.metadata, annotation::HANDLED_BY_WEBHOOK) == Some("true")
}

impl Asked<'_> {
    /// What the pod gets.
    pub fn choose(&self, state: &State) -> Result<Choice, ChoiceError> {
        if let Some(network) = self.held {
            return self.beside_held(state, network);
        }
        if !is_handled(self.pod) {
            let selection = self.selection(state)?;
            return self.of_selection(state, selection);
        }
        let outdated = match self.of_handled(state) {
            Err(why @ (ChoiceError::NoNetwork(_) | ChoiceError::OutOfReach { .. })) => why,
            choice => return choice,
        };
        // Since the webhook wrote its annotations, the network has gone or the node has changed.
        self.by_labels(state).ok_or(outdated)
    }

    /// What the webhook would choose (control-plane spec 5.1).
    pub fn selection(&self, state: &State) -> Result<Selection, ChoiceError> {
        self.selected(state, &self.pod.metadata)
    }

    fn selected(&self, state: &State, metadata: &ObjectMeta) -> Result<Selection, ChoiceError> {
        let subject = Subject {
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            name: metadata.name.as_deref().unwrap_or_default(),
            metadata,
            vm: self.vm,
        };
        Ok(select(&subject, state, self.settings)?)
    }

    fn of_selection(&self, state: &State, selection: Selection) -> Result<Choice, ChoiceError> {
        let type_ = selection.network_type;
        let network = match selection.network {
            None => self.by_type(state, type_, false)?,
            Some(named) if self.reaches(state, &named) => named,
            Some(specified) => {
                let found = self.by_type(state, type_, false)?;
                if found != specified {
                    let node = self.pod.spec.node_name.clone();
                    return Err(ChoiceError::OtherNetwork {
                        specified,
                        node,
                        found,
                    });
                }
                found
            }
        };
        Ok(Choice {
            network,
            families: selection.family,
            subnets: selection.subnets,
        })
    }

    fn of_handled(&self, state: &State) -> Result<Choice, ChoiceError> {
        let meta = &self.pod.metadata;
        let families = self.handled_families()?;
        let network = if let Some(name) = annotation_or_label(meta, annotation::SPECIFIED_NETWORK) {
            let network = state.networks.get(&Key::cluster(name));
            let network = network.ok_or_else(|| ChoiceError::NoNetwork(name.to_owned()))?;
            self.check_reach(state, network, true)?;
            name.to_owned()
        } else {
            let type_ = match annotation_or_label(meta, annotation::NETWORK_TYPE) {
                None => self.settings.default_network_type,
                Some(word) => NetworkType::parse_ignoring_case(word).map_err(|error| ChoiceError::Word {
                    key: annotation::NETWORK_TYPE,
                    value: error.value,
                    expected: error.expected,
                })?,
            };
            self.by_type(state, type_, true)?
        };
        Ok(Choice {
            network,
            families,
            subnets: handled_subnets(meta),
        })
    }

    fn handled_families(&self) -> Result<Families, ChoiceError> {
        match value_of(&self.pod.metadata, annotation::IP_FAMILY) {
            None => Ok(self.settings.default_ip_family),
            Some(word) => Families::parse_ignoring_case(word).ok_or_else(|| ChoiceError::Word {
                key: annotation::IP_FAMILY,
                value: word.to_owned(),
                expected: Families::WORDS,
            }),
        }
    }

    /// The webhook writes annotations only: a label is the user's own word.
    fn by_labels(&self, state: &State) -> Option<Choice> {
        let mut metadata = self.pod.metadata.clone();
        let own = [annotation::SPECIFIED_NETWORK, annotation::SPECIFIED_SUBNET];
        own.iter().find_map(|key| label_of(&metadata, key))?;
        let annotations = metadata.annotations.get_or_insert_default();
        for key in own.into_iter().chain([annotation::NETWORK_TYPE]) {
            annotations.remove(key);
        }
        let selection = self.selected(state, &metadata).ok()?;
        self.of_selection(state, selection).ok()
    }

    /// Of the network in which the pod has addresses already, what else it gets there.
    fn beside_held(&self, state: &State, name: &str) -> Result<Choice, ChoiceError> {
        let handled = is_handled(self.pod);
        let (families, subnets) = if handled {
            (self.handled_families()?, handled_subnets(&self.pod.metadata))
        } else {
            let selection = self.selection(state)?;
            (selection.family, selection.subnets)
        };
        let network = state.networks.get(&Key::cluster(name));
        let network = network.ok_or_else(|| ChoiceError::HeldNetworkGone(name.to_owned()))?;
        self.check_reach(state, network, handled)?;
        // The template may have moved on to subnets of another network.
        let is_its = |subnet: &String| {
            let subnet = state.subnets.get(&Key::cluster(subnet));
            subnet.is_some_and(|subnet| subnet.spec.network == name)
        };
        let stays = subnets.iter().all(is_its);
        Ok(Choice {
            network: name.to_owned(),
            families,
            subnets: if stays { subnets } else { vec![] },
        })
    }

    /// The network of a type on the pod's node. A pod that the scheduler placed by its labels (`placed`) may
    /// be on a node whose labels have changed since.
    fn by_type(&self, state: &State, type_: NetworkType, placed: bool) -> Result<String, ChoiceError> {
        let node = &self.pod.spec.node_name;
        let topology = state.topology();
        let unique = || topology.unique(type_).ok_or(ChoiceError::NoNetworkOfType(type_));
        let network = match type_ {
            NetworkType::Underlay => {
                let found = topology.underlay_of(known_node(state, node)?);
                found.ok_or_else(|| ChoiceError::NoUnderlay(node.clone()))?
            }
            NetworkType::Overlay => unique()?,
            NetworkType::GlobalBgp => {
                let network = unique()?;
                self.check_reach(state, network, placed)?;
                network
            }
        };
        Ok(network.name_any())
    }

    fn reaches(&self, state: &State, name: &str) -> bool {
        let network = state.networks.get(&Key::cluster(name));
        network.is_some_and(|network| self.check_reach(state, network, false).is_ok())
    }

    /// Whether pods of the network can run on the pod's node. Which nodes have BGP is not asked when the
    /// scheduler has (`placed`): the label that it went by is written by us, and may be late.
    fn check_reach(&self, state: &State, network: &Network, placed: bool) -> Result<(), ChoiceError> {
        let (name, node) = (network.name_any(), &self.pod.spec.node_name);
        let type_ = network.spec.network_type();
        let type_ = type_.map_err(|source| SelectionError::UnusableNetwork {
            network: name.clone(),
            source,
        })?;
        match type_ {
            NetworkType::Overlay => Ok(()),
            NetworkType::GlobalBgp if placed => Ok(()),
            NetworkType::GlobalBgp if state.topology().attachment(known_node(state, node)?).bgp => Ok(()),
            NetworkType::GlobalBgp => Err(ChoiceError::NoBgp(node.clone())),
            NetworkType::Underlay if state.topology().carries(network, known_node(state, node)?) => Ok(()),
            NetworkType::Underlay => Err(ChoiceError::OutOfReach {
                network: name,
                node: node.clone(),
                held: self.held.is_some(),
            }),
        }
    }
}

fn known_node<'a>(state: &'a State, name: &str) -> Result<&'a crate::world::Node, ChoiceError> {
    let node = state.nodes.get(&Key::cluster(name));
    node.map(AsRef::as_ref)
        .ok_or_else(|| ChoiceError::NoNode(name.to_owned()))
}

fn handled_subnets(meta: &ObjectMeta) -> Vec<String> {
    let text = annotation_or_label(meta, annotation::SPECIFIED_SUBNET).unwrap_or_default();
    let names = text.split('/').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
