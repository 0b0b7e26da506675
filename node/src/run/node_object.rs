//! Reading this node's Node object: its UID and addresses. It is asked for, not watched: kubelets write it every
//! few seconds, and nothing of that concerns us (datapath spec 3.5).

use std::time::Duration;

use hybridnet_api::NodeInfo;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::reconcile::Converged;
use crate::node_info::{self, NodeFacts};
use crate::watch::Cache;

/// Addresses of nodes hardly ever change, and five thousand nodes ask.
const REFRESH: Duration = Duration::from_mins(5);
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(10);
/// The client itself waits for an answer for minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Keeps `facts` up to date, and never ends. Asks again when the addresses of the tunnel change, since those of
/// the Node probably did too; and when this node's `NodeInfo` goes, since it goes with the Node that owns it: one
/// that is written for an owner of the past goes again.
pub async fn follow(
    client: Client,
    name: &str,
    facts: watch::Sender<Option<NodeFacts>>,
    mut converged: watch::Receiver<Option<Converged>>,
    node_infos: Cache<NodeInfo>,
) {
    let api = Api::<Node>::all(client);
    let mut retry = FIRST_RETRY;
    loop {
        let read = timeout(LONGEST_WAIT, api.get(name)).await;
        let failure = match read {
            Ok(Ok(node)) => {
                let new = NodeFacts::of(&node);
                facts.send_if_modified(|old| {
                    let changed = old.as_ref() != Some(&new);
                    *old = Some(new);
                    changed
                });
                retry = FIRST_RETRY;
                tokio::select! {
                    () = sleep(REFRESH) => {}
                    () = other_addresses(&mut converged) => debug!("addresses changed, reading the Node again"),
                    () = gone(&node_infos, name) => debug!("NodeInfo is gone, reading the Node again"),
                }
                continue;
            }
            Ok(Err(error)) => {
                if matches!(&error, kube::Error::Api(status) if status.code == 404) {
                    forget(&facts);
                }
                error.to_string()
            }
            Err(_) => format!("no answer within {} s", LONGEST_WAIT.as_secs()),
        };
        warn!(node = name, error = failure, "the Node object cannot be read");
        sleep(retry).await;
        retry = (retry * 2).min(LAST_RETRY);
    }
}

/// The kernel goes on with what was known of the Node, which is no owner any more.
fn forget(facts: &watch::Sender<Option<NodeFacts>>) {
    facts.send_if_modified(|facts| match facts {
        Some(facts) if !facts.uid.is_empty() => {
            facts.uid.clear();
            true
        }
        _ => false,
    });
}

/// Returns when this node's `NodeInfo` is another one than now, or none: one that is written again at once is
/// not missed.
async fn gone(node_infos: &Cache<NodeInfo>, name: &str) {
    let uid = || node_infos.get("", name).map(|info| info.uid());
    let mut store = node_infos.subscribe();
    let mut before = uid();
    loop {
        // We hold the sender ourselves, so it cannot be gone.
        let _ = store.changed().await;
        let now = uid();
        if before.is_some() && now != before {
            return;
        }
        before = now;
    }
}

/// Returns when a plan has other addresses of the node than the one before.
async fn other_addresses(converged: &mut watch::Receiver<Option<Converged>>) {
    let published = |now: &Option<Converged>| now.as_ref().and_then(|now| node_info::vtep(&now.plan));
    let mut before = published(&converged.borrow_and_update());
    // The first tunnel of a node comes from the addresses that were just read.
    let other = |now: &Option<Converged>| {
        let now = published(now);
        let known = before.is_some();
        now != std::mem::replace(&mut before, now.clone()) && known
    };
    if converged.wait_for(other).await.is_err() {
        // The reconciler is gone, and with it the process.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hybridnet_service::testing::{Answer, FakeApi};
    use kube::runtime::watcher::Event;
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::plan::plan;
    use crate::testing::{node_info, world};

    #[tokio::test(start_paused = true)]
    async fn the_node_is_read_until_it_can_be_and_again_when_addresses_change() {
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let api = FakeApi::new(
            move |_| match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => Answer::status(503, "ServiceUnavailable"),
                call => {
                    let addresses = json!([{"type": "InternalIP", "address": format!("192.168.0.{call}")}]);
                    Answer::ok(
                        json!({"metadata": {"name": "node1", "uid": "u1"}, "status": {"addresses": addresses}}),
                    )
                }
            },
        );
        let (sender, mut facts) = watch::channel(None);
        let (converged, results) = watch::channel(None);
        let following = follow(api.client(), "node1", sender, results, Cache::default());
        let check = async {
            let first = facts.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            converged.send_replace(Some(Converged {
                plan: Arc::new(plan(&world())),
                failures: vec![],
            }));
            tokio::task::yield_now().await;
            let mut moved = world().address("eth0", "192.168.0.9/24");
            moved.node_addresses.push("192.168.0.9".parse().unwrap());
            let other = Converged {
                plan: Arc::new(plan(&moved)),
                failures: vec![],
            };
            converged.send_replace(Some(other));
            let second = facts
                .wait_for(|now| *now != Some(first.clone()))
                .await
                .unwrap()
                .clone()
                .unwrap();
            (first.addresses, second.addresses)
        };

        let (first, second) = tokio::select! {
            addresses = check => addresses,
            () = following => unreachable!("it never ends"),
        };

        assert_eq!(
            (first, second),
            (
                vec!["192.168.0.1".parse().unwrap()],
                vec!["192.168.0.2".parse().unwrap()]
            )
        );
        assert_eq!(api.requests(), ["GET /api/v1/nodes/node1"; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn with_the_node_info_the_node_is_in_doubt_and_has_no_uid_until_it_is_there_again() {
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let node = |uid: &str| Answer::ok(json!({"metadata": {"name": "node1", "uid": uid}}));
        let api = FakeApi::new(
            move |_| match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => node("u1"),
                1 | 2 => Answer::not_found(),
                _ => node("u2"),
            },
        );
        let (sender, mut facts) = watch::channel(None);
        let (_keep, results) = watch::channel(None);
        let infos = Cache::default();
        let mut info = node_info("node1", "192.168.0.1", 1);
        info.metadata.uid = Some("i1".into());
        infos.apply(Event::Apply(info.clone()));
        let following = follow(api.client(), "node1", sender, results, infos.clone());
        let check = async {
            let mut uid = async |wanted: &str| {
                let is_it =
                    |facts: &Option<NodeFacts>| facts.as_ref().is_some_and(|facts| facts.uid == wanted);
                facts.wait_for(is_it).await.unwrap();
            };
            uid("u1").await;
            tokio::task::yield_now().await;
            infos.apply(Event::Delete(info));
            uid("").await;
            uid("u2").await;
        };

        let begin = Instant::now();
        tokio::select! {
            () = check => {}
            () = following => unreachable!("it never ends"),
        }

        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    }
}
