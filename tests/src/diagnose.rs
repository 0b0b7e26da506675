//! What is kept of a cluster when something went wrong: logs, objects, and the kernel's state on every node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::Cluster;
use crate::paths;
use crate::process::run;
use crate::state::State;

/// Copies the programs' logs into a folder that outlives the cluster, and says which.
pub fn keep_logs(state: &State, reason: &str) -> PathBuf {
    let folder = paths::failures().join(format!("{}-{reason}", state.prefix()));
    let _ = fs::remove_dir_all(&folder);
    let _ = fs::create_dir_all(&folder);
    copy(&state.path("logs"), &folder.join("logs"));
    let entries = fs::read_dir(state.path("")).into_iter().flatten().flatten();
    for node in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("node-")) {
        copy(
            &node.path().join("pods"),
            &folder.join("pods").join(node.file_name()),
        );
    }
    folder
}

/// Keeps the logs, and what the API server and each node say now.
pub async fn gather(cluster: &Cluster, reason: &str) -> PathBuf {
    let folder = keep_logs(cluster.state(), reason);
    let kinds = "nodes,pods,networks,subnets,ipinstances,nodeinfos,services,deployments,daemonsets,leases";
    for (file, words) in [
        ("objects.yaml", vec!["get", kinds, "-A", "-o", "yaml"]),
        ("pods.txt", vec!["get", "pods", "-A", "-o", "wide"]),
        (
            "events.txt",
            vec!["get", "events", "-A", "--sort-by=.lastTimestamp"],
        ),
        ("describe.txt", vec!["describe", "pods", "-A"]),
    ] {
        keep(&folder.join(file), cluster.kubectl(words).await);
    }
    let look = "for c in 'link' 'addr' 'route show table all' '-6 route show table all' 'rule' '-6 rule' 'neigh'; \
                do echo \"# ip $c\"; ip $c; done; echo '# fdb'; bridge fdb; echo '# nft'; nft list ruleset; \
                echo '# cni'; ls -l /etc/cni/net.d /opt/cni/bin /run/cni /run/netns";
    for number in 1..=cluster.size() {
        keep(
            &folder.join(format!("node-{number}.txt")),
            cluster.node(number).output(["sh", "-c", look]).await,
        );
    }
    folder
}

fn keep(path: &Path, text: anyhow::Result<String>) {
    let _ = fs::write(path, text.unwrap_or_else(|error| format!("{error:#}\n")));
}

/// Links among a pod's logs lead out of the folder, so the files themselves are copied.
fn copy(from: &Path, to: &Path) {
    if let Some(parent) = to.parent() {
        let _ = fs::create_dir_all(parent);
    }
    let _ = run(Command::new("cp").args(["-rL"]).args([from, to]));
}
