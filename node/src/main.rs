//! hybridnet-daemon: see the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use hybridnet_node::flags::{Command, CommandLine, Flags};
use hybridnet_node::install::Installation;
use hybridnet_node::run;
use tracing::error;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    line.flags.logs.start();
    let outcome = match line.command {
        Some(Command::InstallCni) => install(),
        None => daemon(line.flags),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn install() -> anyhow::Result<()> {
    Installation::from_environment(|name| std::env::var(name).ok())?.install()?;
    Ok(())
}

fn daemon(flags: Flags) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run::run(flags))?;
    // What still waits for the API server is cut off.
    runtime.shutdown_background();
    Ok(())
}
