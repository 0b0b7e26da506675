//! The API server: objects with versions and UIDs, finalizers and deletion in two steps, preconditions,
//! and the news of every change for those who watch.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::resource::{Resource, Target, key_of, text};
use crate::world::store::Key;

/// What a request is answered with.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code of HTTP.
    pub code: u16,
    /// An object or a `Status`.
    pub body: Value,
}

impl Answer {
    fn ok(object: &Value) -> Self {
        Self {
            code: 200,
            body: object.clone(),
        }
    }

    /// An error.
    pub fn error(code: u16, reason: &str) -> Self {
        let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": reason, "reason": reason, "code": code});
        Self { code, body }
    }

    fn not_found(key: &Key) -> Self {
        let mut answer = Self::error(404, "NotFound");
        answer.body["details"] = json!({"name": key.name});
        answer
    }
}

/// One change, as a watch shows it.
#[derive(Clone, Debug)]
pub struct News {
    /// The object after the change, or as it was last.
    pub object: Arc<Value>,
    /// Whether it is gone.
    pub gone: bool,
}

/// A request as the server reads it.
#[derive(Clone, Debug)]
pub struct Request {
    /// GET, POST and so on.
    pub method: Method,
    /// What it is about; a name of nothing on POST.
    pub target: Target,
    /// `null` when there is none.
    pub body: Value,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Server {
    objects: BTreeMap<(Resource, Key), Arc<Value>>,
    news: BTreeMap<Resource, Vec<News>>,
    version: u32,
    /// Objects that came or went since somebody asked: what the checks look at.
    pub changes: Vec<Changed>,
}

/// An object that came, went or became another.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Of which kind.
    pub resource: Resource,
    /// Before, unless it is new.
    pub old: Option<Arc<Value>>,
    /// After, unless it is gone.
    pub new: Option<Arc<Value>>,
}

impl Server {
    /// One object.
    pub fn get(&self, resource: Resource, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(&(resource, key.clone()))
    }

    /// All objects of a kind, by name.
    pub fn list(&self, resource: Resource) -> impl Iterator<Item = &Arc<Value>> {
        let first = (
            resource,
            Key {
                namespace: String::new(),
                name: String::new(),
            },
        );
        self.objects
            .range(first..)
            .take_while(move |((of, _), _)| *of == resource)
            .map(|(_, object)| object)
    }

    /// Another one after each change.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// The news of a kind so far, in order.
    pub fn news(&self, resource: Resource) -> &[News] {
        self.news.get(&resource).map_or(&[], Vec::as_slice)
    }

    /// Adds an object, unless one of its name is there.
    pub fn create(&mut self, resource: Resource, mut object: Value) -> Result<Arc<Value>, Answer> {
        let key = key_of(&object);
        if self.get(resource, &key).is_some() {
            return Err(Answer::error(409, "AlreadyExists"));
        }
        let version = self.version + 1;
        object["kind"] = json!(resource.kind());
        object["apiVersion"] = json!(resource.api_version());
        object["metadata"]["uid"] = json!(format!("{}-{version}", resource.plural()));
        object["metadata"]["generation"] = json!(1);
        object["metadata"]["creationTimestamp"] = json!(time(version));
        Ok(self.store(resource, key, None, object))
    }

    /// Changes an object as its owner would: no preconditions.
    pub fn change(&mut self, resource: Resource, key: &Key, change: impl FnOnce(&mut Value)) -> bool {
        let Some(old) = self.get(resource, key).cloned() else {
            return false;
        };
        let mut new = old.as_ref().clone();
        change(&mut new);
        self.replace(resource, key, &old, new);
        true
    }

    /// Deletes an object: at once, or when its finalizers and its grace are over.
    pub fn delete(&mut self, resource: Resource, key: &Key) -> bool {
        let version = self.version;
        self.change(resource, key, |object| {
            let meta = &mut object["metadata"];
            if meta["deletionTimestamp"].is_null() {
                meta["deletionTimestamp"] = json!(time(version));
                // The kubelet ends a pod's grace. The others have none.
                let grace = if resource == Resource::Pod { 30 } else { 0 };
                meta["deletionGracePeriodSeconds"] = json!(grace);
            }
        })
    }

    /// Carries a request out.
    pub fn carry_out(&mut self, request: &Request) -> Answer {
        let Target { resource, key, .. } = &request.target;
        match request.method {
            Method::GET => match self.get(*resource, key) {
                Some(object) => Answer::ok(object),
                None => Answer::not_found(key),
            },
            Method::POST => {
                let mut object = request.body.clone();
                if !key.namespace.is_empty() {
                    object["metadata"]["namespace"] = json!(key.namespace);
                }
                match self.create(*resource, object) {
                    Ok(object) => Answer::ok(&object),
                    Err(answer) => answer,
                }
            }
            Method::PUT => self.written(request, |_| request.body.clone()),
            Method::PATCH => self.written(request, |old| patched(old, request)),
            Method::DELETE => self.deleted(request),
            _ => Answer::error(405, "MethodNotAllowed"),
        }
    }

