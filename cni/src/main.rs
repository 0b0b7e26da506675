//! The plugin's process: environment and stdin in, stdout and exit status out.

use std::io::{Read, Write};
use std::process::ExitCode;

use hybridnet_cni::failure::{Code, Failure};
use hybridnet_cni::{command, version};

/// A configuration with the result of a long chain of plugins stays far below.
const STDIN_LIMIT: u64 = 1 << 20;

fn main() -> ExitCode {
    let Some(verb) = std::env::var("CNI_COMMAND").ok().filter(|verb| !verb.is_empty()) else {
        eprintln!(
            "hybridnet {}: a CNI plugin, started by the container runtime. CNI versions: {}",
            env!("CARGO_PKG_VERSION"),
            version::list()
        );
        return ExitCode::SUCCESS;
    };
    let outcome = read_stdin().and_then(|config| {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        command::run(&verb, &config, &variable)
    });
    let (text, status) = match outcome {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(failure) => (failure.to_json(), ExitCode::FAILURE),
    };
    // A runtime that no longer reads has given up on us; there is nobody left to tell.
    let _ = std::io::stdout().write_all(text.as_bytes());
    status
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut config = Vec::new();
    let read = std::io::stdin()
        .lock()
        .take(STDIN_LIMIT + 1)
        .read_to_end(&mut config);
    read.map_err(|error| Failure::new(Code::Io, format!("configuration on stdin: {error}")))?;
    if config.len() as u64 > STDIN_LIMIT {
        let text = format!("configuration on stdin is longer than {STDIN_LIMIT} bytes");
        return Err(Failure::new(Code::Undecodable, text));
    }
    Ok(config)
}
