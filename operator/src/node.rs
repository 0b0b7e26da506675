//! The controller of Nodes: the labels that tie pods to nodes of their network (control-plane spec 4.9,
//! 4.10).
//!
//! Woken by its Node when labels change (also ours, taken away by hand), by every Network that changes,
//! and by a Network that runs out of addresses or has some again.

use std::collections::BTreeMap;
use std::sync::Arc;

use hybridnet_api::names::label;
use kube::ResourceExt;
use serde_json::{Map, Value, json};
use tracing::info;

use crate::context::{Context, WriteError};
use crate::queue::Outcome;
use crate::quota::Quota;
use crate::world::store::Key;
use crate::world::topology::Attachment;
use crate::world::{Node, State};

/// A label and its value; nothing means that it must not be there.
type Label = (&'static str, Option<&'static str>);

/// Makes the six labels of one node true, by one patch at most.
pub async fn reconcile(context: Context, key: Key) -> Result<Outcome, WriteError> {
    let seen = context.world.with(|state| {
        let node = state.nodes.get(&key)?.clone();
        let labels = desired(state, &node);
        Some((node, labels))
    });
    let Some((node, labels)) = seen else {
        return Ok(Outcome::Done);
    };
    let Some(patch) = patch(&node, &labels) else {
        return Ok(Outcome::Done);
    };
    info!(node = key.name, labels = %patch, "labels change");
    let patch = json!({"metadata": {"labels": patch}});
    context.patch(&context.all::<Node>(), &key, &patch).await?;
    Ok(Outcome::Done)
}

fn desired(state: &State, node: &Arc<Node>) -> Vec<Label> {
    let topology = state.topology();
    let underlay = topology.underlay_of(node);
    let quota = underlay.map(|network| Quota::of(&state.addresses.network_usage(&network.name_any())));
    let mut labels = attachment(topology.attachment(node)).to_vec();
    labels.extend(Quota::labels(quota));
    labels
}

fn attachment(attachment: Attachment) -> [Label; 3] {
    let word = |attached: bool| attached.then_some("true");
    [
        (label::UNDERLAY_ATTACHMENT, word(attachment.underlay)),
        (label::OVERLAY_ATTACHMENT, word(attachment.overlay)),
        (label::BGP_ATTACHMENT, word(attachment.bgp)),
    ]
}

/// What differs, as a merge patch of the labels.
fn patch(node: &Node, labels: &[Label]) -> Option<Value> {
    let empty = BTreeMap::new();
    let present = node.metadata.labels.as_ref().unwrap_or(&empty);
    let differing = labels
        .iter()
        .filter(|(key, value)| present.get(*key).map(String::as_str) != *value)
        .map(|(key, value)| ((*key).to_owned(), json!(value)));
    let patch: Map<_, _> = differing.collect();
    (!patch.is_empty()).then_some(Value::Object(patch))
}
