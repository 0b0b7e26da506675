//! The edits of a pod: its network is written into it, so that scheduler and manager need not choose again
//! (control-plane 5.2).

use hybridnet_api::NetworkType;
use hybridnet_api::names::{TAINT_NETWORK_UNAVAILABLE, annotation, label, quota};
use hybridnet_api::pod;
use hybridnet_api::selection::{Catalogue, PodFamily, Selection};
use hybridnet_api::settings::Settings;
use k8s_openapi::api::core::v1::{Pod, Toleration};
use serde_json::{Value, json};

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

/// Writes `selection` into the pod.
pub fn placed(
    raw: &Value,
    pod: &Pod,
    selection: &Selection,
    catalogue: &dyn Catalogue,
    settings: &Settings,
) -> Allowed {
    let mut placing = Placing {
        edits: Edits::of(raw),
        warnings: Vec::new(),
    };
    placing.annotate(pod, selection, catalogue);
    for (key, value) in node_selector(pod, selection, settings) {
        placing.select_node(&key, &value);
    }
    Allowed {
        patch: placing.edits.into_patch(),
        warnings: placing.warnings,
    }
}

struct Placing<'a> {
    edits: Edits<'a>,
    warnings: Vec<String>,
}

impl Placing<'_> {
    fn annotate(&mut self, pod: &Pod, selection: &Selection, catalogue: &dyn Catalogue) {
        if let Some(network) = &selection.network {
            let other = self
                .edits
                .set(&ANNOTATIONS, annotation::SPECIFIED_NETWORK, network);
            self.warn(annotation::SPECIFIED_NETWORK, other, network);
        }
        if !selection.subnets.is_empty() {
            let subnets = selection.subnets.join("/");
            let other = self
                .edits
                .set(&ANNOTATIONS, annotation::SPECIFIED_SUBNET, &subnets);
            self.warn(annotation::SPECIFIED_SUBNET, other, &subnets);
        } else if leaves_network(pod, selection, catalogue) {
            let other = self.edits.remove(&ANNOTATIONS, annotation::SPECIFIED_SUBNET);
            self.warn(annotation::SPECIFIED_SUBNET, other, "");
        }
        let type_ = selection.network_type;
        let other = self
            .edits
            .set(&ANNOTATIONS, annotation::NETWORK_TYPE, type_.as_str());
        let other = other.filter(|word| NetworkType::parse_ignoring_case(word) != Ok(type_));
        self.warn(annotation::NETWORK_TYPE, other, type_.as_str());
        let family = selection.family;
        let other = self
            .edits
            .set(&ANNOTATIONS, annotation::IP_FAMILY, family.as_str());
        let other = other.filter(|word| PodFamily::parse_ignoring_case(word) != Some(family));
        self.warn(annotation::IP_FAMILY, other, family.as_str());
        self.edits
            .set(&ANNOTATIONS, annotation::HANDLED_BY_WEBHOOK, "true");
    }

    fn select_node(&mut self, key: &str, value: &str) {
        if let Some(other) = self.edits.set(&NODE_SELECTOR, key, value) {
            self.warnings
                .push(format!("nodeSelector {key}: {other:?} replaced by {value:?}"));
        }
    }

    // An empty word is as good as none: nothing of the user's is lost.
    fn warn(&mut self, key: &str, other: Option<&str>, value: &str) {
        let Some(other) = other.filter(|other| !other.is_empty()) else {
            return;
        };
        let text = if value.is_empty() {
            format!("annotation {key}: {other:?} removed, the pod keeps its addresses in another network")
        } else {
            format!("annotation {key}: {other:?} replaced by {value:?}, the pod keeps its addresses")
        };
        self.warnings.push(text);
    }
}

// The template may have moved on to a subnet of another network than the one whose addresses the pod keeps.
fn leaves_network(pod: &Pod, selection: &Selection, catalogue: &dyn Catalogue) -> bool {
    let Some(text) = pod::annotation(&pod.metadata, annotation::SPECIFIED_SUBNET) else {
        return false;
    };
    let stays = |name: &str| {
        let subnet = catalogue.subnet(name);
        subnet.is_some_and(|subnet| Some(&subnet.spec.network) == selection.network.as_ref())
    };
    selection.retained && !text.split('/').all(stays)
}

fn node_selector(pod: &Pod, selection: &Selection, settings: &Settings) -> Vec<(String, String)> {
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
    // Addresses that are kept or named are not taken from what the quota counts.
    let from_quota = !selection.retained && !names_its_addresses(&pod.metadata, settings);
    if selection.network_type == NetworkType::Underlay && from_quota {
        pairs.push((
            quota_label(selection.family).to_owned(),
            quota::NON_EMPTY.to_owned(),
        ));
    }
    pairs
}

const fn quota_label(family: PodFamily) -> &'static str {
    match family {
        PodFamily::Ipv4Only => label::IPV4_QUOTA,
        PodFamily::Ipv6Only => label::IPV6_QUOTA,
        PodFamily::DualStack => label::DUAL_STACK_QUOTA,
    }
}
