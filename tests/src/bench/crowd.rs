//! A cluster that is full: one node, one pod and one `IPInstance` are made by the programs that make them, and the rest
//! are copies of what the API server stored of these three (see [`super::template`]).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{AsyncBufReadExt, TryStreamExt};
use http::{Method, Request};
use hybridnet_api::mac;
use k8s_openapi::ByteString;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use super::etcd::{self, BATCH, Entry};
use super::inside;
use super::load::{at_once, create_on, ip_instances, pods, send};
use super::scene::{OVERLAY, Scene, overlay_subnet};
use super::template::Template;
use crate::wait::{Look, until};

/// The namespace of the pods.
pub const PLACE: &str = "scale";
/// Where etcd listens.
const ETCD: u16 = 2379;
/// Addresses that are used of one Subnet: each octet of a copy has three digits.
const OF_A_SUBNET: usize = 10_000;
/// Transactions under way at a time.
const WRITERS: usize = 4;
/// How long the API server may take to know them all.
const LIMIT: Duration = Duration::from_mins(4);

/// How many there shall be.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Pods, each with one address.
    pub pods: usize,
    /// Nodes, which carry equally many.
    pub nodes: usize,
}

/// The words that tell one pod and its `IPInstance` from the others.
struct Words {
    pod: String,
    pod_uid: String,
    node: String,
    ip: String,
    subnet: String,
    instance: String,
    instance_uid: String,
    mac: String,
}

impl Words {
    /// Of the pod of this number. All have the same lengths.
    fn of(number: usize, nodes: usize) -> Self {
        let (second, third, fourth) = (
            100 + number / OF_A_SUBNET,
            100 + number / 100 % 100,
            100 + number % 100,
        );
        let [.., a, b, c] = number.to_be_bytes();
        Self {
            pod: format!("pod-{number:06}"),
            pod_uid: format!("{number:08x}-0001-4000-8000-000000000000"),
            node: node(number % nodes),
            ip: format!("10.{second}.{third}.{fourth}"),
            subnet: format!("range-{second}"),
            instance: format!("10-{second}-{third}-{fourth}"),
            instance_uid: format!("{number:08x}-0002-4000-8000-000000000000"),
            mac: mac::generate([a, b, c]),
        }
    }

    fn of_pod(&self) -> Vec<String> {
        [&self.pod, &self.pod_uid, &self.node, &self.ip]
            .map(String::clone)
            .to_vec()
    }

    fn of_instance(&self) -> Vec<String> {
        let own = [&self.subnet, &self.instance, &self.instance_uid, &self.mac].map(String::clone);
        own.into_iter().chain(self.of_pod()).collect()
    }
}

fn node(number: usize) -> String {
    format!("node-{number:04}")
}

/// The network, and so many Subnets as the addresses need.
pub fn networks(size: Size) -> String {
    let subnets = 0..size.pods.div_ceil(OF_A_SUBNET).max(1);
    let subnets = subnets.map(|number| {
        let second = 100 + number;
        // The first address that is given is the one of pod 0.
        let start = format!("10.{second}.100.100");
        overlay_subnet(
            &format!("range-{second}"),
            &format!("10.{second}.0.0/16"),
            Some(&start),
        )
    });
    OVERLAY.to_owned() + &subnets.collect::<String>()
}

/// Makes everything. The manager must run when this begins; it has ended when this ends.
pub async fn gather(scene: &mut Scene, client: &Client, size: Size) -> Result<()> {
    first(scene, client).await?;
    scene.stop_manager().await?;
    let admin = client.clone();
    let own = scene.inside.run(async move { own_words(&admin).await }).await?;
    // It would keep each of the changes in memory, and read them more slowly than we write.
    let write = scene.inside.run(copies(own, size));
    scene.cluster.without_api(write).await.context("copies in etcd")?;
    for (path, count) in [
        (pods(PLACE), size.pods),
        (ip_instances(PLACE), size.pods),
        // One that the scene brought along.
        ("/api/v1/nodes".to_owned(), size.nodes + 1),
    ] {
        known(scene, client, &path, count).await?;
    }
    Ok(())
}

