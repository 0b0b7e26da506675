//! Between managers and API server: requests that are on their way, and answers that are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::channel::oneshot;
use futures::future::BoxFuture;
use http::{Method, Response};
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::time::Instant;
use tower::BoxError;

use super::server::Answer;

/// A request that has left its manager.
#[derive(Debug)]
pub struct Call {
    /// Tells it from every other.
    pub id: u64,
    /// Which manager sent it.
    pub manager: usize,
    /// GET, POST and so on.
    pub method: Method,
    /// Without the query.
    pub path: String,
    /// `null` when there is none.
    pub body: Value,
    /// When it was sent.
    pub sent: Instant,
    /// Set once the server has carried it out, or will not.
    pub answer: Option<Answer>,
    reply: oneshot::Sender<Result<Answer, BoxError>>,
}

impl Call {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    /// Whether it is about the lease.
    pub fn is_lease(&self) -> bool {
        self.path.contains("/leases")
    }

    /// Whether nobody waits for the answer any more.
    pub fn is_given_up(&self) -> bool {
        self.reply.is_canceled()
    }

    /// Brings the answer to the manager.
    pub fn reply(self, answer: Answer) {
        // Nobody waits when the manager has crashed or given up.
        let _ = self.reply.send(Ok(answer));
    }

    /// The connection breaks.
    pub fn break_off(self) {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let _ = self.reply.send(Err(broken.into()));
    }
}

/// Requests on their way; clones are the same wire.
#[derive(Clone, Debug, Default)]
pub struct Wire(Arc<Mutex<Calls>>);

#[derive(Debug, Default)]
struct Calls {
    waiting: Vec<Call>,
    sent: u64,
}

impl Wire {
    /// The client of a manager.
    pub fn client(&self, manager: usize) -> Client {
        let end = End {
            wire: self.clone(),
            manager,
        };
        Client::new(end, "hybridnet")
    }

    /// How many requests were ever sent.
    pub fn sent(&self) -> u64 {
        self.calls().sent
    }

    /// Requests that were sent at one moment have no order of their own: they get the same one each time.
    pub fn put_in_order(&self, since: u64) {
        let mut calls = self.calls();
        let calls = &mut calls.waiting;
        let Some(first) = calls.iter().position(|call| call.id > since) else {
            return;
        };
        let new = &mut calls[first..];
        let name = |call: &Call| {
            call.body["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        new.sort_by_cached_key(|call| (call.path.clone(), call.method.to_string(), name(call)));
        for (id, call) in (since + 1..).zip(new) {
            call.id = id;
        }
    }

    /// Looks at what is on its way.
    pub fn with<R>(&self, look: impl FnOnce(&mut Vec<Call>) -> R) -> R {
        look(&mut self.calls().waiting)
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(self, manager: usize, request: http::Request<Body>) -> Result<Response<Body>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let (reply, answer) = oneshot::channel();
        {
            let mut calls = self.calls();
            calls.sent += 1;
            let call = Call {
                id: calls.sent,
                manager,
                method: parts.method,
                path: parts.uri.path().to_owned(),
                body: serde_json::from_slice(&body).unwrap_or(Value::Null),
                sent: Instant::now(),
                answer: None,
                reply,
            };
            calls.waiting.push(call);
        }
        let Answer { code, body } = answer.await??;
        let body = serde_json::to_vec(&body)?;
        Ok(Response::builder().status(code).body(Body::from(body))?)
    }
}

struct End {
    wire: Wire,
    manager: usize,
}

impl tower::Service<http::Request<Body>> for End {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.wire.clone().send(self.manager, request))
    }
}
