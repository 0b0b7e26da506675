//! The load: requests as cheap for the client as they can be, so that it is not what is measured. Bodies are text,
//! answers are read and not looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use http::{Method, Request};
use hybridnet_api::names::annotation;
use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Does `count` pieces of work, numbered from 0, with so many workers at a time. Each worker goes on as soon as it has
/// its answer; the first failure ends all.
pub async fn at_once<F, Fut>(count: usize, workers: usize, work: F) -> Result<()>
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    for _ in 0..workers.min(count) {
        let (next, work) = (next.clone(), work.clone());
        running.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, anyhow::Error>(());
                }
                work(number).await?;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.context("a worker")??;
    }
    Ok(())
}

/// Sends one request; the answer is its body. `kube::Error` tells a caller what the server did not like.
pub async fn send(
    client: &Client,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<String, kube::Error> {
    let content = if method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content)
        .body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default());
    client
        .request_text(request.map_err(kube::Error::HttpError)?)
        .await
}

/// The pods of a namespace.
pub fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

/// The `IPInstance`s of a namespace.
pub fn ip_instances(namespace: &str) -> String {
    format!("/apis/networking.alibaba.com/v1/namespaces/{namespace}/ipinstances")
}

/// A pod of one container that nobody will run, which wants one IPv4 address of this network.
fn pod(name: &str, network: &str) -> Value {
    let annotations = json!({annotation::SPECIFIED_NETWORK: network, annotation::IP_FAMILY: "IPv4"});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "none"}]}})
}

/// What a scheduler does once it has chosen: one request.
async fn bind(client: &Client, namespace: &str, pod: &str, node: &str) -> Result<(), kube::Error> {
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node}});
    let path = format!("{}/{pod}/binding", pods(namespace));
    send(client, Method::POST, &path, Some(&binding)).await.map(drop)
}

/// Creates a pod that wants an address of this network and binds it to a node.
pub async fn create_on(
    client: &Client,
    namespace: &str,
    name: &str,
    network: &str,
    node: &str,
) -> Result<(), kube::Error> {
    send(client, Method::POST, &pods(namespace), Some(&pod(name, network))).await?;
    bind(client, namespace, name, node).await
}

/// The same on the node `node-NAMESPACE`.
pub async fn create_bound(
    client: &Client,
    namespace: &str,
    name: &str,
    network: &str,
) -> Result<(), kube::Error> {
    create_on(client, namespace, name, network, &format!("node-{namespace}")).await
}

/// Deletes a pod without grace. One that is gone is no error.
pub async fn delete_pod(client: &Client, namespace: &str, pod: &str) -> Result<(), kube::Error> {
    let path = format!("{}/{pod}?gracePeriodSeconds=0", pods(namespace));
    match send(client, Method::DELETE, &path, None).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        answer => answer.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn every_number_is_worked_on_once() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = seen.clone();

        at_once(100, 7, move |number| {
            let noted = noted.clone();
            async move {
                tokio::task::yield_now().await;
                noted.lock().unwrap().push(number);
                Ok(())
            }
        })
        .await
        .unwrap();

        let mut seen = seen.lock().unwrap().clone();
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_failure_is_told() {
        let work = |number| async move {
            anyhow::ensure!(number != 1, "number one");
            Ok(())
        };

        let outcome = at_once(3, 2, work).await;

        assert_eq!(outcome.unwrap_err().to_string(), "number one");
    }
}
