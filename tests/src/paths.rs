//! Where things live: the repository, what is built once, and what a running cluster keeps.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The checkout that this program was built from.
pub fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// What is built once and serves every cluster: Kubernetes' programs and images.
pub fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(base) => PathBuf::from(base),
        None => PathBuf::from(env::var_os("HOME").context("HOME is not set: say where to cache builds")?)
            .join(".cache"),
    };
    Ok(base.join("hybridnet"))
}

/// One folder a cluster: its record, keys, logs, and the disks of its nodes.
pub fn clusters() -> PathBuf {
    PathBuf::from("/var/lib/hybridnet-lab")
}

/// Where the logs of a failed cluster are kept.
pub fn failures() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository().join("target"), PathBuf::from)
        .join("lab-failures")
}

/// The program `lab`, which runs a node from inside and looks after a cluster: this one, or the one that
/// cargo put beside the running test.
pub fn lab() -> Result<PathBuf> {
    let own = env::current_exe().context("own path")?;
    let here = own.parent().context("own folder")?;
    let beside = here.parent().map(|up| up.join("lab"));
    [Some(here.join("lab")), beside]
        .into_iter()
        .flatten()
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "no program `lab` beside {}: build it with cargo build -p hybridnet-tests",
                own.display()
            )
        })
}
