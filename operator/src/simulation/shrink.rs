//! From a history that breaks a rule to a short one that breaks it still.

use super::history::History;
use super::mutation::Mutation;
use super::run;

/// Leaves out as many events, and as many steps between them, as can be left out.
pub fn shrunk(history: &History, mutation: Option<Mutation>) -> History {
    let fails = |history: &History| run(history, mutation, false).violation.is_some();
    let mut least = history.clone();
    let mut size = least.events.len() / 2;
    while size > 0 {
        let mut from = 0;
        while from < least.events.len() {
            let shorter = least.without(from, size);
            if fails(&shorter) {
                least = shorter;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
    for at in 0..least.events.len() {
        let mut calmer = least.clone();
        calmer.events[at].faults = 0;
        if fails(&calmer) {
            least = calmer;
        }
    }
    least
}
