//! A little API server for tests: objects by path, optimistic writes, JSON patches, label selectors.

mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock;

pub use world::{World, annotations, ip_instance, network, node, pod, request, stateful, subnet};

const PLURALS: [&str; 6] = [
    "secrets",
    "networks",
    "subnets",
    "ipinstances",
    "namespaces",
    "nodes",
];

/// What the fake holds and what it was asked.
#[derive(Default)]
pub struct State {
    pub objects: BTreeMap<String, Value>,
    pub writes: Vec<String>,
    pub reads: Vec<String>,
    version: u64,
    // Called before each write to the path, to play the replica that is faster.
    pub rival: Option<Rival>,
}

type Rival = Box<dyn FnMut(&mut BTreeMap<String, Value>) + Send>;

/// A handle on the fake.
#[derive(Clone, Default)]
pub struct FakeApi(Arc<Mutex<State>>);

impl FakeApi {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this")
    }

    pub fn with(self, path: &str, object: Value) -> Self {
        self.state().put(path, object);
        self
    }

    pub fn object(&self, path: &str) -> Value {
        self.state().objects.get(path).cloned().unwrap_or_default()
    }

    /// A client of the fake; must be called within a runtime.
    pub fn client(&self) -> Client {
        let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
        let fake = self.clone();
        tokio::spawn(async move {
            let mut watches = Vec::new();
            while let Some((request, respond)) = handle.next_request().await {
                if request.uri().query().unwrap_or_default().contains("watch=true") {
                    watches.push(respond);
                    continue;
                }
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.expect("a whole body");
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let query = parts.uri.query().unwrap_or_default();
                let (code, answer) = fake.state().answer(&parts.method, parts.uri.path(), query, body);
                let response = Response::builder().status(code);
                respond.send_response(
                    response
                        .body(Body::from(answer.to_string().into_bytes()))
                        .expect("a response"),
                );
            }
        });
        Client::new(service, "default")
    }
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, query: &str, body: Value) -> (u16, Value) {
        if *method == Method::GET {
            self.reads.push(path.to_owned());
            return match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None => self.list(path, query),
            };
        }
        if let Some(mut rival) = self.rival.take() {
            rival(&mut self.objects);
        }
        let (code, answer) = match *method {
            Method::POST => self.create(path, body),
            Method::PUT => self.replace(path, body),
            Method::PATCH => self.patch(path, body),
            _ => failure(405, "MethodNotAllowed"),
        };
        self.writes.push(format!("{method} {path} {code}"));
        (code, answer)
    }

    fn list(&self, path: &str, query: &str) -> (u16, Value) {
        let Some((_, last)) = path.rsplit_once('/') else {
            return failure(404, "NotFound");
        };
        if !PLURALS.contains(&last) {
            return failure(404, "NotFound");
        }
        let selector = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("labelSelector="))
            .unwrap_or_default();
        let selector = selector
            .replace("%3D", "=")
            .replace("%2C", ",")
            .replace("%2F", "/");
        let items: Vec<_> = self
            .objects
            .iter()
            .filter(|(key, _)| {
                key.rsplit_once('/')
                    .is_some_and(|(parent, _)| collects(path, parent))
            })
            .map(|(_, object)| object.clone())
            .filter(|object| {
                selector
                    .split(',')
                    .filter(|s| !s.is_empty())
                    .all(|pair| carries(object, pair))
            })
            .collect();
        (
            200,
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}),
        )
    }

    fn create(&mut self, path: &str, body: Value) -> (u16, Value) {
        let path = format!(
            "{path}/{}",
            body["metadata"]["name"].as_str().unwrap_or("generated")
        );
        if self.objects.contains_key(&path) {
            return failure(409, "AlreadyExists");
        }
        (201, self.put(&path, body))
    }

    fn replace(&mut self, path: &str, body: Value) -> (u16, Value) {
        let Some(present) = self.objects.get(path) else {
            return failure(404, "NotFound");
        };
        if present["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
            return failure(409, "Conflict");
        }
        (200, self.put(path, body))
    }

    fn patch(&mut self, path: &str, body: Value) -> (u16, Value) {
        let Some(mut object) = self.objects.get(path).cloned() else {
            return failure(404, "NotFound");
        };
        let edits: json_patch::Patch = serde_json::from_value(body).expect("a JSON patch");
        if json_patch::patch(&mut object, &edits).is_err() {
            return failure(422, "Invalid");
        }
        (200, self.put(path, object))
    }

    pub fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

// `/api/v1/pods` lists what lies under `/api/v1/namespaces/a/pods`, too.
fn collects(path: &str, parent: &str) -> bool {
    let Some((group, rest)) = parent.split_once("/namespaces/") else {
        return path == parent;
    };
    let plural = rest.split_once('/').map_or("", |(_, plural)| plural);
    path == parent || path == format!("{group}/{plural}")
}

fn carries(object: &Value, pair: &str) -> bool {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    object["metadata"]["labels"][key] == value
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": code});
    (code, status)
}