    fn written(&mut self, request: &Request, new: impl FnOnce(&Value) -> Value) -> Answer {
        let Target { resource, key, .. } = &request.target;
        let Some(old) = self.get(*resource, key).cloned() else {
            return Answer::not_found(key);
        };
        let expected = text(&request.body, "/metadata/resourceVersion");
        if !expected.is_empty() && expected != text(&old, "/metadata/resourceVersion") {
            return Answer::error(409, "Conflict");
        }
        let new = new(&old);
        if is_marked(&old) && finalizers(&new).any(|one| !finalizers(&old).any(|known| known == one)) {
            return Answer::error(
                422,
                "no new finalizers can be added if the object is being deleted",
            );
        }
        Answer::ok(&self.replace(*resource, key, &old, new))
    }

    fn deleted(&mut self, request: &Request) -> Answer {
        let Target { resource, key, .. } = &request.target;
        let Some(old) = self.get(*resource, key) else {
            return Answer::not_found(key);
        };
        let uid = text(&request.body, "/preconditions/uid");
        if !uid.is_empty() && uid != text(old, "/metadata/uid") {
            return Answer::error(409, "Conflict");
        }
        let version = text(&request.body, "/preconditions/resourceVersion");
        if !version.is_empty() && version != text(old, "/metadata/resourceVersion") {
            return Answer::error(409, "Conflict");
        }
        self.delete(*resource, key);
        match self.get(*resource, key) {
            Some(object) => Answer::ok(object),
            None => Answer {
                code: 200,
                body: json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
            },
        }
    }

    fn replace(&mut self, resource: Resource, key: &Key, old: &Arc<Value>, mut new: Value) -> Arc<Value> {
        if new["spec"] != old["spec"] {
            let generation = old["metadata"]["generation"].as_u64().unwrap_or(0) + 1;
            new["metadata"]["generation"] = json!(generation);
        }
        if new == **old {
            return old.clone();
        }
        if is_over(&new) {
            self.remove(resource, key);
            return Arc::new(new);
        }
        self.store(resource, key.clone(), Some(old.clone()), new)
    }

    fn remove(&mut self, resource: Resource, key: &Key) {
        let Some(old) = self.objects.remove(&(resource, key.clone())) else {
            return;
        };
        let mut last = old.as_ref().clone();
        last["metadata"]["resourceVersion"] = json!(self.next_version());
        let news = News {
            object: Arc::new(last),
            gone: true,
        };
        self.news.entry(resource).or_default().push(news);
        self.changes.push(Changed {
            resource,
            old: Some(old),
            new: None,
        });
    }

    fn store(
        &mut self,
        resource: Resource,
        key: Key,
        old: Option<Arc<Value>>,
        mut object: Value,
    ) -> Arc<Value> {
        object["metadata"]["resourceVersion"] = json!(self.next_version());
        let object = Arc::new(object);
        self.objects.insert((resource, key), object.clone());
        let news = News {
            object: object.clone(),
            gone: false,
        };
        self.news.entry(resource).or_default().push(news);
        self.changes.push(Changed {
            resource,
            old,
            new: Some(object.clone()),
        });
        object
    }

    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }
}

/// What a merge patch makes of an object: of its status alone, or of the rest.
fn patched(old: &Value, request: &Request) -> Value {
    let mut new = old.clone();
    let mut patch = request.body.clone();
    if request.target.status {
        let status = patch["status"].take();
        patch = json!({ "status": status });
    } else if let Some(fields) = patch.as_object_mut() {
        fields.remove("status");
    }
    json_patch::merge(&mut new, &patch);
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
    new
}

/// Whether the object is being deleted.
pub fn is_marked(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// The finalizers of an object.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    let all = object["metadata"]["finalizers"].as_array();
    all.into_iter().flatten().filter_map(Value::as_str)
}

fn is_over(object: &Value) -> bool {
    let grace = object["metadata"]["deletionGracePeriodSeconds"]
        .as_u64()
        .unwrap_or(0);
    is_marked(object) && grace == 0 && finalizers(object).next().is_none()
}

/// Seconds since 1970 tell which of two objects is older; nothing else is made of them.
fn time(second: u32) -> String {
    let (minutes, seconds) = (second / 60 % 60, second % 60);
    format!("2024-01-01T{:02}:{minutes:02}:{seconds:02}Z", second / 3600)
}
