//! etcd behind the API server's back, by its JSON gateway: how 300 000 objects come into being in a minute.

use anyhow::{Context, Result, ensure};
use http::Method;
use k8s_openapi::ByteString;
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::load::send;

/// Keys in one transaction; etcd takes 128.
pub const BATCH: usize = 100;

/// One key and its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// `/registry/…`.
    pub key: ByteString,
    /// As the API server encodes it.
    pub value: ByteString,
}

#[derive(Serialize)]
struct Operation {
    #[serde(rename = "requestPut")]
    put: Entry,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    kvs: Vec<Entry>,
}

#[derive(Deserialize)]
struct Done {
    #[serde(default)]
    succeeded: bool,
}

/// The value of one key.
pub async fn get(client: &Client, key: &str) -> Result<Vec<u8>> {
    let request = json!({"key": ByteString(key.as_bytes().to_vec())});
    let answer = send(client, Method::POST, "/v3/kv/range", Some(&request)).await;
    let found: Found = serde_json::from_str(&answer.with_context(|| format!("etcd: get {key}"))?)?;
    let entry = found.kvs.into_iter().next();
    Ok(entry.with_context(|| format!("etcd: no key {key}"))?.value.0)
}

/// Writes entries, [`BATCH`] at most, all or none.
pub async fn put(client: &Client, entries: Vec<Entry>) -> Result<()> {
    let operations: Vec<_> = entries.into_iter().map(|put| Operation { put }).collect();
    let request = json!({ "success": operations });
    let answer = send(client, Method::POST, "/v3/kv/txn", Some(&request)).await;
    let done: Done = serde_json::from_str(&answer.context("etcd: a transaction")?)?;
    ensure!(done.succeeded, "etcd: a transaction without success");
    Ok(())
}
