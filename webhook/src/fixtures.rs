//! A little API server for tests: objects by path, optimistic writes, JSON patches, label selectors.

mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use http::Method;
use hybridnet_service::testing::{Answer, FakeApi, Seen};
use kube::Client;
use serde_json::{Value, json};

pub use world::{
    World, annotations, ip_instance, namespace, network, node, one_denied, pod, prefixed, remote, request,
    says, stateful, subnet,
};

/// Kinds that are served, whether there are objects of them or not. Other kinds are served with their first object.
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
pub struct Objects(Arc<Mutex<State>>);

impl Objects {
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
        let fake = self.clone();
        FakeApi::new(move |seen| fake.state().answer(seen)).client()
    }
}

impl State {
    fn answer(&mut self, seen: &Seen) -> Answer {
        let path = seen.path.as_str();
        if seen.method == Method::GET {
            self.reads.push(path.to_owned());
            return match self.objects.get(path) {
                Some(object) => Answer::ok(object.clone()),
                None => self.list(path, &seen.query),
            };
        }
        if let Some(mut rival) = self.rival.take() {
            rival(&mut self.objects);
        }
        let body = seen.body.clone();
        let answer = match seen.method {
            Method::POST => self.create(path, body),
            Method::PUT => self.replace(path, body),
            Method::PATCH => self.patch(path, body),
            _ => Answer::status(405, "MethodNotAllowed"),
        };
        self.writes.push(format!("{} {}", seen.line(), answer.code));
        answer
    }

    fn list(&self, path: &str, query: &str) -> Answer {
        let Some((_, last)) = path.rsplit_once('/') else {
            return Answer::not_found();
        };
        let is_stored = |key: &String| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        if !PLURALS.contains(&last) && !self.objects.keys().any(is_stored) {
            return Answer::not_found();
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
        Answer::ok(
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}),
        )
    }

    fn create(&mut self, path: &str, body: Value) -> Answer {
        let path = format!(
            "{path}/{}",
            body["metadata"]["name"].as_str().unwrap_or("generated")
        );
        if self.objects.contains_key(&path) {
            return Answer::status(409, "AlreadyExists");
        }
        Answer {
            code: 201,
            body: self.put(&path, body),
        }
    }

    fn replace(&mut self, path: &str, body: Value) -> Answer {
        let Some(present) = self.objects.get(path) else {
            return Answer::not_found();
        };
        if present["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] {
            return Answer::status(409, "Conflict");
        }
        Answer::ok(self.put(path, body))
    }

    fn patch(&mut self, path: &str, body: Value) -> Answer {
        let Some(mut object) = self.objects.get(path).cloned() else {
            return Answer::not_found();
        };
        let edits: json_patch::Patch = serde_json::from_value(body).expect("a JSON patch");
        if json_patch::patch(&mut object, &edits).is_err() {
            return Answer::status(422, "Invalid");
        }
        Answer::ok(self.put(path, object))
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
