//! What this node tells the others: its `NodeInfo` (datapath spec 3.5). The others program their tunnels from
//! it, so it is written early, and never blanked: a node that cannot say better leaves what it said before.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hybridnet_api::node_info::VtepInfo;
use hybridnet_api::{NodeInfo, NodeInfoSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tracing::info;

use crate::plan::{Plan, Problem};

/// Whether this node does everything that the API asks.
const READY: &str = "Ready";
/// A condition is read by people.
const LONGEST_MESSAGE: usize = 4096;

/// Why a `NodeInfo` could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It would come back by itself, from the watch.
    #[error("NodeInfo {0} is being deleted: not changed")]
    Terminating(String),
    /// Its owner would be an object that does not exist, and the collector of garbage would remove it.
    #[error("NodeInfo {0} is not written: there is no Node of that name, which the kubelet has to register")]
    NoNode(String),
    /// The API server refused or did not answer.
    #[error("NodeInfo {name}: {attempt}")]
    Api {
        /// Of the object.
        name: String,
        /// What was tried.
        attempt: &'static str,
        /// What came of it.
        #[source]
        source: kube::Error,
    },
}

impl PublishError {
    /// Whether the object went without our notice.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Api { source: kube::Error::Api(status), .. } if status.code == 404)
    }
}

/// What is needed of the Node object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Its UID; empty while the object does not exist any more.
    pub uid: String,
    /// Its addresses, `InternalIP` first.
    pub addresses: Vec<IpAddr>,
}

impl NodeFacts {
    /// From the object.
    pub fn of(node: &Node) -> Self {
        let addresses = node
            .status
            .iter()
            .flat_map(|status| status.addresses.iter().flatten());
        let mut addresses: Vec<_> = addresses
            .filter_map(|address| Some((address.type_ != "InternalIP", address.address.parse().ok()?)))
            .collect();
        // Stable: within a type the order of the object stays.
        addresses.sort_by_key(|(other, _)| *other);
        Self {
            name: node.name_any(),
            uid: node.uid().unwrap_or_default(),
            addresses: addresses.into_iter().map(|(_, ip)| ip).collect(),
        }
    }

    fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(false),
        }
    }
}

/// What the others must know, if the plan has a tunnel.
pub fn vtep(plan: &Plan) -> Option<VtepInfo> {
    let vxlan = plan.vxlan.as_ref()?;
    // The original sorts them as texts.
    let local_ips: BTreeSet<_> = vxlan
        .addresses
        .iter()
        .map(|address| address.ip().to_string())
        .collect();
    Some(VtepInfo {
        ip: vxlan.local.to_string(),
        mac: vxlan.mac.to_string(),
        local_ips: local_ips.into_iter().collect(),
    })
}

/// The condition that tells what is wrong; `old` keeps the time of its last transition.
pub fn condition(problems: &[Problem], old: Option<&Condition>, now: &Time) -> Condition {
    let status = if problems.is_empty() { "True" } else { "False" };
    let last_transition_time = match old {
        Some(old) if old.status == status => old.last_transition_time.clone(),
        _ => now.clone(),
    };
    Condition {
        type_: READY.into(),
        status: status.into(),
        reason: problems
            .first()
            .map_or("Converged", |problem| problem.reason)
            .into(),
        message: message(problems),
        last_transition_time,
        observed_generation: None,
    }
}

fn message(problems: &[Problem]) -> String {
    if problems.is_empty() {
        return "the node does what the API asks".into();
    }
    let mut message = String::new();
    for (number, problem) in problems.iter().enumerate() {
        let line = format!("{}: {}", problem.about, problem.message);
        if message.len() + line.len() > LONGEST_MESSAGE {
            return format!("{message}; and {} more", problems.len() - number);
        }
        if !message.is_empty() {
            message.push_str("; ");
        }
        message.push_str(&line);
    }
    message
}

