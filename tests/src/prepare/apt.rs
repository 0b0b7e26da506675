//! Programs of the distribution that a node needs, installed when they are absent.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::run;
use crate::progress::{say, step};

/// A Debian package, and a program whose presence shows that it is there.
const NEEDED: [(&str, &str); 11] = [
    ("containerd", "/usr/bin/containerd"),
    ("runc", "/usr/sbin/runc"),
    ("containernetworking-plugins", "/usr/lib/cni/loopback"),
    ("busybox-static", "/bin/busybox"),
    ("iptables", "/usr/sbin/iptables"),
    ("iproute2", "/usr/sbin/ip"),
    ("nftables", "/usr/sbin/nft"),
    ("util-linux", "/usr/bin/nsenter"),
    ("mount", "/usr/bin/mount"),
    ("openssl", "/usr/bin/openssl"),
    ("ipset", "/usr/sbin/ipset"),
];

/// Installs what is absent; asks for nothing when all is there.
pub fn install_missing() -> Result<()> {
    let absent: Vec<&str> = NEEDED
        .iter()
        .filter(|(_, program)| !present(program))
        .map(|(package, _)| *package)
        .collect();
    if absent.is_empty() {
        return Ok(());
    }
    let names = absent.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!(
            "these Debian packages, or what your distribution calls them, are missing: {names}; install them"
        );
    }
    say(format!("installing {names} (about a minute)"));
    step("packages installed", || {
        apt(&["update", "-q"])?;
        apt(&[
            &["install", "-q", "-y", "--no-install-recommends"],
            absent.as_slice(),
        ]
        .concat())
    })
    .with_context(|| format!("install {names}"))
}

/// `/usr/sbin/ip` may be `/bin/ip` elsewhere: the name counts, in the usual folders.
fn present(program: &str) -> bool {
    let program = Path::new(program);
    let usual = [
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
        "/usr/local/bin",
        "/usr/local/sbin",
    ];
    program.exists()
        || program.file_name().is_some_and(|name| {
            !program.starts_with("/usr/lib")
                && usual.iter().any(|folder| Path::new(folder).join(name).exists())
        })
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    // Services of these packages are started by the cluster itself, node by node.
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1");
    run(&mut command).map(drop)
}
