//! Container images written by hand: a layer of files, in an OCI archive that containerd imports.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::process::write_whole;

/// A tar archive in the making (ustar).
#[derive(Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// Adds a file.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.header(path, mode, content.len(), b'0', "");
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// Adds a folder.
    #[must_use]
    pub fn folder(mut self, path: &str, mode: u32) -> Self {
        self.header(path, mode, 0, b'5', "");
        self
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.header(path, 0o777, 0, b'2', target);
        self
    }

    fn header(&mut self, path: &str, mode: u32, size: usize, kind: u8, target: &str) {
        let mut block = [0u8; 512];
        put(&mut block, 0, path.as_bytes());
        put(&mut block, 100, format!("{mode:07o}").as_bytes());
        put(&mut block, 108, b"0000000");
        put(&mut block, 116, b"0000000");
        put(&mut block, 124, format!("{size:011o}").as_bytes());
        put(&mut block, 136, b"00000000000");
        put(&mut block, 148, b"        ");
        put(&mut block, 156, &[kind]);
        put(&mut block, 157, target.as_bytes());
        put(&mut block, 257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
    }

    /// The whole archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn put(block: &mut [u8; 512], at: usize, bytes: &[u8]) {
    for (place, byte) in block.iter_mut().skip(at).zip(bytes) {
        *place = *byte;
    }
}

/// Writes an image of one layer as an OCI archive. `config` is the `config` part of the image's configuration.
pub fn write_archive(path: &Path, name: &str, layer: Tar, config: &Value) -> Result<()> {
    ensure!(name.contains(':'), "image {name} has no tag");
    let layer = layer.finish();
    let layer_digest = digest(&layer);
    let image = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
        "config": config, "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
    });
    let image = serde_json::to_vec(&image)?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &image),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = serde_json::to_vec(&manifest)?;
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    if let Some(fields) = entry.as_object_mut() {
        let names = json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name});
        fields.insert("annotations".into(), names);
    }
    let index = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [entry]}))?;
    let mut archive = Tar::default()
        .file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)
        .file("index.json", 0o644, &index)
        .folder("blobs/", 0o755)
        .folder("blobs/sha256/", 0o755);
    for blob in [&layer, &image, &manifest] {
        archive = archive.file(&format!("blobs/sha256/{}", digest(blob)), 0o644, blob);
    }
    write_whole(path, archive.finish()).with_context(|| format!("write image {}", path.display()))
}

fn descriptor(kind: &str, content: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": format!("sha256:{}", digest(content)), "size": content.len()})
}

fn digest(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::process::run;

    #[test]
    fn tar_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.tar");
        let tar = Tar::default()
            .folder("bin/", 0o755)
            .file("bin/tool", 0o755, b"hello")
            .link("bin/sh", "tool");

        std::fs::write(&archive, tar.finish()).unwrap();
        run(Command::new("tar")
            .args(["-xf", "a.tar"])
            .current_dir(folder.path()))
        .unwrap();

        let tool = folder.path().join("bin/tool");
        assert_eq!(std::fs::read(&tool).unwrap(), b"hello");
        assert_eq!(
            std::fs::read_link(folder.path().join("bin/sh")).unwrap(),
            Path::new("tool")
        );
        let listed = run(Command::new("tar")
            .args(["-tvf", "a.tar"])
            .current_dir(folder.path()))
        .unwrap();
        assert!(listed.contains("-rwxr-xr-x 0/0"), "{listed}");
    }

    #[test]
    fn an_archive_names_its_image_and_every_blob_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.tar");

        write_archive(
            &path,
            "docker.io/a/b:1",
            Tar::default().file("f", 0o644, b"x"),
            &json!({}),
        )
        .unwrap();
        run(Command::new("tar")
            .args(["-xf", "image.tar"])
            .current_dir(folder.path()))
        .unwrap();

        let index: Value =
            serde_json::from_slice(&std::fs::read(folder.path().join("index.json")).unwrap()).unwrap();
        assert_eq!(
            index["manifests"][0]["annotations"]["io.containerd.image.name"],
            "docker.io/a/b:1"
        );
        for blob in std::fs::read_dir(folder.path().join("blobs/sha256")).unwrap() {
            let blob = blob.unwrap().path();
            assert_eq!(
                digest(&std::fs::read(&blob).unwrap()),
                blob.file_name().unwrap().to_str().unwrap()
            );
        }
    }

    #[test]
    fn an_image_without_a_tag_is_refused() {
        let error = write_archive(Path::new("/nowhere"), "a/b", Tar::default(), &json!({})).unwrap_err();

        assert!(error.to_string().contains("no tag"));
    }
}
