//! One step of anybody, and the passing of time.

use std::time::Duration;

use hybridnet_api::names::reason::IP_ALLOCATION_FAIL;
use tokio::time::{Instant, advance};

use super::agents::{self, Deed};
use super::manager::{Phase, Polled};
use super::{Simulation, Violation};

/// A request that is under way arrives within this time or never: what lies between the end of a leader's
/// belief in its lease and the earliest moment of the next leader.
const ON_THE_WAY: Duration = Duration::from_secs(5);
/// Time passes in portions, so that a leader renews its lease.
const PORTION: Duration = Duration::from_secs(2);

/// Who makes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Task,
    Key,
    Server,
    Watch,
    Agent,
}

const WHO: [(usize, Who); 5] = [
    (40, Who::Task),
    (15, Who::Key),
    (30, Who::Server),
    (25, Who::Watch),
    (12, Who::Agent),
];

impl Simulation {
    /// Somebody makes a step; false when nobody can.
    pub(super) async fn step(&mut self) -> Result<bool, Violation> {
        let mut who = WHO.to_vec();
        while let Some(next) = self.chance.weighted(&who) {
            let done = match next {
                Who::Task => self.go_on().await?,
                Who::Key => self.take_up(),
                Who::Server => self.serve(),
                Who::Watch => self.tell(),
                Who::Agent => self.act()?,
            };
            if done {
                self.figures.steps += 1;
                self.check_step()?;
                return Ok(true);
            }
            who.retain(|(_, other)| *other != next);
        }
        Ok(false)
    }

    /// A task of a manager goes on.
    async fn go_on(&mut self) -> Result<bool, Violation> {
        let mut tasks = vec![];
        for (at, manager) in self.managers.iter().enumerate() {
            tasks.extend(manager.runnable().into_iter().map(|task| (at, task)));
        }
        let Some(&(at, task)) = self.chance.pick(&tasks) else {
            return Ok(false);
        };
        let (before, sent) = (self.managers[at].phase(), self.wire.sent());
        let polled = self.managers[at].poll(task).await;
        self.wire.put_in_order(sent);
        match polled {
            Polled::Waits => {}
            Polled::Ended(controller, key, outcome) => self.note(|simulation| {
                let identity = &simulation.managers[at].identity;
                format!("{identity} {controller} {key}: {outcome:?}")
            }),
            Polled::Over => {
                let manager = self.managers.remove(at);
                self.note(|_| format!("{} ends", manager.identity));
                self.fill_up();
                return Ok(true);
            }
        }
        let identity = self.managers[at].identity.clone();
        if before == Phase::Standby && self.managers[at].phase() == Phase::Leading {
            self.note(|_| format!("{identity} leads"));
        }
        for (uid, reason, note) in self.managers[at].said() {
            let said = format!("{identity} says about {uid}: {reason}: {note}");
            self.note(|_| said);
            if reason == IP_ALLOCATION_FAIL {
                self.warned.insert(uid);
            }
        }
        if self.doomed == Some(self.managers[at].id) {
            self.doomed = None;
            self.crash(at);
        }
        Ok(true)
    }

    /// A manager begins to work on a key.
    fn take_up(&mut self) -> bool {
        let mut keys = vec![];
        for (at, manager) in self.managers.iter().enumerate() {
            keys.extend(manager.due().into_iter().map(|key| (at, key)));
        }
        let Some((at, (controller, key))) = self.chance.take(&mut keys) else {
            return false;
        };
        let name = self.managers[at].work(controller, &key);
        self.note(|simulation| format!("{} {name} {key} ...", simulation.managers[at].identity));
        true
    }

    /// News arrive at a manager.
    fn tell(&mut self) -> bool {
        let mut news = vec![];
        for (at, manager) in self.managers.iter().enumerate() {
            let unheard = manager.unheard(&self.server);
            news.extend(unheard.into_iter().map(|resource| (at, resource)));
        }
        let Some(&(at, resource)) = self.chance.pick(&news) else {
            return false;
        };
        let said = self.managers[at].hear(resource, &self.server);
        self.note(|simulation| {
            let identity = &simulation.managers[at].identity;
            format!("{identity} hears of {}: {said}", resource.plural())
        });
        true
    }

    /// Somebody else in the cluster does something.
    fn act(&mut self) -> Result<bool, Violation> {
        // They follow from the objects, and what runs changes with these.
        let version = self.server.version();
        if self.deeds.as_ref().is_none_or(|(of, _)| *of != version) {
            let deeds = agents::deeds(&self.server, &self.sandboxes);
            self.deeds = Some((version, deeds));
        }
        let deeds = self.deeds.as_ref().map_or(&[][..], |(_, deeds)| deeds);
        let Some(deed) = self.chance.pick(deeds).cloned() else {
            return Ok(false);
        };
        if let Deed::Start(pod, addresses) = &deed {
            self.figures.started += 1;
            self.check_start(pod, addresses)?;
        }
        self.note(|_| format!("agent: {deed:?}"));
        agents::act(&deed, &mut self.server, &mut self.sandboxes, &mut self.chance);
        Ok(true)
    }

    /// Lets time pass, and what becomes due at its end.
    pub(super) async fn pass(&mut self, time: Duration) -> Result<(), Violation> {
        let mut left = time;
        while !left.is_zero() {
            let portion = left.min(PORTION);
            self.expire(portion);
            advance(portion).await;
            if portion == PORTION {
                self.managers.iter_mut().for_each(super::Manager::doubt);
            }
            left -= portion;
            // Enough for a renewal of the lease between the portions, if its requests are lucky.
            for _ in 0..if left.is_zero() { 0 } else { 6 } {
                self.step().await?;
            }
        }
        Ok(())
    }

    /// When the next key is due, if that is soon.
    pub(super) fn next_due(&self) -> Option<Duration> {
        let now = Instant::now();
        let next = self.managers.iter().filter_map(super::Manager::next_due).min()?;
        let wait = next.saturating_duration_since(now);
        // What is due already waits for work on others to end.
        (!wait.is_zero()).then_some(wait)
    }

    /// What has been under way for too long does not arrive any more.
    fn expire(&mut self, portion: Duration) {
        let calls = self.wire.with(|calls| {
            let late =
                |call: &mut super::Call| call.answer.is_none() && call.sent.elapsed() + portion >= ON_THE_WAY;
            calls.extract_if(.., late).collect::<Vec<_>>()
        });
        for call in calls {
            self.figures.faults += 1;
            if call.is_write() && self.chance.percent(50) {
                self.lost.push(call);
            } else {
                call.break_off();
            }
        }
    }
}
