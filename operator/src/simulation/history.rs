//! A history: what happens to a cluster from outside, and the seeds of the chance in between.

use super::chance::Chance;
use super::cluster::Wish;

/// The shortest and the longest history.
const LENGTH: (usize, usize) = (8, 40);

/// What happens from outside. Whom it happens to is left to the chance of its [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A plain pod comes.
    CreatePod,
    /// A pod is deleted, of a workload or not.
    DeletePod,
    /// A plain pod ends well.
    CompletePod,
    /// A pod is thrown out by its node.
    EvictPod,
    /// A workload comes, maybe under the name of one that was deleted.
    CreateSet,
    /// A workload grows or shrinks.
    ScaleSet,
    /// A workload goes, with all that belongs to it.
    DeleteSet,
    /// The same, its dependents first.
    DeleteSetInForeground,
    /// A workload goes and leaves its pods behind.
    OrphanSet,
    /// Somebody deletes the object of an address by hand.
    DeleteInstance,
    /// A Subnet comes.
    AddSubnet,
    /// A Subnet goes.
    DeleteSubnet,
    /// The range of a Subnet changes.
    ChangeSubnet,
    /// A Network comes or goes.
    FlipNetwork,
    /// A node joins the underlay or leaves it.
    FlipNode,
    /// The leader dies.
    Crash,
    /// The leader dies at one of its next writes.
    CrashAtWrite,
    /// The leader is stopped for a while, and does not notice.
    Pause,
    /// Managers that were stopped go on.
    Resume,
    /// The leader is told to stop and replaced.
    Stop,
    /// A watch breaks.
    Relist,
    /// Time passes.
    Wait,
}

const WEIGHTS: [(usize, What); 22] = [
    (18, What::CreatePod),
    (12, What::DeletePod),
    (3, What::CompletePod),
    (3, What::EvictPod),
    (9, What::CreateSet),
    (8, What::ScaleSet),
    (4, What::DeleteSet),
    (2, What::DeleteSetInForeground),
    (2, What::OrphanSet),
    (2, What::DeleteInstance),
    (4, What::AddSubnet),
    (2, What::DeleteSubnet),
    (6, What::ChangeSubnet),
    (1, What::FlipNetwork),
    (2, What::FlipNode),
    (4, What::Crash),
    (7, What::CrashAtWrite),
    (3, What::Pause),
    (4, What::Resume),
    (2, What::Stop),
    (4, What::Relist),
    (4, What::Wait),
];

/// One thing that happens, and what follows by chance until the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happens.
    pub what: What,
    /// The seed of whom it happens to, and of everything until the next event. Each has its own, so that
    /// leaving one out changes as little as can be about the others.
    pub seed: u64,
    /// How many steps there are until the next event.
    pub steps: usize,
    /// How many requests in a hundred go wrong until then.
    pub faults: usize,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// What it was made from.
    pub seed: u64,
    /// How many managers there are.
    pub replicas: usize,
    /// How many addresses the second namespace may hold, if there is a limit.
    pub limit: Option<usize>,
    /// In order.
    pub events: Vec<Event>,
}

impl History {
    /// The history of a seed.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed.wrapping_mul(0xd134_2543_de82_ef95));
        let length = LENGTH.0 + chance.below(LENGTH.1 - LENGTH.0);
        let calm = chance.percent(20);
        let events = (0..length).map(|_| Event {
            what: chance.weighted(&WEIGHTS).unwrap_or(What::Wait),
            seed: chance.any(),
            steps: chance.below(30),
            faults: if calm || chance.percent(40) {
                0
            } else {
                chance.below(40)
            },
        });
        let events = events.collect();
        Self {
            seed,
            replicas: 1 + chance.below(2),
            limit: chance.percent(25).then(|| 1 + chance.below(5)),
            events,
        }
    }

    /// The same without some of its events.
    pub fn without(&self, from: usize, count: usize) -> Self {
        let mut events = self.events.clone();
        events.drain(from..(from + count).min(self.events.len()));
        Self {
            events,
            ..self.clone()
        }
    }
}

/// What some pods ask for.
pub fn wish(chance: &mut Chance) -> Wish {
    let type_ = *chance
        .pick(&["Overlay", "Overlay", "Underlay"])
        .unwrap_or(&"Overlay");
    let family = *chance
        .pick(&["IPv4", "IPv4", "DualStack", "IPv6"])
        .unwrap_or(&"IPv4");
    let named = match (type_, family) {
        ("Overlay", "IPv4") => ["o4a", "o4p", "o4b"].as_slice(),
        ("Overlay", "DualStack") => &["o4a/o6a", "o4p/o6b"],
        ("Underlay", "IPv6") => &["u6a"],
        ("Underlay", "IPv4") => &["u4b"],
        _ => &[],
    };
    let subnet = if chance.percent(15) {
        chance.pick(named).copied()
    } else {
        None
    };
    Wish {
        type_,
        family,
        subnet,
        handled: chance.percent(70),
        retain: chance.percent(80),
        pool: None,
    }
}
