//! Log lines on standard error, with the flags that manifests of the Go project carry.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};
use tracing::warn;
use tracing_subscriber::EnvFilter;

/// The Go project's logger was zap; its flags keep working as far as they mean something here.
#[derive(Args, Clone, Debug)]
pub struct LogFlags {
    /// Log at level debug unless --zap-log-level says otherwise.
    #[arg(long = "zap-devel", num_args = 0..=1, require_equals = true, action = ArgAction::Set, hide = true,
          default_value = "false", default_missing_value = "true", value_parser = BoolishValueParser::new())]
    devel: bool,

    /// Log format.
    #[arg(long = "zap-encoder", default_value = "console")]
    encoder: Encoder,

    /// Log level: debug, info (also when not given), error, or a number above 0; the variable `RUST_LOG` says it
    /// in more detail.
    #[arg(long = "zap-log-level")]
    level: Option<Level>,

    /// Accepted and ignored: errors say what they come from.
    #[arg(long = "zap-stacktrace-level", hide = true)]
    stacktrace_level: Option<String>,

    /// Accepted and ignored: times are RFC 3339.
    #[arg(long = "zap-time-encoding", hide = true)]
    time_encoding: Option<String>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Encoder {
    Json,
    Console,
}

/// How much is said; with numbers as the Go project counts them: the higher, the more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Error,
    Info,
    Debug,
    Trace,
}

/// A level that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("use debug, info, error or a number above 0")]
struct UnknownLevel;

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, UnknownLevel> {
        match (word.to_ascii_lowercase().as_str(), word.parse::<u32>()) {
            ("error", _) => Ok(Self::Error),
            ("info", _) => Ok(Self::Info),
            ("debug", _) | (_, Ok(1)) => Ok(Self::Debug),
            (_, Ok(2..)) => Ok(Self::Trace),
            _ => Err(UnknownLevel),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

impl LogFlags {
    /// Sends all logs to standard error from now on. `RUST_LOG` wins over the flags.
    pub fn start(&self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(self.filter()));
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        match self.encoder {
            Encoder::Json => lines.json().flatten_event(true).init(),
            Encoder::Console => lines.init(),
        }
        for flag in self.without_effect() {
            warn!(flag, "has no effect in this release");
        }
    }

    /// Our own lines at the level that is asked for, those of libraries only when they matter. All our crates
    /// begin with the same word.
    fn filter(&self) -> String {
        let unsaid = if self.devel { Level::Debug } else { Level::Info };
        let level = self.level.unwrap_or(unsaid);
        let libraries = match level {
            Level::Error => "error",
            Level::Info | Level::Debug | Level::Trace => "warn",
        };
        format!("{libraries},hybridnet={level}")
    }

    /// Names of the flags that were given and mean nothing here.
    fn without_effect(&self) -> impl Iterator<Item = &'static str> {
        let ignored = [
            ("--zap-stacktrace-level", &self.stacktrace_level),
            ("--zap-time-encoding", &self.time_encoding),
        ];
        ignored
            .into_iter()
            .filter_map(|(name, value)| value.as_ref().map(|_| name))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Only {
        #[command(flatten)]
        logs: LogFlags,
    }

    fn parse(arguments: &[&str]) -> Result<LogFlags, clap::Error> {
        let all = std::iter::once(&"program").chain(arguments);
        Only::try_parse_from(all).map(|only| only.logs)
    }

    #[test]
    fn levels_of_the_original_are_understood_and_libraries_are_quiet_at_each() {
        for (arguments, filter) in [
            (&[][..], "warn,hybridnet=info"),
            (&["--zap-devel"], "warn,hybridnet=debug"),
            (
                &["--zap-devel=true", "--zap-log-level=info"],
                "warn,hybridnet=info",
            ),
            (&["--zap-devel=0"], "warn,hybridnet=info"),
            (&["--zap-log-level", "error"], "error,hybridnet=error"),
            (&["--zap-log-level=DEBUG"], "warn,hybridnet=debug"),
            (&["--zap-log-level=1"], "warn,hybridnet=debug"),
            (&["--zap-log-level=500"], "warn,hybridnet=trace"),
        ] {
            let flags = parse(arguments).unwrap();

            assert_eq!(flags.filter(), filter, "{arguments:?}");
            assert!(EnvFilter::try_new(flags.filter()).is_ok());
        }
    }

    #[test]
    fn lines_are_for_people_unless_json_is_asked_for() {
        let encoder = |arguments: &[&str]| parse(arguments).unwrap().encoder;

        assert_eq!(encoder(&[]), Encoder::Console);
        assert_eq!(encoder(&["--zap-encoder=json"]), Encoder::Json);
    }

    #[test]
    fn flags_that_mean_nothing_are_accepted_and_named() {
        let flags = parse(&["--zap-stacktrace-level=error", "--zap-time-encoding=iso8601"]).unwrap();

        let named: Vec<_> = flags.without_effect().collect();

        assert_eq!(named, ["--zap-stacktrace-level", "--zap-time-encoding"]);
    }

    #[test]
    fn a_word_that_does_not_exist_is_refused_with_those_that_do() {
        for word in ["loud", "0", ""] {
            let error = parse(&[&format!("--zap-log-level={word}")])
                .unwrap_err()
                .to_string();

            assert!(
                error.contains("use debug, info, error or a number above 0"),
                "{error}"
            );
        }
        assert!(parse(&["--zap-encoder=xml"]).is_err());
    }
}
