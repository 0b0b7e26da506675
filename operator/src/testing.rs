//! A make-believe API server for tests of request sequences.

use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

pub(crate) mod cluster;

/// One request that the code under test sent.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub method: Method,
    /// Without the query.
    pub path: String,
    pub query: String,
    /// `null` when there was none.
    pub body: Value,
}

/// What the server says.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    code: u16,
    body: Value,
}

impl Answer {
    pub fn ok(body: Value) -> Self {
        Self { code: 200, body }
    }

    pub fn status(code: u16, reason: &str) -> Self {
        let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": reason, "reason": reason, "code": code});
        Self { code, body }
    }

    pub fn not_found() -> Self {
        Self::status(404, "NotFound")
    }
}

/// Answers by a function of the request and remembers every request.
#[derive(Clone)]
pub(crate) struct FakeApi {
    client: Client,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl FakeApi {
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

    pub fn client(&self) -> Client {
        self.client.clone()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `METHOD path` of every request so far.
    pub fn requests(&self) -> Vec<String> {
        self.seen()
            .iter()
            .map(|seen| format!("{} {}", seen.method, seen.path))
            .collect()
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
