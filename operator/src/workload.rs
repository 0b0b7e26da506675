//! The workloads that addresses belong to, of whatever kind: whether they are there, how many pods they
//! want, and for how long they keep the addresses of pods that they no longer want.
//!
//! They are read live, never watched: only those are asked for that own an address which no pod has. Which
//! path a kind is served at is found out once and remembered; [`interpret`] says what an object means.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hybridnet_api::IpInstance;
use hybridnet_api::object_name::is_object_name;
use hybridnet_api::pod::controller_of;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use kube::discovery::{self, Scope};
use kube::{Api, Client};
use tokio::time::Instant;
use tracing::debug;

use crate::context::Handle;
pub use crate::workload::interpret::Workload;

pub mod interpret;

/// The same object is not read again for this long: many addresses have one owner.
const FRESH: Duration = Duration::from_secs(5);
/// A kind that is not served, or that we may not ask for, is asked for again after this.
const FRUITLESS: Duration = Duration::from_mins(1);

/// What an owner reference says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadRef {
    /// Group and version.
    pub api_version: String,
    /// Of the object.
    pub kind: String,
    /// Of the object that has the reference, and of the workload unless its kind is cluster-wide.
    pub namespace: String,
    /// Of the workload.
    pub name: String,
    /// Of the workload that was meant; one of the same name may be another.
    pub uid: String,
}

impl WorkloadRef {
    /// Of a reference that an object of the namespace has.
    pub fn of(namespace: &str, reference: &OwnerReference) -> Self {
        Self {
            api_version: reference.api_version.clone(),
            kind: reference.kind.clone(),
            namespace: namespace.to_owned(),
            name: reference.name.clone(),
            uid: reference.uid.clone(),
        }
    }

    /// The owner of an address. An orphan, whose reference was taken away, is known by what its binding
    /// refers to; there the group is not recorded, so only kinds of a well-known group are found.
    pub fn of_instance(instance: &IpInstance) -> Option<Self> {
        let namespace = instance.metadata.namespace.as_deref().unwrap_or_default();
        if let Some(reference) = controller_of(&instance.metadata) {
            return Some(Self::of(namespace, reference));
        }
        let referred = &instance.spec.binding.as_ref()?.referred_object;
        let api_version = well_known(&referred.kind)?;
        Some(Self {
            api_version: api_version.to_owned(),
            kind: referred.kind.clone(),
            namespace: namespace.to_owned(),
            name: referred.name.clone(),
            uid: referred.uid.clone(),
        })
    }

    /// For events about the workload.
    pub fn object_reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(self.api_version.clone()),
            kind: Some(self.kind.clone()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }

    /// Nobody checks what an owner reference says, and here it becomes a part of a path.
    fn can_be(&self) -> bool {
        let is_kind = !self.kind.is_empty() && self.kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_kind && self.api_version.splitn(2, '/').all(is_object_name) && is_object_name(&self.name)
    }

    fn gvk(&self) -> GroupVersionKind {
        let types = TypeMeta {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
        };
        // A version that cannot be split is one that no server serves.
        GroupVersionKind::try_from(types)
            .unwrap_or_else(|_| GroupVersionKind::gvk("", &self.api_version, &self.kind))
    }
}

impl Display for WorkloadRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

fn well_known(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some("v1"),
        "StatefulSet" => Some("apps/v1"),
        "VirtualMachine" | "VirtualMachineInstance" => Some("kubevirt.io/v1"),
        _ => None,
    }
}

/// Where a kind is served.
#[derive(Clone, Debug)]
struct Served {
    resource: ApiResource,
    scope: Scope,
}

impl Served {
    fn api(&self, client: Client, namespace: &str) -> Api<DynamicObject> {
        match self.scope {
            Scope::Cluster => Api::all_with(client, &self.resource),
            Scope::Namespaced => Api::namespaced_with(client, namespace, &self.resource),
        }
    }
}

/// Where a kind is served, or why that is not known, since when.
type Discovered = (Instant, Result<Served, String>);

