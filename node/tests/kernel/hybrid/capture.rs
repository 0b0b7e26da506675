//! What went over a link, by tcpdump.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::net::Netns;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A capture that runs; ended and forgotten when dropped.
pub struct Capture {
    tcpdump: Child,
    file: PathBuf,
}

impl Capture {
    /// Begins one; from here on nothing is missed.
    pub fn on(namespace: &Netns, link: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("hyt-{}-{number}.pcap", std::process::id()));
        let mut tcpdump = Command::new("ip")
            .args(["netns", "exec", namespace.name()])
            .args([
                "tcpdump",
                "--immediate-mode",
                "-U",
                "-n",
                "-s",
                "256",
                "-Z",
                "root",
            ])
            .args(["-i", link, "-w"])
            .arg(&file)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(tcpdump.stderr.take().unwrap()).lines();
        let mut said = said.map_while(Result::ok);
        assert!(
            said.any(|line| line.contains("listening on")),
            "tcpdump did not begin"
        );
        Self { tcpdump, file }
    }

    /// How many frames that this filter (pcap-filter(7)) lets through were seen so far.
    pub fn count(&self, filter: &str) -> usize {
        let read = Command::new("tcpdump")
            .args(["-n", "-e", "-r"])
            .arg(&self.file)
            .arg(filter)
            .output()
            .unwrap();
        String::from_utf8_lossy(&read.stdout).lines().count()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.tcpdump.kill();
        let _ = self.tcpdump.wait();
        let _ = std::fs::remove_file(&self.file);
    }
}
