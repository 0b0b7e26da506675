//! A make-believe API server for tests of request sequences. What it holds is the test's affair: it answers by
//! a function of the request.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// One request that the code under test sent.
#[derive(Clone, Debug)]
pub struct Seen {
    /// GET, POST and so on.
    pub method: Method,
    /// Without the query.
    pub path: String,
    /// As it was encoded; empty when there was none.
    pub query: String,
    /// `null` when there was none.
    pub body: Value,
}

impl Seen {
    /// `METHOD path`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What the server says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code of HTTP.
    pub code: u16,
    /// An object, a list, a `Status`, or one line of a watch.
    pub body: Value,
}

impl Answer {
    /// What was asked for.
    pub fn ok(body: Value) -> Self {
        Self { code: 200, body }
    }

    /// An error, with `reason` also as its message.
    pub fn status(code: u16, reason: &str) -> Self {
        let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": reason, "reason": reason, "code": code});
        Self { code, body }
    }

    /// There is no such object.
    pub fn not_found() -> Self {
        Self::status(404, "NotFound")
    }
}

/// Answers by a function of the request and remembers every request.
#[derive(Clone)]
pub struct FakeApi {
    client: Client,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl FakeApi {
    /// Must be called within a runtime.
    pub fn new(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(vec![]));
        let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
        let log = seen.clone();
        tokio::spawn(async move {
            while let Some((request, reply)) = handle.next_request().await {
                let request = read(request).await;
                let answer = answer(&request);
                log.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                let body = serde_json::to_vec(&answer.body).expect("a value is JSON");
                let response = Response::builder().status(answer.code).body(Body::from(body));
                reply.send_response(response.expect("a valid status"));
            }
        });
        Self {
            client: Client::new(service, "default"),
            seen,
        }
    }

    /// A client of this server alone.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `METHOD path` of every request so far.
    pub fn requests(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }
}

async fn read(request: Request<Body>) -> Seen {
    let (parts, body) = request.into_parts();
    let bytes = body.collect_bytes().await.expect("a body in memory");
    Seen {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}
