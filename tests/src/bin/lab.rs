//! `lab`: a Kubernetes cluster on this machine, by hand. See `lab help`.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use hybridnet_tests::bench::{self, Figure};
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::node::Plugin;
use hybridnet_tests::original::Original;
use hybridnet_tests::state::State;
use hybridnet_tests::{compare, demo, keeper, node_init, prepare, progress};

/// A Kubernetes cluster in network namespaces of this machine.
#[derive(Parser)]
#[command(name = "lab")]
struct Arguments {
    /// The cluster's name.
    #[arg(long, global = true, default_value = "hyt-demo")]
    name: String,
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make what every cluster needs: packages, Kubernetes, images.
    Prepare {
        /// The Go project's programs too.
        #[arg(long)]
        original: bool,
    },
    /// Start a cluster, which stays.
    Up {
        /// How many nodes.
        #[arg(long, default_value_t = 3)]
        nodes: usize,
        /// Who connects the pods.
        #[arg(long, value_enum, default_value_t = Plugin::None)]
        plugin: Plugin,
        /// Image archives that every node loads.
        #[arg(long)]
        image: Vec<PathBuf>,
    },
    /// Start a cluster, install our chart, and show who reaches whom.
    Demo {
        /// How many nodes.
        #[arg(long, default_value_t = 3)]
        nodes: usize,
    },
    /// Show who reaches whom on a running cluster.
    Matrix,
    /// Figures: forty pods beside the plain plugins, memory, sizes.
    Compare {
        /// Rounds that count, after one that does not.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// How many times the plain plugins' time is still good.
        #[arg(long, default_value_t = 1.15)]
        limit: f64,
    },
    /// Figures of the control plane, without nodes.
    Bench {
        #[command(subcommand)]
        figure: Figure,
    },
    /// End a cluster, or all of them, whatever state they are in.
    Down {
        /// Every cluster of this machine.
        #[arg(long)]
        all: bool,
    },
    /// Run kubectl as the administrator.
    Kubectl {
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Run helm as the administrator.
    Helm {
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Run a program on a node.
    Exec {
        /// The node, counted from 1.
        node: usize,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Hold a cluster that ends with this process, whatever ends it: for the harness's own tests.
    #[command(hide = true)]
    Hold,
    /// Be a node: started by the cluster, not by hand.
    #[command(hide = true)]
    Node {
        /// The node's description.
        spec: PathBuf,
    },
    /// Be a cluster's keeper: started by the cluster, not by hand.
    #[command(hide = true)]
    Keep {
        /// The cluster.
        prefix: String,
        /// End it when our input closes.
        #[arg(long)]
        owned: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // These two must run before there is a second thread.
    let outcome = match arguments.command {
        Action::Node { spec } => node_init::run(&spec),
        Action::Keep { prefix, owned } => keeper::run(&prefix, owned),
        command => asynchronously(&arguments.name, command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::say(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn asynchronously(name: &str, command: Action) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(name, command))
}

async fn run(name: &str, command: Action) -> Result<()> {
    match command {
        Action::Prepare { original } => {
            prepare::prepare()?;
            if original {
                Original::built()?;
            }
            Ok(())
        }
        Action::Up { nodes, plugin, image } => up(name, nodes, plugin, image).await,
        Action::Demo { nodes } => demo::run(name, nodes).await,
        Action::Matrix => demo::who_reaches_whom(&Cluster::attach(name)?).await.map(drop),
        Action::Compare { rounds, limit } => compare::run(rounds, limit).await,
        Action::Bench { figure } => bench::run(&figure).await,
        Action::Down { all } => {
            let clusters = if all { State::all() } else { vec![State::of(name)?] };
            clusters.iter().try_for_each(State::end)
        }
        Action::Kubectl { words } => {
            let cluster = Cluster::attach(name)?;
            let mut command = std::process::Command::new(cluster.kubectl_path());
            command
                .env("KUBECONFIG", cluster.state().kubeconfig())
                .args(words);
            Err(command.exec()).context("run kubectl")
        }
        Action::Helm { words } => {
            let cluster = Cluster::attach(name)?;
            let mut command = std::process::Command::new(&cluster.prepared().helm);
            command
                .env("KUBECONFIG", cluster.state().kubeconfig())
                .args(words);
            Err(command.exec()).context("run helm")
        }
        Action::Exec { node, words } => {
            print!("{}", Cluster::attach(name)?.node(node).exec(words).await?);
            Ok(())
        }
        Action::Hold => {
            let _held = Cluster::builder().prefix(name).nodes(1).start().await?;
            println!("held");
            std::future::pending().await
        }
        Action::Node { .. } | Action::Keep { .. } => bail!("runs by itself"),
    }
}

async fn up(name: &str, nodes: usize, plugin: Plugin, images: Vec<PathBuf>) -> Result<()> {
    let start = std::time::Instant::now();
    let builder = Cluster::builder().prefix(name).nodes(nodes).plugin(plugin).stay();
    let cluster = images
        .into_iter()
        .fold(builder, hybridnet_tests::cluster::Builder::image)
        .start()
        .await?;
    if plugin != Plugin::None {
        cluster.nodes_ready(Duration::from_mins(1)).await?;
    }
    progress::say(format!(
        "cluster {name} is up after {}",
        progress::seconds(start.elapsed())
    ));
    println!("export KUBECONFIG={}", cluster.state().kubeconfig().display());
    Ok(())
}
