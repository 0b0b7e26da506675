//! The end of a program: asked for by SIGTERM from the kubelet, or SIGINT from a terminal.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

/// Turns true with the first SIGTERM or SIGINT, and stays so. Call it early: the first process of a container
/// gets no signal that it does not listen for. Must be called within a runtime, and listens as long as that.
pub fn on_signal() -> io::Result<watch::Receiver<bool>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("told to stop");
        sender.send_replace(true);
        // Receivers see the end of the channel as an error.
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[tokio::test]
    async fn the_first_signal_is_told_to_everybody_and_not_taken_back() {
        let mut stop = on_signal().unwrap();
        let mut late = stop.clone();
        assert!(!*stop.borrow());

        raise(Signal::SIGTERM).unwrap();

        assert!(*stop.wait_for(|stop| *stop).await.unwrap());
        assert!(*late.wait_for(|stop| *stop).await.unwrap());
    }
}
