//! A make-believe cluster: an API server that keeps objects, and the manager's controllers on it. Time is
//! paused in such tests, so waiting costs nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use hybridnet_api::{IpInstance, Network, Subnet};
use hybridnet_service::testing::{Answer, FakeApi, Seen};
use k8s_openapi::api::core::v1 as core;
use kube::Resource;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::{Rate, guarded};
use crate::context::{Context, Handle};
use crate::events;
use crate::flags::Flags;
use crate::lease::Leadership;
use crate::pod::settings::Settings;
use crate::run::start;
use crate::workload::Workloads;
use crate::world::pod::Pod;
use crate::world::{Kind, Namespace, Node, State, World};

/// The cluster, with one manager that leads.
pub(crate) struct Cluster {
    pub api: FakeApi,
    pub world: Arc<World>,
    pub context: Context,
    _running: JoinSet<()>,
    _stop: watch::Sender<bool>,
    _publisher: JoinSet<()>,
}

/// What the API server keeps: objects by their paths.
#[derive(Default)]
pub(crate) struct Server {
    objects: Mutex<BTreeMap<String, Value>>,
    versions: Mutex<u64>,
    /// Answers that come instead of the proper ones, each once, to requests that match.
    faults: Mutex<VecDeque<Fault>>,
    world: Mutex<Option<Arc<World>>>,
}

/// What goes wrong.
pub(crate) struct Fault {
    pub method: Method,
    /// A part of the path, or of the name in the body.
    pub about: &'static str,
    pub answer: Answer,
    /// Whether the request is carried out nevertheless.
    pub carried_out: bool,
}

impl Server {
    /// Adds or changes an object as a user would.
    pub fn put<K: Resource<DynamicType = ()> + serde::Serialize>(&self, object: &K) {
        let mut value = serde_json::to_value(object).unwrap();
        value["kind"] = json!(K::kind(&()));
        value["apiVersion"] = json!(K::api_version(&()));
        self.put_value(&path_of::<K>(object), value);
    }

    pub fn put_value(&self, path: &str, mut value: Value) {
        value["metadata"]["resourceVersion"] = json!(self.next().to_string());
        self.objects
            .lock()
            .unwrap()
            .insert(path.to_owned(), value.clone());
        self.tell(path, value, false);
    }

    /// Adds what nobody watches: a workload, or the list of kinds of a group.
    pub fn serve(&self, path: &str, mut value: Value) {
        value["metadata"]["resourceVersion"] = json!(self.next().to_string());
        self.objects.lock().unwrap().insert(path.to_owned(), value);
    }

    /// Takes away what nobody watches.
    pub fn withdraw(&self, path: &str) {
        self.objects.lock().unwrap().remove(path);
    }

    /// Adds an object whose news the watch has not brought yet.
    pub fn put_unheard<K: Resource<DynamicType = ()> + serde::Serialize>(&self, object: &K) {
        let world = self.world.lock().unwrap().take();
        self.put(object);
        *self.world.lock().unwrap() = world;
    }

    /// Takes an object away, whatever holds it.
    pub fn remove(&self, path: &str) {
        let gone = self.objects.lock().unwrap().remove(path);
        if let Some(mut value) = gone {
            value["metadata"]["resourceVersion"] = json!(self.next().to_string());
            self.tell(path, value, true);
        }
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.objects.lock().unwrap().get(path).cloned()
    }

    pub fn paths(&self, part: &str) -> Vec<String> {
        let objects = self.objects.lock().unwrap();
        objects
            .keys()
            .filter(|path| path.contains(part))
            .cloned()
            .collect()
    }

