//! The socket's file: only root may connect, and never two daemons listen.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Listens on `path`. A file that nobody answers on is a dead daemon's, and is replaced in one step: a plugin
/// finds either nobody or us, and nobody but root at any moment.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("socket {}: {error}", path.display()));
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(named(io::Error::new(
                ErrorKind::AlreadyExists,
                "the file is not a socket; remove it",
            )));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            let text = "another daemon listens on it; end that one first";
            return Err(named(io::Error::new(ErrorKind::AddrInUse, text)));
        }
        _ => {}
    }
    if let Some(directory) = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
    {
        fs::create_dir_all(directory).map_err(named)?;
    }
    let unborn = suffixed(path, ".new");
    match fs::remove_file(&unborn) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(named(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&unborn).map_err(named)?;
    fs::set_permissions(&unborn, Permissions::from_mode(0o600)).map_err(named)?;
    fs::rename(&unborn, path).map_err(named)?;
    listener.set_nonblocking(true).map_err(named)?;
    Ok(listener)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_may_connect() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cni/daemon.sock");

        let _listener = bind(&path).unwrap();

        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(UnixStream::connect(&path).is_ok());
        assert_eq!(fs::read_dir(directory.path().join("cni")).unwrap().count(), 1);
    }

    #[test]
    fn a_dead_daemons_socket_is_taken_over_and_a_living_ones_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.sock");
        drop(bind(&path).unwrap());
        assert!(path.exists(), "a socket outlives its listener");

        let living = bind(&path).unwrap();
        let error = bind(&path).unwrap_err();

        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains("another daemon listens"), "{error}");
        drop(living);
        bind(&path).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.sock");
        fs::write(&path, "precious").unwrap();

        let error = bind(&path).unwrap_err();

        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert!(error.to_string().contains("not a socket"), "{error}");
    }
}
