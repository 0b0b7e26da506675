//! A box of the cluster seen from us: run a program in there.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// How long a program in a box may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A machine: its network, and for a node its file system and name as well.
#[derive(Debug, Clone)]
pub struct Machine {
    name: String,
    network: PathBuf,
    inside: Option<i32>,
}

impl Machine {
    /// One that is a network namespace only.
    pub fn outside(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            network: crate::netns::path(name),
            inside: None,
        }
    }

    /// One whose first process has its own mounts and host name.
    pub fn node(name: &str, namespace: &str, process: i32) -> Self {
        Self {
            name: name.to_owned(),
            network: crate::netns::path(namespace),
            inside: Some(process),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs a program to its end; the answer is its output. A status other than 0 is an error with all it said.
    pub async fn exec<S: AsRef<std::ffi::OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let words: Vec<_> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        let shown = words
            .join(std::ffi::OsStr::new(" "))
            .to_string_lossy()
            .into_owned();
        let (status, out, err) = finish(self.command().args(&words), &shown).await?;
        if !status.success() {
            bail!("{} on {}: {status}: {out}{err}", shown, self.name);
        }
        Ok(out)
    }

    /// The same, but what it said is the answer even if it fails.
    pub async fn output<S: AsRef<std::ffi::OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let mut command = self.command();
        let (_, out, err) = finish(command.args(words), &format!("a program on {}", self.name)).await?;
        Ok(out + &err)
    }

    fn command(&self) -> Command {
        Command::from(self.entering())
    }

    /// The program that enters, which the one to be run is an argument of. It is the same process then.
    pub fn entering(&self) -> std::process::Command {
        let mut command = std::process::Command::new("nsenter");
        command.arg(format!("--net={}", self.network.display()));
        if let Some(process) = self.inside {
            command.args([
                format!("--mount=/proc/{process}/ns/mnt"),
                format!("--uts=/proc/{process}/ns/uts"),
            ]);
            command.arg("--wd=/");
        }
        command.arg("--");
        command
    }
}

/// Runs a command to its end, within the limit.
pub async fn finish(
    command: &mut Command,
    shown: &str,
) -> Result<(std::process::ExitStatus, String, String)> {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, running)
        .await
        .with_context(|| format!("{shown}: no end after {} s", PATIENCE.as_secs()))?
        .with_context(|| format!("run {shown}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status, text(&output.stdout), text(&output.stderr)))
}
