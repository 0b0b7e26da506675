//! Log lines, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::flags::Zap;

/// Sends all logs to standard error from now on. `RUST_LOG` wins over the flags.
pub fn init(zap: &Zap) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(zap.level()));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if zap.encoder == "json" {
        logs.json().flatten_event(true).init();
    } else {
        logs.init();
    }
}
