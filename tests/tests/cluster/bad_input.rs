//! What users and others get wrong: each is answered in words, and nothing else suffers.

use std::time::Duration;

use anyhow::Result;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::prepare::images::PEER;
use hybridnet_tests::wait::until;
use hybridnet_tests::workload::Workload;

use crate::on_the_cluster;

fn pod(annotations: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: wrong, annotations: {{{annotations}}}}}\nspec: {{containers: \
         [{{name: c, image: '{PEER}'}}]}}\n"
    )
}

/// Says why, with every one of these words.
async fn refused(cluster: &Cluster, yaml: &str, words: &[&str]) {
    let answer = cluster.apply(yaml).await.map_err(|error| format!("{error:#}"));
    assert!(answer.is_err(), "accepted: {yaml}");
    let text = answer.err().unwrap_or_default();
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in: {text}");
    }
}

#[test]
fn pods_with_unknown_or_contradictory_annotations_are_refused_in_words() {
    on_the_cluster("annotations", async |cluster| {
        let key = "networking.alibaba.com";
        for (annotations, words) in [
            (
                format!("{key}/network-type: sideways"),
                vec!["network-type", "sideways", "Overlay"],
            ),
            (format!("{key}/ip-family: IPv5"), vec!["IPv5", "DualStack"]),
            (format!("{key}/specified-network: nowhere"), vec!["nowhere"]),
            (format!("{key}/specified-subnet: nowhere"), vec!["nowhere"]),
            (
                format!("{key}/specified-network: init, {key}/network-type: Underlay"),
                vec!["init", "Underlay"],
            ),
        ] {
            refused(cluster, &pod(&annotations), &words).await;
        }
        Ok(())
    });
}

fn subnet(name: &str, network: &str, version: &str, cidr: &str, more: &str) -> String {
    format!(
        "apiVersion: networking.alibaba.com/v1\nkind: Subnet\nmetadata: {{name: {name}}}\nspec: {{network: {network}, \
         range: {{version: \"{version}\", cidr: '{cidr}'{more}}}}}\n"
    )
}

#[test]
fn subnets_that_break_the_rules_are_refused_in_words() {
    on_the_cluster("subnets", async |cluster| {
        for (yaml, words) in [
            (
                subnet("wrong", "nowhere", "4", "10.99.0.0/24", ""),
                vec!["nowhere"],
            ),
            (subnet("wrong", "init", "4", "10.99.0.7/24", ""), vec!["10.99.0."]),
            (
                subnet("wrong", "init", "6", "10.99.0.0/24", ""),
                vec!["10.99.0.0/24"],
            ),
            (
                subnet("wrong", "init", "4", "10.99.0.0/24", ", gateway: 10.98.0.1"),
                vec!["10.98.0.1"],
            ),
            (
                subnet("wrong", "init", "4", "10.42.8.0/24", ""),
                vec!["wrong", "init", "10.42.8.0/24"],
            ),
            (
                subnet("wrong", "init", "6", "fd00:10:42::/112", ""),
                vec!["wrong", "init-v6"],
            ),
        ] {
            refused(cluster, &yaml, &words).await;
        }
        Ok(())
    });
}

#[test]
fn a_network_in_use_stays() {
    on_the_cluster("network-in-use", async |cluster| {
        let error = cluster
            .kubectl(["delete", "network", "init", "--wait=false"])
            .await
            .unwrap_err();

        assert!(format!("{error:#}").contains("init"), "{error:#}");
        let left = cluster
            .kubectl([
                "get",
                "network",
                "init",
                "-o=jsonpath={.metadata.deletionTimestamp}",
            ])
            .await?;
        assert_eq!(left, "");
        Ok(())
    });
}

/// A request to the daemon's socket by hand; the answer with its status line.
async fn ask_daemon(cluster: &Cluster, path: &str, body: &str) -> Result<String> {
    let request = format!(
        "POST {path} HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: application/json\\r\\nContent-Length: {}\\r\\n\
         Connection: close\\r\\n\\r\\n{body}",
        body.len()
    );
    let peer = cluster.prepared().peer.display();
    let script = format!("printf '%b' '{request}' | {peer} talk /run/cni/hybridnet.sock");
    cluster.node(1).output(["sh", "-c", &script]).await
}

/// Runs the plugin as a runtime does, with everything by hand.
async fn run_plugin(
    cluster: &Cluster,
    command: &str,
    netns: &str,
    arguments: &str,
    config: &str,
) -> Result<String> {
    let script = format!(
        "CNI_COMMAND={command} CNI_CONTAINERID=wrong CNI_NETNS={netns} CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin \
         CNI_ARGS='{arguments}' /opt/cni/bin/hybridnet <<'END'\n{config}\nEND\necho status $?"
    );
    cluster.node(1).output(["sh", "-c", &script]).await
}

