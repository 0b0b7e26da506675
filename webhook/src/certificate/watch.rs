//! Calls the keeper whenever the Secret or a configuration changes, and every minute by the wall clock:
//! a machine that slept must not serve a certificate that has ended.

use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tracing::{info, warn};

use super::keeper::Keeper;
use super::{configuration, secret};

const TICK: Duration = Duration::from_mins(1);
const RETRY: Duration = Duration::from_secs(5);
// Changes that arrive together are looked at together.
const BATCH: usize = 64;

/// Runs until dropped.
pub async fn run(keeper: &Keeper, client: Client, namespace: &str) {
    let mut wakes = wakes(client, namespace).ready_chunks(BATCH);
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
            _ = wakes.next() => {}
            () = sleep(pause) => {}
        }
    }
}

fn wakes(client: Client, namespace: &str) -> impl Stream<Item = ()> + Unpin + use<> {
    let all = [
        changes(Api::<Secret>::namespaced(client.clone(), namespace), secret::NAME),
        changes(
            Api::<ValidatingWebhookConfiguration>::all(client.clone()),
            configuration::VALIDATING,
        ),
        changes(
            Api::<MutatingWebhookConfiguration>::all(client),
            configuration::MUTATING,
        ),
    ];
    stream::select_all(all)
}

fn changes<K>(api: Api<K>, name: &str) -> stream::BoxStream<'static, ()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let kind = K::kind(&());
    watcher(api, config)
        .default_backoff()
        .filter_map(move |event| {
            if let Err(error) = &event {
                warn!(%kind, %error, "watch interrupted");
            }
            std::future::ready(event.ok().map(|_| ()))
        })
        .boxed()
}

/// An error and what it comes from, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
