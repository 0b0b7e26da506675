//! Kubernetes, etcd, Helm and the Go project, built from their Go modules and kept by a hash of what they are
//! built from.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::paths;
use crate::process::run;
use crate::progress::{remaining, say, seconds};

/// One Go module of `tests/kubernetes`, and the programs that we take from it.
struct Module {
    name: &'static str,
    folder: &'static str,
    packages: &'static [&'static str],
    version: Option<&'static str>,
    /// What is copied beside the programs: a module, and paths in it.
    beside: Option<(&'static str, &'static [&'static str])>,
}

const MODULES: [Module; 3] = [
    Module {
        name: "etcd",
        folder: "etcd",
        packages: &["go.etcd.io/etcd/server/v3"],
        version: None,
        beside: None,
    },
    Module {
        name: "helm",
        folder: "helm",
        packages: &["helm.sh/helm/v3/cmd/helm"],
        version: None,
        beside: None,
    },
    Module {
        name: "kubernetes",
        folder: "",
        packages: &[
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-scheduler",
            "k8s.io/kubernetes/cmd/kube-proxy",
            "k8s.io/kubernetes/cmd/kubelet",
            "k8s.io/kubernetes/cmd/kubectl",
        ],
        // Without it nodes report v0.0.0-master, and Helm's check of the version fails.
        version: Some("1.34.4"),
        beside: None,
    },
];

/// The Go project that this one replaces. Release 0.8.9 is not to be had as a Go module; it differs from 0.8.8
/// by the manager's flag `--pod-label-selector`.
const ORIGINAL: Module = Module {
    name: "hybridnet-go",
    folder: "hybridnet-go",
    packages: &[
        "github.com/alibaba/hybridnet/cmd/manager",
        "github.com/alibaba/hybridnet/cmd/webhook",
        "github.com/alibaba/hybridnet/cmd/daemon",
        "github.com/alibaba/hybridnet/cmd/cni",
    ],
    version: None,
    beside: Some((
        "github.com/alibaba/hybridnet",
        &["charts/hybridnet", "dist/secrets", "dist/images"],
    )),
};

/// The folders with the programs of etcd, Helm and Kubernetes.
pub fn build_missing() -> Result<[PathBuf; 3]> {
    let [etcd, helm, kubernetes] = &MODULES;
    Ok([etcd.built()?, helm.built()?, kubernetes.built()?])
}

/// The folder with the programs `manager`, `webhook`, `daemon` and `cni` of the Go project, and its folders
/// `charts/hybridnet`, `dist/secrets` and `dist/images`.
pub fn build_original() -> Result<PathBuf> {
    ORIGINAL.built()
}

impl Module {
    fn built(&self) -> Result<PathBuf> {
        let source = paths::repository().join("tests/kubernetes").join(self.folder);
        let folder = paths::cache()?.join(format!("{}-{}", self.name, self.hash(&source)?));
        if folder.is_dir() {
            return Ok(folder);
        }
        let partial = folder.with_extension(format!("{}.partial", std::process::id()));
        fs::create_dir_all(&partial).with_context(|| format!("folder {}", partial.display()))?;
        let outcome = self.build(&source, &partial);
        if outcome.is_ok() {
            // Somebody else may have been faster; his are the same.
            let _ = fs::rename(&partial, &folder);
        }
        let _ = fs::remove_dir_all(&partial);
        outcome
            .with_context(|| format!("build {} from {}", self.name, source.display()))
            .map(|()| folder)
    }

    fn build(&self, source: &Path, into: &Path) -> Result<()> {
        let total = self.count_packages(source)?;
        say(format!(
            "building {} (at most {total} packages; minutes the first time)",
            self.name
        ));
        let mut child = go(source)
            .args(["build", "-v", "-trimpath", "-ldflags", &self.linker_flags(), "-o"])
            .arg(into)
            .args(self.packages)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("run go: Go 1.26 must be installed")?;
        let lines = BufReader::new(child.stderr.take().context("output of go")?).lines();
        let tail = self.follow(lines.map_while(Result::ok), total);
        let status = child.wait()?;
        if !status.success() {
            bail!("go build: {status}: {}", tail.join("\n"));
        }
        // etcd's package is called `server`.
        let server = into.join("server");
        if server.exists() {
            fs::rename(server, into.join("etcd"))?;
        }
        self.beside.map_or(Ok(()), |(module, paths)| {
            copy_from_module(source, module, paths, into)
        })
    }

    /// Counts the packages that go names as it compiles them, and says where it stands every 20 seconds.
    fn follow(&self, lines: impl Iterator<Item = String>, total: usize) -> Vec<String> {
        let (start, mut said, mut done) = (Instant::now(), Instant::now(), 0);
        let mut tail = Vec::new();
        for line in lines {
            if !line.starts_with("go: downloading") {
                done += 1;
            }
            if said.elapsed() > Duration::from_secs(20) {
                said = Instant::now();
                let left = remaining(done, total, start.elapsed());
                let estimate = left.map_or(String::new(), |left| format!(", at most {} left", seconds(left)));
                say(format!(
                    "{}: {done} of {total} packages after {}{estimate}",
                    self.name,
                    seconds(start.elapsed())
                ));
            }
            tail.push(line);
            if tail.len() > 40 {
                tail.remove(0);
            }
        }
        say(format!("{}: built in {}", self.name, seconds(start.elapsed())));
        tail
    }

    fn count_packages(&self, source: &Path) -> Result<usize> {
        // Also fetches what is not there yet.
        let listed = run(go(source).args(["list", "-deps"]).args(self.packages)).context("list packages")?;
        Ok(listed.lines().count())
    }

    fn linker_flags(&self) -> String {
        let mut flags = String::from("-s -w");
        if let Some(version) = self.version {
            let mut parts = version.split('.');
            let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            for (name, value) in [
                ("gitVersion", format!("v{version}")),
                ("gitMajor", major.into()),
                ("gitMinor", minor.into()),
            ] {
                let _ = write!(flags, " -X k8s.io/component-base/version.{name}={value}");
            }
        }
        flags
    }

    fn hash(&self, source: &Path) -> Result<String> {
        let mut hash = Sha256::new();
        for file in ["go.mod", "go.sum"] {
            let path = source.join(file);
            hash.update(fs::read(&path).with_context(|| format!("read {}", path.display()))?);
        }
        hash.update(self.packages.join(" "));
        hash.update(self.linker_flags());
        if let Some((module, paths)) = self.beside {
            hash.update(module);
            hash.update(paths.join(" "));
        }
        Ok(short(hash))
    }
}

/// Copies folders of a module that has been fetched. Go keeps them read-only, so modes are not copied.
fn copy_from_module(source: &Path, module: &str, paths: &[&str], into: &Path) -> Result<()> {
    let found = run(go(source).args(["list", "-m", "-f", "{{.Dir}}", module])).context("find the module")?;
    let module = Path::new(found.trim());
    for path in paths {
        let target = into.join(path);
        let parent = target.parent().context("a path in the module")?;
        fs::create_dir_all(parent).with_context(|| format!("folder {}", parent.display()))?;
        let mut copy = Command::new("cp");
        copy.args(["-r", "--no-preserve=mode"])
            .arg(module.join(path))
            .arg(&target);
        run(&mut copy)?;
    }
    Ok(())
}

fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(folder)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly")
        .env_remove("GOOS");
    command
}

/// Twelve hexadecimal digits: enough for a folder's name.
pub(super) fn short(hash: Sha256) -> String {
    let mut text = String::new();
    for byte in hash.finalize().iter().take(6) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
