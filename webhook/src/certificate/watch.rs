//! Calls the keeper whenever the Secret or a configuration changes, and every minute by the wall clock:
//! a machine that slept must not serve a certificate that has ended.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hybridnet_service::errors::chain;
use hybridnet_service::feed;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{info, warn};

use super::keeper::Keeper;
use super::{configuration, secret};
use crate::caches::WATCH_SECONDS;

const TICK: Duration = Duration::from_mins(1);
const RETRY: Duration = Duration::from_secs(5);

/// Runs until dropped.
pub async fn run(keeper: &Keeper, client: Client, namespace: &str) {
    let changed = Arc::new(Notify::new());
    let (secrets, validating, mutating) = (
        Api::<Secret>::namespaced(client.clone(), namespace),
        Api::<ValidatingWebhookConfiguration>::all(client.clone()),
        Api::<MutatingWebhookConfiguration>::all(client),
    );
    // None of these ends.
    tokio::join!(
        notify(secrets, secret::NAME, changed.clone()),
        notify(validating, configuration::VALIDATING, changed.clone()),
        notify(mutating, configuration::MUTATING, changed.clone()),
        keep(keeper, &changed),
    );
}

/// Changes that arrive together are looked at together.
async fn keep(keeper: &Keeper, changed: &Notify) {
    let mut trouble = None;
    loop {
        let pause = match keeper.sync().await {
            Ok(()) => {
                if trouble.take().is_some() {
                    info!("certificates are in order again");
                }
                TICK
            }
            Err(error) => {
                let text = chain(&error);
                if trouble.as_ref() != Some(&text) {
                    warn!(error = text, "certificates are not in order");
                    trouble = Some(text);
                }
                RETRY
            }
        };
        tokio::select! {
            () = changed.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

/// Tells `changed` of every change, and never ends.
fn notify<K>(api: Api<K>, name: &str, changed: Arc<Notify>) -> BoxFuture<'static, ()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = watcher::Config::default()
        .fields(&format!("metadata.name={name}"))
        .timeout(WATCH_SECONDS);
    feed::run(api, config, move |_| changed.notify_one()).boxed()
}