    pub fn fault(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    /// No more faults.
    pub fn forgive(&self) {
        self.faults.lock().unwrap().clear();
    }

    fn next(&self) -> u64 {
        let mut versions = self.versions.lock().unwrap();
        *versions += 1;
        *versions + 100
    }

    fn answer(&self, seen: &Seen) -> Answer {
        let fault = {
            let mut faults = self.faults.lock().unwrap();
            let name = seen.body["metadata"]["name"].as_str().unwrap_or_default();
            let hit = faults.iter().position(|fault| {
                fault.method == seen.method && (seen.path.contains(fault.about) || name.contains(fault.about))
            });
            hit.and_then(|at| faults.remove(at))
        };
        match fault {
            Some(fault) if fault.carried_out => {
                self.carry_out(seen);
                fault.answer
            }
            Some(fault) => fault.answer,
            None => self.carry_out(seen),
        }
    }

    fn carry_out(&self, seen: &Seen) -> Answer {
        if seen.path.contains("/events") {
            return Answer::ok(seen.body.clone());
        }
        match seen.method {
            Method::GET => self
                .get(&seen.path)
                .map_or_else(|| no_object(&seen.path), Answer::ok),
            Method::POST => {
                let path = format!(
                    "{}/{}",
                    seen.path,
                    seen.body["metadata"]["name"].as_str().unwrap()
                );
                if self.get(&path).is_some() {
                    return Answer::status(409, "AlreadyExists");
                }
                let mut value = seen.body.clone();
                value["metadata"]["uid"] = json!(format!("uid-{}", self.next()));
                self.put_value(&path, value);
                Answer::ok(self.get(&path).unwrap())
            }
            Method::PATCH => self.patch(seen),
            Method::DELETE => self.delete(seen),
            _ => Answer::status(405, "MethodNotAllowed"),
        }
    }

    fn patch(&self, seen: &Seen) -> Answer {
        let path = seen.path.strip_suffix("/status").unwrap_or(&seen.path);
        let Some(mut value) = self.get(path) else {
            return Answer::not_found();
        };
        let wanted = &seen.body["metadata"]["resourceVersion"];
        if wanted.is_string() && *wanted != value["metadata"]["resourceVersion"] {
            return Answer::status(409, "Conflict");
        }
        json_patch::merge(&mut value, &seen.body);
        let bare = value["metadata"]["finalizers"]
            .as_array()
            .is_none_or(Vec::is_empty);
        if bare && value["metadata"]["deletionTimestamp"].is_string() {
            self.remove(path);
            return Answer::ok(value);
        }
        self.put_value(path, value);
        Answer::ok(self.get(path).unwrap())
    }

    fn delete(&self, seen: &Seen) -> Answer {
        let Some(mut value) = self.get(&seen.path) else {
            return Answer::not_found();
        };
        let differs = |key: &str| {
            let wanted = &seen.body["preconditions"][key];
            wanted.is_string() && *wanted != value["metadata"][key]
        };
        if differs("uid") || differs("resourceVersion") {
            return Answer::status(409, "Conflict");
        }
        if value["metadata"]["finalizers"]
            .as_array()
            .is_none_or(Vec::is_empty)
        {
            self.remove(&seen.path);
            return Answer::ok(json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}));
        }
        value["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
        self.put_value(&seen.path, value);
        Answer::ok(self.get(&seen.path).unwrap())
    }

    fn tell(&self, path: &str, value: Value, gone: bool) {
        let world = self.world.lock().unwrap().clone();
        let Some(world) = world else {
            return;
        };
        match kind_of(path) {
            "networks" => tell::<Network>(&world, value, gone),
            "subnets" => tell::<Subnet>(&world, value, gone),
            "ipinstances" => tell::<IpInstance>(&world, value, gone),
            "nodes" => tell::<Node>(&world, value, gone),
            "pods" => tell::<Pod>(&world, value, gone),
            "namespaces" => tell::<Namespace>(&world, value, gone),
            other => panic!("nobody watches {other}"),
        }
    }
}

/// What the API server says when it knows the kind and not the object.
fn no_object(path: &str) -> Answer {
    let mut answer = Answer::not_found();
    answer.body["details"] = json!({"name": path.rsplit('/').next()});
    answer
}

