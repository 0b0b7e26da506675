//! Work inside a network namespace: on a thread that is made for it and ends with it, so that no other work
//! ever finds itself in the wrong one.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use nix::sched::{CloneFlags, setns};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A network namespace: that of this process, or another.
#[derive(Clone, Debug, Default)]
pub struct Netns(Option<Arc<File>>);

impl Netns {
    /// That of this process.
    pub fn own() -> Self {
        Self(None)
    }

    /// The one that a file stands for, as under `/run/netns` or `/proc/PID/ns/net`. It lives as long as this
    /// value, whatever becomes of the file.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Some(Arc::new(File::open(path)?))))
    }

    /// Runs `work`, which may block, in the namespace. Sockets that it opens stay there, and `/proc/sys/net` is
    /// the namespace's. A runtime's timers and sockets are within its reach.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (done, result) = oneshot::channel();
        let (namespace, runtime) = (self.0.clone(), Handle::current());
        std::thread::Builder::new().name("netns".into()).spawn(move || {
            let entered = namespace.map_or(Ok(()), |file| setns(file, CloneFlags::CLONE_NEWNET));
            let _context = runtime.enter();
            // Nobody waits any more: then nobody wants the result.
            let _ = done.send(entered.map(|()| work()));
        })?;
        let result = result
            .await
            .map_err(|_| io::Error::other("the work in the namespace ended early"))?;
        result.map_err(io::Error::from)
    }
}

impl From<Arc<File>> for Netns {
    /// One that is open already.
    fn from(file: Arc<File>) -> Self {
        Self(Some(file))
    }
}
