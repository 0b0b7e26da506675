//! The images of a cluster without a registry: the sandbox, and the pod that tests talk to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::go::short;
use super::oci::{Tar, write_archive};
use crate::paths;
use crate::process::run;
use crate::progress::step;

/// What the kubelets' runtime keeps a pod's namespaces with.
pub const SANDBOX: &str = "localhost/pause:1";
/// The test pod: busybox, and our `peer`.
pub const PEER: &str = "localhost/peer:1";

/// Builds the program of the test pods: static, of the standard library alone, so one call of rustc.
pub fn peer() -> Result<PathBuf> {
    let source = paths::repository().join("tests/src/bin/peer.rs");
    let code = fs::read(&source).with_context(|| format!("read {}", source.display()))?;
    let folder = paths::cache()?;
    fs::create_dir_all(&folder).with_context(|| format!("folder {}", folder.display()))?;
    let program = folder.join(format!("peer-{}", short(Sha256::new_with_prefix(code))));
    if !program.exists() {
        step("program of the test pods built", || {
            let partial = program.with_extension(std::process::id().to_string());
            let mut rustc = Command::new("rustc");
            rustc.args([
                "--edition",
                "2024",
                "-C",
                "opt-level=s",
                "-C",
                "strip=symbols",
                "-C",
                "panic=abort",
            ]);
            rustc
                .args(["-C", "target-feature=+crt-static", "-o"])
                .args([&partial, &source]);
            run(&mut rustc)?;
            fs::rename(&partial, &program).context("keep the program of the test pods")
        })?;
    }
    Ok(program)
}

/// Writes the images' archives that are not there yet.
pub fn archives(peer: &Path) -> Result<Vec<PathBuf>> {
    let program = fs::read(peer).with_context(|| format!("read {}", peer.display()))?;
    let busybox = fs::read("/bin/busybox").context("read /bin/busybox")?;
    let mut hash = Sha256::new_with_prefix(&program);
    hash.update(&busybox);
    hash.update([SANDBOX, PEER].concat());
    let key = short(hash);
    let (sandbox, tools) = (
        paths::cache()?.join(format!("pause-{key}.tar")),
        paths::cache()?.join(format!("peer-{key}.tar")),
    );
    if !sandbox.exists() {
        let layer = Tar::default().file("peer", 0o755, &program);
        write_archive(
            &sandbox,
            SANDBOX,
            layer,
            &json!({"Entrypoint": ["/peer", "pause"]}),
        )?;
    }
    if !tools.exists() {
        let config = json!({"Cmd": ["/bin/peer", "serve"], "Env": ["PATH=/bin"]});
        write_archive(&tools, PEER, user_land(&program, &busybox)?, &config)?;
    }
    Ok(vec![sandbox, tools])
}

fn user_land(peer: &[u8], busybox: &[u8]) -> Result<Tar> {
    let mut layer = Tar::default()
        .folder("bin/", 0o755)
        .folder("etc/", 0o755)
        .folder("root/", 0o700)
        .folder("tmp/", 0o1777)
        .file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")
        .file("bin/busybox", 0o755, busybox)
        .file("bin/peer", 0o755, peer);
    let applets = run(Command::new("/bin/busybox").arg("--list"))?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        layer = layer.link(&format!("bin/{applet}"), "busybox");
    }
    Ok(layer)
}
