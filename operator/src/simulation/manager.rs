//! One process of the manager: the real election, client guard, world and controllers. Only its event loop
//! is another: whoever runs the simulation says which task goes on and which news arrives.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context as Waking, Poll, Wake, Waker};
use std::time::Duration;

use clap::Parser;
use futures::future::{BoxFuture, Either, select};
use hybridnet_api::names::MANAGER_LEASE;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::feeds::Feeds;
use super::mutation::Mutation;
use super::resource::Resource;
use super::server::Server;
use super::wire::Wire;
use crate::client::{Rate, guarded};
use crate::collector::{Clock, Collector};
use crate::context::{Context, Handle};
use crate::controllers::{self, Controller};
use crate::events::{self, Publisher};
use crate::flags::Flags;
use crate::lease::{Election, Leadership};
use crate::pod::settings::Settings;
use crate::queue::Outcome;
use crate::workload::Workloads;
use crate::world::World;
use crate::world::store::Key;

/// Where the lease is.
pub const NAMESPACE: &str = "hybridnet";
/// Giving the lease away may take this long.
const RELEASE: Duration = Duration::from_secs(5);
/// The collector looks this often.
const INTERVAL: Duration = Duration::from_secs(10);
/// It acts on what has been out of place for so long.
const GRACE: Duration = Duration::from_secs(12);
/// So many keys of one controller are worked on at once.
const WORKERS: usize = 4;

static SETTINGS: LazyLock<Arc<Settings>> = LazyLock::new(|| {
    let flags = Flags::parse_from(["hybridnet-manager"]);
    Arc::new(Settings::new(&flags).expect("the defaults make sense"))
});

/// How far a manager has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for the lease.
    Standby,
    /// Holds it.
    Leading,
    /// Has lost it, or given it away.
    Over,
}

/// See the module.
pub struct Manager {
    /// Which one.
    pub id: usize,
    /// As the lease names it.
    pub identity: String,
    /// Stopped by a signal that it does not see.
    pub paused: bool,
    /// Whether it was told to stop.
    pub stopping: bool,
    /// Whether its memory may have changed since that was last checked.
    pub stirred: bool,
    tasks: Vec<Task>,
    phase: watch::Receiver<Phase>,
    /// Ends the collector.
    stop: watch::Sender<bool>,
    /// Gives the lease away.
    finish: watch::Sender<bool>,
    leadership: Leadership,
    client: Client,
    lead: Option<Lead>,
    mutation: Option<Mutation>,
}

/// What only a leader has.
struct Lead {
    context: Context,
    publisher: Publisher,
    controllers: Vec<Controller>,
    feeds: Feeds,
}

struct Task {
    part: Part,
    future: BoxFuture<'static, Outcome>,
    woken: Arc<Flag>,
}