fn tell<K: Kind>(world: &World, value: Value, gone: bool) {
    let object: K = serde_json::from_value(value).unwrap();
    world.feed(if gone {
        Event::Delete(object)
    } else {
        Event::Apply(object)
    });
}

fn kind_of(path: &str) -> &str {
    let parts: Vec<&str> = path.rsplit('/').collect();
    parts[1]
}

fn path_of<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let meta = object.meta();
    let url = K::url_path(&(), meta.namespace.as_deref());
    format!("{url}/{}", meta.name.as_deref().unwrap())
}

impl Cluster {
    /// A manager that begins to lead in a cluster with the objects of `server`.
    pub fn start(server: Arc<Server>, arguments: &[&str]) -> Self {
        use clap::Parser;
        let flags = Flags::parse_from(std::iter::once(&"hybridnet-manager").chain(arguments));
        let answering = server.clone();
        let api = FakeApi::new(move |seen| answering.answer(seen));
        let unlimited = Rate {
            per_second: None,
            burst: 1,
        };
        let metrics = Arc::default();
        let client = guarded(
            api.client(),
            Leadership::for_ever(),
            unlimited,
            Arc::clone(&metrics),
        );
        let (announcer, publisher) = events::channel(client.clone(), Arc::clone(&metrics));
        let world = Arc::new(World::new(Arc::clone(&metrics)));
        let client = Handle(client);
        let context = Context {
            workloads: Arc::new(Workloads::new(client.clone())),
            client,
            world: world.clone(),
            announcer,
            metrics,
            settings: Arc::new(Settings::new(&flags).unwrap()),
        };
        *server.world.lock().unwrap() = Some(world.clone());
        list::<Network>(&server, &world, "networks");
        list::<Subnet>(&server, &world, "subnets");
        list::<IpInstance>(&server, &world, "ipinstances");
        list::<Node>(&server, &world, "nodes");
        list::<Pod>(&server, &world, "pods");
        list::<Namespace>(&server, &world, "namespaces");
        let stop = watch::Sender::new(false);
        let mut events = JoinSet::new();
        events.spawn(publisher.run());
        Self {
            api,
            world,
            context: context.clone(),
            _running: start(&flags, &context, &stop.subscribe()),
            _stop: stop,
            _publisher: events,
        }
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, holds: impl Fn(&mut State) -> bool) {
        for _ in 0..6000 {
            if self.world.with(|state| holds(state)) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!(
            "not within a minute: {what}; requests: {:#?}",
            self.api.requests()
        );
    }

    /// Lets everything come to rest.
    pub async fn rest(&self) {
        sleep(Duration::from_secs(2)).await;
    }

    /// Writes so far, without events.
    pub fn writes(&self) -> Vec<String> {
        let requests = self.api.requests().into_iter();
        requests
            .filter(|request| !request.starts_with("GET") && !request.contains("/events"))
            .collect()
    }

    /// `reason: note` of all events so far.
    pub fn events(&self) -> Vec<String> {
        let seen = self.api.seen().into_iter();
        seen.filter(|seen| seen.path.contains("/events"))
            .map(|seen| {
                let text = |key: &str| seen.body[key].as_str().unwrap_or_default().to_owned();
                format!("{}: {}", text("reason"), text("note"))
            })
            .collect()
    }
}

fn list<K: Kind>(server: &Server, world: &World, plural: &str) {
    let objects: Vec<K> = {
        let objects = server.objects.lock().unwrap();
        let of_kind = objects.iter().filter(|(path, _)| kind_of(path) == plural);
        of_kind
            .map(|(_, value)| serde_json::from_value(value.clone()).unwrap())
            .collect()
    };
    world.feed::<K>(Event::Init);
    for object in objects {
        world.feed(Event::InitApply(object));
    }
    world.feed::<K>(Event::InitDone);
}

/// A pod as a user's object: what we keep of pods cannot be written.
pub(crate) fn pod(name: &str, node: &str) -> core::Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}")},
        "spec": {"nodeName": node, "containers": [{"name": "main"}]},
    }))
    .unwrap()
}
