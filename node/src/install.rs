//! `hybridnet-daemon install-cni`: puts the plugin and its configuration where the runtime looks for them
//! (datapath spec 2.1). Each file appears whole by a rename, the configuration last, and only then those of
//! other names go: at no moment is the node without a network, and a runtime never reads half a file.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tracing::{info, warn};

/// The plugin's name: the `type` of a configuration and the file of the program.
const PLUGIN: &str = "hybridnet";
/// How configurations of ours end, whatever their order number.
const CONF_SUFFIX: &str = "-hybridnet.conflist";
const PROGRAM_MODE: u32 = 0o755;
const CONF_MODE: u32 = 0o644;

/// From where to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Our plugin in the image.
    pub plugin: PathBuf,
    /// Directory of the other plugins in the image.
    pub community: PathBuf,
    /// Those of them that are wanted.
    pub wanted: Vec<String>,
    /// The configuration in the image, or a `ConfigMap` over it.
    pub conf: PathBuf,
    /// Name that it gets.
    pub conf_name: String,
    /// Where the runtime looks for programs.
    pub bin_dir: PathBuf,
    /// Where the runtime looks for configurations.
    pub conf_dir: PathBuf,
}

/// Why nothing, or not all, was installed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An environment variable.
    #[error("variable {name} is {value:?}: {reason}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A plugin that is neither in the image nor on the node.
    #[error(
        "plugin {name} (NEEDED_COMMUNITY_CNI_PLUGINS) is neither in {image} nor in {node}: \
         take it out of the list, or put it on the node", image = image.display(), node = node.display()
    )]
    NoPlugin {
        /// Its name.
        name: String,
        /// Directory in the image.
        image: PathBuf,
        /// Directory on the node.
        node: PathBuf,
    },
    /// A configuration that the plugin would refuse.
    #[error("configuration {path}: {reason}", path = path.display())]
    Conf {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file.
    #[error("{action} {path}: {source}", path = path.display())]
    File {
        /// The attempt.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Its error.
        source: io::Error,
    },
}

impl Installation {
    /// As the chart's init container says it; `variable` looks up an environment variable.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let or = |name: &str, default: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .unwrap_or_else(|| default.to_owned())
        };
        let wanted = or("NEEDED_COMMUNITY_CNI_PLUGINS", "loopback");
        let installation = Self {
            plugin: "/hybridnet/hybridnet".into(),
            community: "/cni-plugins".into(),
            wanted: wanted
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(Into::into)
                .collect(),
            conf: or("CNI_CONF_SRC", "/hybridnet/00-hybridnet.conflist").into(),
            conf_name: or("CNI_CONF_NAME", "06-hybridnet.conflist"),
            bin_dir: "/opt/cni/bin".into(),
            conf_dir: "/etc/cni/net.d".into(),
        };
        installation.check()?;
        Ok(installation)
    }

    fn check(&self) -> Result<(), Error> {
        let name = &self.conf_name;
        let extension = Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "conflist");
        if name.contains('/') || name.starts_with('.') || !extension {
            let (value, reason) = (
                name.clone(),
                "it must be the name of a file that ends in .conflist",
            );
            return Err(Error::Variable {
                name: "CNI_CONF_NAME",
                value,
                reason,
            });
        }
        match self
            .wanted
            .iter()
            .find(|name| name.contains('/') || name.starts_with('.') || *name == PLUGIN)
        {
            Some(value) => Err(Error::Variable {
                name: "NEEDED_COMMUNITY_CNI_PLUGINS",
                value: value.clone(),
                reason: "it must be a list of names of plugins of others, between commas",
            }),
            None => Ok(()),
        }
    }

    /// Installs everything. What is in place already is not written again.
    pub fn install(&self) -> Result<(), Error> {
        // What is wrong with the source is found before anything changes.
        let conf = read(&self.conf)?;
        check_conf(&self.conf, &conf)?;
        let plugin = read(&self.plugin)?;
        for directory in [&self.bin_dir, &self.conf_dir] {
            fs::create_dir_all(directory).map_err(file("create", directory))?;
        }
        for name in &self.wanted {
            self.install_community(name)?;
        }
        put(&self.bin_dir, PLUGIN, &plugin, PROGRAM_MODE)?;
        put(&self.conf_dir, &self.conf_name, &conf, CONF_MODE)?;
        self.remove_other_configurations()
    }

    fn install_community(&self, name: &str) -> Result<(), Error> {
        match fs::read(self.community.join(name)) {
            Ok(program) => put(&self.bin_dir, name, &program, PROGRAM_MODE),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(file("read", &self.community.join(name))(error))
            }
            Err(_) if self.bin_dir.join(name).exists() => {
                warn!(plugin = name, "not in the image; the node's own is left as it is");
                Ok(())
            }
            Err(_) => Err(Error::NoPlugin {
                name: name.to_owned(),
                image: self.community.clone(),
                node: self.bin_dir.clone(),
            }),
        }
    }

    /// An earlier release, or earlier values of the chart, may have chosen another name: the runtime takes the
    /// first by name.
    fn remove_other_configurations(&self) -> Result<(), Error> {
        let failed = file("list", &self.conf_dir);
        let entries = fs::read_dir(&self.conf_dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        for entry in entries.map_err(failed)? {
            let name = entry.file_name();
            let ours = name.to_str().is_some_and(|name| name.ends_with(CONF_SUFFIX));
            if ours && name != *self.conf_name {
                let path = entry.path();
                fs::remove_file(&path).map_err(file("remove", &path))?;
                info!(path = %path.display(), "configuration of another name removed");
            }
        }
        Ok(())
    }
}

/// A configuration that the runtime or the plugin would refuse later, pod by pod.
fn check_conf(path: &Path, text: &[u8]) -> Result<(), Error> {
    let wrong = |reason: String| Error::Conf {
        path: path.to_owned(),
        reason,
    };
    let conf: Value = serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
    let plugins = conf.get("plugins").and_then(Value::as_array);
    let Some(plugins) = plugins.filter(|plugins| !plugins.is_empty()) else {
        return Err(wrong("it has no list `plugins`".to_owned()));
    };
    let of_type = |plugin: &&Value| plugin.get("type").and_then(Value::as_str) == Some(PLUGIN);
    for plugin in plugins.iter().filter(of_type) {
        let socket = plugin
            .get("server_socket")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if socket.is_empty() {
            return Err(wrong(format!(
                "server_socket of plugin {PLUGIN} is missing or empty"
            )));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(file("read", path))
}

/// Writes beside the file, and renames over it. The temporary name has none of the endings that runtimes
/// take for configurations.
fn put(directory: &Path, name: &str, content: &[u8], mode: u32) -> Result<(), Error> {
    let (path, unborn) = (directory.join(name), directory.join(format!(".{name}.new")));
    if is_in_place(&path, content, mode) {
        return Ok(());
    }
    let written = write(&unborn, content, mode);
    written.map_err(file("write", &unborn))?;
    fs::rename(&unborn, &path).map_err(file("rename to", &path))?;
    // Else the rename may be lost with the power, and an old file would come back.
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(file("sync", directory))?;
    info!(path = %path.display(), bytes = content.len(), "installed");
    Ok(())
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    file.write_all(content)?;
    // Neither the process's mask nor an earlier attempt decides.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

fn is_in_place(path: &Path, content: &[u8], mode: u32) -> bool {
    let same_mode = fs::symlink_metadata(path)
        .is_ok_and(|present| present.is_file() && present.permissions().mode() & 0o777 == mode);
    same_mode && fs::read(path).is_ok_and(|present| present == content)
}

fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { action, path, source }
}

#[cfg(test)]
mod tests;
