//! What tests do to a cluster: end the programs inside its containers.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Cluster;
use crate::bench::usage;
use crate::control;

/// A container that runs: its pod, and the process that its end is.
#[derive(Debug, Clone)]
pub struct Running {
    /// The pod's name.
    pub pod: String,
    /// Its node.
    pub node: String,
    /// The first process of the first container.
    pub process: i32,
}

impl Cluster {
    /// The running pods of one of our components: `manager`, `webhook`, `daemon`.
    pub async fn component(&self, component: &str) -> Result<Vec<Running>> {
        let pods: Api<Pod> = Api::namespaced(self.kube().await?, "kube-system");
        let selector = format!("app=hybridnet,component={component}");
        let listed = pods.list(&ListParams::default().labels(&selector)).await?;
        Ok(listed
            .items
            .into_iter()
            .filter_map(|pod| self.running(&pod))
            .collect())
    }

    fn running(&self, pod: &Pod) -> Option<Running> {
        let node = pod.spec.as_ref()?.node_name.clone()?;
        let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
        let container = statuses.first()?.container_id.as_deref()?.rsplit('/').next()?;
        let process = self.state().cgroup().child(&node).container(container)?;
        Some(Running {
            pod: pod.metadata.name.clone()?,
            node,
            process,
        })
    }

    /// Ends every container of a component with SIGKILL, at once; the kubelets start them again.
    pub async fn kill_component(&self, component: &str) -> Result<Vec<Running>> {
        let running = self.component(component).await?;
        ensure!(!running.is_empty(), "no container of {component} runs");
        for victim in &running {
            kill(Pid::from_raw(victim.process), Signal::SIGKILL)
                .with_context(|| format!("kill {} ({})", victim.pod, victim.process))?;
        }
        Ok(running)
    }

    /// Ends the API server, does something with etcd meanwhile, and starts the API server again.
    pub async fn without_api<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        for server in self.state.processes("kube-apiserver") {
            server.end()?;
        }
        let done = work.await?;
        control::start_api_server(&self.state, &self.topology, &self.prepared, &[])?;
        self.api_ready().await?;
        Ok(done)
    }

    /// Resident memory of a process, in bytes.
    pub fn resident(process: i32) -> Result<u64> {
        Ok(usage::memory(process)?.resident)
    }
}