const CONFIG: &str = r#"{"cniVersion":"0.3.1","name":"hybridnet","type":"hybridnet","server_socket":"/run/cni/hybridnet.sock"}"#;

#[test]
fn the_plugin_reports_what_is_wrong_with_a_call_as_the_cni_specification_says() {
    on_the_cluster("plugin", async |cluster| {
        let who = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=nobody";
        let nowhere = CONFIG.replace("hybridnet.sock", "no-such.sock");
        let without = CONFIG.replace(r#","server_socket":"/run/cni/hybridnet.sock""#, "");
        for (what, netns, arguments, config) in [
            ("garbage", "/run/netns/x", who, "{garbage"),
            ("no socket there", "/run/netns/x", who, nowhere.as_str()),
            (
                "a configuration without a socket",
                "/run/netns/x",
                who,
                without.as_str(),
            ),
            (
                "a namespace that does not exist",
                "/run/netns/no-such",
                who,
                CONFIG,
            ),
            ("no pod in the arguments", "/run/netns/x", "", CONFIG),
        ] {
            let answer = run_plugin(cluster, "ADD", netns, arguments, config).await?;
            let (json, status) = answer.rsplit_once("status ").unwrap_or((&answer, "?"));
            let error: serde_json::Value = serde_json::from_str(json.trim())
                .unwrap_or_else(|error| panic!("{what}: {error} in {answer}"));
            assert_ne!(status.trim(), "0", "{what}: {answer}");
            assert!(
                error["code"].as_u64().is_some_and(|code| code > 0),
                "{what}: {answer}"
            );
            assert!(
                error["msg"].as_str().is_some_and(|text| text.len() > 10),
                "{what}: {answer}"
            );
        }
        Ok(())
    });
}

#[test]
fn deleting_what_never_was_succeeds() {
    on_the_cluster("delete-nothing", async |cluster| {
        for netns in ["/run/netns/no-such", "''"] {
            let who = "K8S_POD_NAMESPACE=default;K8S_POD_NAME=nobody";
            let answer = run_plugin(cluster, "DEL", netns, who, CONFIG).await?;
            assert!(answer.trim().ends_with("status 0"), "{answer}");
        }
        Ok(())
    });
}

#[test]
fn garbage_on_the_daemons_socket_is_an_error_and_nothing_more() {
    on_the_cluster("socket", async |cluster| {
        let before = cluster.component("daemon").await?;
        for body in ["", "{", "[1,2,3]", "{\"podName\":7}", "\\x00\\xff"] {
            let answer = ask_daemon(cluster, "/api/v1/add", body).await?;
            assert!(
                answer.contains(" 400 ") || answer.contains(" 500 "),
                "{body}: {answer}"
            );
        }
        let pods = Workload::new("after-garbage", 2);
        pods.apply(cluster).await?;
        pods.ready(cluster, Duration::from_mins(1)).await?;
        pods.delete(cluster, Duration::from_mins(1)).await?;
        let after = cluster.component("daemon").await?;
        let processes = |list: &[hybridnet_tests::cluster::Running]| {
            list.iter()
                .map(|running| running.process)
                .collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(processes(&before), processes(&after), "no daemon has ended");
        Ok(())
    });
}

#[test]
fn a_broken_certificate_in_the_secret_is_replaced() {
    on_the_cluster("certificate", async |cluster| {
        let secret = "hybridnet-webhook-certs";
        let broken = r#"{"data":{"tls.crt":"YnJva2Vu","ca.crt":"YnJva2Vu"}}"#;
        let patch = [
            "patch",
            "secret",
            secret,
            "--namespace=kube-system",
            "--type=merge",
            "--patch",
            broken,
        ];

        cluster.kubectl(patch).await?;

        until("a sound certificate", Duration::from_mins(1), async || {
            let read = [
                "get",
                "secret",
                secret,
                "--namespace=kube-system",
                "-o=jsonpath={.data}",
            ];
            let data = cluster.kubectl(read).await?;
            Ok(if data.contains("YnJva2Vu") {
                Err(data)
            } else {
                Ok(())
            })
        })
        .await?;
        until("the webhook answers", Duration::from_mins(1), async || {
            let answer = cluster
                .apply(&subnet("wrong", "init", "4", "10.42.8.0/24", ""))
                .await;
            let text = answer.unwrap_or_else(|error| format!("{error:#}"));
            Ok(if text.contains("overlap") {
                Ok(())
            } else {
                Err(text)
            })
        })
        .await
    });
}
