//! A runtime whose threads live in the control plane's network, so that a load goes straight to the API server and
//! not through the keeper, which would become the bottleneck.

use std::path::Path;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::runtime::{Builder, Runtime};

use crate::cluster::Cluster;
use crate::netns;
use crate::progress::say;
use crate::topology::control_address;

/// See the module.
pub struct Inside {
    runtime: Option<Runtime>,
}

impl Inside {
    /// In the network of this cluster's control plane.
    pub fn new(cluster: &Cluster) -> Result<Self> {
        let namespace = cluster.control().name().to_owned();
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .on_thread_start(move || {
                // A thread outside reaches nothing, so its first request says so too.
                if let Err(error) = netns::enter(&namespace) {
                    say(format!("{error:#}"));
                }
            })
            .build()
            .context("threads for the load")?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// Runs work on these threads.
    pub async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let runtime = self.runtime.as_ref().context("the threads have ended")?;
        runtime.spawn(work).await.context("work inside")?
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // What is left are watches; waiting for them is not allowed within a task.
            runtime.shutdown_background();
        }
    }
}

/// A client of the API server for a kubeconfig of the cluster, to be used [`Inside`].
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let file = Kubeconfig::read_from(kubeconfig).with_context(|| kubeconfig.display().to_string())?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    let server = format!("https://{}:6443", control_address().v4);
    config.cluster_url = server.parse().context("address of the API server")?;
    Client::try_from(config).context("client of the API server")
}

/// A client of something else that listens on the loopback inside: a metrics page, etcd.
pub fn plain(port: u16) -> Result<Client> {
    let url = format!("http://127.0.0.1:{port}")
        .parse()
        .context("address on the loopback")?;
    Client::try_from(Config::new(url)).context("client on the loopback")
}
