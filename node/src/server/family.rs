//! How many addresses a pod must have before its network is made (datapath spec 2.5, step 3): what the webhook
//! wrote on it, or, for a pod that slipped by the webhook, the same choice that the manager made.

use std::sync::Arc;

use hybridnet_api::names::{annotation, label};
use hybridnet_api::selection::{Catalogue, PodFamily, SelectionError, Subject, select};
use hybridnet_api::settings::Settings;
use hybridnet_api::{IpInstance, Network, NetworkType, Subnet, pod};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ObjectMeta;

use crate::watch::Caches;

/// A pod whose family cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum NoFamily {
    /// The annotation is not one of the words.
    #[error("invalid ip family {0:?} in annotation {key}: use one of {words}", key = annotation::IP_FAMILY, words = PodFamily::WORDS)]
    Word(String),
    /// Its own keys, its namespace and the networks do not make a choice.
    #[error("failed to parse network config of pod: {0}")]
    Selection(#[from] Box<SelectionError>),
}

/// Whether the webhook has written its choice on the pod.
pub(super) fn was_mutated(meta: &ObjectMeta) -> bool {
    pod::annotation(meta, annotation::HANDLED_BY_WEBHOOK).and_then(pod::go_bool) == Some(true)
}

/// What the webhook wrote.
pub(super) fn written(meta: &ObjectMeta, settings: &Settings) -> Result<PodFamily, NoFamily> {
    match pod::annotation(meta, annotation::IP_FAMILY) {
        None => Ok(settings.default_ip_family),
        Some(word) => PodFamily::parse_ignoring_case(word).ok_or_else(|| NoFamily::Word(word.to_owned())),
    }
}

/// Whether the addresses that the pod had before have a say.
pub(super) fn keeps_addresses(meta: &ObjectMeta, settings: &Settings) -> bool {
    pod::is_stateful(meta, settings) && pod::retains(meta, settings)
}

/// What the choice for one pod depends on: the caches, and what was fetched for it.
#[derive(Debug)]
pub(super) struct Fetched<'a> {
    /// Networks and subnets.
    pub caches: &'a Caches,
    /// The pod's namespace.
    pub namespace: Arc<Namespace>,
    /// The `IPInstance`s that bear the pod's name.
    pub instances: Vec<Arc<IpInstance>>,
}

impl Fetched<'_> {
    /// The family that the manager has chosen.
    pub fn choose(&self, meta: &ObjectMeta, settings: &Settings) -> Result<PodFamily, NoFamily> {
        let subject = Subject {
            namespace: meta.namespace.as_deref().unwrap_or_default(),
            name: meta.name.as_deref().unwrap_or_default(),
            metadata: meta,
            vm: None,
        };
        let selection = select(&subject, self, settings).map_err(Box::new)?;
        Ok(selection.family)
    }
}

impl Catalogue for Fetched<'_> {
    fn network(&self, name: &str) -> Option<Arc<Network>> {
        self.caches.networks.get("", name)
    }

    fn networks_of_type(&self, wanted: NetworkType) -> Vec<Arc<Network>> {
        let mut networks = self.caches.networks.all();
        networks.retain(|network| network.spec.network_type() == Ok(wanted));
        networks
    }

    fn subnet(&self, name: &str) -> Option<Arc<Subnet>> {
        self.caches.subnets.get("", name)
    }

    fn namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        (self.namespace.metadata.name.as_deref() == Some(name)).then(|| self.namespace.clone())
    }

    fn ip_instances_of_pod(&self, _namespace: &str, pod_label: &str) -> Vec<Arc<IpInstance>> {
        self.with_label(label::POD, pod_label)
    }

    fn ip_instances_of_vm(&self, _namespace: &str, vm: &str) -> Vec<Arc<IpInstance>> {
        self.with_label(label::VM, vm)
    }
}

impl Fetched<'_> {
    fn with_label(&self, key: &str, value: &str) -> Vec<Arc<IpInstance>> {
        let mut instances = self.instances.clone();
        instances.retain(|instance| pod::label(&instance.metadata, key) == Some(value));
        instances
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn meta(pairs: &[(&str, &str)]) -> ObjectMeta {
        let annotations: BTreeMap<_, _> = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        ObjectMeta {
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn what_the_webhook_wrote_counts_in_any_case_and_the_default_fills_in() {
        let settings = Settings {
            default_ip_family: PodFamily::DualStack,
            ..Settings::default()
        };
        let family = |word| written(&meta(&[(annotation::IP_FAMILY, word)]), &settings);

        assert_eq!(family("ipv4only").unwrap(), PodFamily::Ipv4Only);
        assert_eq!(family("IPV6").unwrap(), PodFamily::Ipv6Only);
        assert_eq!(family("").unwrap(), PodFamily::DualStack);
        let error = family("IPv5").unwrap_err().to_string();
        assert!(
            error.starts_with("invalid ip family \"IPv5\" in annotation"),
            "{error}"
        );
    }

    #[test]
    fn only_a_true_boolean_says_that_the_webhook_was_there() {
        for (word, expected) in [
            ("true", true),
            ("1", true),
            ("false", false),
            ("yes", false),
            ("", false),
        ] {
            assert_eq!(
                was_mutated(&meta(&[(annotation::HANDLED_BY_WEBHOOK, word)])),
                expected,
                "{word}"
            );
        }
    }
}
