//! The edits of a pod: its network is written into it, so that scheduler and manager need not choose again
//! (control-plane 5.2).

use std::sync::Arc;

use hybridnet_api::names::{TAINT_NETWORK_UNAVAILABLE, annotation, label, quota};
use hybridnet_api::selection::{Catalogue, PodFamily, Selection};
use hybridnet_api::settings::Settings;
use hybridnet_api::{IpInstance, NetworkType, pod};
use k8s_openapi::api::core::v1::{Pod, Toleration};
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use super::doubt::Doubt;
use super::names_its_addresses;
use crate::patch::Edits;
use crate::review::Allowed;

const ANNOTATIONS: [&str; 2] = ["metadata", "annotations"];
const NODE_SELECTOR: [&str; 2] = ["spec", "nodeSelector"];
const TOLERATIONS: [&str; 2] = ["spec", "tolerations"];

/// A pod of the host's network runs before its node has one of ours.
pub fn tolerating(raw: &Value, pod: &Pod) -> Allowed {
    let wanted = Toleration {
        key: Some(TAINT_NETWORK_UNAVAILABLE.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some("NoSchedule".to_owned()),
        ..Toleration::default()
    };
    let tolerations = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.tolerations.as_deref())
        .unwrap_or_default();
    let mut edits = Edits::of(raw);
    if !tolerations.iter().any(|present| same(present, &wanted)) {
        edits.append(&TOLERATIONS, json!(wanted));
    }
    Allowed {
        patch: edits.into_patch(),
        warnings: Vec::new(),
    }
}

fn same(left: &Toleration, right: &Toleration) -> bool {
    let value = |toleration: &Toleration| toleration.value.clone().unwrap_or_default();
    left.key == right.key
        && left.effect == right.effect
        && left.operator == right.operator
        && value(left) == value(right)
}

/// What is written into a pod.
pub struct Placement<'a> {
    /// The pod as it came.
    pub raw: &'a Value,
    /// Its labels, annotations and owners.
    pub metadata: &'a ObjectMeta,
    /// What it gets.
    pub selection: &'a Selection,
    /// The addresses that it keeps, IPv4 first.
    pub kept: Vec<Arc<IpInstance>>,
}

impl Placement<'_> {
    /// The edits of the pod, and what of the user's words gives way to them.
    pub fn written(&self, catalogue: &dyn Catalogue, settings: &Settings) -> Allowed {
        let mut placing = Placing {
            edits: Edits::of(self.raw),
            doubts: Vec::new(),
        };
        placing.annotate(self.selection);
        self.settle_subnets(&mut placing, catalogue);
        for (key, value) in self.node_selector(catalogue, settings) {
            placing.select_node(key, value);
        }
        Allowed {
            patch: placing.edits.into_patch(),
            warnings: placing.doubts.iter().map(ToString::to_string).collect(),
        }
    }

    fn settle_subnets(&self, placing: &mut Placing<'_>, catalogue: &dyn Catalogue) {
        let key = annotation::SPECIFIED_SUBNET;
        let asked = pod::annotation_or_label(self.metadata, key);
        let Some(asked) = asked.filter(|names| self.leave_network(names, catalogue)) else {
            placing.write_subnets(&self.selection.subnets.join("/"));
            return;
        };
        // The workload may find its pods by the label, so it stays, and the annotation counts more.
        if pod::label(self.metadata, key).is_some() {
            let own: Vec<_> = self.kept.iter().map(|kept| kept.spec.subnet.as_str()).collect();
            placing.write_subnets(&own.join("/"));
        } else {
            placing.edits.remove(&ANNOTATIONS, key);
        }
        placing.doubts.push(Doubt::IgnoredSubnet {
            user: asked.to_owned(),
            network: self.selection.network.clone().unwrap_or_default(),
        });
    }

    // The template may have moved on to a subnet of another network than the one whose addresses the pod keeps.
    fn leave_network(&self, names: &str, catalogue: &dyn Catalogue) -> bool {
        let stays = |name: &str| {
            let subnet = catalogue.subnet(name);
            subnet.is_some_and(|subnet| Some(&subnet.spec.network) == self.selection.network.as_ref())
        };
        self.selection.retained && !names.split('/').all(stays)
    }

    fn node_selector(&self, catalogue: &dyn Catalogue, settings: &Settings) -> Vec<(String, String)> {
        let selection = self.selection;
        let attachment = match selection.network_type {
            NetworkType::Overlay => Some(label::OVERLAY_ATTACHMENT),
            NetworkType::GlobalBgp => Some(label::BGP_ATTACHMENT),
            NetworkType::Underlay if selection.network.is_none() => Some(label::UNDERLAY_ATTACHMENT),
            NetworkType::Underlay => None,
        };
        let mut pairs: Vec<_> = match attachment {
            Some(key) => vec![(key.to_owned(), "true".to_owned())],
            None => selection.node_selector.clone().into_iter().collect(),
        };
        if selection.network_type == NetworkType::Underlay && self.takes_from_quota(catalogue, settings) {
            pairs.push((
                quota_label(selection.family).to_owned(),
                quota::NON_EMPTY.to_owned(),
            ));
        }
        pairs
    }

    // The quota counts what automatic choice has to give: not what is kept, what is named, or what is private.
    fn takes_from_quota(&self, catalogue: &dyn Catalogue, settings: &Settings) -> bool {
        let is_private = |name: &String| {
            let subnet = catalogue.subnet(name);
            subnet.is_some_and(|subnet| subnet.spec.is_private())
        };
        !self.selection.retained
            && !names_its_addresses(self.metadata, settings)
            && !self.selection.subnets.iter().any(is_private)
    }
}

