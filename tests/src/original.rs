//! Manager and webhook of the Go project as plain processes beside an API server: under the account of its chart,
//! with the certificate that its image would carry.
//!
//! They show what moving from one implementation to the other does to a cluster. Only `go.mod` and `go.sum` in
//! `tests/kubernetes/hybridnet-go` know the Go project; its code, chart and keys come from the Go module.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::Cluster;
use crate::prepare::go;
use crate::process::{Record, run};

/// Name of the manager's processes in a cluster.
pub const MANAGER: &str = "hybridnet-go-manager";
/// Name of the webhook's processes in a cluster.
pub const WEBHOOK: &str = "hybridnet-go-webhook";
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

    /// Starts a manager; others, of either implementation, may run beside it.
    pub fn start_manager(&self, cluster: &Cluster) -> Result<Record> {
        let mut command = self.program(cluster, "manager");
        let running = cluster.state().processes(MANAGER).len();
        command.arg(format!("--metrics-port={}", 9899 + running));
        cluster.start_in_control(MANAGER, &mut command)
    }

    /// Starts the webhook on the port that the chart's Service leads to.
    pub fn start_webhook(&self, cluster: &Cluster) -> Result<Record> {
        let home = cluster.state().path("hybridnet-go");
        self.certificate(&home)?;
        let mut command = self.program(cluster, "webhook");
        // Its library looks for the certificate in the folder for temporary files.
        command.arg("--port=9898").env("TMPDIR", &home);
        cluster.start_in_control(WEBHOOK, &mut command)
    }

    fn program(&self, cluster: &Cluster, name: &str) -> Command {
        let kubeconfig = cluster.state().pki().join(format!("{ACCOUNT}.kubeconfig"));
        let mut command = Command::new(self.folder.join(name));
        command.arg(format!("--kubeconfig={}", kubeconfig.display()));
        crate::ours::defaults(&mut command);
        command
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
