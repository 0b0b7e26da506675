//! What the API server says about who changed what: its audit log, for clusters that are started with one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::state::State;

/// Changes by our manager or by the Go project's programs, and the former's looks at the Lease: metadata only,
/// written before the answer is given.
const POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users: ["system:serviceaccount:kube-system:hybridnet-manager", "system:serviceaccount:kube-system:hybridnet"]
    verbs: [create, update, patch, delete, deletecollection]
  - level: Metadata
    users: ["system:serviceaccount:kube-system:hybridnet-manager"]
    resources: [{group: coordination.k8s.io}]
  - level: None
"#;

const LOG: &str = "audit";

/// The flags of an API server that keeps the log.
pub(crate) fn flags(state: &State) -> Result<[String; 2]> {
    let policy = state.path("audit.yaml");
    fs::write(&policy, POLICY).context("policy of the audit")?;
    Ok([
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", state.log(LOG).display()),
    ])
}

/// One request that the API server carried out or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `create`, `update`, `patch`, `delete`, `get`.
    pub verb: String,
    /// Plural name of the kind, with the subresource: `ipinstances`, `pods/status`.
    pub resource: String,
    /// Empty for what has none.
    pub namespace: String,
    /// Empty when it is created.
    pub name: String,
    /// The account of whoever asked, `hybridnet-manager`; a user that is no account by its whole name.
    pub account: String,
    /// Groups of whoever asked: several programs of one account are told apart by them.
    pub groups: Vec<String>,
    /// HTTP status of the answer.
    pub code: u64,
}

impl Request {
    fn of(event: &Value) -> Self {
        let text = |path: &str| {
            let found = event.pointer(path).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let (mut resource, part) = (text("/objectRef/resource"), text("/objectRef/subresource"));
        if !part.is_empty() {
            resource = format!("{resource}/{part}");
        }
        let groups = event.pointer("/user/groups").and_then(Value::as_array);
        let groups = groups.into_iter().flatten().filter_map(Value::as_str);
        let code = event.pointer("/responseStatus/code").and_then(Value::as_u64);
        let user = text("/user/username");
        let account = user.rsplit(':').next().unwrap_or_default().to_owned();
        Self {
            account,
            verb: text("/verb"),
            resource,
            namespace: text("/objectRef/namespace"),
            name: text("/objectRef/name"),
            groups: groups.map(str::to_owned).collect(),
            code: code.unwrap_or_default(),
        }
    }

    /// Whether it changes something that is not the Lease or an event.
    pub fn is_change(&self) -> bool {
        self.verb != "get" && self.resource != "leases" && self.resource != "events"
    }
}

/// A place in the log: what is after it happened later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(usize);

impl Cluster {
    /// Where the log ends now.
    pub fn audit_mark(&self) -> Result<Mark> {
        Ok(Mark(self.audited(Mark(0))?.len()))
    }

    /// The managers' requests since then, in the order of their answers.
    pub fn audited(&self, since: Mark) -> Result<Vec<Request>> {
        let mut requests = read(&self.state().log(LOG))?;
        Ok(requests.split_off(since.0.min(requests.len())))
    }
}

fn read(log: &Path) -> Result<Vec<Request>> {
    let text = fs::read_to_string(log).with_context(|| {
        format!(
            "audit log {}: the cluster must be started as `audited`",
            log.display()
        )
    })?;
    // The last line may be half written.
    let events = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(events.map(|event| Request::of(&event)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_of_the_log_says_who_did_what_to_what() {
        let event = json!({
            "verb": "patch", "user": {"username": "system:serviceaccount:kube-system:u", "groups": ["second", "system:authenticated"]},
            "objectRef": {"resource": "pods", "subresource": "status", "namespace": "ns", "name": "p"},
            "responseStatus": {"code": 409}});

        let request = Request::of(&event);

        assert_eq!((request.resource.as_str(), request.code), ("pods/status", 409));
        assert_eq!((request.namespace.as_str(), request.name.as_str()), ("ns", "p"));
        assert_eq!(
            (request.account.as_str(), request.groups[0].as_str()),
            ("u", "second")
        );
        assert!(request.is_change());
    }

    #[test]
    fn renewing_the_lease_and_telling_events_are_no_changes() {
        for (verb, resource) in [("update", "leases"), ("create", "events"), ("get", "leases")] {
            let event = json!({"verb": verb, "objectRef": {"resource": resource}});
            assert!(!Request::of(&event).is_change(), "{verb} {resource}");
        }
    }
}
