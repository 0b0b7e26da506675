//! hybridnet-manager: see the library for what it does.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    hybridnet_operator::run(hybridnet_operator::Flags::parse())
}
