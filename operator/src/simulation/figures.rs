//! What happened in all histories together.

use std::fmt::{Display, Formatter, Result};
use std::ops::AddAssign;
use std::time::Duration;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Clusters that lived.
    pub histories: usize,
    /// Things that happened from outside.
    pub events: usize,
    /// Steps of managers, server, watches and agents.
    pub steps: usize,
    /// Processes of the manager.
    pub managers: usize,
    /// Requests carried out, answered or lost, without those for the lease.
    pub requests: usize,
    /// Those among them that change something.
    pub writes: usize,
    /// Requests that got another answer than the proper one, or none.
    pub faults: usize,
    /// Managers that died, also at a write.
    pub crashes: usize,
    /// Those that died at a write.
    pub crashes_at_writes: usize,
    /// Managers that were stopped without noticing.
    pub pauses: usize,
    /// Managers that were told to stop.
    pub stops: usize,
    /// Watches that broke.
    pub relists: usize,
    /// Pods that ran.
    pub started: usize,
    /// What passed on the clocks of the managers.
    pub virtual_time: Duration,
}

impl AddAssign<&Self> for Figures {
    fn add_assign(&mut self, other: &Self) {
        self.histories += other.histories;
        self.events += other.events;
        self.steps += other.steps;
        self.managers += other.managers;
        self.requests += other.requests;
        self.writes += other.writes;
        self.faults += other.faults;
        self.crashes += other.crashes;
        self.crashes_at_writes += other.crashes_at_writes;
        self.pauses += other.pauses;
        self.stops += other.stops;
        self.relists += other.relists;
        self.started += other.started;
        self.virtual_time += other.virtual_time;
    }
}

impl Display for Figures {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let lines = [
            ("histories", self.histories),
            ("events from outside", self.events),
            ("steps", self.steps),
            ("managers", self.managers),
            ("requests", self.requests),
            ("  of them writes", self.writes),
            ("  of them gone wrong", self.faults),
            ("crashes", self.crashes),
            ("  of them at a write", self.crashes_at_writes),
            ("pauses", self.pauses),
            ("stops", self.stops),
            ("watches broken", self.relists),
            ("pods started", self.started),
        ];
        for (name, number) in lines {
            writeln!(f, "{name:<20} {number:>12}")?;
        }
        write!(
            f,
            "{:<20} {:>10} h",
            "on their clocks",
            self.virtual_time.as_secs() / 3600
        )
    }
}
