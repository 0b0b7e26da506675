//! Network namespaces that go with the test.

use std::fs::File;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A network namespace with `lo` up; deleted when dropped.
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes one.
    pub fn new(purpose: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = Self {
            name: format!("hyt-{}-{number}-{purpose}", std::process::id()),
        };
        run(Command::new("ip").args(["netns", "add", &namespace.name]), "");
        for sysctl in [
            "net.ipv4.ip_forward=1",
            "net.ipv6.conf.all.forwarding=1",
            "net.ipv6.conf.default.accept_dad=0",
            "net.ipv6.conf.default.accept_ra=0",
            "net.ipv4.conf.default.rp_filter=0",
            "net.ipv4.conf.all.rp_filter=0",
        ] {
            namespace.sh(&format!("sysctl -qw {sysctl}"));
        }
        namespace.sh("ip link set lo up");
        namespace
    }

    /// Its name for `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs commands in it and gives their output; they must succeed.
    pub fn sh(&self, script: &str) -> String {
        self.sh_with(script, "")
    }

    /// As [`Self::sh`], with input.
    pub fn sh_with(&self, script: &str, input: &str) -> String {
        run(
            Command::new("ip").args(["netns", "exec", &self.name, "sh", "-ec", script]),
            input,
        )
    }

    /// Runs code on a thread inside of it. Sockets opened there stay there.
    pub fn within<T: Send>(&self, code: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/var/run/netns/{}", self.name)).unwrap();
        let inside = move || {
            setns(&file, CloneFlags::CLONE_NEWNET).unwrap();
            code()
        };
        match std::thread::scope(|scope| scope.spawn(inside).join()) {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// The whole ruleset with handles: written anew it would have others.
    pub fn rules_with_handles(&self) -> String {
        self.sh("nft -a -s list ruleset")
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn run(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}