struct Placing<'a> {
    edits: Edits<'a>,
    doubts: Vec<Doubt>,
}

impl Placing<'_> {
    fn annotate(&mut self, selection: &Selection) {
        if let Some(network) = &selection.network {
            let other = self
                .edits
                .set(&ANNOTATIONS, annotation::SPECIFIED_NETWORK, network);
            self.told("specified-network", other, network);
        }
        let type_ = selection.network_type;
        let other = self
            .edits
            .set(&ANNOTATIONS, annotation::NETWORK_TYPE, type_.as_str());
        let other = other.filter(|word| NetworkType::parse_ignoring_case(word) != Ok(type_));
        self.told("network-type", other, type_.as_str());
        let family = selection.family;
        let other = self
            .edits
            .set(&ANNOTATIONS, annotation::IP_FAMILY, family.as_str());
        let other = other.filter(|word| PodFamily::parse_ignoring_case(word) != Some(family));
        self.told("ip-family", other, family.as_str());
        self.edits
            .set(&ANNOTATIONS, annotation::HANDLED_BY_WEBHOOK, "true");
    }

    fn write_subnets(&mut self, names: &str) {
        if !names.is_empty() {
            self.edits.set(&ANNOTATIONS, annotation::SPECIFIED_SUBNET, names);
        }
    }

    fn select_node(&mut self, key: String, ours: String) {
        if let Some(user) = self.edits.set(&NODE_SELECTOR, &key, &ours) {
            let user = user.to_owned();
            self.doubts.push(Doubt::NodeSelector { key, user, ours });
        }
    }

    // An empty word is as good as none: nothing of the user's is lost.
    fn told(&mut self, key: &'static str, other: Option<&str>, ours: &str) {
        if let Some(user) = other.filter(|other| !other.is_empty()) {
            let (user, ours) = (user.to_owned(), ours.to_owned());
            self.doubts.push(Doubt::Replaced { key, user, ours });
        }
    }
}

const fn quota_label(family: PodFamily) -> &'static str {
    match family {
        PodFamily::Ipv4Only => label::IPV4_QUOTA,
        PodFamily::Ipv6Only => label::IPV6_QUOTA,
        PodFamily::DualStack => label::DUAL_STACK_QUOTA,
    }
}
