//! The model test of the manager as a program: many histories, or one again (`docs/testing.md`).

use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use hybridnet_operator::simulation::hunt::{Found, Hunt, report};
use hybridnet_operator::simulation::mutation::Mutation;

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
    /// Put this fault into the manager, to see it caught.
    #[arg(long)]
    mutation: Option<Mutation>,
    /// Put each fault into the manager in turn, and fail when one is not caught.
    #[arg(long, conflicts_with_all = ["seed", "mutation"])]
    mutations: bool,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let began = Instant::now();
    if flags.mutations {
        return all_caught(&flags);
    }
    let seed = flags.seed.or_else(|| {
        let found = hunt(&flags, flags.mutation);
        println!("{}", found.figures);
        found.seed
    });
    let Some(text) = seed.and_then(|seed| report(seed, flags.mutation)) else {
        println!("no rule broken in {:.1} s", began.elapsed().as_secs_f64());
        return ExitCode::SUCCESS;
    };
    println!("{text}");
    ExitCode::FAILURE
}

fn hunt(flags: &Flags, mutation: Option<Mutation>) -> Found {
    let processors = available_parallelism().map_or(1, usize::from);
    let hunt = Hunt {
        first: flags.first,
        count: flags.histories,
        threads: flags.threads.unwrap_or(processors),
        mutation,
    };
    hunt.run()
}

fn all_caught(flags: &Flags) -> ExitCode {
    let mut missed = false;
    for mutation in Mutation::value_variants() {
        let found = hunt(flags, Some(*mutation));
        let histories = found.figures.histories;
        let said = if found.seed.is_some() {
            "caught within"
        } else {
            "NOT caught within"
        };
        println!("{mutation:?}: {said} {histories} histories");
        missed |= found.seed.is_none();
    }
    if missed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
