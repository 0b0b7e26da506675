//! What the API server shows of pods and addresses, each with the moment when we saw it: one clock for all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::AsyncBufReadExt;
use futures::TryStreamExt;
use http::{Method, Request};
use hybridnet_api::names::{MANAGER_LEASE, label};
use kube::Client;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::load::{ip_instances, pods, send};

/// What is known of one namespace.
#[derive(Debug, Clone, Default)]
pub struct Board {
    known: Arc<Mutex<Known>>,
    changed: Arc<Notify>,
}

/// See [`Board`].
#[derive(Debug, Default)]
pub struct Known {
    /// When the pod of a name was first seen with a node.
    pub bound: BTreeMap<String, Instant>,
    /// When the first address of the pod of a name was seen.
    pub addressed: BTreeMap<String, Instant>,
    /// `IPInstance`s that are there, and the pods that they are for.
    pub present: BTreeMap<String, String>,
    /// When the Lease that is watched was first seen with a holder.
    pub led: Option<Instant>,
    /// Why a watch ended, which it should not.
    broken: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    r#type: String,
    object: Object,
}

/// An object of a watch or list, less what nobody asks for.
#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    name: String,
    resource_version: String,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
    holder_identity: String,
}

impl Board {
    /// Watches the pods and `IPInstance`s of a namespace from now on. To be called inside.
    pub async fn watch(client: &Client, namespace: &str) -> Result<Self> {
        let board = Self::default();
        board.follow(client, &pods(namespace), Known::pod).await?;
        board
            .follow(client, &ip_instances(namespace), Known::ip_instance)
            .await?;
        Ok(board)
    }

    /// Watches the manager's Lease too.
    pub async fn watch_lease(&self, client: &Client) -> Result<()> {
        let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
        self.follow(client, leases, Known::lease).await
    }

    async fn follow(&self, client: &Client, path: &str, note: fn(&mut Known, Line, Instant)) -> Result<()> {
        // An empty selection has the version of the whole all the same.
        let nothing = format!("{path}?limit=1&fieldSelector=metadata.name%3Dnone");
        let answer = send(client, Method::GET, &nothing, None).await;
        let list: Object =
            serde_json::from_str(&answer.with_context(|| path.to_owned())?).context("a list")?;
        let mut version = list.metadata.resource_version;
        let (client, path, board) = (client.clone(), path.to_owned(), self.clone());
        tokio::spawn(async move {
            let mut outcome = Ok(());
            // The server ends watches that read too slowly for its taste; nothing is lost, as it goes on from there.
            while outcome.is_ok() {
                outcome = board.read(&client, &path, &mut version, note).await;
            }
            board.look().broken = outcome.err().map(|error| format!("{path}: {error:#}"));
            board.changed.notify_waiters();
        });
        Ok(())
    }

