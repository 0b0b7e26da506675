//! Keeps the Secret, the two webhook configurations and the served certificate in step. Every replica
//! runs one; writes carry a resource version, so the slower replica finds the faster one's result.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt};
use rustls::pki_types::UnixTime;
use tokio::time::sleep;
use tracing::{info, warn};

use super::configuration::{self, PublishError};
use super::decide::{Decision, Reason, decide};
use super::issue::{self, IssueError};
use super::serving::Serving;
use super::{Material, Names, bundle, secret};

/// How long API servers get to hear of a new authority before we serve a certificate signed by it.
pub const SETTLE: Duration = Duration::from_secs(10);
const ATTEMPTS: usize = 5;

/// Why Secret, configurations and served certificate are not in step.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The Secret could not be read or written.
    #[error("secret {}", secret::NAME)]
    Secret(#[source] Box<kube::Error>),
    /// Other replicas changed the Secret each time that we were about to.
    #[error("secret {}: changed by others {ATTEMPTS} times in a row", secret::NAME)]
    Contended,
    /// No certificate could be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// What we have just made cannot be served.
    #[error(transparent)]
    Fault(#[from] super::decide::Fault),
    /// A webhook configuration could not be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// One replica's keeper.
pub struct Keeper {
    client: Client,
    namespace: String,
    names: Names,
    serving: Arc<Serving>,
    recorder: Recorder,
}

impl Keeper {
    /// A keeper for the webhook in `namespace` that installs what it finds or makes into `serving`.
    pub fn new(client: Client, namespace: &str, serving: Arc<Serving>) -> Self {
        let reporter = Reporter {
            controller: super::SERVICE.to_owned(),
            instance: None,
        };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            names: Names::of_service(namespace),
            namespace: namespace.to_owned(),
            client,
            serving,
        }
    }

    /// Looks at everything once and repairs what is wrong. Does nothing when called again.
    pub async fn sync(&self) -> Result<(), KeeperError> {
        let now = UnixTime::now();
        let material = self.settled(now).await?;
        let published = self.publish(&material, now).await;
        let served = self.serving.material();
        if served.as_ref() == Some(&material) {
            return Ok(published?);
        }
        if served.is_some() && self.serving.is_ready(now) {
            // A client that does not know the new authority yet is better served by the old certificate.
            published?;
            if changes_authority(served.as_ref(), &material) {
                sleep(SETTLE).await;
            }
            self.serving.install(&material)?;
        } else {
            self.serving.install(&material)?;
            published?;
        }
        info!(expiry = self.serving.expiry(), "serving a new certificate");
        Ok(())
    }

    async fn settled(&self, now: UnixTime) -> Result<Material, KeeperError> {
        let api = Api::<Secret>::namespaced(self.client.clone(), &self.namespace);
        for _ in 0..ATTEMPTS {
            let old = api.get_opt(secret::NAME).await.map_err(failed)?;
            let held = old.as_ref().map(secret::read);
            let (material, reason) = match decide(now, &self.names, held.as_ref()) {
                Decision::Keep => return Ok(held.unwrap_or_default()),
                Decision::RenewLeaf(reason) => (
                    issue::new_leaf(now, &self.names, &held.unwrap_or_default())?,
                    reason,
                ),
                Decision::NewAuthority(reason) => {
                    (issue::new_authority(now, &self.names, held.as_ref())?, reason)
                }
            };
            if let Some(written) = self.write(&api, &material, old).await? {
                self.report(&written, &reason).await;
                return Ok(material);
            }
        }
        Err(KeeperError::Contended)
    }

    // `None`: another replica was faster.
    async fn write(
        &self,
        api: &Api<Secret>,
        material: &Material,
        old: Option<Secret>,
    ) -> Result<Option<Secret>, KeeperError> {
        let exists = old.is_some();
        let new = secret::write(material, &self.namespace, old);
        let written = if exists {
            api.replace(secret::NAME, &PostParams::default(), &new).await
        } else {
            api.create(&PostParams::default(), &new).await
        };
        match written {
            Ok(secret) => Ok(Some(secret)),
            // Gone, changed or made in between: look again.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn report(&self, written: &Secret, reason: &Reason) {
        let type_ = match reason {
            Reason::Broken(_) => {
                warn!(secret = written.name_any(), %reason, "certificate replaced");
                EventType::Warning
            }
            Reason::Absent | Reason::Due => {
                info!(secret = written.name_any(), %reason, "certificate made");
                EventType::Normal
            }
        };
        let event = Event {
            type_,
            reason: "CertificateReplaced".to_owned(),
            note: Some(format!("a new certificate was made: {reason}")),
            action: "Renew".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &written.object_ref(&())).await {
            warn!(%error, "event not written");
        }
    }

    async fn publish(&self, material: &Material, now: UnixTime) -> Result<(), PublishError> {
        let wanted = configuration::Wanted {
            authorities: &material.authorities,
            namespace: &self.namespace,
            now,
        };
        let validating = Api::<ValidatingWebhookConfiguration>::all(self.client.clone());
        let mutating = Api::<MutatingWebhookConfiguration>::all(self.client.clone());
        configuration::publish(&validating, configuration::VALIDATING, &wanted).await?;
        configuration::publish(&mutating, configuration::MUTATING, &wanted).await
    }
}

fn failed(error: kube::Error) -> KeeperError {
    KeeperError::Secret(Box::new(error))
}

fn changes_authority(served: Option<&Material>, next: &Material) -> bool {
    let first = |material: &Material| {
        bundle::certificates(material.authorities.as_bytes())
            .into_iter()
            .next()
    };
    served.and_then(first) != first(next)
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
