//! Faults put into the manager on purpose: a check that lets one of them pass is worth nothing.

/// A manager that does one thing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutation {
    /// Takes an address for free when its object's deletion is asked for, not when it is gone.
    ReleasesOnRequest,
    /// Forgets after a failure what it had held in memory.
    ForgetsRollback,
    /// Writes whoever holds the lease.
    IgnoresLease,
    /// Begins from lists that are not up to date.
    ListsStale,
    /// Does not hear that an object is gone.
    MissesDeletions,
    /// Deletes and changes whatever has the name, whichever object it is.
    IgnoresPreconditions,
}
