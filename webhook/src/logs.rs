//! Logging, with the flags that manifests of the original carry.

use clap::{ArgAction, Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// The original's logger was zap; its flags keep working as far as they mean something here.
#[derive(Args, Clone, Debug)]
pub struct LogFlags {
    /// Console output at debug level unless the other flags say otherwise.
    #[arg(long = "zap-devel", num_args = 0..=1, require_equals = true, action = ArgAction::Set, default_value = "false", default_missing_value = "true")]
    devel: bool,
    /// Form of a line.
    #[arg(long = "zap-encoder")]
    encoder: Option<Encoder>,
    /// `debug`, `info`, `error`, or a number above 0: the higher, the more is said.
    #[arg(long = "zap-log-level")]
    log_level: Option<String>,
    /// Accepted and ignored: errors say what they come from.
    #[arg(long = "zap-stacktrace-level")]
    stacktrace_level: Option<String>,
    /// Accepted and ignored: times are RFC 3339.
    #[arg(long = "zap-time-encoding")]
    time_encoding: Option<String>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Encoder {
    Json,
    Console,
}

/// A level that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("--zap-log-level {0:?}: use debug, info, error or a number above 0")]
pub struct UnknownLevel(String);

impl LogFlags {
    /// Sends all logs to standard error from now on. `RUST_LOG` wins over the flags.
    pub fn install(&self) -> Result<(), UnknownLevel> {
        let level = self.level()?;
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
        let logs = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        match self.encoder {
            Some(Encoder::Json) => logs.json().flatten_event(true).init(),
            Some(Encoder::Console) | None => logs.init(),
        }
        Ok(())
    }

    fn level(&self) -> Result<&'static str, UnknownLevel> {
        let Some(word) = self.log_level.as_deref() else {
            return Ok(if self.devel { "debug" } else { "info" });
        };
        match (word.to_ascii_lowercase().as_str(), word.parse::<u8>()) {
            ("debug", _) | (_, Ok(1)) => Ok("debug"),
            ("info", _) => Ok("info"),
            ("error", _) => Ok("error"),
            (_, Ok(2..)) => Ok("trace"),
            _ => Err(UnknownLevel(word.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        logs: LogFlags,
    }

    #[test]
    fn flags_of_the_original_are_understood() {
        let cases: [(&[&str], Option<&str>); 7] = [
            (&[], Some("info")),
            (&["--zap-devel"], Some("debug")),
            (&["--zap-devel=true", "--zap-log-level=info"], Some("info")),
            (
                &["--zap-log-level", "error", "--zap-encoder", "json"],
                Some("error"),
            ),
            (&["--zap-log-level=5", "--zap-time-encoding=epoch"], Some("trace")),
            (&["--zap-log-level=0"], None),
            (&["--zap-log-level=loud", "--zap-stacktrace-level=error"], None),
        ];
        for (arguments, level) in cases {
            let all = ["x"].iter().chain(arguments);
            let flags = Only::try_parse_from(all).expect("known flags").logs;
            assert_eq!(flags.level().ok(), level, "{arguments:?}");
        }
    }
}
