//! Work queues: keys of objects to look at, each by one worker at a time.
//!
//! A queue remembers names, never events: the worker looks at the world as it is when its turn comes.
//! Deleted objects are keys like all others, which is why these queues and not the library's
//! controllers drive ours.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{Instrument, debug, error_span, warn};

use crate::metrics::Metrics;
pub use crate::queue::schedule::Outcome;
use crate::queue::schedule::Schedule;

pub mod schedule;

/// A handle to add keys by; clones are the same queue.
#[derive(Debug)]
pub struct Queue<K> {
    name: &'static str,
    schedule: Arc<Mutex<Schedule<K>>>,
    added: Arc<Notify>,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            schedule: self.schedule.clone(),
            added: self.added.clone(),
        }
    }
}

impl<K: Clone + Eq + Hash + Debug + Display + Send + Sync + 'static> Queue<K> {
    /// An empty queue of the controller `name`. From one start to the next of the same key at least
    /// `pace` passes; the first is not delayed.
    pub fn new(name: &'static str, pace: Duration) -> Self {
        Self {
            name,
            schedule: Arc::new(Mutex::new(Schedule::new(pace))),
            added: Arc::default(),
        }
    }

    /// Asks for a look at the object.
    pub fn add(&self, key: K) {
        self.lock().add(key, Instant::now());
        self.added.notify_one();
    }

    /// Asks for another try of everything that failed.
    pub fn hasten(&self) {
        self.lock().hasten(Instant::now());
        self.added.notify_one();
    }

    /// Works until `stop` says true, then waits for the work under way. `Err` of `reconcile` is logged and
    /// the key tried again.
    pub async fn run<F, Fut, E>(
        &self,
        concurrency: usize,
        mut stop: watch::Receiver<bool>,
        metrics: Arc<Metrics>,
        reconcile: F,
    ) where
        F: Fn(K) -> Fut,
        Fut: Future<Output = Result<Outcome, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let mut working = JoinSet::new();
        loop {
            while working.len() < concurrency {
                let Some(key) = self.lock().pop(Instant::now()) else {
                    break;
                };
                working.spawn(self.worked(key.clone(), reconcile(key), metrics.clone()));
            }
            metrics.set_queue_depth(self.name, self.lock().waiting());
            let next = self.lock().next().filter(|_| working.len() < concurrency);
            tokio::select! {
                () = self.added.notified() => {}
                () = until(next) => {}
                Some(done) = working.join_next() => self.joined(done),
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        while working.join_next().await.is_some() {}
    }

    fn worked<Fut, E>(
        &self,
        key: K,
        work: Fut,
        metrics: Arc<Metrics>,
    ) -> impl Future<Output = (K, Outcome)> + Send + 'static
    where
        Fut: Future<Output = Result<Outcome, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let name = self.name;
        let span = error_span!("reconcile", controller = name, object = %key);
        async move {
            let started = Instant::now();
            let result = work.await;
            metrics.reconciled(name, started.elapsed(), result.is_err());
            let outcome = result.unwrap_or_else(|error| {
                warn!(%error, "will be tried again");
                Outcome::Failed
            });
            debug!(?outcome, took = ?started.elapsed(), "reconciled");
            (key, outcome)
        }
        .instrument(span)
    }

    fn joined(&self, done: Result<(K, Outcome), tokio::task::JoinError>) {
        match done {
            Ok((key, outcome)) => self.lock().finish(key, outcome, Instant::now()),
            // A panic ends the program in release builds; elsewhere the key stays in work, visibly.
            Err(error) => warn!(controller = self.name, %error, "reconcile ended early"),
        }
    }

    /// The schedule behind the queue, for whoever works in another order.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn schedule(&self) -> MutexGuard<'_, Schedule<K>> {
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Schedule<K>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keys_are_worked_on_in_parallel_up_to_the_limit() {
        let queue = Queue::<u32>::new("Test", Duration::ZERO);
        (0..10).for_each(|key| queue.add(key));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (stop, stopped) = watch::channel(false);
        let (busy, peak) = (running.clone(), most.clone());
        let work = move |key: u32| {
            let (busy, peak, stop) = (busy.clone(), peak.clone(), stop.clone());
            async move {
                peak.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                busy.fetch_sub(1, Ordering::SeqCst);
                if key == 9 {
                    stop.send_replace(true);
                }
                Ok::<_, String>(Outcome::Done)
            }
        };

        queue.run(4, stopped, Arc::default(), work).await;

        assert_eq!(most.load(Ordering::SeqCst), 4);
        assert_eq!(running.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_tried_again_until_it_succeeds() {
        let queue = Queue::<u32>::new("Test", Duration::ZERO);
        queue.add(1);
        let tries = Arc::new(AtomicUsize::new(0));
        let (stop, stopped) = watch::channel(false);
        let count = tries.clone();
        let work = move |_| {
            let (count, stop) = (count.clone(), stop.clone());
            async move {
                if count.fetch_add(1, Ordering::SeqCst) < 3 {
                    return Err("not yet");
                }
                stop.send_replace(true);
                Ok(Outcome::Done)
            }
        };

        queue.run(4, stopped, Arc::default(), work).await;

        assert_eq!(tries.load(Ordering::SeqCst), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_waits_for_the_work_under_way_and_takes_no_more() {
        let queue = Queue::<u32>::new("Test", Duration::ZERO);
        (0..3).for_each(|key| queue.add(key));
        let done = Arc::new(AtomicUsize::new(0));
        let (stop, stopped) = watch::channel(false);
        let count = done.clone();
        let work = move |_| {
            let (count, stop) = (count.clone(), stop.clone());
            async move {
                stop.send_replace(true);
                tokio::time::sleep(Duration::from_secs(1)).await;
                count.fetch_add(1, Ordering::SeqCst);
                Ok::<_, String>(Outcome::Done)
            }
        };

        queue.run(1, stopped, Arc::default(), work).await;

        assert_eq!(done.load(Ordering::SeqCst), 1);
    }
}
