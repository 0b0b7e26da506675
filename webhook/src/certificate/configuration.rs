//! Our authority in the `caBundle` of the webhooks that call our service; nothing else of the two
//! configurations is touched.

use std::fmt::Debug;

use json_patch::{Patch as JsonPatch, PatchOperation};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use rustls::pki_types::UnixTime;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::{SERVICE, bundle};
use crate::patch::{add, test};

/// Name of the validating configuration.
pub const VALIDATING: &str = "hybridnet-validating-webhook";
/// Name of the mutating configuration.
pub const MUTATING: &str = "hybridnet-mutating-webhook";
const ATTEMPTS: usize = 5;

/// Why a bundle is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The configuration could not be read or patched.
    #[error("caBundle of webhook configuration {name}")]
    Api {
        /// The configuration.
        name: &'static str,
        /// What the API server says.
        source: Box<kube::Error>,
    },
    /// Others changed the configuration each time that we were about to.
    #[error("caBundle of webhook configuration {0}: changed by others {ATTEMPTS} times in a row")]
    Contended(&'static str),
}

/// What the bundles shall hold.
pub struct Wanted<'a> {
    /// Our authorities, as PEM.
    pub authorities: &'a str,
    /// Namespace of our service.
    pub namespace: &'a str,
    /// When what has ended is left out.
    pub now: UnixTime,
}

/// The two kinds of configuration, as far as we care.
pub trait Configuration {
    /// Where each of the webhooks is served.
    fn clients(&self) -> Vec<&WebhookClientConfig>;
}

impl Configuration for ValidatingWebhookConfiguration {
    fn clients(&self) -> Vec<&WebhookClientConfig> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks.map(|webhook| &webhook.client_config).collect()
    }
}

impl Configuration for MutatingWebhookConfiguration {
    fn clients(&self) -> Vec<&WebhookClientConfig> {
        let webhooks = self.webhooks.iter().flatten();
        webhooks.map(|webhook| &webhook.client_config).collect()
    }
}

/// Writes the bundles that differ from what is wanted. A configuration that does not exist is left
/// alone: its arrival wakes us again.
pub async fn publish<K>(api: &Api<K>, name: &'static str, wanted: &Wanted<'_>) -> Result<(), PublishError>
where
    K: Configuration + Resource + Clone + Debug + DeserializeOwned,
{
    let failed = |source| PublishError::Api {
        name,
        source: Box::new(source),
    };
    for _ in 0..ATTEMPTS {
        let Some(configuration) = api.get_opt(name).await.map_err(failed)? else {
            warn!(name, "webhook configuration does not exist: nothing calls us");
            return Ok(());
        };
        let edits = edits(&configuration, wanted);
        if edits.is_empty() {
            return Ok(());
        }
        match api
            .patch(name, &PatchParams::default(), &guarded(&configuration, edits))
            .await
        {
            Ok(_) => {
                info!(name, "caBundle written");
                return Ok(());
            }
            // The guard did not hold, or the object went: look again.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(PublishError::Contended(name))
}

// Positions in the list of webhooks hold for one version of the object only.
fn guarded<K: Resource>(configuration: &K, edits: Vec<PatchOperation>) -> Patch<()> {
    let version = configuration.meta().resource_version.clone().unwrap_or_default();
    let mut operations = vec![test(&["metadata", "resourceVersion"], json!(version))];
    operations.extend(edits);
    Patch::Json(JsonPatch(operations))
}

fn edits<K: Configuration>(configuration: &K, wanted: &Wanted<'_>) -> Vec<PatchOperation> {
    let clients = configuration.clients().into_iter().enumerate();
    clients
        .filter(|(_, client)| calls_us(client, wanted.namespace))
        .filter_map(|(index, client)| {
            let present = client.ca_bundle.as_ref().map_or(&[][..], |bundle| &bundle.0);
            let merged = bundle::merged(present, wanted.authorities, wanted.now);
            let differs = !bundle::same(present, merged.as_bytes());
            differs.then(|| {
                add(
                    &["webhooks", &index.to_string(), "clientConfig", "caBundle"],
                    encoded(merged),
                )
            })
        })
        .collect()
}

fn calls_us(client: &WebhookClientConfig, namespace: &str) -> bool {
    let service = client.service.as_ref();
    service.is_some_and(|service| service.name == SERVICE && service.namespace == namespace)
}

fn encoded(bundle: String) -> Value {
    json!(ByteString(bundle.into_bytes()))
}
