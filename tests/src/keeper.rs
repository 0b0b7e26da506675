//! The keeper of a cluster: a door to its API server on this machine's loopback, and its end when its owner ends.
//!
//! An owner (a test) holds the other end of our input and never writes to it. However it ends, by return, panic,
//! Ctrl-C or SIGKILL, the input closes, and we clear everything away. A cluster without an owner (`lab up`) stays.

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::process::{Record, write_whole};
use crate::state::State;
use crate::topology::{Topology, control_address};
use crate::wait::until_blocking;
use crate::{control, netns};

/// A running keeper, seen from its owner.
pub struct Keeper {
    /// The port on the loopback.
    pub port: u16,
    /// Open as long as the owner lives.
    pub line: Option<ChildStdin>,
}

/// Starts a keeper beside us. `owned`: the cluster ends with this process.
pub fn start(state: &State, owned: bool) -> Result<Keeper> {
    let log = File::create(state.log("keeper")).context("log of the keeper")?;
    let mut command = control::keeper(state)?;
    command
        .stdin(if owned { Stdio::piped() } else { Stdio::null() })
        .stdout(log.try_clone()?)
        .stderr(log);
    if owned {
        command.arg("--owned");
    }
    let mut child = command.process_group(0).spawn().context("start the keeper")?;
    let line = child.stdin.take();
    let port = until_blocking("the keeper's port", Duration::from_secs(10), || {
        let text = std::fs::read_to_string(state.path("port")).map_err(|error| error.to_string())?;
        text.trim().parse::<u16>().map_err(|error| error.to_string())
    })
    .with_context(|| crate::process::tail(&state.log("keeper"), 5))?;
    Ok(Keeper { port, line })
}

/// The keeper's own program: never returns while the cluster lives.
pub fn run(prefix: &str, owned: bool) -> Result<()> {
    let state = State::of(prefix)?;
    state.remember(&Record::own("keeper")?)?;
    // The listener stays where it was made; every connection after this line is made inside.
    let listener = TcpListener::bind("127.0.0.1:0").context("listen on the loopback")?;
    netns::enter(&Topology::new(prefix, 0).control())?;
    if owned {
        let state = state.clone();
        std::thread::spawn(move || {
            // Nothing is ever sent: this returns when the owner is gone.
            let _ = std::io::stdin().read(&mut [0; 1]);
            if let Err(error) = state.end() {
                eprintln!("{error:#}");
                std::process::exit(1);
            }
            std::process::exit(0);
        });
    }
    write_whole(&state.path("port"), listener.local_addr()?.port().to_string()).context("tell the port")?;
    listener.set_nonblocking(true)?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(forward(listener))
}

async fn forward(listener: TcpListener) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(async move {
            let mut server = TcpStream::connect((control_address().v4, 6443)).await?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            copy_bidirectional(&mut client, &mut server).await
        });
    }
}
