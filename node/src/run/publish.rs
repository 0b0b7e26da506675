//! Keeping this node's `NodeInfo` true after each pass. Apart from the passes, because a slow API server must
//! not keep the kernel from being repaired.

use std::time::Duration;

use hybridnet_api::NodeInfo;
use hybridnet_service::errors::chain;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher::Event;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::reconcile::Converged;
use crate::node_info::{NodeFacts, Publisher};
use crate::watch::Caches;

const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(10);
/// The client itself waits for an answer for minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Publishes every result, the latest when several wait, and never ends.
pub async fn follow(
    publisher: Publisher,
    caches: Caches,
    facts: watch::Receiver<Option<NodeFacts>>,
    mut converged: watch::Receiver<Option<Converged>>,
) {
    let mut retry = None;
    loop {
        let woken = async {
            // An error means that the reconciler is gone, and with it the process.
            if converged.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        match retry {
            None => woken.await,
            Some(pause) => tokio::select! {
                () = woken => {}
                () = sleep(pause) => {}
            },
        }
        let Some(now) = converged.borrow_and_update().clone() else {
            continue;
        };
        let Some(node) = facts.borrow().clone() else {
            continue;
        };
        let have = caches.node_infos.get("", &node.name);
        let (problems, time) = (now.problems(), Time(Timestamp::now()));
        let attempt = publisher.publish(&node, have.as_deref(), &now.plan, &problems, &time);
        let failure = match timeout(LONGEST_WAIT, attempt).await {
            Ok(Ok(written)) => {
                // Known at once, or the next result would be compared with the past; unless the watch saw
                // meanwhile that somebody deleted it: nothing would take it out again.
                let was_deleted = have.is_some() && caches.node_infos.get("", &node.name).is_none();
                if let Some(object) = written.filter(|_| !was_deleted) {
                    caches.node_infos.apply(Event::Apply(object));
                }
                retry = None;
                continue;
            }
            Ok(Err(error)) => {
                if let Some(have) = have.filter(|_| error.is_gone()) {
                    caches.node_infos.apply(Event::Delete(NodeInfo::clone(&have)));
                }
                chain(&error)
            }
            Err(_) => format!(
                "NodeInfo {}: no answer within {} s",
                node.name,
                LONGEST_WAIT.as_secs()
            ),
        };
        let pause = retry.map_or(FIRST_RETRY, |pause| (pause * 2).min(LAST_RETRY));
        warn!(error = failure, ?pause, "not published, trying again");
        retry = Some(pause);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hybridnet_service::testing::{Answer, FakeApi};
    use kube::ResourceExt;

    use super::*;
    use crate::plan::plan;
    use crate::testing::{node_info, world};

    #[tokio::test(start_paused = true)]
    async fn a_result_is_published_until_the_server_takes_it_and_then_known() {
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let api = FakeApi::new(
            move |seen| match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 | 1 => Answer::status(503, "ServiceUnavailable"),
                _ if seen.method == http::Method::POST => Answer::ok(seen.body.clone()),
                _ => Answer::ok(
                    serde_json::json!({"metadata": {"name": "node1"}, "spec": {}, "status": seen.body["status"]}),
                ),
            },
        );
        let (caches, _feeds) = Caches::new(&api.client(), "node1");
        let (_keep, facts) = watch::channel(Some(facts("u1")));
        let (converged, results) = watch::channel(None);
        converged.send_replace(Some(now()));
        let publishing = follow(Publisher::new(api.client()), caches.clone(), facts, results);

        let known = async {
            let mut infos = caches.node_infos.subscribe();
            infos.changed().await.unwrap();
        };
        tokio::select! {
            () = known => {}
            () = publishing => unreachable!("it never ends"),
        }

        assert_eq!(
            caches
                .node_infos
                .all()
                .iter()
                .map(|info| info.name_any())
                .collect::<Vec<_>>(),
            ["node1"]
        );
        assert_eq!(
            api.requests()
                .iter()
                .filter(|line| line.starts_with("POST"))
                .count(),
            3
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_went_unnoticed_is_written_anew() {
        let api = FakeApi::new(
            |seen| match (seen.method.as_str(), seen.path.ends_with("/status")) {
                ("POST", _) | (_, true) => Answer::ok(node()),
                _ => Answer::not_found(),
            },
        );
        let (caches, _feeds) = Caches::new(&api.client(), "node1");
        caches
            .node_infos
            .apply(Event::Apply(node_info("node1", "192.168.0.77", 1)));
        let (_keep, facts) = watch::channel(Some(facts("u1")));
        let (converged, results) = watch::channel(None);
        converged.send_replace(Some(now()));

        let written = async {
            while !api.requests().iter().any(|line| line.starts_with("POST")) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = written => {}
            () = follow(Publisher::new(api.client()), caches, facts, results) => unreachable!("it never ends"),
        }

        let path = "/apis/networking.alibaba.com/v1/nodeinfoes";
        assert_eq!(
            api.requests().get(..2),
            Some(&[format!("PATCH {path}/node1"), format!("POST {path}")][..])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_was_deleted_while_it_was_written_is_not_taken_for_there() {
        let answer = Arc::new(std::sync::OnceLock::<Caches>::new());
        let in_server = answer.clone();
        let api = FakeApi::new(move |_| {
            // The watch is faster than the answer.
            if let Some(caches) = in_server.get() {
                caches
                    .node_infos
                    .apply(Event::Delete(node_info("node1", "192.168.0.1", 1)));
            }
            Answer::ok(node())
        });
        let (caches, _feeds) = Caches::new(&api.client(), "node1");
        caches
            .node_infos
            .apply(Event::Apply(node_info("node1", "192.168.0.77", 1)));
        answer.set(caches.clone()).unwrap();
        let (_keep, facts) = watch::channel(Some(facts("u1")));
        let (converged, results) = watch::channel(None);
        converged.send_replace(Some(now()));

        tokio::select! {
            () = sleep(Duration::from_secs(1)) => {}
            () = follow(Publisher::new(api.client()), caches.clone(), facts, results) => unreachable!("it never ends"),
        }

        assert!(!api.requests().is_empty());
        assert_eq!(caches.node_infos.get("", "node1"), None);
    }

    #[tokio::test]
    async fn without_its_node_nothing_is_written() {
        let api = FakeApi::new(|_| Answer::not_found());

        let refused = Publisher::new(api.client())
            .publish(&facts(""), None, &plan(&world()), &[], &Time(Timestamp::now()))
            .await;

        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("there is no Node of that name")
        );
        assert_eq!(api.requests().len(), 0);
    }

    fn facts(uid: &str) -> NodeFacts {
        NodeFacts {
            name: "node1".into(),
            uid: uid.into(),
            addresses: vec![],
        }
    }

    fn now() -> Converged {
        Converged {
            plan: Arc::new(plan(&world())),
            failures: vec![],
        }
    }

    fn node() -> serde_json::Value {
        serde_json::json!({"metadata": {"name": "node1"}, "spec": {}})
    }
}