/// Reads workloads.
#[derive(Debug)]
pub struct Workloads {
    client: Handle,
    kinds: Mutex<HashMap<GroupVersionKind, Discovered>>,
    answers: Mutex<HashMap<WorkloadRef, (Instant, Workload)>>,
}

impl Workloads {
    /// By this client.
    pub fn new(client: Handle) -> Self {
        Self {
            client,
            kinds: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// The workload as it is, or was some seconds ago.
    pub async fn resolve(&self, of: &WorkloadRef) -> Workload {
        let known = {
            let now = Instant::now();
            let mut answers = lock(&self.answers);
            answers.retain(|_, (at, _)| now.duration_since(*at) < FRESH);
            answers.get(of).map(|(_, workload)| workload.clone())
        };
        match known {
            Some(workload) => workload,
            None => self.resolve_now(of).await,
        }
    }

    /// The workload as it is.
    pub async fn resolve_now(&self, of: &WorkloadRef) -> Workload {
        let asked = Instant::now();
        let workload = match self.read(of).await {
            Ok(workload) => workload,
            Err(why) => {
                debug!(workload = %of, why, "not known");
                Workload::Unknown { why }
            }
        };
        lock(&self.answers).insert(of.clone(), (asked, workload.clone()));
        workload
    }

    async fn read(&self, of: &WorkloadRef) -> Result<Workload, String> {
        if !of.can_be() {
            return Err(format!(
                "{of} of {:?} is not the name of an object: correct the owner reference",
                of.api_version
            ));
        }
        let served = self.served(&of.gvk()).await?;
        let api = served.api(self.client.0.clone(), &of.namespace);
        match api.get(&of.name).await {
            Ok(object) => Ok(interpret::interpret(&object)),
            Err(error) if is_about(&error, &of.name) => Ok(Workload::Gone),
            Err(error) => {
                if matches!(&error, kube::Error::Api(status) if status.code == 404) {
                    // The kind itself went since we asked for it.
                    lock(&self.kinds).remove(&of.gvk());
                }
                Err(format!("get {of}: {error}"))
            }
        }
    }

    async fn served(&self, gvk: &GroupVersionKind) -> Result<Served, String> {
        let known = lock(&self.kinds).get(gvk).cloned();
        let still =
            |(at, served): &Discovered| served.is_ok() || Instant::now().duration_since(*at) < FRUITLESS;
        if let Some((_, served)) = known.filter(still) {
            return served;
        }
        let found = self.discover(gvk).await;
        // What was only not answered is asked again at once.
        if !matches!(&found, Err((false, _))) {
            let found = found.clone().map_err(|(_, why)| why);
            lock(&self.kinds).insert(gvk.clone(), (Instant::now(), found));
        }
        found.map_err(|(_, why)| why)
    }

    /// The version of the reference, else the one that the server prefers now: references keep the version
    /// of their time. An error says whether the server answered.
    async fn discover(&self, gvk: &GroupVersionKind) -> Result<Served, (bool, String)> {
        let client = &self.client.0;
        let said = |error: &kube::Error| {
            let answered = matches!(error, kube::Error::Discovery(_))
                || matches!(error, kube::Error::Api(status) if (400..500).contains(&status.code));
            (
                answered,
                format!("kind {} of {}: {error}", gvk.kind, gvk.api_version()),
            )
        };
        match discovery::pinned_kind(client, gvk).await {
            Ok((resource, capabilities)) => Ok(Served {
                resource,
                scope: capabilities.scope,
            }),
            Err(error) if said(&error).0 => {
                let group = discovery::group(client, &gvk.group)
                    .await
                    .map_err(|error| said(&error))?;
                let found = group.recommended_kind(&gvk.kind);
                found
                    .map(|(resource, capabilities)| Served {
                        resource,
                        scope: capabilities.scope,
                    })
                    .ok_or_else(|| said(&error))
            }
            Err(error) => Err(said(&error)),
        }
    }
}

/// Whether the server says that there is no object of the name. That it does not know the path is another
/// answer with the same code.
fn is_about(error: &kube::Error, name: &str) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let named = |details: &kube::core::response::StatusDetails| details.name == name;
    status.code == 404 && status.reason == "NotFound" && status.details.as_ref().is_some_and(named)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