/// What a task is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Election,
    Collector,
    /// Of this controller, on this key.
    Work(usize, Key),
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What happened to the work on a key.
#[derive(Debug)]
pub enum Polled {
    /// It waits.
    Waits,
    /// The work of this controller on this key has ended.
    Ended(&'static str, Key, Outcome),
    /// The election is over.
    Over,
}

impl Manager {
    /// A new process, which tries to get the lease.
    pub fn start(id: usize, wire: &Wire, mutation: Option<Mutation>) -> Self {
        let client = wire.client(id);
        let identity = format!("manager-{id}");
        let leases = Api::<Lease>::namespaced(client.clone(), NAMESPACE);
        let election = Election::new(leases, MANAGER_LEASE, identity.clone());
        let leadership = election.leadership();
        let (stop, finish) = (watch::Sender::new(false), watch::Sender::new(false));
        let finished = finish.subscribe();
        let (says, phase) = watch::channel(Phase::Standby);
        let mut manager = Self {
            id,
            identity,
            paused: false,
            stopping: false,
            stirred: false,
            tasks: vec![],
            phase,
            stop,
            finish,
            leadership,
            client,
            lead: None,
            mutation,
        };
        manager.spawn(Part::Election, Box::pin(life(election, finished, says)));
        manager
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// What it knows, once it has begun to lead.
    pub fn context(&self) -> Option<&Context> {
        self.lead.as_ref().map(|lead| &lead.context)
    }

    /// Whether it has listed everything.
    pub fn has_started(&self) -> bool {
        self.lead.as_ref().is_some_and(|lead| lead.feeds.started)
    }

    /// Tasks that can go on.
    pub fn runnable(&self) -> Vec<usize> {
        let woken = |task: &Task| task.woken.0.load(Ordering::Relaxed);
        let tasks = self.tasks.iter().enumerate();
        tasks
            .filter(|(_, task)| !self.paused && woken(task))
            .map(|(at, _)| at)
            .collect()
    }

    /// Lets a task run until it waits for something outside of the process.
    pub async fn poll(&mut self, at: usize) -> Polled {
        self.stirred = true;
        loop {
            let task = &mut self.tasks[at];
            task.woken.0.store(false, Ordering::Relaxed);
            let waker = Waker::from(task.woken.clone());
            let polled = task.future.as_mut().poll(&mut Waking::from_waker(&waker));
            // Requests pass through tasks of the client.
            yield_now().await;
            match polled {
                Poll::Ready(outcome) => return self.ended(at, outcome),
                Poll::Pending if self.tasks[at].woken.0.load(Ordering::Relaxed) => {}
                Poll::Pending => break,
            }
        }
        if self.lead.is_none() && self.phase() == Phase::Leading {
            self.begin();
        }
        Polled::Waits
    }

    /// Controllers and keys that are due.
    pub fn due(&self) -> Vec<(usize, Key)> {
        let Some(lead) = self.lead.as_ref().filter(|_| self.may_work()) else {
            return vec![];
        };
        let mut due = vec![];
        for (at, controller) in lead.controllers.iter().enumerate() {
            if self.working(at) < WORKERS {
                due.extend(
                    controller
                        .queue
                        .schedule()
                        .all_due(Instant::now())
                        .into_iter()
                        .map(|key| (at, key)),
                );
            }
        }
        due.sort();
        due
    }

    /// When the next key is due that is not due yet.
    pub fn next_due(&self) -> Option<Instant> {
        let lead = self.lead.as_ref().filter(|_| self.may_work())?;
        lead.controllers
            .iter()
            .filter_map(|controller| controller.queue.schedule().next())
            .min()
    }

    /// Begins the work on a key that is due.
    pub fn work(&mut self, at: usize, key: &Key) -> &'static str {
        let Some(lead) = &self.lead else {
            return "";
        };
        let controller = &lead.controllers[at];
        controller.queue.schedule().begin(key, Instant::now());
        let name = controller.name;
        let work = (controller.reconcile)(key.clone());
        let future = Box::pin(async move { work.await.unwrap_or(Outcome::Failed) });
        self.spawn(Part::Work(at, key.clone()), future);
        name
    }

    /// Kinds of which there are news that it has not heard.
    pub fn unheard(&self, server: &Server) -> Vec<Resource> {
        let lead = self.lead.as_ref().filter(|_| !self.paused);
        lead.map(|lead| lead.feeds.unheard(server)).unwrap_or_default()
    }

    /// Tells the next news of a kind. Says what it was.
    pub fn hear(&mut self, resource: Resource, server: &Server) -> String {
        self.stirred = true;
        let lead = self.lead.as_mut();
        lead.map(|lead| lead.feeds.hear(resource, server, &lead.context.world))
            .unwrap_or_default()
    }

    /// Some seconds have passed.
    pub fn doubt(&mut self) {
        if let Some(lead) = self.lead.as_mut().filter(|_| !self.paused) {
            lead.feeds.doubt(&lead.context.world);
        }
    }

    /// A watch breaks. Says whether there was one.
    pub fn relist(&mut self, resource: Resource) -> bool {
        let lead = self.lead.as_mut();
        lead.is_some_and(|lead| lead.feeds.relist(resource))
    }

    /// Tells it to stop: no new work is begun.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.stop.send_replace(true);
        self.conclude();
    }

    /// Gives the lease away when told to stop and nothing is under way.
    pub fn conclude(&mut self) {
        if self.stopping && self.tasks.iter().all(|task| task.part == Part::Election) {
            self.finish.send_replace(true);
        }
    }

