//! What happens to pods on a stage, and what becomes of their addresses.

use anyhow::{Context, Result};
use hybridnet_tests::wait::until;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde_json::{Value, json};

use super::{IP_INSTANCE, Kind, LIMIT, POD, Stage, text};
use crate::objects::{Object, pod};

impl Stage {
    /// The addresses that bear a pod's label, IPv4 first.
    pub(crate) async fn held(&self, pod: &str) -> Result<Vec<Value>> {
        self.labelled(&format!("networking.alibaba.com/pod={pod}")).await
    }

    /// The addresses of a label, IPv4 first.
    pub(crate) async fn labelled(&self, selector: &str) -> Result<Vec<Value>> {
        let listed = self
            .api(IP_INSTANCE)
            .list(&ListParams::default().labels(selector))
            .await?;
        let mut found = listed
            .items
            .into_iter()
            .map(serde_json::to_value)
            .collect::<Result<Vec<_>, _>>()?;
        found.sort_by_key(|one| one["spec"]["address"]["version"].to_string());
        Ok(found)
    }

    async fn held_when(&self, pod: &str, what: &str, holds: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
        until(
            &format!("{pod} in {}: {what}", self.namespace),
            LIMIT,
            async || {
                let held = self.held(pod).await?;
                if holds(&held) {
                    return Ok(Ok(held));
                }
                let told = self.events(pod).await?;
                Ok(Err(format!("{} and events {told:?}", Value::from(held))))
            },
        )
        .await
    }

    /// Waits until the pod that is there now has exactly so many addresses.
    pub(crate) async fn bound(&self, pod: &str, count: usize) -> Result<Vec<Value>> {
        let now = self
            .get(POD, pod)
            .await?
            .with_context(|| format!("pod {pod} is not there"))?;
        let uid = &now["metadata"]["uid"];
        let is_bound = |one: &Value| one["spec"]["binding"]["podUID"] == *uid && lives(one);
        let what = format!("{count} addresses");
        self.held_when(pod, &what, |held| {
            held.len() == count && held.iter().all(is_bound)
        })
        .await
    }

    /// Waits until exactly so many addresses are kept for a pod of this name, and none is bound.
    pub(crate) async fn reserved(&self, pod: &str, count: usize) -> Result<Vec<Value>> {
        let is_kept = |one: &Value| text(&one["spec"]["binding"]["nodeName"]).is_empty() && lives(one);
        let what = format!("{count} addresses reserved");
        self.held_when(pod, &what, |held| held.len() == count && held.iter().all(is_kept))
            .await
    }

    /// Waits until no address bears the pod's name.
    pub(crate) async fn freed(&self, pod: &str) -> Result<()> {
        self.held_when(pod, "no address", <[Value]>::is_empty)
            .await
            .map(drop)
    }

    /// `reason: note` of the events about an object of this namespace.
    pub(crate) async fn events(&self, about: &str) -> Result<Vec<String>> {
        self.events_in(&self.namespace, about).await
    }

    async fn events_in(&self, namespace: &str, about: &str) -> Result<Vec<String>> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Event"));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        let filter = ListParams::default().fields(&format!("involvedObject.name={about}"));
        let listed = api.list(&filter).await?.items.into_iter();
        Ok(listed
            .map(|event| {
                format!(
                    "{}: {}",
                    text(&event.data["reason"]),
                    text(&event.data["message"])
                )
            })
            .collect())
    }

    /// Waits for an event about an object of this namespace that has all the words; answers with it.
    pub(crate) async fn told(&self, about: &str, words: &[&str]) -> Result<String> {
        self.told_in(&self.namespace, about, words).await
    }

    /// The same about an object that is in no namespace.
    pub(crate) async fn told_of_cluster(&self, about: &str, words: &[&str]) -> Result<String> {
        self.told_in("default", about, words).await
    }

    async fn told_in(&self, namespace: &str, about: &str, words: &[&str]) -> Result<String> {
        until(
            &format!("an event of {about} with {words:?}"),
            LIMIT,
            async || {
                let all = self.events_in(namespace, about).await?;
                let hit = all
                    .iter()
                    .find(|event| words.iter().all(|word| event.contains(word)));
                Ok(hit.cloned().ok_or_else(|| format!("{all:?}")))
            },
        )
        .await
    }

    /// Tells that the pod's container runs, as its kubelet.
    pub(crate) async fn runs(&self, pod: &str) -> Result<()> {
        let state = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
        self.tell(POD, pod, container("Running", state)).await
    }

    /// Tells that the pod's container has ended; the phase says how the pod stands.
    pub(crate) async fn stopped(&self, pod: &str, phase: &str) -> Result<()> {
        let state = json!({"terminated": {"exitCode": 0}});
        self.tell(POD, pod, container(phase, state)).await
    }

    /// Waits until the manager has seen all that happened before: a pod that comes now has its address.
    pub(crate) async fn fence(&self, node: &str) -> Result<()> {
        self.create(pod("fence").past_the_webhook().on(node)).await?;
        self.held_when("fence", "an address", |held| !held.is_empty())
            .await?;
        self.remove(POD, "fence").await?;
        self.freed("fence").await
    }

    /// Creates a pod and waits for its addresses.
    pub(crate) async fn start(&self, pod: Object, count: usize) -> Result<Vec<Value>> {
        let created = self.create(pod).await?;
        self.bound(text(&created["metadata"]["name"]), count).await
    }

    /// Deletes pods and waits until they and their addresses are gone; for those of no stateful workload.
    pub(crate) async fn clear(&self, pods: &[&str]) -> Result<()> {
        for pod in pods {
            self.remove(POD, pod).await?;
        }
        for pod in pods {
            self.freed(pod).await?;
        }
        Ok(())
    }

    /// Ends a stateful workload as the garbage collector would after its deletion, which does not run here: its
    /// pods, itself, and the addresses that it owns.
    pub(crate) async fn end_workload(&self, kind: Kind, name: &str) -> Result<()> {
        let all = |list: Vec<DynamicObject>| -> Vec<String> {
            let owned = list.into_iter().filter(|object| {
                let owners = object.metadata.owner_references.iter().flatten();
                owners
                    .into_iter()
                    .any(|owner| owner.kind == kind.1 && owner.name == name)
            });
            owned.filter_map(|object| object.metadata.name).collect()
        };
        self.delete(kind, name).await?;
        for owned in [POD, IP_INSTANCE] {
            for found in all(self.api(owned).list(&ListParams::default()).await?.items) {
                self.remove(owned, &found).await?;
            }
        }
        Ok(())
    }
}

fn container(phase: &str, state: Value) -> Value {
    json!({"phase": phase, "containerStatuses": [{
        "name": "c", "image": "none", "imageID": "", "ready": false, "restartCount": 0, "state": state}]})
}

fn lives(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_null()
}
