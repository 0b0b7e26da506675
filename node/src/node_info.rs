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
mod tests {
    use hybridnet_service::testing::{Answer, FakeApi};
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::plan::plan;
    use crate::testing::world;

    fn facts() -> NodeFacts {
        let node = json!({"metadata": {"name": "node1", "uid": "u1"}, "status": {"addresses": [
            {"type": "Hostname", "address": "node1"}, {"type": "ExternalIP", "address": "1.2.3.4"},
            {"type": "InternalIP", "address": "192.168.0.1"}, {"type": "InternalIP", "address": "fd00:1::1"}]}});
        NodeFacts::of(&serde_json::from_value(node).unwrap())
    }

    fn at(seconds: i64) -> Time {
        Time(Timestamp::from_second(seconds).unwrap())
    }

    fn problem(reason: &'static str) -> Problem {
        Problem {
            about: "Network a".into(),
            reason,
            message: "no good".into(),
        }
    }

    /// An API server that keeps one `NodeInfo` and merges patches into it.
    fn server(start: Value) -> FakeApi {
        let state = std::sync::Mutex::new(start);
        FakeApi::new(move |seen| {
            let mut state = state.lock().unwrap();
            if seen.method == http::Method::POST {
                *state = seen.body.clone();
            } else {
                merge(&mut state, &seen.body);
            }
            Answer::ok(state.clone())
        })
    }

    fn merge(into: &mut Value, patch: &Value) {
        match (into.as_object_mut(), patch.as_object()) {
            (Some(into), Some(patch)) => {
                for (key, value) in patch {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
            _ => *into = patch.clone(),
        }
    }

    #[test]
    fn addresses_of_the_node_are_read_with_the_internal_ones_first() {
        let read: Vec<_> = facts().addresses.iter().map(ToString::to_string).collect();

        assert_eq!(read, ["192.168.0.1", "fd00:1::1", "1.2.3.4"]);
    }

    #[tokio::test]
    async fn a_new_node_publishes_itself_and_a_second_time_writes_nothing() {
        let (api, plan) = (server(Value::Null), plan(&world()));
        let publisher = Publisher::new(api.client());

        let written = publisher
            .publish(&facts(), None, &plan, &[], &at(1))
            .await
            .unwrap()
            .unwrap();
        let again = publisher
            .publish(&facts(), Some(&written), &plan, &[], &at(2))
            .await
            .unwrap();

        assert_eq!(again, None);
        let path = "/apis/networking.alibaba.com/v1/nodeinfoes";
        assert_eq!(
            api.requests(),
            [format!("POST {path}"), format!("PATCH {path}/node1/status")]
        );
        insta::assert_json_snapshot!(written);
    }

    #[tokio::test]
    async fn another_address_is_patched_and_nothing_else_of_the_object_is_touched() {
        let api = server(json!({"metadata": {"name": "node1", "labels": {"a": "b"}},
            "spec": {"vtepInfo": {"ip": "192.168.0.9", "mac": "02:00:00:00:00:01", "localIPs": null}}}));
        let have: NodeInfo = serde_json::from_value(json!({"metadata": {"name": "node1"},
            "spec": {"vtepInfo": {"ip": "192.168.0.9", "mac": "02:00:00:00:00:01"}}}))
        .unwrap();

        let written = Publisher::new(api.client())
            .publish(&facts(), Some(&have), &plan(&world()), &[], &at(1))
            .await
            .unwrap()
            .unwrap();

        assert_eq!(written.spec.vtep_info.unwrap().ip, "192.168.0.1");
        assert_eq!(written.metadata.labels.unwrap().len(), 1);
        assert_eq!(api.seen()[1].body["status"]["updateTimestamp"], json!(at(1)));
    }

    #[tokio::test]
    async fn without_a_tunnel_the_object_is_not_blanked_but_says_what_is_wrong() {
        let have = server(Value::Null);
        let publisher = Publisher::new(have.client());
        let good = publisher
            .publish(&facts(), None, &plan(&world()), &[], &at(1))
            .await
            .unwrap()
            .unwrap();

        let api = server(serde_json::to_value(&good).unwrap());
        let problems = [problem("NoTunnelLink")];
        let written = Publisher::new(api.client())
            .publish(&facts(), Some(&good), &Plan::default(), &problems, &at(2))
            .await
            .unwrap()
            .unwrap();

        assert_eq!(written.spec, good.spec);
        let status = written.status.unwrap();
        assert_eq!(status.update_timestamp, Some(at(1)), "the spec has not changed");
        let [condition] = &status.conditions[..] else {
            panic!("{:?}", status.conditions)
        };
        assert_eq!(
            (condition.status.as_str(), condition.reason.as_str()),
            ("False", "NoTunnelLink")
        );
        assert_eq!(condition.message, "Network a: no good");
    }

    #[tokio::test]
    async fn a_node_without_a_tunnel_and_without_an_object_writes_none() {
        let api = server(Value::Null);

        let written = Publisher::new(api.client())
            .publish(&facts(), None, &Plan::default(), &[], &at(1))
            .await;

        assert_eq!((written.unwrap(), api.requests().len()), (None, 0));
    }

    #[test]
    fn an_object_that_is_being_deleted_is_left_alone() {
        let mut have = NodeInfo::new("node1", NodeInfoSpec::default());
        have.metadata.deletion_timestamp = Some(at(1));

        let refused = write(Some(&have), &vtep(&plan(&world())).unwrap(), &facts());

        assert!(matches!(refused, Err(PublishError::Terminating(name)) if name == "node1"));
    }

    #[test]
    fn the_time_of_a_condition_is_that_of_its_last_turn() {
        let good = condition(&[], None, &at(1));
        let still_good = condition(&[], Some(&good), &at(2));
        let bad = condition(&[problem("A")], Some(&still_good), &at(3));
        let otherwise_bad = condition(&[problem("B")], Some(&bad), &at(4));

        let times = [&good, &still_good, &bad, &otherwise_bad]
            .map(|condition| condition.last_transition_time.clone());
        assert_eq!(times, [at(1), at(1), at(3), at(3)]);
        assert_eq!(otherwise_bad.reason, "B");
    }

    #[test]
    fn a_long_list_of_problems_is_cut() {
        let problems: Vec<_> = (0..1000).map(|_| problem("A")).collect();

        let message = message(&problems);

        assert!(message.len() < 5000 && message.ends_with(" more"), "{message}");
    }
}
