//! The manager under everything that can happen to it, by chance that a seed repeats.
//!
//! ```text
//!  history (seed) ─► events from outside ──┐
//!                                          ▼
//!   managers: the real election, ◄─news─ server: objects, versions, UIDs,
//!   guard, world and controllers ─calls─► finalizers, preconditions
//!           ▲                              │
//!           │ which task goes on           ▼
//!        chance (seed) ────────────► checks after every step, and at rest against a naive model
//! ```
//!
//! Nothing in here runs by itself: one loop decides which task of which manager goes on, which request is
//! carried out and how it is answered, which news arrive, when time passes and when a manager dies. So one
//! number repeats a history to the last detail. What is checked and what was found is told in
//! `docs/testing.md`.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::simulation::agents::{Deed, Sandboxes};
use crate::simulation::chance::Chance;
use crate::simulation::figures::Figures;
use crate::simulation::history::{Event, History, What};
use crate::simulation::manager::{Manager, Phase};
use crate::simulation::mutation::Mutation;
use crate::simulation::server::Server;
use crate::simulation::wire::{Call, Wire};

mod agents;
mod chance;
mod checks;
mod cluster;
mod feeds;
mod figures;
mod history;
pub mod hunt;
mod manager;
mod model;
pub mod mutation;
mod outside;
mod resource;
mod rest;
mod serve;
mod server;
mod shrink;
mod steps;
#[cfg(test)]
mod tests;
mod wire;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

/// What came of a history.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The rule that it broke, if any.
    pub violation: Option<Violation>,
    /// What happened, in numbers.
    pub figures: Figures,
    /// What happened, line by line; empty unless asked for.
    pub trace: Vec<String>,
}

/// When a manager dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Before its write is carried out.
    Before,
    /// When it is, before the answer comes.
    Unanswered,
    /// When it has taken in the answer.
    Answered,
}

/// One cluster in the course of its history.
struct Simulation {
    server: Server,
    wire: Wire,
    managers: Vec<Manager>,
    /// Requests that will never be answered.
    lost: Vec<Call>,
    sandboxes: Sandboxes,
    /// What the rest of the cluster can do, at which version of the server's.
    deeds: Option<(u32, Vec<Deed>)>,
    chance: Chance,
    /// How many requests in a hundred go wrong.
    faults: usize,
    /// How many writes from now the leader dies, and when exactly.
    death: Option<(usize, Death)>,
    /// The request whose answer is the last that its manager takes in.
    dying: Option<u64>,
    /// The manager that dies after its next step.
    doomed: Option<usize>,
    /// UIDs of pods that were told why they have no address.
    warned: BTreeSet<String>,
    /// A rule that a request broke.
    broken: Option<Violation>,
    /// Requests up to this one have been checked.
    checked: u64,
    replicas: usize,
    mutation: Option<Mutation>,
    figures: Figures,
    /// Absent when nobody reads it.
    trace: Option<Vec<String>>,
    began: Instant,
}

/// Lives through a history.
pub fn run(history: &History, mutation: Option<Mutation>, traced: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads and sockets");
    runtime.block_on(async {
        let mut simulation = Simulation::new(history, mutation, traced);
        let violation = simulation.live_through(history).await.err();
        simulation.figures.virtual_time = simulation.began.elapsed();
        Outcome {
            violation,
            figures: simulation.figures,
            trace: simulation.trace.unwrap_or_default(),
        }
    })
}

impl Simulation {
    fn new(history: &History, mutation: Option<Mutation>, traced: bool) -> Self {
        let mut server = Server::default();
        cluster::begin(&mut server, history.limit);
        let mut simulation = Self {
            server,
            wire: Wire::default(),
            managers: vec![],
            lost: vec![],
            sandboxes: Sandboxes::new(),
            deeds: None,
            chance: Chance::new(history.seed),
            faults: 0,
            death: None,
            dying: None,
            doomed: None,
            warned: BTreeSet::new(),
            broken: None,
            checked: 0,
            replicas: history.replicas,
            mutation,
            figures: Figures::default(),
            trace: traced.then(Vec::new),
            began: Instant::now(),
        };
        simulation.figures.histories = 1;
        simulation.fill_up();
        simulation
    }