    /// Reads one watch to its end.
    async fn read(
        &self,
        client: &Client,
        path: &str,
        version: &mut String,
        note: fn(&mut Known, Line, Instant),
    ) -> Result<()> {
        let watch = format!("{path}?watch=true&timeoutSeconds=3600&resourceVersion={version}");
        let request = Request::get(watch).body(Vec::new()).context("request")?;
        let mut lines = client.request_stream(request).await?.lines();
        while let Some(text) = lines.try_next().await? {
            let now = Instant::now();
            let line: Line = serde_json::from_str(&text).context("an event")?;
            ensure!(line.r#type != "ERROR", "the server ended the watch: {text}");
            version.clone_from(&line.object.metadata.resource_version);
            note(&mut self.look(), line, now);
            self.changed.notify_waiters();
        }
        Ok(())
    }

    /// Looks at what is known.
    pub fn look(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something holds of what is known, with a limit. The answer is the moment.
    pub async fn until(
        &self,
        what: &str,
        limit: Duration,
        mut holds: impl FnMut(&Known) -> bool,
    ) -> Result<Instant> {
        let end = Instant::now() + limit;
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            {
                let known = self.look();
                if let Some(broken) = &known.broken {
                    bail!("{what}: the watch broke: {broken}");
                }
                if holds(&known) {
                    return Ok(Instant::now());
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if timeout(left, changed).await.is_err() {
                let known = self.look();
                bail!(
                    "{what}: not after {} s: {} pods bound, {} got an address, {} addresses there",
                    limit.as_secs(),
                    known.bound.len(),
                    known.addressed.len(),
                    known.present.len()
                );
            }
        }
    }
}

impl Known {
    fn pod(&mut self, line: Line, now: Instant) {
        if !line.object.spec.node_name.is_empty() {
            self.bound.entry(line.object.metadata.name).or_insert(now);
        }
    }

    fn lease(&mut self, line: Line, now: Instant) {
        let Object { metadata, spec } = line.object;
        if metadata.name == MANAGER_LEASE && !spec.holder_identity.is_empty() {
            self.led.get_or_insert(now);
        }
    }

    fn ip_instance(&mut self, line: Line, now: Instant) {
        let Meta { name, mut labels, .. } = line.object.metadata;
        if line.r#type == "DELETED" {
            self.present.remove(&name);
            return;
        }
        let pod = labels.remove(label::POD).unwrap_or_default();
        self.addressed.entry(pod.clone()).or_insert(now);
        self.present.insert(name, pod);
    }

    /// Times from a pod's node to its address, as both were seen.
    pub fn latencies(&self) -> Vec<Duration> {
        let pairs = self.bound.iter().filter_map(|(pod, bound)| {
            let addressed = self.addressed.get(pod)?;
            // Two watches are not in step to the microsecond.
            Some(addressed.saturating_duration_since(*bound))
        });
        pairs.collect()
    }

    /// From the first address to the last: the time of all but one.
    pub fn span(&self) -> Duration {
        let first = self.addressed.values().min();
        let last = self.addressed.values().max();
        first
            .zip(last)
            .map(|(first, last)| *last - *first)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_pod_counts_as_bound_from_the_first_time_it_has_a_node() {
        let (mut known, start) = (Known::default(), Instant::now());
        let later = |ms| start + Duration::from_millis(ms);

        known.pod(
            line(r#"{"type": "ADDED", "object": {"metadata": {"name": "a"}}}"#),
            start,
        );
        assert!(known.bound.is_empty());
        let bound =
            r#"{"type": "MODIFIED", "object": {"metadata": {"name": "a"}, "spec": {"nodeName": "n"}}}"#;
        known.pod(line(bound), later(1));
        known.pod(line(bound), later(2));
        let address = r#"{"type": "ADDED", "object": {"metadata": {"name": "10-0-0-1",
            "labels": {"networking.alibaba.com/pod": "a"}}}}"#;
        known.ip_instance(line(address), later(5));

        assert_eq!(known.latencies(), [Duration::from_millis(4)]);
    }

    #[test]
    fn an_address_that_is_gone_is_not_present_and_its_pod_had_it() {
        let (mut known, now) = (Known::default(), Instant::now());
        for kind in ["ADDED", "MODIFIED", "DELETED"] {
            let text = format!(
                r#"{{"type": "{kind}", "object": {{"metadata": {{"name": "10-0-0-1",
                "labels": {{"networking.alibaba.com/pod": "a"}}}}}}}}"#
            );
            known.ip_instance(line(&text), now);
        }

        assert!(known.present.is_empty());
        assert_eq!(known.addressed.len(), 1);
    }

    #[tokio::test]
    async fn what_does_not_come_is_told_with_what_is_there() {
        let board = Board::default();

        let error = board
            .until("addresses", Duration::ZERO, |_| false)
            .await
            .unwrap_err();

        assert_eq!(
            error.to_string(),
            "addresses: not after 0 s: 0 pods bound, 0 got an address, 0 addresses there"
        );
    }
}
