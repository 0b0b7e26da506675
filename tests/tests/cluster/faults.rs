//! Programs that are killed while pods start, and a connection that must not notice.

use std::time::Duration;

use anyhow::Result;
use hybridnet_tests::cluster::{Cluster, pod_ready};
use hybridnet_tests::stream::{blocks, stream};
use hybridnet_tests::wait::until;
use hybridnet_tests::workload::{Workload, addresses};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use crate::on_the_cluster;

/// Forty pods start; when the first are ready, every container of the component is killed.
async fn forty_pods_survive_the_death_of(cluster: &Cluster, component: &str) -> Result<()> {
    let pods = Workload::new(&format!("without-{component}"), 40);
    let api: Api<Pod> = Api::namespaced(cluster.kube().await?, "default");

    pods.apply(cluster).await?;
    until("the first pods ready", Duration::from_mins(1), async || {
        let list = api
            .list(&ListParams::default().labels(&format!("app=without-{component}")))
            .await?
            .items;
        let ready = list.iter().filter(|pod| pod_ready(pod)).count();
        Ok(if ready >= 3 {
            Ok(())
        } else {
            Err(format!("{ready} of {}", list.len()))
        })
    })
    .await?;
    let killed = cluster.kill_component(component).await?;
    let ready = pods.ready(cluster, Duration::from_mins(3)).await?;

    assert!(!killed.is_empty());
    assert_eq!(addresses(&ready)?.len(), 80, "two addresses each, none twice");
    pods.delete(cluster, Duration::from_mins(2)).await?;
    cluster.settled().await
}

#[test]
fn forty_pods_get_ready_when_every_manager_is_killed_meanwhile() {
    on_the_cluster("kill-manager", async |cluster| {
        forty_pods_survive_the_death_of(cluster, "manager").await
    });
}

#[test]
fn forty_pods_get_ready_when_every_webhook_is_killed_meanwhile() {
    on_the_cluster("kill-webhook", async |cluster| {
        forty_pods_survive_the_death_of(cluster, "webhook").await
    });
}

#[test]
fn forty_pods_get_ready_when_every_daemon_is_killed_meanwhile() {
    on_the_cluster("kill-daemon", async |cluster| {
        forty_pods_survive_the_death_of(cluster, "daemon").await
    });
}

#[test]
fn a_stream_between_two_nodes_loses_nothing_while_the_daemons_are_killed_again_and_again() {
    on_the_cluster("stream", async |cluster| {
        let (pods, words) = stream(cluster, "stream", "25").await?;
        let streaming = cluster.kubectl(&words);
        let killing = async {
            for _ in 0..3 {
                let victims = cluster.kill_component("daemon").await?;
                until("the daemons back", Duration::from_secs(30), async || {
                    let now = cluster.component("daemon").await?;
                    let back = now.len() == cluster.size()
                        && now
                            .iter()
                            .all(|new| victims.iter().all(|old| old.process != new.process));
                    Ok(if back { Ok(()) } else { Err(format!("{now:?}")) })
                })
                .await?;
            }
            anyhow::Ok(())
        };

        let (report, killed) = tokio::join!(streaming, killing);

        let report = report?;
        println!("{report}");
        killed?;
        // The stream itself compares every block that returns with what was sent.
        assert!(blocks(&report)? > 1000, "{report}");
        cluster.settled().await?;
        pods.delete(cluster, Duration::from_mins(1)).await
    });
}
