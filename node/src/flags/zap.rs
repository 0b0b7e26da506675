//! Flags of the Go project's logger.

use clap::Args;

/// The format and the level are honoured, the others only accepted.
#[derive(Args, Clone, Debug)]
pub struct Zap {
    /// Accepted and ignored.
    #[arg(long = "zap-devel", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    pub devel: Option<String>,

    /// Log format: `json` or `console`.
    #[arg(long = "zap-encoder", default_value = "console", value_parser = ["json", "console"])]
    pub encoder: String,

    /// Log level: debug, info, error, or a number above 0; the variable `RUST_LOG` says it in more detail.
    #[arg(long = "zap-log-level", default_value = "info")]
    pub log_level: String,

    /// Accepted and ignored.
    #[arg(long = "zap-stacktrace-level", hide = true)]
    pub stacktrace_level: Option<String>,

    /// Accepted and ignored.
    #[arg(long = "zap-time-encoding", hide = true)]
    pub time_encoding: Option<String>,
}

impl Zap {
    /// The level in the words of `tracing`.
    pub fn level(&self) -> &'static str {
        match self.log_level.as_str() {
            "debug" => "debug",
            "error" => "error",
            number if number.parse::<u8>().is_ok_and(|number| number > 0) => "debug",
            _ => "info",
        }
    }
}
