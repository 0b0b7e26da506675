//! A namespace on the control plane, and what happens in it by hand: no kubelet, no scheduler and no controller but
//! ours is there, so the test places pods, tells their states and lets them go.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::wait::{Look, until};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::objects::{Object, node, object, underlay};

mod pods;

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A kind of objects in the API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind(pub &'static str, pub &'static str);

pub(crate) const POD: Kind = Kind("v1", "Pod");
pub(crate) const NODE: Kind = Kind("v1", "Node");
pub(crate) const STATEFUL_SET: Kind = Kind("apps/v1", "StatefulSet");
pub(crate) const NETWORK: Kind = Kind("networking.alibaba.com/v1", "Network");
pub(crate) const SUBNET: Kind = Kind("networking.alibaba.com/v1", "Subnet");
pub(crate) const IP_INSTANCE: Kind = Kind("networking.alibaba.com/v1", "IPInstance");

const CLUSTER_WIDE: [&str; 11] = [
    "Network",
    "Subnet",
    "Node",
    "Namespace",
    "CustomResourceDefinition",
    "RemoteCluster",
    "RemoteSubnet",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

/// The namespace.
pub(crate) struct Stage {
    client: Client,
    namespace: String,
}

impl Stage {
    /// One of this name.
    pub(crate) async fn new(cluster: &Cluster, name: &str) -> Result<Self> {
        Self::saying(cluster, name, &[]).await
    }

    /// One with annotations of ours, without their prefix.
    pub(crate) async fn saying(cluster: &Cluster, name: &str, annotations: &[(&str, &str)]) -> Result<Self> {
        let stage = Self::existing(cluster, name).await?;
        let namespace = annotations
            .iter()
            .fold(object("v1", "Namespace", name), |namespace, (key, value)| {
                namespace.says(key, value)
            });
        stage.create(namespace).await?;
        // What a controller manager would have made: no pod is admitted without.
        stage.create(object("v1", "ServiceAccount", "default")).await?;
        Ok(stage)
    }

    /// One that is there already.
    pub(crate) async fn existing(cluster: &Cluster, name: &str) -> Result<Self> {
        Ok(Self {
            client: cluster.kube().await?,
            namespace: name.to_owned(),
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.namespace
    }

    /// The objects of a kind.
    pub(crate) fn api(&self, kind: Kind) -> Api<DynamicObject> {
        self.api_of(kind.0, kind.1)
    }

    fn api_of(&self, version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        if CLUSTER_WIDE.contains(&kind) {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
        }
    }

    /// Creates an object; the answer is what the API server made of it.
    pub(crate) async fn create(&self, object: impl Into<Value>) -> Result<Value> {
        self.post(object.into(), false).await
    }

    /// The same without leaving anything behind.
    pub(crate) async fn try_create(&self, object: impl Into<Value>) -> Result<Value> {
        self.post(object.into(), true).await
    }

    async fn post(&self, object: Value, dry_run: bool) -> Result<Value> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let what = format!("create {kind} {}", text(&object["metadata"]["name"]));
        let parameters = PostParams {
            dry_run,
            ..PostParams::default()
        };
        let object = serde_json::from_value(object)?;
        let created = self.api_of(&version, &kind).create(&parameters, &object).await;
        let mut created = serde_json::to_value(created.context(what)?)?;
        created["apiVersion"] = version.into();
        created["kind"] = kind.into();
        Ok(created)
    }

    /// An Underlay network with a node and a Subnet, all of the Subnet's name.
    pub(crate) async fn underlay(&self, net_id: i32, range: Object) -> Result<()> {
        let range = Value::from(range);
        let name = name(&range);
        self.create(node(name).labelled("network", name)).await?;
        self.create(underlay(name, net_id)).await?;
        self.create(range.clone()).await.map(drop)
    }

    /// The object as it is now.
    pub(crate) async fn get(&self, kind: Kind, name: &str) -> Result<Option<Value>> {
        let found = self.api(kind).get_opt(name).await?;
        found.map(serde_json::to_value).transpose().context("object")
    }

    /// A merge patch.
    pub(crate) async fn change(&self, kind: Kind, name: &str, patch: Value) -> Result<Value> {
        let changed = self
            .api(kind)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        let changed = changed.with_context(|| format!("change {} {name}", kind.1))?;
        Ok(serde_json::to_value(changed)?)
    }

    /// A merge patch of the status, as a kubelet or our daemon writes it.
    pub(crate) async fn tell(&self, kind: Kind, name: &str, status: Value) -> Result<()> {
        let patch = Patch::Merge(json!({"status": status}));
        let told = self
            .api(kind)
            .patch_status(name, &PatchParams::default(), &patch)
            .await;
        told.map(drop)
            .with_context(|| format!("status of {} {name}", kind.1))
    }

    /// Deletes an object at once, as far as finalizers allow; one that is not there is no error.
    pub(crate) async fn delete(&self, kind: Kind, name: &str) -> Result<()> {
        self.delete_within(kind, name, 0).await
    }

    /// Deletes an object; a pod on a node stays for so many seconds, or until its kubelet lets it go.
    pub(crate) async fn delete_within(&self, kind: Kind, name: &str, seconds: u32) -> Result<()> {
        let options = DeleteParams {
            grace_period_seconds: Some(seconds),
            ..DeleteParams::default()
        };
        match self.api(kind).delete(name, &options).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            outcome => outcome
                .map(drop)
                .with_context(|| format!("delete {} {name}", kind.1)),
        }
    }

    /// Deletes an object and waits until it is gone.
    pub(crate) async fn remove(&self, kind: Kind, name: &str) -> Result<()> {
        self.delete(kind, name).await?;
        self.gone(kind, name).await
    }

    /// Waits until an object is gone.
    pub(crate) async fn gone(&self, kind: Kind, name: &str) -> Result<()> {
        until(&format!("{} {name} gone", kind.1), LIMIT, async || {
            let found = self.get(kind, name).await?;
            Ok(found.map_or(Ok(()), |object| Err(object["metadata"].to_string())))
        })
        .await
    }

    /// Waits until an object is as it should be.
    pub(crate) async fn is(
        &self,
        kind: Kind,
        name: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        until(&format!("{} {name} {what}", kind.1), LIMIT, async || {
            let found = self.get(kind, name).await?.context("it is not there")?;
            Ok(if holds(&found) {
                Ok(found)
            } else {
                Err(found.to_string())
            })
        })
        .await
    }

    /// Waits until a condition of an object has a status; the answer is its message.
    pub(crate) async fn condition(
        &self,
        kind: Kind,
        name: &str,
        type_: &str,
        status: &str,
    ) -> Result<String> {
        let of_type = |object: &Value| {
            let all = object["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            all.into_iter().find(|condition| condition["type"] == type_)
        };
        let holds = |object: &Value| of_type(object).is_some_and(|condition| condition["status"] == status);
        let object = self.is(kind, name, &format!("{type_}={status}"), holds).await?;
        let message = of_type(&object).and_then(|condition| condition["message"].as_str().map(str::to_owned));
        Ok(message.unwrap_or_default())
    }

    /// Asks the API server for an object, and fails unless it refuses with all the words.
    pub(crate) async fn refused(&self, object: impl Into<Value>, words: &[&str]) -> Result<()> {
        let object = object.into();
        expect_refusal(self.try_create(object.clone()).await, &object, words)
    }

    /// Asks for a change, and fails unless it is refused with all the words.
    pub(crate) async fn change_refused(
        &self,
        kind: Kind,
        name: &str,
        patch: Value,
        words: &[&str],
    ) -> Result<()> {
        let asked = self.change(kind, name, patch.clone()).await;
        expect_refusal(asked, &patch, words)
    }

    /// Waits until something is so.
    pub(crate) async fn until<T>(&self, what: &str, look: impl AsyncFnMut() -> Result<Look<T>>) -> Result<T> {
        until(what, LIMIT, look).await
    }
}

fn expect_refusal(answer: Result<Value>, asked: &Value, words: &[&str]) -> Result<()> {
    let Err(error) = answer else {
        bail!("accepted: {asked}");
    };
    let text = format!("{error:#}");
    for word in words {
        if !text.contains(word) {
            bail!("{word:?} is not in the refusal {text:?} of {asked}");
        }
    }
    Ok(())
}

/// A text, or an empty one.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The address, with its prefix length.
pub(crate) fn ip(instance: &Value) -> &str {
    text(&instance["spec"]["address"]["ip"])
}

/// The MAC.
pub(crate) fn mac(instance: &Value) -> &str {
    text(&instance["spec"]["address"]["mac"])
}

/// The object's name.
pub(crate) fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

/// The object's UID.
pub(crate) fn uid(object: &Value) -> &str {
    text(&object["metadata"]["uid"])
}

/// The version that the API server counts.
pub(crate) fn version(object: &Value) -> &str {
    text(&object["metadata"]["resourceVersion"])
}