    async fn live_through(&mut self, history: &History) -> Result<(), Violation> {
        for event in &history.events {
            self.chance = Chance::new(event.seed);
            self.faults = event.faults;
            self.happen(*event).await?;
            for _ in 0..event.steps {
                if !self.step().await? {
                    self.pass(Duration::from_secs(2)).await?;
                }
            }
        }
        self.chance = Chance::new(history.seed);
        self.conclude().await
    }

    async fn happen(&mut self, event: Event) -> Result<(), Violation> {
        self.figures.events += 1;
        match event.what {
            What::Crash => {
                if let Some(at) = self.leader() {
                    self.crash(at);
                }
            }
            What::CrashAtWrite => {
                let death = [Death::Before, Death::Unanswered, Death::Answered];
                let death = *self.chance.pick(&death).unwrap_or(&Death::Before);
                self.death = Some((self.chance.below(6), death));
            }
            What::Pause => self.pause(),
            What::Resume => self.resume(),
            What::Stop => {
                if let Some(at) = self.leader() {
                    self.figures.stops += 1;
                    self.note(|simulation| format!("{} is told to stop", simulation.managers[at].identity));
                    self.managers[at].stop();
                }
            }
            What::Relist => self.break_watch(),
            What::Wait => {
                let seconds = *self.chance.pick(&[1, 5, 20]).unwrap_or(&1);
                self.pass(Duration::from_secs(seconds)).await?;
            }
            what => {
                let who = outside::happen(what, &mut self.server, &mut self.sandboxes, &mut self.chance);
                self.note(|_| format!("outside: {what:?} {}", who.unwrap_or_default()));
            }
        }
        self.check_changes()
    }

    fn leader(&self) -> Option<usize> {
        let leads = |manager: &Manager| manager.phase() == Phase::Leading && !manager.paused;
        self.managers.iter().position(leads)
    }

    /// A process ends without warning. What it has sent may still arrive.
    fn crash(&mut self, at: usize) {
        let manager = self.managers.remove(at);
        self.figures.crashes += 1;
        self.note(|_| format!("{} crashes", manager.identity));
        self.fill_up();
    }

    fn pause(&mut self) {
        let Some(at) = self.leader() else {
            return;
        };
        self.managers[at].paused = true;
        self.figures.pauses += 1;
        self.note(|simulation| format!("{} is paused", simulation.managers[at].identity));
        self.fill_up();
    }

    fn resume(&mut self) {
        for manager in &mut self.managers {
            manager.paused = false;
        }
        self.note(|_| "all go on".to_owned());
    }

    /// As many managers as there should be, of those that are not stopped.
    fn fill_up(&mut self) {
        let awake = |manager: &&Manager| !manager.paused && !manager.stopping;
        while self.managers.iter().filter(awake).count() < self.replicas {
            self.figures.managers += 1;
            let manager = Manager::start(self.figures.managers, &self.wire, self.mutation);
            self.note(|_| format!("{} starts", manager.identity));
            self.managers.push(manager);
        }
    }

    fn break_watch(&mut self) {
        let resource = *self
            .chance
            .pick(&resource::Resource::WATCHED)
            .unwrap_or(&resource::Resource::Pod);
        if let Some(at) = self.leader()
            && self.managers[at].relist(resource)
        {
            self.figures.relists += 1;
            self.note(|_| format!("the watch of {} breaks", resource.plural()));
        }
    }

    fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = format!("{:>9.3} {}", self.began.elapsed().as_secs_f64(), line(self));
            if let Some(trace) = &mut self.trace {
                trace.push(line);
            }
        }
    }
}
