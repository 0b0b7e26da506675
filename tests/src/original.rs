//! Manager and webhook of the Go project as plain processes beside an API server: under the account of its chart,
//! with the certificate that its image would carry.
//!
//! They show what moving from one implementation to the other does to a cluster. Only `go.mod` and `go.sum` in
//! `tests/kubernetes/hybridnet-go` know the Go project; its code, chart and keys come from the Go module.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::ours::Manager;
use crate::prepare::go;
use crate::process::{Record, run};

/// Name of the manager's processes in a cluster.
pub const MANAGER: &str = "hybridnet-go-manager";
/// Name of the webhook's processes in a cluster.
pub const WEBHOOK: &str = "hybridnet-go-webhook";
/// Name of the daemons' processes, behind that of the node.
pub const DAEMON: &str = "hybridnet-go-daemon";
/// Stands for `/proc/sys/net/ipv4/neigh/default` and its sister on a node that is a network namespace.
const THRESHOLDS: &str = "/run/hybridnet-go";
/// The account of its chart that all its programs share.
pub const ACCOUNT: &str = "hybridnet";

/// Where its programs and its chart are.
#[derive(Debug, Clone)]
pub struct Original {
    folder: PathBuf,
}

impl Original {
    /// Built, if it has not been already: minutes the first time.
    pub fn built() -> Result<Self> {
        go::build_original().map(|folder| Self { folder })
    }

    /// Its chart's folder.
    pub fn chart(&self) -> PathBuf {
        self.folder.join("charts/hybridnet")
    }

    /// Starts a manager with flags beside the usual; others, of either implementation, may run beside it.
    pub fn start_manager(&self, cluster: &Cluster, flags: &[&str]) -> Result<Manager> {
        let mut command = configured(cluster, &self.folder.join("manager"));
        let running = cluster.state().processes(MANAGER).len();
        let metrics_port = 9899 + u16::try_from(running)?;
        command.args(flags).arg(format!("--metrics-port={metrics_port}"));
        let record = cluster.start_in_control(MANAGER, &mut command)?;
        Ok(Manager { record, metrics_port })
    }

    /// Starts the webhook on the port that the chart's Service leads to.
    pub fn start_webhook(&self, cluster: &Cluster) -> Result<Record> {
        let home = cluster.state().path("hybridnet-go");
        self.certificate(&home)?;
        let mut command = configured(cluster, &self.folder.join("webhook"));
        // Its library looks for the certificate in the folder for temporary files.
        command.arg("--port=9898").env("TMPDIR", &home);
        cluster.start_in_control(WEBHOOK, &mut command)
    }

    /// Puts the plugin on a node as the image's init container does, and starts the daemon there.
    pub async fn start_daemon(&self, cluster: &Cluster, number: usize) -> Result<Record> {
        let node = cluster.node(number);
        let place = |path: &str| self.folder.join(path).display().to_string();
        let install = format!(
            "mkdir -p /run/cni {THRESHOLDS} && for n in 1 2 3; do echo 0 > {THRESHOLDS}/gc_thresh$n; done && rm -f \
             /run/cni/hybridnet.sock && install {} /opt/cni/bin/hybridnet && install -m 644 {} \
             /etc/cni/net.d/06-hybridnet.conflist",
            place("cni"),
            place("dist/images/00-hybridnet.conflist"),
        );
        node.exec(["sh", "-c", &install])
            .await
            .context("install the plugin")?;
        let mut command = configured(cluster, &self.daemon_of_a_namespace(cluster)?);
        command.args([
            "--bind-socket=/run/cni/hybridnet.sock",
            "--patch-calico-pod-ips-annotation=false",
        ]);
        command.env("KUBE_NODE_NAME", node.name());
        cluster.start_on_node(number, DAEMON, &command)
    }

    /// Ends a node's daemon. What it has set up in the kernel stays.
    pub fn stop_daemon(&self, cluster: &Cluster, number: usize) -> Result<()> {
        let name = format!("{}.{DAEMON}", cluster.node(number).name());
        cluster.state().processes(&name).iter().try_for_each(Record::end)
    }

    /// A copy that looks elsewhere for the limits of neighbour tables: the kernel shows them in its first network
    /// namespace only, where a real node is, and the daemon refuses every pod when it cannot set them.
    fn daemon_of_a_namespace(&self, cluster: &Cluster) -> Result<PathBuf> {
        let copy = cluster.state().path("hybridnet-go-daemon");
        if copy.exists() {
            return Ok(copy);
        }
        let source = self.folder.join("daemon");
        let mut program = fs::read(&source).with_context(|| format!("read {}", source.display()))?;
        for family in ["ipv4", "ipv6"] {
            let path = format!("/proc/sys/net/{family}/neigh/default/");
            // As long as the other: slashes are free.
            let instead = format!("{THRESHOLDS:/<width$}", width = path.len());
            let found = replace_all(&mut program, path.as_bytes(), instead.as_bytes());
            ensure!(found > 0, "{path} is not in {}", source.display());
        }
        fs::write(&copy, program)?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        Ok(copy)
    }

    /// Makes the serving certificate as the build of its image does: by its own script, signed by the authority
    /// whose key its repository carries, which is the one that its chart names.
    fn certificate(&self, home: &Path) -> Result<()> {
        let serving = home.join("k8s-webhook-server/serving-certs");
        if serving.join("tls.crt").exists() {
            return Ok(());
        }
        fs::create_dir_all(&serving).with_context(|| format!("folder {}", serving.display()))?;
        let secrets = home.join("secrets");
        run(Command::new("cp")
            .arg("-r")
            .arg(self.folder.join("dist/secrets"))
            .arg(&secrets))?;
        run(Command::new("sh")
            .arg("generate-tls-certificates.sh")
            .current_dir(&secrets))?;
        for file in ["tls.key", "tls.crt"] {
            fs::rename(secrets.join(file), serving.join(file))
                .with_context(|| format!("certificate {file}"))?;
        }
        Ok(())
    }
}

/// A program of the Go project under its account.
fn configured(cluster: &Cluster, program: &Path) -> Command {
    let kubeconfig = cluster.state().pki().join(format!("{ACCOUNT}.kubeconfig"));
    let mut command = Command::new(program);
    command.arg(format!("--kubeconfig={}", kubeconfig.display()));
    crate::ours::defaults(&mut command);
    command
}

/// Puts `instead`, which is as long, in place of every `wanted`; says how many there were.
fn replace_all(bytes: &mut [u8], wanted: &[u8], instead: &[u8]) -> usize {
    let (mut at, mut found) = (0, 0);
    while let Some(window) = bytes.get_mut(at..at + wanted.len()) {
        if window == wanted {
            window.copy_from_slice(instead);
            found += 1;
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_keeps_its_length_and_its_neighbours() {
        let mut bytes = *b"-ab-abab-a";

        let found = replace_all(&mut bytes, b"ab", b"//");

        assert_eq!((found, &bytes), (3, b"-//-////-a"));
    }
}
