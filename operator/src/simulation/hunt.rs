//! Many histories, and what is said about the first that breaks a rule.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::figures::Figures;
use super::history::History;
use super::mutation::Mutation;
use super::shrink::shrunk;
use super::{Outcome, Violation, run};

/// Which histories to live through.
#[derive(Clone, Copy, Debug)]
pub struct Hunt {
    /// The first seed.
    pub first: u64,
    /// How many seeds, one after the other.
    pub count: u64,
    /// How many at once.
    pub threads: usize,
    /// What is wrong with the manager on purpose.
    pub mutation: Option<Mutation>,
}

/// What came of a hunt.
#[derive(Debug, Default)]
pub struct Found {
    /// All histories together.
    pub figures: Figures,
    /// The lowest seed that broke a rule, of those that were lived through before the hunt ended.
    pub seed: Option<u64>,
}

impl Hunt {
    /// Lives through all of them, or until a rule is broken.
    pub fn run(&self) -> Found {
        let (next, found) = (AtomicU64::new(0), Mutex::new(Found::default()));
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    let mut figures = Figures::default();
                    while !over.load(Ordering::Relaxed) {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        if at >= self.count {
                            break;
                        }
                        let outcome = lived(&History::of(self.first + at), self.mutation, false);
                        figures += &outcome.figures;
                        if outcome.violation.is_some() {
                            over.store(true, Ordering::Relaxed);
                            let mut found = found.lock().expect("no thread panics with it");
                            let seed = self.first + at;
                            found.seed = Some(found.seed.map_or(seed, |other| other.min(seed)));
                        }
                    }
                    found.lock().expect("no thread panics with it").figures += &figures;
                });
            }
        });
        found.into_inner().expect("no thread panics with it")
    }
}

/// Lives through a history; that the manager panics breaks a rule too.
fn lived(history: &History, mutation: Option<Mutation>, traced: bool) -> Outcome {
    let lived = catch_unwind(AssertUnwindSafe(|| run(history, mutation, traced)));
    lived.unwrap_or_else(|_| Outcome {
        violation: Some(Violation("panic: see above".to_owned())),
        figures: Figures::default(),
        trace: vec![],
    })
}

/// Everything that is to be known about a seed that breaks a rule; nothing when it does not.
pub fn report(seed: u64, mutation: Option<Mutation>) -> Option<String> {
    let history = History::of(seed);
    let first = lived(&history, mutation, false).violation?;
    let least = shrunk(&history, mutation);
    let shown = lived(&least, mutation, true);
    let mut text = format!("seed {seed} breaks a rule:\n  {}\n", first.0);
    let mut line = |line: String| _ = writeln!(text, "{line}");
    line(format!(
        "shrunk from {} to {} events, with {} manager(s):",
        history.events.len(),
        least.events.len(),
        least.replicas
    ));
    for event in &least.events {
        line(format!("  {event:?}"));
    }
    line("what happened in it:".to_owned());
    shown
        .trace
        .iter()
        .for_each(|happened| line(format!("  {happened}")));
    if let Some(Violation(rule)) = shown.violation {
        line(format!("  {rule}"));
    }
    line(format!("again: make model SEED={seed}"));
    Some(text)
}
