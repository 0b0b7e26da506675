//! Copies of the API objects that concern this node, each fed by one watch (datapath spec 9): all networks,
//! subnets and `NodeInfo`s, the `IPInstance`s of this node whole, and of all others only who has which address
//! ([`crate::index`]). Readers get a value; whoever waits is woken by the watch.

use std::future::Future;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt, join_all};
use hybridnet_api::names::label;
use hybridnet_api::pod;
use hybridnet_api::{IpInstance, Network, NodeInfo, Subnet};
use hybridnet_service::feed;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::watch;

use crate::index::{Directory, Vteps};

pub mod cache;
pub mod own;

pub use cache::Cache;
pub use own::{OwnInstances, WaitError};

/// A watch whose connection died silently is noticed some seconds after this: all nodes ask, so it is not short.
const WATCH_SECONDS: u32 = 120;

/// Everything that is watched.
#[derive(Clone, Debug)]
pub struct Caches {
    /// All networks.
    pub networks: Cache<Network>,
    /// All subnets.
    pub subnets: Cache<Subnet>,
    /// What all nodes published.
    pub node_infos: Cache<NodeInfo>,
    /// The addresses of this node.
    pub own: OwnInstances,
    /// Who has which address in the whole cluster.
    pub directory: Directory,
    directory_synced: Arc<watch::Sender<bool>>,
}

/// Wakes when something that a plan depends on has changed.
#[derive(Debug)]
pub struct Changes {
    networks: watch::Receiver<cache::Store<Network>>,
    subnets: watch::Receiver<cache::Store<Subnet>>,
    node_infos: watch::Receiver<cache::Store<NodeInfo>>,
    own: watch::Receiver<cache::Store<IpInstance>>,
}

impl Caches {
    /// Empty caches for the node `node`, and what must run to fill them and keep them up to date; it never ends.
    pub fn new(client: &Client, node: &str) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let caches = Self {
            networks: Cache::default(),
            subnets: Cache::default(),
            node_infos: Cache::default(),
            own: OwnInstances::default(),
            directory: Directory::default(),
            directory_synced: Arc::new(watch::Sender::new(false)),
        };
        let of_this_node = everything().labels(&format!("{}={}", label::NODE, pod::name_label(node)));
        let feeds = vec![
            feed_of(Api::all(client.clone()), everything(), caches.networks.clone()),
            feed_of(Api::all(client.clone()), everything(), caches.subnets.clone()),
            feed_of(Api::all(client.clone()), of_this_node, caches.own.cache().clone()),
            caches.feed_node_infos(client, node),
            caches.feed_directory(client),
        ];
        (caches, join_all(feeds).map(|_| ()))
    }

    /// Waits for one full list of everything: before it nothing may be removed, for what is missing may only
    /// not have been seen yet.
    pub async fn synced(&self) {
        self.networks.synced().await;
        self.subnets.synced().await;
        self.node_infos.synced().await;
        self.own.cache().synced().await;
        // We hold the sender ourselves, so it cannot be gone.
        let _ = self.directory_synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Whether [`Self::synced`] would return at once.
    pub fn are_synced(&self) -> bool {
        self.synced().now_or_never().is_some()
    }

    /// Wakes on changes from now on.
    pub fn changes(&self) -> Changes {
        Changes {
            networks: self.networks.subscribe(),
            subnets: self.subnets.subscribe(),
            node_infos: self.node_infos.subscribe(),
            own: self.own.cache().subscribe(),
        }
    }

    fn feed_node_infos(&self, client: &Client, node: &str) -> BoxFuture<'static, ()> {
        let (cache, directory, node) = (self.node_infos.clone(), self.directory.clone(), node.to_owned());
        feed::run(Api::all(client.clone()), everything(), move |event| {
            if cache.apply(event) && cache.is_synced() {
                directory.set_vteps(Vteps::of_others(cache.all().iter().map(AsRef::as_ref), &node));
            }
        })
        .boxed()
    }

    fn feed_directory(&self, client: &Client) -> BoxFuture<'static, ()> {
        let (directory, synced) = (self.directory.clone(), self.directory_synced.clone());
        let api = Api::<PartialObjectMeta<IpInstance>>::all(client.clone());
        feed::run(api, everything(), move |event| {
            directory.apply(&event);
            synced.send_if_modified(|synced| !std::mem::replace(synced, directory.is_synced()) && *synced);
        })
        .boxed()
    }
}

#[cfg(test)]
impl Caches {
    /// As if the watch of all `IPInstance`s had listed none.
    pub(crate) fn list_directory_empty(&self) {
        self.directory.apply(&watcher::Event::Init);
        self.directory.apply(&watcher::Event::InitDone);
        self.directory_synced.send_replace(true);
    }
}

impl Changes {
    /// Takes the changes so far as seen.
    pub fn forget(&mut self) {
        self.networks.mark_unchanged();
        self.subnets.mark_unchanged();
        self.node_infos.mark_unchanged();
        self.own.mark_unchanged();
    }

    /// The next change.
    pub async fn next(&mut self) {
        // An error means that the feed is gone, and with it the process.
        let _ = tokio::select! {
            seen = self.networks.changed() => seen,
            seen = self.subnets.changed() => seen,
            seen = self.node_infos.changed() => seen,
            seen = self.own.changed() => seen,
        };
    }
}

fn everything() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

fn feed_of<K: cache::Watched>(
    api: Api<K>,
    config: watcher::Config,
    cache: Cache<K>,
) -> BoxFuture<'static, ()> {
    feed::run(api, config, move |event| {
        cache.apply(event);
    })
    .boxed()
}
