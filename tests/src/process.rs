//! Processes that outlive the call that started them, known by id and start time, never by name.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process as it was when we started it. The start time tells it from a later one that got the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it is in this cluster: `etcd`, `kubelet`.
    pub name: String,
    /// Its process id.
    pub pid: i32,
    /// Clock ticks between the machine's start and its own.
    pub started: u64,
}

impl Record {
    /// Of a process that runs now.
    pub fn of(name: &str, pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid).context("process id")?;
        let started =
            running_since(pid).with_context(|| format!("{name} ended as soon as it had started"))?;
        Ok(Self {
            name: name.to_owned(),
            pid,
            started,
        })
    }

    /// Of this process.
    pub fn own(name: &str) -> Result<Self> {
        Self::of(name, std::process::id())
    }

    /// Whether this very process still runs.
    pub fn alive(&self) -> bool {
        running_since(self.pid) == Some(self.started)
    }

    /// Sends a signal; one that is gone is no error.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if self.alive()
            && let Err(error) = kill(Pid::from_raw(self.pid), signal)
            && error != nix::errno::Errno::ESRCH
        {
            return Err(error).with_context(|| format!("{signal} to {} ({})", self.name, self.pid));
        }
        Ok(())
    }

    /// Ends it, at once, and waits until it is gone.
    pub fn end(&self) -> Result<()> {
        let limit = Instant::now() + Duration::from_secs(20);
        while self.alive() {
            self.signal(Signal::SIGKILL)?;
            if Instant::now() > limit {
                bail!("{} ({}) still runs 20 s after SIGKILL", self.name, self.pid);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// When the process started; `None` when there is none, or only its zombie.
fn running_since(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so count from its end: state is the first field after it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Starts a program that stays when we end: no input, its output to `log`, a process group of its own so that
/// the terminal's Ctrl-C does not reach it.
pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Record> {
    let out = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("log {}", log.display()))?;
    let child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {name} ({})", command.get_program().display()))?;
    Record::of(name, child.id()).with_context(|| format!("{name}: see {}", log.display()))
}

/// Runs a program to its end. Its output is the answer, and part of the error when it fails.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("run {}", command.get_program().display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{}: {}: {}{}",
            described(command),
            output.status,
            text.trim_end(),
            said.trim_end()
        );
    }
    Ok(text)
}

fn described(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The last lines of a log, for a message about whoever wrote it.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..)
        .unwrap_or_default()
        .join("\n")
}

/// A file written whole or not at all.
pub fn write_whole(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, content)?;
    fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_time_too() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();

        let record = Record::of("sleep", child.id()).unwrap();
        let other = Record {
            started: record.started + 1,
            ..record.clone()
        };

        assert!(record.alive());
        assert!(!other.alive());
        other.end().unwrap();
        assert!(
            record.alive(),
            "a record of another process must not end this one"
        );
        record.end().unwrap();
        assert!(!record.alive(), "a zombie does not run");
        child.wait().unwrap();
        record.end().unwrap();
    }

    #[test]
    fn a_failed_program_is_named_with_what_it_said() {
        let error = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap_err();

        let text = error.to_string();
        for part in ["sh -c", "exit status: 3", "out", "err"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
