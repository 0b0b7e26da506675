//! Log lines: one a decision, in the format that the flags ask for.

use tracing_subscriber::EnvFilter;

use crate::flags::Zap;

/// Logs to standard error from now on.
pub fn start(zap: &Zap) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter(zap)));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if zap.encoder == "json" {
        lines.json().flatten_event(true).init();
    } else {
        lines.with_ansi(false).init();
    }
}

/// Our own lines at the level that is asked for, those of libraries only when they matter.
fn default_filter(zap: &Zap) -> String {
    format!("warn,hybridnet_node={}", zap.level())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::CommandLine;

    #[test]
    fn libraries_are_quiet_at_every_level() {
        for (argument, filter) in [
            ("--zap-log-level=debug", "warn,hybridnet_node=debug"),
            ("--zap-log-level=info", "warn,hybridnet_node=info"),
            ("--zap-log-level=error", "warn,hybridnet_node=error"),
        ] {
            let line = CommandLine::try_parse_from(["hybridnet-daemon", argument]).unwrap();

            assert_eq!(default_filter(&line.flags.zap), filter);
            assert!(EnvFilter::try_new(default_filter(&line.flags.zap)).is_ok());
        }
    }
}
