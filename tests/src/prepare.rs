//! What must be there before a cluster can start, made once: Debian's packages, Kubernetes, the images of test pods.

mod apt;
pub mod go;
pub mod images;
pub mod oci;

use std::path::PathBuf;

use anyhow::{Result, ensure};

/// Where the made things are.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Folder with `kube-apiserver`, `kubelet`, `kubectl` …
    pub kubernetes: PathBuf,
    /// The program `etcd`.
    pub etcd: PathBuf,
    /// The program `helm`.
    pub helm: PathBuf,
    /// The program inside the test pods; static, so it runs on the machine as well.
    pub peer: PathBuf,
    /// OCI archives that every node gets.
    pub images: Vec<PathBuf>,
}

/// Makes what is missing, and says so while it takes long.
pub fn prepare() -> Result<Prepared> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "a cluster needs root: run this again as root"
    );
    apt::install_missing()?;
    let [etcd, helm, kubernetes] = go::build_missing()?;
    let peer = images::peer()?;
    let images = images::archives(&peer)?;
    Ok(Prepared {
        kubernetes,
        etcd: etcd.join("etcd"),
        helm: helm.join("helm"),
        peer,
        images,
    })
}
