//! The loop, with a kernel that fails as often as it is told to.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hybridnet_api::{IpInstance, Network, NodeInfo, Subnet};
use hybridnet_service::testing::{Answer, FakeApi};
use kube::runtime::watcher::Event;

use super::*;
use crate::testing::{subnet, world};
use crate::watch::Cache;
use crate::watch::cache::Watched;

/// A kernel that fails as often as it is told to, and remembers the plans.
#[derive(Clone, Default)]
struct Fake {
    failures: Arc<AtomicUsize>,
    plans: Arc<Mutex<Vec<Plan>>>,
    passes: Arc<Notify>,
}

impl Machinery for Fake {
    type Error = String;
    type Sight = ();

    async fn observe(&self) -> Result<(Machine, ()), String> {
        Ok((world().machine, ()))
    }

    async fn converge(&self, plan: &Plan, (): ()) -> Outcome {
        self.plans.lock().unwrap().push(plan.clone());
        self.passes.notify_one();
        let fails = self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        let failure = || Problem {
            about: "link eth0".into(),
            reason: "KernelRefused",
            message: "no such device".into(),
        };
        Outcome {
            changes: 0,
            failures: fails.ok().map(|_| failure()).into_iter().collect(),
        }
    }
}

struct Fixture {
    kernel: Fake,
    caches: Caches,
    facts: watch::Sender<Option<NodeFacts>>,
    converged: watch::Receiver<Option<Converged>>,
    kicks: Arc<Notify>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

fn start(failures: usize) -> Fixture {
    let api = FakeApi::new(|_| Answer::not_found());
    let (caches, _feeds) = Caches::new(&api.client(), "node1");
    let (facts, of_node) = watch::channel(None);
    let (converged, results) = watch::channel(None);
    let (stop, stopped) = watch::channel(false);
    let kernel = Fake {
        failures: Arc::new(failures.into()),
        ..Fake::default()
    };
    let reconciler = Reconciler {
        machinery: kernel.clone(),
        caches: caches.clone(),
        facts: of_node,
        settings: Settings::default(),
        node: "node1".into(),
        converged,
        pulse: watch::Sender::new(Instant::now()),
        metrics: Arc::default(),
    };
    let kicks = Arc::new(Notify::new());
    let task = tokio::spawn(reconciler.run(kicks.clone(), stopped));
    Fixture {
        kernel,
        caches,
        facts,
        converged: results,
        kicks,
        stop,
        task,
    }
}

fn list<K: Watched>(cache: &Cache<K>, objects: impl IntoIterator<Item = K>) {
    cache.apply(Event::Init);
    objects.into_iter().for_each(|object| {
        cache.apply(Event::InitApply(object));
    });
    cache.apply(Event::InitDone);
}

impl Fixture {
    fn node_read(&self) {
        let world = world();
        let facts = NodeFacts {
            name: "node1".into(),
            uid: "u1".into(),
            addresses: world.node_addresses,
        };
        self.facts.send_replace(Some(facts));
    }

    fn list_all(&self) {
        list::<Network>(
            &self.caches.networks,
            world().networks.iter().map(|network| (**network).clone()),
        );
        list::<Subnet>(&self.caches.subnets, []);
        list::<NodeInfo>(&self.caches.node_infos, []);
        list::<IpInstance>(self.caches.own.cache(), []);
        self.caches.list_directory_empty();
    }

    /// The plan of the next pass and when it was made.
    async fn pass(&self) -> (Plan, Instant) {
        self.kernel.passes.notified().await;
        (
            self.kernel.plans.lock().unwrap().last().unwrap().clone(),
            Instant::now(),
        )
    }

    fn passes(&self) -> usize {
        self.kernel.plans.lock().unwrap().len()
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_before_everything_was_listed_and_the_node_read() {
    let fixture = start(0);
    fixture.node_read();
    sleep(Duration::from_mins(10)).await;
    assert_eq!(fixture.passes(), 0);

    fixture.list_all();

    let (plan, _) = fixture.pass().await;
    assert!(plan.vxlan.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_change_and_an_event_of_the_kernel_each_lead_to_a_pass_within_a_second() {
    let fixture = start(0);
    fixture.node_read();
    fixture.list_all();
    fixture.pass().await;

    let begin = Instant::now();
    fixture
        .caches
        .subnets
        .apply(Event::Apply(subnet("a", "overlay", "100.64.0.0/16")));
    let (plan, at) = fixture.pass().await;
    assert_eq!(plan.subnets.len(), 1);
    assert!(at - begin < Duration::from_secs(1));

    let begin = Instant::now();
    fixture.kicks.notify_one();
    let (_, at) = fixture.pass().await;
    assert!(at - begin < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn many_changes_at_once_are_one_pass() {
    let fixture = start(0);
    fixture.node_read();
    fixture.list_all();
    fixture.pass().await;

    for number in 0..50 {
        let name = format!("s{number}");
        fixture.caches.subnets.apply(Event::Apply(subnet(
            &name,
            "overlay",
            &format!("100.64.{number}.0/24"),
        )));
        fixture.kicks.notify_one();
    }
    let (plan, _) = fixture.pass().await;
    sleep(Duration::from_secs(5)).await;

    assert_eq!((plan.subnets.len(), fixture.passes()), (50, 2));
}

#[tokio::test(start_paused = true)]
async fn without_any_event_the_kernel_is_checked_all_the_same() {
    let fixture = start(0);
    fixture.node_read();
    fixture.list_all();

    let (_, first) = fixture.pass().await;
    let (_, second) = fixture.pass().await;

    assert_eq!(second - first, FULL_CHECK);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_with_growing_pauses_and_reported_until_it_succeeds() {
    let mut fixture = start(9);
    fixture.node_read();
    fixture.list_all();

    let mut pauses = vec![];
    let (_, mut last) = fixture.pass().await;
    for _ in 0..9 {
        let (_, at) = fixture.pass().await;
        pauses.push((at - last).as_millis());
        last = at;
    }

    assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
    let solved = |now: &Option<Converged>| now.as_ref().is_some_and(|now| now.failures.is_empty());
    fixture.converged.wait_for(solved).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_told_to() {
    let fixture = start(0);
    fixture.stop.send_replace(true);
    fixture.task.await.unwrap();

    let fixture = start(0);
    fixture.node_read();
    fixture.list_all();
    fixture.pass().await;
    fixture.stop.send_replace(true);
    fixture.task.await.unwrap();
}
