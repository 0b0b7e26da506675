//! Pods with the few fields that decide about addresses: a tenth of the memory of the whole.

use std::borrow::Cow;

use hybridnet_api::names::finalizer;
use k8s_openapi::api::core::v1::Pod as Whole;
use kube::Resource;
use kube::api::ObjectMeta;
use kube::core::NamespaceResourceScope;
use serde::Deserialize;

/// A pod as the manager sees it.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Pod {
    /// Whole, less what the server manages.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Where it runs.
    #[serde(default)]
    pub spec: PodSpec,
    /// How it runs.
    #[serde(default)]
    pub status: PodStatus,
}

/// See [`Pod`].
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Empty until the scheduler has chosen.
    pub node_name: String,
    /// Such pods have no address of ours.
    pub host_network: bool,
    /// To be compared with the statuses.
    pub containers: Vec<Container>,
}

/// See [`Pod`].
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
pub struct Container {
    /// Unique in its pod.
    pub name: String,
}

/// See [`Pod`].
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: String,
    /// `Evicted` is the one that counts.
    pub reason: String,
    /// Set once the sandbox has its network.
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    /// Of the ordinary containers.
    pub container_statuses: Vec<ContainerStatus>,
}

/// See [`Pod`].
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
pub struct ContainerStatus {
    /// Of the container.
    pub name: String,
    /// What it does.
    pub state: ContainerState,
}

/// See [`Pod`].
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
pub struct ContainerState {
    /// Present while it runs.
    pub running: Option<Running>,
}

/// Whatever stands there.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Running {}

impl Pod {
    /// UID, or empty in tests that do not care.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The same pod, when nothing of it runs any more.
    #[must_use]
    pub fn without_containers(&self) -> Self {
        let mut ended = self.clone();
        ended.status.container_statuses.clear();
        ended
    }

    /// Whether it is on its way out.
    pub fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether our finalizer holds it.
    pub fn has_finalizer(&self) -> bool {
        let finalizers = self.metadata.finalizers.as_ref();
        finalizers.is_some_and(|all| all.iter().any(|one| one == finalizer::IP_ALLOCATED))
    }

    /// Whether the node threw it out.
    pub fn is_evicted(&self) -> bool {
        self.status.phase == "Failed" && self.status.reason == "Evicted"
    }

    /// Whether all of its containers have ended well: it will not run again.
    pub fn is_completed(&self) -> bool {
        let told = |name: &str| {
            self.status
                .container_statuses
                .iter()
                .any(|status| status.name == name)
        };
        self.status.phase == "Succeeded" && self.spec.containers.iter().all(|container| told(&container.name))
    }

    /// Whether it will not run again, however it ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Whether any ordinary container runs.
    pub fn runs(&self) -> bool {
        let mut statuses = self.status.container_statuses.iter();
        statuses.any(|status| status.state.running.is_some())
    }
}

impl Resource for Pod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Whole::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Whole::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Whole::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Whole::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns"},
            "spec": {"nodeName": "n", "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]},
            "status": status}))
        .unwrap()
    }

    #[test]
    fn a_pod_is_completed_when_every_container_has_a_status() {
        let statuses = |names: &[&str]| {
            let all: Vec<_> = names
                .iter()
                .map(|name| json!({"name": name, "state": {"terminated": {"exitCode": 0}}}))
                .collect();
            json!({"phase": "Succeeded", "containerStatuses": all})
        };

        assert!(pod(statuses(&["a", "b"])).is_completed());
        assert!(!pod(statuses(&["a"])).is_completed());
        assert!(!pod(json!({"phase": "Failed", "reason": "Error"})).is_completed());
    }

    #[test]
    fn a_running_container_is_seen_and_the_others_do_not_count() {
        let running = json!({"name": "b", "state": {"running": {"startedAt": "2024-01-01T00:00:00Z"}}});
        let waiting = json!({"name": "a", "state": {"waiting": {"reason": "CrashLoopBackOff"}}});

        assert!(pod(json!({"containerStatuses": [waiting.clone(), running]})).runs());
        assert!(!pod(json!({"containerStatuses": [waiting]})).runs());
        assert!(!pod(json!({})).runs());
    }

    #[test]
    fn it_is_asked_for_at_the_address_of_pods() {
        assert_eq!(Pod::url_path(&(), Some("ns")), "/api/v1/namespaces/ns/pods");
    }
}
