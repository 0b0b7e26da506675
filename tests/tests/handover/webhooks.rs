//! What one implementation's webhook writes into a pod, the other's manager understands; and what no webhook has
//! seen, ours decides by itself.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result};
use hybridnet_api::names::annotation;
use hybridnet_tests::cluster::Cluster;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use crate::moves::{self, Release};
use crate::scene::{NODE, POD_REST, Workload, addresses, ips};
use crate::{in_a_namespace, scene};

/// Name of a workload, what its pods ask for, the network that they must get, and how many addresses.
type Wish = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    usize,
);

const WISHES: [Wish; 5] = [
    ("nothing", &[], "init", 2),
    ("four", &[("ip-family", "IPv4")], "init", 1),
    ("wired", &[("network-type", "underlay")], "under", 2),
    (
        "named",
        &[("specified-network", "under"), ("ip-family", "ipv6only")],
        "under",
        1,
    ),
    (
        "in-subnets",
        &[("specified-subnet", "under-v4/under-v6")],
        "under",
        2,
    ),
];

async fn wishes_come_true(cluster: &Cluster, namespace: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(cluster.kube().await?, namespace);
    let asking = |(app, asked, ..): Wish| {
        let both = [
            Workload::plain(app, 1),
            Workload::stateful(&format!("{app}-kept"), 1),
        ];
        both.map(|workload| {
            asked
                .iter()
                .fold(workload, |all, (key, value)| all.asking(key, value))
        })
    };
    let all: Vec<_> = WISHES.into_iter().flat_map(asking).collect();
    scene::run_all(cluster, namespace, &all).await?;
    for (app, _, network, count) in WISHES {
        for app in [app.to_owned(), format!("{app}-kept")] {
            let found = pods
                .list(&ListParams::default().labels(&format!("app={app}")))
                .await?;
            let pod = found.items.first().context("a pod")?;
            let handled = pod.annotations().get(annotation::HANDLED_BY_WEBHOOK);
            assert_eq!(handled.map(String::as_str), Some("true"), "{app}");
            let given = addresses(cluster, namespace, &pod.name_any(), count).await?;
            let networks: BTreeSet<_> = given.iter().map(|one| one.spec.network.as_str()).collect();
            assert_eq!(networks, [network].into(), "{app}");
        }
    }
    Ok(())
}

/// Scenario 143: a pod that only the old webhook has seen.
#[test]
fn the_originals_webhook_and_our_manager_agree_on_a_pod() {
    in_a_namespace("old-webhook", async |cluster, namespace| {
        moves::chart(cluster, Release::Ours).await?;
        moves::webhook(cluster, Some(Release::Original)).await?;
        moves::manager(cluster, Release::Ours).await?;

        wishes_come_true(cluster, namespace).await
    });
}

/// Scenario 143: the other way round.
#[test]
fn our_webhook_and_the_originals_manager_agree_on_a_pod() {
    in_a_namespace("new-webhook", async |cluster, namespace| {
        moves::chart(cluster, Release::Ours).await?;
        moves::webhook(cluster, Some(Release::Ours)).await?;
        moves::manager(cluster, Release::Original).await?;

        wishes_come_true(cluster, namespace).await
    });
}

/// Scenario 143: a pod that no webhook has seen.
#[test]
fn a_pod_that_comes_while_no_webhook_answers_gets_what_it_asks_for() {
    in_a_namespace("no-webhook", async |cluster, namespace| {
        moves::chart(cluster, Release::Ours).await?;
        moves::webhook(cluster, None).await?;
        moves::manager(cluster, Release::Ours).await?;
        cluster
            .kubectl([
                "annotate",
                "namespace",
                namespace,
                "networking.alibaba.com/ip-family=IPv4",
            ])
            .await?;

        for (name, asked, within, count) in [
            ("of-the-namespace", "", "10.61.0.", 1),
            (
                "of-its-own",
                "networking.alibaba.com/network-type: Underlay",
                "10.62.0.",
                2,
            ),
            (
                "in-a-subnet",
                "networking.alibaba.com/specified-subnet: under-v4/under-v6",
                "10.62.0.",
                2,
            ),
        ] {
            cluster
                .apply(&format!(
                    "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, annotations: \
                     {{{asked}}}}}\nspec: {{nodeName: {NODE}, {POD_REST}}}\n"
                ))
                .await?;
            let given = ips(cluster, namespace, name, count).await?;
            assert!(
                given.first().is_some_and(|ip| ip.to_string().starts_with(within)),
                "{name}: {given:?}"
            );
            assert!(!handled(cluster.kube().await?, namespace, name).await?, "{name}");
        }
        elsewhere(cluster, namespace).await?;
        moves::webhook(cluster, Some(Release::Ours)).await
    });
}

async fn handled(client: Client, namespace: &str, pod: &str) -> Result<bool> {
    let pod = Api::<Pod>::namespaced(client, namespace).get(pod).await?;
    Ok(pod.annotations().contains_key(annotation::HANDLED_BY_WEBHOOK))
}

/// A pod that the scheduler has placed where its network is not, because nobody told it: it is told so.
async fn elsewhere(cluster: &Cluster, namespace: &str) -> Result<()> {
    cluster
        .apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: lost, namespace: {namespace}, annotations: \
             {{networking.alibaba.com/specified-network: under}}}}\nspec: {{nodeName: node-3, {POD_REST}}}\n"
        ))
        .await?;
    hybridnet_tests::wait::until("a warning", std::time::Duration::from_secs(20), async || {
        let warnings = cluster.warnings(namespace).await;
        Ok(if warnings.contains("lost") && warnings.contains("node-3") {
            Ok(())
        } else {
            Err(warnings)
        })
    })
    .await?;
    let none: Vec<IpAddr> = scene::ips(cluster, namespace, "lost", 0).await?;
    assert!(none.is_empty());
    Ok(())
}