/// Node 0, pod 0 and its address, with what kubelet and daemon say about them.
async fn first(scene: &Scene, client: &Client) -> Result<()> {
    let board = scene.board(client, PLACE).await?;
    let words = Words::of(0, 1);
    let admin = client.clone();
    scene.inside.run(first_pod(admin)).await?;
    let limit = Duration::from_mins(1);
    let here = board.until("the address of the first pod", limit, |known| {
        known.present.contains_key(&words.instance)
    });
    here.await
        .with_context(|| format!("it should be {}", words.instance))?;
    let admin = client.clone();
    scene.inside.run(first_runs(admin)).await?;
    scene.manager_is_quiet(limit).await
}

async fn first_pod(client: Client) -> Result<()> {
    let Words { pod, node, .. } = Words::of(0, 1);
    let body = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node,
        "labels": {"kubernetes.io/hostname": node, "kubernetes.io/os": "linux"}}});
    send(&client, Method::POST, "/api/v1/nodes", Some(&body)).await?;
    patch_status(&client, &format!("/api/v1/nodes/{node}"), &node_status()).await?;
    Ok(create_on(&client, PLACE, &pod, "overlay", &node).await?)
}

async fn first_runs(client: Client) -> Result<()> {
    let Words {
        pod,
        node,
        instance,
        ip,
        ..
    } = Words::of(0, 1);
    patch_status(&client, &format!("{}/{pod}", pods(PLACE)), &pod_status(&ip)).await?;
    let status = json!({"nodeName": node, "podName": pod, "podNamespace": PLACE, "sandboxID": "5d1f0e6a3c",
        "updateTimestamp": "2026-01-01T00:00:00Z"});
    patch_status(&client, &format!("{}/{instance}", ip_instances(PLACE)), &status).await
}

async fn patch_status(client: &Client, path: &str, status: &Value) -> Result<()> {
    let answer = send(
        client,
        Method::PATCH,
        &format!("{path}/status"),
        Some(&json!({ "status": status })),
    )
    .await;
    answer.map(drop).with_context(|| format!("status of {path}"))
}

