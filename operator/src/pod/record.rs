//! What is written into a pod whose addresses outlive it, before it gets any: our finalizer, and into one that
//! the webhook has not seen what the webhook would have written.
//!
//! With that the choice is made once. Should the manager end between two addresses of the pod, the next one
//! reads what the pod is to have, where without it the first address would look like one that was kept.

use hybridnet_api::names::{annotation, finalizer};
use hybridnet_api::selection::Selection;
use kube::api::ObjectMeta;
use serde_json::{Value, json};

use crate::patch::difference;
use crate::world::pod::Pod;

/// The patch, which is refused when the pod has changed meanwhile; nothing when the pod has it all.
pub fn record(pod: &Pod, selection: Option<&Selection>) -> Option<Value> {
    let mut wanted = pod.metadata.clone();
    if !pod.has_finalizer() {
        let finalizers = wanted.finalizers.get_or_insert_default();
        finalizers.push(finalizer::IP_ALLOCATED.to_owned());
    }
    if let Some(selection) = selection {
        wanted
            .annotations
            .get_or_insert_default()
            .extend(words(selection));
    }
    if wanted == pod.metadata {
        return None;
    }
    let seen = ObjectMeta {
        resource_version: None,
        ..pod.metadata.clone()
    };
    difference(Some(&seen), &wanted).map(|metadata| json!({ "metadata": metadata }))
}

fn words(selection: &Selection) -> impl Iterator<Item = (String, String)> {
    let subnets = (!selection.subnets.is_empty()).then(|| selection.subnets.join("/"));
    let always = [
        (annotation::NETWORK_TYPE, selection.network_type.as_str()),
        (annotation::IP_FAMILY, selection.family.as_str()),
        (annotation::HANDLED_BY_WEBHOOK, "true"),
    ];
    let named = [
        (annotation::SPECIFIED_NETWORK, selection.network.clone()),
        (annotation::SPECIFIED_SUBNET, subnets),
    ];
    let named = named
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let always = always.map(|(key, value)| (key.to_owned(), value.to_owned()));
    always.into_iter().chain(named)
}

#[cfg(test)]
mod tests {
    use hybridnet_api::NetworkType;
    use hybridnet_api::selection::PodFamily;

    use super::*;
    use crate::fixtures::pod;

    #[test]
    fn a_pod_that_the_webhook_has_seen_gets_the_finalizer_only_and_once() {
        let seen = pod("web-0").version(7).finalizer("theirs");

        assert_eq!(
            record(&seen.clone().build(), None),
            Some(json!({"metadata": {"resourceVersion": "7",
                "finalizers": ["theirs", "networking.alibaba.com/ip-allocated"]}}))
        );
        assert_eq!(
            record(&seen.finalizer(finalizer::IP_ALLOCATED).build(), None),
            None
        );
    }

    #[test]
    fn a_pod_that_slipped_by_gets_the_choice_as_the_webhook_writes_it() {
        let selection = Selection {
            network: Some("net".to_owned()),
            subnets: vec!["a".to_owned(), "b".to_owned()],
            network_type: NetworkType::Overlay,
            family: PodFamily::DualStack,
            node_selector: std::collections::BTreeMap::new(),
            retained: false,
        };
        let slipped = pod("web-0").version(7).finalizer(finalizer::IP_ALLOCATED).build();

        assert_eq!(
            record(&slipped, Some(&selection)),
            Some(json!({"metadata": {"resourceVersion": "7", "annotations": {
                "networking.alibaba.com/specified-network": "net",
                "networking.alibaba.com/specified-subnet": "a/b",
                "networking.alibaba.com/network-type": "Overlay",
                "networking.alibaba.com/ip-family": "DualStack",
                "networking.alibaba.com/handled-by-webhook": "true",
            }}}))
        );
    }
}