/// What to do about the spec and the owner.
#[derive(Debug, PartialEq)]
enum Write {
    Nothing,
    Create(Box<NodeInfo>),
    Patch(Value),
}

fn write(have: Option<&NodeInfo>, vtep: &VtepInfo, node: &NodeFacts) -> Result<Write, PublishError> {
    let owners = vec![node.owner()];
    let Some(have) = have else {
        let mut object = NodeInfo::new(
            &node.name,
            NodeInfoSpec {
                vtep_info: Some(vtep.clone()),
            },
        );
        object.metadata.owner_references = Some(owners);
        return Ok(Write::Create(Box::new(object)));
    };
    if have.spec.vtep_info.as_ref() == Some(vtep) && have.owner_references() == owners {
        return Ok(Write::Nothing);
    }
    if have.metadata.deletion_timestamp.is_some() {
        return Err(PublishError::Terminating(node.name.clone()));
    }
    let patch = json!({"metadata": {"ownerReferences": owners}, "spec": {"vtepInfo": vtep}});
    Ok(Write::Patch(patch))
}

/// Writes this node's `NodeInfo`.
#[derive(Clone, Debug)]
pub struct Publisher {
    api: Api<NodeInfo>,
}

impl Publisher {
    /// One that writes by `client`.
    pub fn new(client: Client) -> Self {
        Self {
            api: Api::all(client),
        }
    }

    /// Makes the object say what `plan` and `problems` come to, and nothing if it does already. Gives the object
    /// after a write.
    pub async fn publish(
        &self,
        node: &NodeFacts,
        have: Option<&NodeInfo>,
        plan: &Plan,
        problems: &[Problem],
        now: &Time,
    ) -> Result<Option<NodeInfo>, PublishError> {
        if node.uid.is_empty() {
            return Err(PublishError::NoNode(node.name.clone()));
        }
        let mut written = None;
        if let Some(vtep) = vtep(plan) {
            written = self.write_spec(node, have, &vtep).await?;
        }
        let Some(latest) = written.as_ref().or(have) else {
            return Ok(None);
        };
        let conditions = latest
            .status
            .as_ref()
            .map_or(&[][..], |status| &status.conditions);
        let old = conditions.iter().find(|condition| condition.type_ == READY);
        let new = condition(problems, old, now);
        if written.is_none() && old == Some(&new) {
            return Ok(None);
        }
        let mut status = json!({"conditions": [new]});
        if written.is_some()
            && let Some(fields) = status.as_object_mut()
        {
            fields.insert("updateTimestamp".into(), json!(now));
        }
        let params = PatchParams::default();
        let patch = Patch::Merge(json!({"status": status}));
        let answer = self.api.patch_status(&node.name, &params, &patch).await;
        answer
            .map(Some)
            .map_err(|source| error(node, "patch status", source))
    }

    async fn write_spec(
        &self,
        node: &NodeFacts,
        have: Option<&NodeInfo>,
        vtep: &VtepInfo,
    ) -> Result<Option<NodeInfo>, PublishError> {
        let object = match write(have, vtep, node)? {
            Write::Nothing => return Ok(None),
            Write::Create(object) => {
                let answer = self.api.create(&PostParams::default(), &object).await;
                answer.map_err(|source| error(node, "create", source))?
            }
            Write::Patch(patch) => {
                let answer = self
                    .api
                    .patch(&node.name, &PatchParams::default(), &Patch::Merge(patch))
                    .await;
                answer.map_err(|source| error(node, "patch", source))?
            }
        };
        info!(ip = vtep.ip, mac = vtep.mac, local_ips = ?vtep.local_ips, "tunnel end published");
        Ok(Some(object))
    }
}

fn error(node: &NodeFacts, attempt: &'static str, source: kube::Error) -> PublishError {
    PublishError::Api {
        name: node.name.clone(),
        attempt,
        source,
    }
}

#[cfg(test)]
mod tests;
