//! hybridnet-manager: gives addresses to pods and keeps what the API says about networks true.

use std::process::ExitCode;

pub mod client;
pub mod events;
pub mod feed;
pub mod flags;
pub mod health;
pub mod lease;
pub mod metrics;
pub mod queue;
#[cfg(test)]
mod testing;
pub mod world;

pub use flags::Flags;

/// Runs the manager until it is told to stop or cannot go on.
pub fn run(_flags: Flags) -> ExitCode {
    ExitCode::FAILURE
}
