//! A pod's network namespace: which paths are one, and a netlink socket in it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rtnetlink::Handle;

use super::Error;
use crate::kernel::netns::Netns;

/// This daemon's own namespace.
const OWN: &str = "/proc/self/ns/net";

/// An open network namespace. It lives on at least as long as this value.
#[derive(Clone, Debug)]
pub(super) struct Namespace {
    file: Arc<File>,
    path: PathBuf,
}

impl Namespace {
    /// Refuses this daemon's own namespace: a path like `/proc/1/ns/net` means another process to a runtime
    /// outside the daemon's container, and a link `eth0` is not for us to make, or delete, on the host.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |source| Error::Namespace {
            path: path.to_owned(),
            source,
        };
        // Not to block on what is no namespace, a pipe for instance.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(wrong)?;
        let (own, found) = (
            std::fs::metadata(OWN).map_err(wrong)?,
            file.metadata().map_err(wrong)?,
        );
        let invalid = |text| wrong(io::Error::new(io::ErrorKind::InvalidInput, text));
        if (own.dev(), own.ino()) == (found.dev(), found.ino()) {
            return Err(invalid(
                "it is the host's own; the runtime must keep namespaces of pods under /run/netns",
            ));
        }
        // All namespaces are of one file system.
        if own.dev() != found.dev() {
            return Err(invalid("it is not a network namespace"));
        }
        Ok(Self {
            file: Arc::new(file),
            path: path.to_owned(),
        })
    }

    /// For netlink messages that name the namespace.
    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Does `first`, which may block, inside, and then opens a netlink socket there, which works from here.
    pub async fn open_socket(
        &self,
        first: impl FnOnce() -> Result<(), Error> + Send + 'static,
    ) -> Result<Handle, Error> {
        let open = move || {
            first()?;
            rtnetlink::new_connection().map_err(|source| Error::Io {
                what: "netlink socket",
                source,
            })
        };
        let entered = Netns::from(self.file.clone()).run(open).await;
        let wrong = |source| Error::Namespace {
            path: self.path.clone(),
            source,
        };
        let (connection, handle, _) = entered.map_err(wrong)??;
        tokio::spawn(connection);
        Ok(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_namespace_is_refused() {
        let error = Namespace::open(Path::new("/proc/self/ns/net")).unwrap_err();

        assert!(error.to_string().contains("it is the host's own"), "{error}");
    }

    #[test]
    fn what_is_no_namespace_is_refused_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();

        for path in [pipe.as_path(), directory.path(), Path::new("/nowhere")] {
            let error = Namespace::open(path).unwrap_err();

            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
    }
}
