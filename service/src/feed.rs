//! Watching one kind: list, watch, and go on after every trouble.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::watcher::{self, Config, Event, InitialListStrategy, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tracing::{debug, info, warn};

/// The first pause after an error; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A watch that is down is tried again at least this often: pods wait for it.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Passes every event to `sink` and never ends. Asks for a streaming list, which is kinder to the server;
/// a server that refuses is asked for lists in pages from then on. `config` says how long one request lasts:
/// a connection that died silently is noticed some seconds after that.
pub async fn run<K>(api: Api<K>, config: Config, mut sink: impl FnMut(Event<K>))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let url = api.resource_url().to_owned();
    let mut config = config.streaming_lists();
    while let Err(error) = follow(api.clone(), config.clone(), &url, &mut sink).await {
        if is_gone(&error) {
            info!(
                url,
                "the history that the watch would go on from is gone, listing again"
            );
            sleep(FIRST_PAUSE).await;
        } else {
            info!(url, %error, "streaming lists refused, listing in pages");
            config.initial_list_strategy = InitialListStrategy::default();
        }
    }
}

/// Follows one stream until an error that trying again does not cure.
async fn follow<K>(
    api: Api<K>,
    config: Config,
    url: &str,
    sink: &mut impl FnMut(Event<K>),
) -> Result<(), watcher::Error>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let streaming = config.initial_list_strategy == InitialListStrategy::StreamingList;
    let mut stream = pin!(watcher(api, config));
    let mut pause = FIRST_PAUSE;
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                pause = FIRST_PAUSE;
                sink(event);
            }
            Err(error) if (streaming && refuses_streaming(&error)) || is_gone(&error) => return Err(error),
            Err(error) => {
                // A restart of the server is ordinary; what lasts is worth a look.
                if pause == FIRST_PAUSE {
                    debug!(url, %error, "watch interrupted");
                } else {
                    warn!(url, %error, "watch interrupted");
                }
                sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
    Ok(())
}

/// A server without the feature answers 400 or 422; one whose etcd cannot report progress answers 500.
/// Other errors of the start say nothing about the feature.
fn refuses_streaming(error: &watcher::Error) -> bool {
    let (watcher::Error::WatchStartFailed(kube::Error::Api(status)) | watcher::Error::WatchError(status)) =
        error
    else {
        return false;
    };
    let about_it = [
        "sendInitialEvents",
        "resourceVersionMatch",
        "RequestWatchProgress",
    ];
    matches!(status.code, 400 | 422)
        || status.code == 500 && about_it.iter().any(|word| status.message.contains(word))
}

/// The library lists again when a watch ends by such an event, but not when it begins by such an answer.
fn is_gone(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use k8s_openapi::api::core::v1::Namespace;
    use serde_json::json;

    use super::*;
    use crate::testing::{Answer, FakeApi};

    async fn events_of(api: &FakeApi, wanted: usize) -> Vec<String> {
        let events = Arc::new(Mutex::new(vec![]));
        let (sink, (full, mut ready)) = (events.clone(), tokio::sync::mpsc::unbounded_channel());
        let feed = run(
            Api::<Namespace>::all(api.client()),
            Config::default(),
            move |event| {
                let mut events = sink.lock().unwrap();
                events.push(event.to_string());
                if events.len() == wanted {
                    full.send(()).unwrap();
                }
            },
        );
        tokio::select! {
            () = feed => {}
            _ = ready.recv() => {}
        }
        // More may have come before the reader's turn.
        let events = events.lock().unwrap();
        events.iter().take(wanted).cloned().collect()
    }

    fn list() -> Answer {
        Answer::ok(json!({"apiVersion": "v1", "kind": "NamespaceList",
            "metadata": {"resourceVersion": "5"},
            "items": [{"metadata": {"name": "a", "resourceVersion": "4"}}]}))
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_without_streaming_lists_is_listed_in_pages_for_good() {
        let api = FakeApi::new(|seen| {
            if seen.query.contains("sendInitialEvents") {
                return Answer::status(422, "Invalid");
            }
            if seen.query.contains("watch=true") {
                return Answer::status(410, "Expired");
            }
            list()
        });

        let events = events_of(&api, 6).await;

        assert_eq!(
            events,
            [
                "Init",
                "InitApply(a)",
                "InitDone",
                "Init",
                "InitApply(a)",
                "InitDone"
            ]
        );
        let streaming = api
            .seen()
            .iter()
            .filter(|seen| seen.query.contains("sendInitialEvents"))
            .count();
        assert_eq!(streaming, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_down_for_a_moment_is_asked_for_a_streaming_list_again() {
        let calls = std::sync::atomic::AtomicU64::new(0);
        let api = FakeApi::new(move |seen| {
            assert!(seen.query.contains("sendInitialEvents=true"), "{}", seen.query);
            if calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 3 {
                return Answer::status(503, "ServiceUnavailable");
            }
            Answer::ok(
                json!({"type": "ADDED", "object": {"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": "a", "resourceVersion": "4"}}}),
            )
        });

        assert_eq!(events_of(&api, 2).await, ["Init", "InitApply(a)"]);
    }
}
