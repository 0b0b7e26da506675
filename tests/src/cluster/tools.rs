//! kubectl and helm, as the administrator of a cluster.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::Cluster;
use crate::machine::finish;

impl Cluster {
    /// Runs kubectl as the administrator; the answer is what it printed.
    pub async fn kubectl<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<String> {
        let words: Vec<_> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        let shown = format!("kubectl {}", words.join(OsStr::new(" ")).to_string_lossy());
        let (status, out, err) = finish(self.tool(&self.kubectl_path()).args(&words), &shown).await?;
        if !status.success() {
            bail!("{shown}: {}", err.trim());
        }
        Ok(out)
    }

    /// Runs helm as the administrator.
    pub async fn helm<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<String> {
        let output = self
            .tool(&self.prepared.helm)
            .args(words)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(Duration::from_mins(5), output)
            .await
            .context("helm: no end")??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            bail!("helm: {}{}", text(&output.stdout), text(&output.stderr));
        }
        Ok(text(&output.stdout))
    }

    /// `kubectl apply`.
    pub async fn apply(&self, yaml: &str) -> Result<String> {
        self.apply_with(yaml, &[]).await
    }

    /// `kubectl apply` that asks every admission rule and changes nothing.
    pub async fn apply_dry(&self, yaml: &str) -> Result<String> {
        self.apply_with(yaml, &["--dry-run=server"]).await
    }

    async fn apply_with(&self, yaml: &str, more: &[&str]) -> Result<String> {
        let mut command = self.tool(&self.kubectl_path());
        command.args(["apply", "-f", "-"]).args(more);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().context("run kubectl")?;
        child
            .stdin
            .take()
            .context("input of kubectl")?
            .write_all(yaml.as_bytes())
            .await?;
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            bail!(
                "kubectl apply: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The kubectl that was built with this cluster.
    pub fn kubectl_path(&self) -> PathBuf {
        self.prepared.kubernetes.join("kubectl")
    }

    fn tool(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.state.kubeconfig());
        // Helm keeps nothing of this cluster in the user's home.
        command
            .env("HELM_CACHE_HOME", self.state.path("helm"))
            .env("HELM_CONFIG_HOME", self.state.path("helm"));
        command.env("HELM_DATA_HOME", self.state.path("helm"));
        command
    }
}
