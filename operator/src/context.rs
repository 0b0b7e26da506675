//! What every controller has at hand.

use std::fmt::Debug;
use std::sync::Arc;

use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource};
use serde_json::{Value, json};

use crate::events::Announcer;
use crate::metrics::Metrics;
use crate::pod::settings::Settings;
use crate::workload::Workloads;
use crate::world::store::Key;
use crate::world::{Kind, World};

/// Shared by all controllers.
#[derive(Clone, Debug)]
pub struct Context {
    /// Sends no write without the lease.
    pub client: Handle,
    /// What is known.
    pub world: Arc<World>,
    /// Says things to users.
    pub announcer: Announcer,
    /// Counts things for operators.
    pub metrics: Arc<Metrics>,
    /// What the command line says about pods.
    pub settings: Arc<Settings>,
    /// Owners of addresses, read live.
    pub workloads: Arc<Workloads>,
}

/// The client, which prints as nothing.
#[derive(Clone)]
pub struct Handle(pub Client);

impl Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// A piece of work that will be tried again.
#[derive(Debug, thiserror::Error)]
#[error("{verb} {object}: {source}")]
pub struct WriteError {
    /// What was attempted.
    pub verb: &'static str,
    /// On which object.
    pub object: String,
    /// Why it did not work.
    #[source]
    pub source: kube::Error,
}

impl WriteError {
    /// About an object of the kind `K`.
    pub fn new<K: Resource<DynamicType = ()>>(verb: &'static str, key: &Key, source: kube::Error) -> Self {
        Self {
            verb,
            object: format!("{} {key}", K::kind(&())),
            source,
        }
    }

    /// Whether the object was another one than we thought.
    pub fn is_conflict(&self) -> bool {
        matches!(&self.source, kube::Error::Api(status) if status.code == 409)
    }
}

impl Context {
    /// All objects of a kind without namespaces.
    pub fn all<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = ()>,
    {
        Api::all(self.client.0.clone())
    }

    /// The objects of a kind in a namespace.
    pub fn in_namespace<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.0.clone(), namespace)
    }

    /// Changes an object by a merge patch. Gone counts as done.
    pub async fn patch<K: Kind>(&self, api: &Api<K>, key: &Key, patch: &Value) -> Result<(), WriteError> {
        self.patch_if_there(api, key, patch).await.map(|_| ())
    }

    /// Changes an object by a merge patch. Says whether it is still there.
    pub async fn patch_if_there<K: Kind>(
        &self,
        api: &Api<K>,
        key: &Key,
        patch: &Value,
    ) -> Result<bool, WriteError> {
        let answer = api
            .patch(&key.name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        self.took("patch", key, answer)
    }

    /// Changes the status of an object as it was seen: it is refused when the object has changed meanwhile.
    /// Gone counts as done.
    pub async fn patch_status_of<K: Kind>(
        &self,
        api: &Api<K>,
        object: &K,
        status: Value,
    ) -> Result<(), WriteError> {
        let key = Key::of(object);
        let version = &object.meta().resource_version;
        let patch = json!({"metadata": {"resourceVersion": version}, "status": status});
        let answer = api
            .patch_status(&key.name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        self.took("patch status of", &key, answer).map(|_| ())
    }

    /// Changes the status of an object. Gone counts as done.
    pub async fn patch_status<K: Kind>(
        &self,
        api: &Api<K>,
        key: &Key,
        status: Value,
    ) -> Result<(), WriteError> {
        let patch = json!({ "status": status });
        let answer = api
            .patch_status(&key.name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        self.took("patch status of", key, answer).map(|_| ())
    }

    fn took<K: Kind>(
        &self,
        verb: &'static str,
        key: &Key,
        answer: Result<K, kube::Error>,
    ) -> Result<bool, WriteError> {
        match answer {
            Ok(object) => {
                self.world.learn(object);
                Ok(true)
            }
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(WriteError::new::<K>(verb, key, error)),
        }
    }
}

/// Whether the server says that there is no such object.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// The finalizers of an object without `finalizer`, as a patch that is refused when the object has
/// changed meanwhile: others may hold finalizers too. Nothing when it is not there.
pub fn without_finalizer(object: &impl Resource, finalizer: &str) -> Option<Value> {
    let meta = object.meta();
    let all = meta.finalizers.as_ref()?;
    let rest: Vec<_> = all.iter().filter(|one| *one != finalizer).collect();
    (rest.len() < all.len())
        .then(|| json!({"metadata": {"resourceVersion": meta.resource_version, "finalizers": rest}}))
}

/// The finalizers of an object with `finalizer` among them; nothing when it is there already.
pub fn with_finalizer(object: &impl Resource, finalizer: &str) -> Option<Value> {
    let meta = object.meta();
    let mut all = meta.finalizers.clone().unwrap_or_default();
    if all.iter().any(|one| one == finalizer) {
        return None;
    }
    all.push(finalizer.to_owned());
    Some(json!({"metadata": {"resourceVersion": meta.resource_version, "finalizers": all}}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::subnet;

    #[test]
    fn only_the_own_finalizer_is_taken_away_and_only_from_the_version_that_was_seen() {
        let object = subnet("s", "net", "10.0.0.0/24")
            .version(7)
            .finalizer("theirs")
            .finalizer("ours")
            .build();

        let patch = without_finalizer(&object, "ours").unwrap();

        assert_eq!(
            patch,
            json!({"metadata": {"resourceVersion": "7", "finalizers": ["theirs"]}})
        );
        assert_eq!(without_finalizer(&object, "other"), None);
        assert_eq!(with_finalizer(&object, "ours"), None);
    }
}
