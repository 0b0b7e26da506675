//! `make demo`: a cluster, our chart, pods, and who reaches whom.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::chart;
use crate::cluster::Cluster;
use crate::diagnose::gather;
use crate::matrix::{Matrix, scene::Scene};
use crate::progress::{say, seconds};
use crate::state::State;

/// Runs it all; an error when a cell of the matrix is red. The cluster stays.
pub async fn run(prefix: &str, nodes: usize) -> Result<()> {
    let image = chart::image()?;
    let left = State::of(prefix)?;
    if left.exists() {
        say(format!("ending the cluster {prefix} of the last time"));
        left.end()?;
    }
    let start = Instant::now();
    let cluster = Cluster::builder()
        .prefix(prefix)
        .nodes(nodes)
        .image(image)
        .stay()
        .start()
        .await?;
    say(format!(
        "{nodes} nodes registered after {}",
        seconds(start.elapsed())
    ));
    let outcome = show(&cluster, start).await;
    if outcome.is_err() {
        say(format!(
            "what the cluster knows about it: {}",
            gather(&cluster, "demo").await.display()
        ));
    }
    outcome
}

async fn show(cluster: &Cluster, start: Instant) -> Result<()> {
    say("helm install hybridnet charts/hybridnet");
    cluster.install(&chart::dual_stack()).await?;
    say(format!("installed after {}", seconds(start.elapsed())));
    let cells = who_reaches_whom(cluster).await?;
    println!(
        "All {cells} cells are green after {}.\n",
        seconds(start.elapsed())
    );
    println!(
        "Go on with it:\n  export KUBECONFIG={}",
        cluster.state().kubeconfig().display()
    );
    println!("  export PATH={}:$PATH", cluster.prepared().kubernetes.display());
    println!("  kubectl get pods -A -o wide\n  kubectl exec -it pod-1 -- sh\n\nEnd it:\n  make down");
    Ok(())
}

/// Starts the pods of the matrix, shows them and the matrix, and says how many cells it has. An error when one is red.
pub async fn who_reaches_whom(cluster: &Cluster) -> Result<usize> {
    let scene = Scene::set(cluster, Duration::from_mins(1)).await?;
    for kinds in ["networks,subnets", "ipinstances", "pods"] {
        println!(
            "$ kubectl get {kinds} -o wide\n{}",
            cluster.kubectl(["get", kinds, "-o=wide"]).await?
        );
    }
    let matrix = Matrix::settle(cluster, &scene, Duration::from_secs(20)).await?;
    println!("Who reaches whom, TCP and UDP:\n\n{matrix}");
    let wrong = matrix.wrong().len();
    if wrong > 0 {
        bail!("{wrong} of {} cells are red", matrix.size());
    }
    Ok(matrix.size())
}