fn node_status() -> Value {
    json!({"addresses": [{"type": "InternalIP", "address": "192.168.56.21"}],
        "capacity": {"cpu": "4", "memory": "16Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]})
}

fn pod_status(ip: &str) -> Value {
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    json!({"phase": "Running", "hostIP": "192.168.56.21", "podIP": ip, "podIPs": [{"ip": ip}],
        "startTime": "2026-01-01T00:00:00Z", "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "c", "image": "none", "imageID": "none", "ready": true,
            "restartCount": 0, "state": running}]})
}

/// One kind's copies.
#[derive(Clone)]
struct Kind {
    key: Template,
    value: Template,
    words: fn(usize, Size) -> Vec<String>,
}

impl Kind {
    async fn stored(
        etcd: &Client,
        key: &str,
        own: Vec<String>,
        words: fn(usize, Size) -> Vec<String>,
    ) -> Result<Self> {
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let value = Template::new(etcd::get(etcd, key).await?, &own)?;
        let missing = own.iter().zip(value.occurrences()).find(|(_, count)| *count == 0);
        ensure!(missing.is_none(), "{key} does not contain {missing:?}");
        Ok(Self {
            key: Template::new(key.as_bytes().to_vec(), &own)?,
            value,
            words,
        })
    }

    fn entry(&self, number: usize, size: Size) -> Result<Entry> {
        let words = (self.words)(number, size);
        Ok(Entry {
            key: ByteString(self.key.filled(&words)?),
            value: ByteString(self.value.filled(&words)?),
        })
    }

    /// Writes all but the first, which is there.
    async fn write(self, etcd: Client, count: usize, size: Size) -> Result<()> {
        let batches = count.div_ceil(BATCH);
        at_once(batches, WRITERS, move |batch| {
            let (kind, etcd) = (self.clone(), etcd.clone());
            async move {
                let numbers = (batch * BATCH).max(1)..((batch + 1) * BATCH).min(count);
                let entries: Result<Vec<_>> = numbers.map(|number| kind.entry(number, size)).collect();
                etcd::put(&etcd, entries?).await
            }
        })
        .await
    }
}

/// The words of pod 0 and of its node that only the API server knows.
async fn own_words(client: &Client) -> Result<(Words, String)> {
    let mut own = Words::of(0, 1);
    let node = described(client, &format!("/api/v1/nodes/{}", own.node)).await?;
    let pod = described(client, &format!("{}/{}", pods(PLACE), own.pod)).await?;
    let instance = described(client, &format!("{}/{}", ip_instances(PLACE), own.instance)).await?;
    own.pod_uid = pod.metadata.uid;
    own.instance_uid = instance.metadata.uid;
    own.mac = instance.spec.address.mac;
    Ok((own, node.metadata.uid))
}

async fn copies((own, node_uid): (Words, String), size: Size) -> Result<()> {
    let etcd = inside::plain(ETCD)?;
    let key = format!("/registry/minions/{}", own.node);
    let of_nodes = Kind::stored(&etcd, &key, vec![own.node.clone(), node_uid], |number, _| {
        vec![node(number), format!("{number:08x}-0003-4000-8000-000000000000")]
    });
    of_nodes.await?.write(etcd.clone(), size.nodes, size).await?;

    let key = format!("/registry/pods/{PLACE}/{}", own.pod);
    let of_pods = Kind::stored(&etcd, &key, own.of_pod(), |number, size| {
        Words::of(number, size.nodes).of_pod()
    });
    of_pods.await?.write(etcd.clone(), size.pods, size).await?;

    let key = format!(
        "/registry/networking.alibaba.com/ipinstances/{PLACE}/{}",
        own.instance
    );
    let of_instances = Kind::stored(&etcd, &key, own.of_instance(), |number, size| {
        Words::of(number, size.nodes).of_instance()
    });
    of_instances.await?.write(etcd, size.pods, size).await
}

/// What is asked of an object or of a list.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Described {
    metadata: Meta,
    spec: Spec,
    items: Vec<Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    uid: String,
    remaining_item_count: usize,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec {
    address: Address,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Address {
    mac: String,
}

async fn described(client: &Client, path: &str) -> Result<Described> {
    let answer = send(client, Method::GET, path, None).await;
    serde_json::from_str(&answer.with_context(|| path.to_owned())?).with_context(|| path.to_owned())
}

/// Waits until the API server knows so many objects of a kind, and has its cache of them filled.
async fn known(scene: &Scene, client: &Client, path: &str, count: usize) -> Result<()> {
    let what = format!("{count} objects of {path}");
    until(&what, LIMIT, async || {
        let (client, path) = (client.clone(), path.to_owned());
        scene
            .inside
            .run(async move { look(&client, &path, count).await })
            .await
    })
    .await
}

async fn look(client: &Client, path: &str, count: usize) -> Result<Look<()>> {
    let list = described(client, &format!("{path}?limit=1")).await?;
    let found = list.items.len() + list.metadata.remaining_item_count;
    if found != count {
        return Ok(Err(format!("{found} are there")));
    }
    // A streaming list of nothing: it ends with a bookmark as soon as the cache is as new as etcd.
    let request = format!(
        "{path}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true\
         &timeoutSeconds=20&labelSelector=nobody%3Dnobody"
    );
    let request = Request::get(request).body(Vec::new()).context("request")?;
    let mut lines = client.request_stream(request).await?.lines();
    let first = lines.try_next().await?.unwrap_or_default();
    Ok(if first.starts_with("{\"type\":\"BOOKMARK\"") {
        Ok(())
    } else {
        Err(format!("the cache is behind: {first}"))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_are_all_different_and_equally_long() {
        let nodes = 5000;
        let lengths = |words: Vec<String>| words.iter().map(String::len).collect::<Vec<_>>();
        let expected = lengths(Words::of(0, nodes).of_instance());
        let mut addresses = BTreeSet::new();
        for number in 0..150_000 {
            let words = Words::of(number, nodes);
            addresses.insert(words.ip.clone());
            assert_eq!(lengths(words.of_instance()), expected, "{number}");
        }

        assert_eq!(addresses.len(), 150_000);
        assert_eq!(Words::of(149_999, nodes).subnet, "range-114");
        assert_eq!(Words::of(149_999, nodes).node, "node-4999");
    }

    #[test]
    fn there_are_subnets_for_all() {
        let size = |pods| Size { pods, nodes: 1 };

        assert_eq!(networks(size(150_000)).matches("kind: Subnet").count(), 15);
        assert_eq!(networks(size(10_001)).matches("kind: Subnet").count(), 2);
        assert!(networks(size(1)).contains("cidr: 10.100.0.0/16, start: 10.100.100.100"));
    }
}
