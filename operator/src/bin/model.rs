//! The model test of the manager as a program: many histories, or one again (`docs/testing.md`).

use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Instant;

use clap::Parser;
use hybridnet_operator::simulation::hunt::{Hunt, report};

/// Lives through random histories of the manager and checks every step.
#[derive(Parser)]
struct Flags {
    /// Live through this one alone, and tell about it.
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed of many.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// How many.
    #[arg(long, default_value_t = 100_000)]
    histories: u64,
    /// How many at once; absent means one a processor.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let began = Instant::now();
    let seed = match flags.seed {
        Some(seed) => Some(seed),
        None => hunt(&flags),
    };
    let Some(text) = seed.and_then(|seed| report(seed, None)) else {
        println!("no rule broken in {:.1} s", began.elapsed().as_secs_f64());
        return ExitCode::SUCCESS;
    };
    println!("{text}");
    ExitCode::FAILURE
}

fn hunt(flags: &Flags) -> Option<u64> {
    let processors = available_parallelism().map_or(1, usize::from);
    let hunt = Hunt {
        first: flags.first,
        count: flags.histories,
        threads: flags.threads.unwrap_or(processors),
        mutation: None,
    };
    let found = hunt.run();
    println!("{}", found.figures);
    found.seed
}
