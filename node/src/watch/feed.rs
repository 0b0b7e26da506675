//! Watching one kind: list, watch, and go on after every trouble.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tracing::{debug, info, warn};

/// The first pause after an error; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A watch that is down is tried again at least this often: pods wait for it.
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// A connection that died silently is noticed some seconds after this: all nodes ask, so it is not short.
const WATCH_SECONDS: u32 = 120;

/// Passes every event to `sink` and never ends. Asks for a streaming list, which is kinder to the server; a
/// server that refuses is asked for lists in pages from then on.
pub async fn run<K>(api: Api<K>, config: Config, sink: impl FnMut(Event<K>))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let url = api.resource_url().to_owned();
    run_on(
        &url,
        config.timeout(WATCH_SECONDS),
        |config| watcher(api.clone(), config),
        sink,
    )
    .await;
}

async fn run_on<T, S>(url: &str, config: Config, open: impl Fn(Config) -> S, mut sink: impl FnMut(Event<T>))
where
    S: Stream<Item = watcher::Result<Event<T>>>,
{
    let streaming = config.clone().streaming_lists();
    if let Err(error) = follow(open(streaming), url, &mut sink, refuses_streaming).await {
        info!(url, %error, "streaming lists refused, listing in pages");
    }
    while let Err(error) = follow(open(config.clone()), url, &mut sink, |_| false).await {
        warn!(url, %error, "watch begins anew");
    }
}

/// Follows one stream until it ends or `fatal` says that an error cannot pass.
async fn follow<T>(
    stream: impl Stream<Item = watcher::Result<Event<T>>>,
    url: &str,
    sink: &mut impl FnMut(Event<T>),
    fatal: impl Fn(&watcher::Error) -> bool,
) -> watcher::Result<()> {
    let mut stream = pin!(stream);
    let mut pause = FIRST_PAUSE;
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                pause = FIRST_PAUSE;
                sink(event);
            }
            Err(error) if fatal(&error) => return Err(error),
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use kube::core::Status;

    use super::*;

    fn refused(code: u16, message: &str) -> watcher::Error {
        let status = Status {
            code,
            message: message.into(),
            ..Status::default()
        };
        watcher::Error::WatchStartFailed(kube::Error::Api(Box::new(status)))
    }

    /// Runs a feed over made-up streams, the first of which fails with `error`; says for each stream that was
    /// opened whether it asked for a streaming list, and counts the events that arrived.
    async fn fed(error: fn() -> watcher::Error) -> (Vec<bool>, usize) {
        let (opened, mut events) = (Mutex::new(vec![]), 0);
        let open = |config: Config| {
            let streaming = format!("{:?}", config.initial_list_strategy) == "StreamingList";
            opened.lock().unwrap().push(streaming);
            let first = opened.lock().unwrap().len() == 1;
            let item = if first {
                Err(error())
            } else {
                Ok(Event::<()>::Init)
            };
            futures::stream::iter([item, Ok(Event::Init)])
        };
        run_on("", Config::default(), open, |_| events += 1).await;
        (opened.into_inner().unwrap(), events)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_without_streaming_lists_is_listed_in_pages() {
        let (streaming, events) = fed(|| refused(422, "Invalid")).await;

        assert_eq!((streaming, events), (vec![true, false], 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_down_for_a_moment_is_not_given_up() {
        let (streaming, events) = fed(|| refused(503, "ServiceUnavailable")).await;

        assert_eq!((streaming, events), (vec![true, false], 1 + 2));
    }
}
