//! The client that the controllers use: no write leaves it without a lease that is known to be valid,
//! and no request exceeds the rate that the user allows. Since it stands below every `Api`, no
//! controller can forget to ask.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri};
use kube::Client;
use kube::client::Body;
use tokio::time::{Instant, sleep_until, timeout};

use crate::lease::Leadership;
use crate::metrics::Metrics;

/// A write that has no answer by then has an unknown outcome.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request was not sent, or what became of it.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// We do not lead (any more).
    #[error("{method} {path}: not sent, the lease is not held")]
    NotLeading {
        /// Of the request.
        method: Method,
        /// Of the request.
        path: String,
    },
    /// The server did not answer; the write may have happened.
    #[error("{method} {path}: no answer within {} s", WRITE_TIMEOUT.as_secs())]
    NoAnswer {
        /// Of the request.
        method: Method,
        /// Of the request.
        path: String,
    },
}

/// Wraps `inner` as the module says. `default_namespace` is that of `inner`.
pub fn guarded(inner: Client, leadership: Leadership, rate: Rate, metrics: Arc<Metrics>) -> Client {
    let namespace = inner.default_namespace().to_owned();
    let bucket = rate
        .per_second
        .map(|per_second| Arc::new(Mutex::new(Bucket::new(per_second, rate.burst, Instant::now()))));
    Client::new(
        Guard {
            inner,
            leadership,
            bucket,
            metrics,
        },
        namespace,
    )
}

/// How many requests may be sent.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// In the long run; nothing means no limit.
    pub per_second: Option<f64>,
    /// At once, after a pause.
    pub burst: u32,
}

impl Rate {
    /// From the flags: a rate of zero or less means no limit.
    pub fn new(per_second: f32, burst: u32) -> Self {
        let per_second = Some(f64::from(per_second)).filter(|rate| *rate > 0.0);
        Self {
            per_second,
            burst: burst.max(1),
        }
    }
}

#[derive(Clone)]
struct Guard {
    inner: Client,
    leadership: Leadership,
    bucket: Option<Arc<Mutex<Bucket>>>,
    metrics: Arc<Metrics>,
}

impl tower::Service<Request<Body>> for Guard {
    type Response = Response<Body>;
    type Error = tower::BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, tower::BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // The client inside waits for its own readiness in `send`.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let guard = self.clone();
        Box::pin(async move { guard.send(request).await })
    }
}

impl Guard {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
        if let Some(bucket) = &self.bucket {
            let turn = bucket
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(Instant::now());
            sleep_until(turn).await;
        }
        let method = request.method().clone();
        if method == Method::GET {
            if let Some(uri) = consistent(request.uri()) {
                *request.uri_mut() = uri;
            }
            return Ok(self.counted(&method, request).await?);
        }
        let path = request.uri().path().to_owned();
        if !self.leadership.is_valid() {
            return Err(GuardError::NotLeading { method, path }.into());
        }
        match timeout(WRITE_TIMEOUT, self.counted(&method, request)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(GuardError::NoAnswer { method, path }.into()),
        }
    }

    async fn counted(&self, method: &Method, request: Request<Body>) -> kube::Result<Response<Body>> {
        let answer = self.inner.send(request).await;
        let code = answer.as_ref().map_or(0, |response| response.status().as_u16());
        self.metrics.api_request(method.as_str(), code);
        answer
    }
}

/// A streaming list as the client library asks for it may be answered from a stale cache
/// (`resourceVersion=0`); without a version the server reads through. The allocator is built from such
/// lists, so they must be consistent.
fn consistent(uri: &Uri) -> Option<Uri> {
    let query = uri.query()?;
    if !query.split('&').any(|pair| pair == "sendInitialEvents=true") {
        return None;
    }
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| *pair != "resourceVersion=0")
        .collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(format!("{}?{}", uri.path(), kept.join("&"))).ok();
    Uri::from_parts(parts).ok()
}

/// A token bucket that hands out turns in the future when it is empty.
#[derive(Debug)]
struct Bucket {
    interval: Duration,
    depth: Duration,
    /// When the next token is there. Never further in the past than the bucket is deep.
    next: Instant,
}

impl Bucket {
    fn new(per_second: f64, burst: u32, now: Instant) -> Self {
        let interval = Duration::from_secs_f64(1.0 / per_second);
        let depth = interval * burst.saturating_sub(1);
        Self {
            interval,
            depth,
            next: now.checked_sub(depth).unwrap_or(now),
        }
    }

    /// When the caller may go.
    fn take(&mut self, now: Instant) -> Instant {
        let full = now.checked_sub(self.depth).unwrap_or(now);
        let turn = self.next.max(full);
        self.next = turn + self.interval;
        turn.max(now)
    }
}

#[cfg(test)]
mod tests {
    use hybridnet_service::testing::{Answer, FakeApi};
    use k8s_openapi::api::core::v1::Node;
    use kube::api::{Api, DeleteParams};
    use serde_json::json;

    use super::*;

    const UNLIMITED: Rate = Rate {
        per_second: None,
        burst: 1,
    };

    fn node() -> Answer {
        Answer::ok(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}))
    }

    #[tokio::test]
    async fn without_the_lease_reads_pass_and_writes_do_not() {
        let api = FakeApi::new(|_| node());
        let client = guarded(api.client(), Leadership::never(), UNLIMITED, Arc::default());
        let nodes = Api::<Node>::all(client);

        nodes.get("a").await.unwrap();
        let refused = nodes.delete("a", &DeleteParams::default()).await.unwrap_err();

        assert!(refused.to_string().contains("the lease is not held"), "{refused}");
        assert_eq!(api.requests(), ["GET /api/v1/nodes/a"]);
    }

    #[tokio::test]
    async fn with_the_lease_writes_pass() {
        let api = FakeApi::new(|_| node());
        let client = guarded(api.client(), Leadership::for_ever(), UNLIMITED, Arc::default());

        Api::<Node>::all(client)
            .delete("a", &DeleteParams::default())
            .await
            .unwrap();

        assert_eq!(api.requests(), ["DELETE /api/v1/nodes/a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_without_an_answer_ends_in_time() {
        let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let silent = Client::new(service, "default");
        let client = guarded(silent, Leadership::for_ever(), UNLIMITED, Arc::default());

        let error = Api::<Node>::all(client)
            .delete("a", &DeleteParams::default())
            .await
            .unwrap_err();

        assert!(error.to_string().contains("no answer within 10 s"), "{error}");
        drop(handle);
    }

    #[test]
    fn a_streaming_list_is_made_consistent_and_a_resumed_watch_is_left_alone() {
        let list: Uri = "/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersion=0"
            .parse()
            .unwrap();
        let resumed: Uri = "/api/v1/pods?watch=true&resourceVersion=7".parse().unwrap();

        let changed = consistent(&list).map(|uri| uri.to_string());

        assert_eq!(
            changed.as_deref(),
            Some("/api/v1/pods?watch=true&sendInitialEvents=true")
        );
        assert_eq!(consistent(&resumed), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_allows_a_burst_and_then_its_pace() {
        let mut bucket = Bucket::new(10.0, 3, Instant::now());
        let tenth = Duration::from_millis(100);

        for now in [Instant::now(), Instant::now() + Duration::from_mins(1)] {
            let turns: Vec<_> = (0..5).map(|_| bucket.take(now)).collect();

            assert_eq!(turns, [now, now, now, now + tenth, now + 2 * tenth]);
        }
    }
}
