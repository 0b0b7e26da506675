//! The controllers: which one works on the keys of which queue.

use std::fmt::Display;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::context::Context;
use crate::ip_instance::IpInstances;
use crate::network::Networks;
use crate::node;
use crate::pod::Pods;
use crate::queue::{Outcome, Queue};
use crate::subnet::Subnets;
use crate::world::store::Key;

/// Why a key is tried again.
pub(crate) type Failure = Box<dyn Display + Send>;
/// The work on one key.
pub(crate) type Work = BoxFuture<'static, Result<Outcome, Failure>>;

/// One controller.
pub(crate) struct Controller {
    /// The key of `--controller-concurrency`.
    pub name: &'static str,
    /// What it works on.
    pub queue: Queue<Key>,
    /// How it does.
    pub reconcile: Box<dyn Fn(Key) -> Work + Send + Sync>,
}

impl Controller {
    fn new<F, Fut, E>(name: &'static str, queue: &Queue<Key>, reconcile: F) -> Self
    where
        F: Fn(Key) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Outcome, E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        Self {
            name,
            queue: queue.clone(),
            reconcile: Box::new(move |key| {
                let work = reconcile(key);
                async move { work.await.map_err(|error| Box::new(error) as Failure) }.boxed()
            }),
        }
    }
}

/// All of them, at the beginning of their work.
pub(crate) fn all(context: &Context) -> Vec<Controller> {
    let (pods, networks, subnets, addresses) = (
        Arc::new(Pods::new(context)),
        Arc::new(Networks::new(context)),
        Arc::new(Subnets::new(context)),
        Arc::new(IpInstances::new(context)),
    );
    let queues = context.world.queues();
    let shared = context.clone();
    vec![
        Controller::new("Pod", &queues.pods, move |key| pods.clone().reconcile(key)),
        Controller::new("NetworkStatus", &queues.networks, move |key| {
            networks.clone().reconcile(key)
        }),
        Controller::new("SubnetStatus", &queues.subnets, move |key| {
            subnets.clone().reconcile(key)
        }),
        Controller::new("IPInstance", &queues.ip_instances, move |key| {
            addresses.clone().reconcile(key)
        }),
        Controller::new("Node", &queues.nodes, move |key| {
            node::reconcile(shared.clone(), key)
        }),
    ]
}