    /// What it has said to users since it was asked last: UID, reason and note.
    pub fn said(&mut self) -> Vec<(String, &'static str, String)> {
        let Some(lead) = &mut self.lead else {
            return vec![];
        };
        std::iter::from_fn(|| lead.publisher.overheard()).collect()
    }

    fn may_work(&self) -> bool {
        !self.paused && !self.stopping && self.has_started()
    }

    fn working(&self, at: usize) -> usize {
        let works = |task: &&Task| matches!(task.part, Part::Work(of, _) if of == at);
        self.tasks.iter().filter(works).count()
    }

    fn spawn(&mut self, part: Part, future: BoxFuture<'static, Outcome>) {
        self.tasks.push(Task {
            part,
            future,
            woken: Arc::new(Flag(AtomicBool::new(true))),
        });
    }

    fn ended(&mut self, at: usize, outcome: Outcome) -> Polled {
        let task = self.tasks.swap_remove(at);
        let (at, key) = match task.part {
            Part::Work(at, key) => (at, key),
            Part::Election => return Polled::Over,
            Part::Collector => {
                self.conclude();
                return Polled::Waits;
            }
        };
        let Some(lead) = &mut self.lead else {
            return Polled::Over;
        };
        let controller = &lead.controllers[at];
        let name = controller.name;
        controller
            .queue
            .schedule()
            .finish(key.clone(), outcome, Instant::now());
        if self.mutation == Some(Mutation::ForgetsRollback) && outcome == Outcome::Failed {
            lead.controllers = controllers::all(&lead.context);
        }
        self.conclude();
        Polled::Ended(name, key, outcome)
    }

    fn begin(&mut self) {
        let metrics = Arc::default();
        let unlimited = Rate {
            per_second: None,
            burst: 1,
        };
        let client = if self.mutation == Some(Mutation::IgnoresLease) {
            self.client.clone()
        } else {
            guarded(
                self.client.clone(),
                self.leadership.clone(),
                unlimited,
                Arc::clone(&metrics),
            )
        };
        let (announcer, publisher) = events::channel(client.clone(), Arc::clone(&metrics));
        let client = Handle(client);
        let context = Context {
            workloads: Arc::new(Workloads::new(client.clone())),
            client,
            world: Arc::new(World::new(Arc::clone(&metrics))),
            announcer,
            metrics,
            settings: SETTINGS.clone(),
        };
        let collector = collected(context.clone(), self.stop.subscribe());
        self.spawn(Part::Collector, Box::pin(collector));
        self.lead = Some(Lead {
            controllers: controllers::all(&context),
            context,
            publisher,
            feeds: Feeds::new(self.mutation),
        });
    }
}

/// The collector, from the moment when everything is known.
async fn collected(context: Context, stop: watch::Receiver<bool>) -> Outcome {
    let mut stopped = stop.clone();
    let stopped = pin!(stopped.wait_for(|stop| *stop));
    let known = matches!(
        select(pin!(context.world.started()), stopped).await,
        Either::Left(_)
    );
    if known {
        let collector = Collector::new(&context, GRACE, clock());
        collector.run(INTERVAL, stop).await;
    }
    Outcome::Done
}

/// The time of the objects goes with the clock of the managers.
fn clock() -> Clock {
    let began = Instant::now();
    Arc::new(move || Timestamp::UNIX_EPOCH + began.elapsed())
}

/// From the start of the process to its end, as in [`crate::run`].
async fn life(
    mut election: Election,
    mut stop: watch::Receiver<bool>,
    phase: watch::Sender<Phase>,
) -> Outcome {
    election.win().await;
    phase.send_replace(Phase::Leading);
    let told = {
        let stop = pin!(stop.wait_for(|stop| *stop));
        matches!(select(pin!(election.hold()), stop).await, Either::Right(_))
    };
    if told {
        // A courtesy to the next leader: whether it succeeds does not matter.
        let _ = timeout(RELEASE, election.release()).await;
    }
    phase.send_replace(Phase::Over);
    Outcome::Done
}
