//! What the API server holds, as far as pods are judged by it: filled before the first answer, followed
//! from then on.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use futures::future::BoxFuture;
use futures::{FutureExt, future};
use hybridnet_api::selection::Catalogue;
use hybridnet_api::validation::network::NodeLabels;
use hybridnet_api::{IpInstance, Network, NetworkType, Subnet};
use hybridnet_service::feed;
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::admission::Cluster;
use crate::held::Held;

/// A connection that died without a word is noticed after this many seconds.
pub(crate) const WATCH_SECONDS: u32 = 60;

/// One cache a kind.
pub struct Caches {
    networks: Store<Network>,
    subnets: Store<Subnet>,
    namespaces: Store<Namespace>,
    nodes: Store<PartialObjectMeta<Node>>,
    held: Arc<RwLock<Held>>,
    held_filled: watch::Receiver<bool>,
}

/// A watch ended for good, which it never should.
#[derive(Debug, thiserror::Error)]
#[error("watch of {0} ended before its first list")]
pub struct WatchEnded(Cow<'static, str>);

impl Caches {
    /// The caches, and the future that must be polled to fill them and keep them fresh.
    pub fn start(client: &Client) -> (Self, BoxFuture<'static, ()>) {
        let (networks, networks_feed) = followed(Api::<Network>::all(client.clone()));
        let (subnets, subnets_feed) = followed(Api::<Subnet>::all(client.clone()));
        let (namespaces, namespaces_feed) = followed(Api::<Namespace>::all(client.clone()));
        let (nodes, nodes_feed) = followed_nodes(Api::all(client.clone()));
        let held = Arc::new(RwLock::new(Held::default()));
        let (held_feed, held_filled) = followed_held(Api::all(client.clone()), held.clone());
        let feeds = [
            networks_feed,
            subnets_feed,
            namespaces_feed,
            nodes_feed,
            held_feed,
        ];
        let caches = Self {
            networks,
            subnets,
            namespaces,
            nodes,
            held,
            held_filled,
        };
        (caches, future::join_all(feeds).map(|_| ()).boxed())
    }

    /// Returns once each cache has seen a whole list.
    pub async fn filled(&self) -> Result<(), WatchEnded> {
        filled(&self.networks).await?;
        filled(&self.subnets).await?;
        filled(&self.namespaces).await?;
        filled(&self.nodes).await?;
        let mut held = self.held_filled.clone();
        held.wait_for(|filled| *filled)
            .await
            .map_err(|_| ended::<IpInstance>())?;
        Ok(())
    }

    fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster for Caches {
    fn nodes(&self) -> Vec<NodeLabels> {
        let nodes = self.nodes.state();
        nodes
            .iter()
            .map(|node| (node.name_any(), node.labels().clone()))
            .collect()
    }

    fn subnets_of(&self, network: &str) -> Vec<Arc<Subnet>> {
        sorted(&self.subnets, |subnet| subnet.spec.network == network)
    }

    fn addresses_in(&self, namespace: &str) -> u64 {
        self.held().in_namespace(namespace)
    }
}

impl Catalogue for Caches {
    fn network(&self, name: &str) -> Option<Arc<Network>> {
        self.networks.get(&ObjectRef::new(name))
    }

    fn networks_of_type(&self, wanted: NetworkType) -> Vec<Arc<Network>> {
        sorted(&self.networks, |network| {
            network.spec.network_type().is_ok_and(|type_| type_ == wanted)
        })
    }

    fn subnet(&self, name: &str) -> Option<Arc<Subnet>> {
        self.subnets.get(&ObjectRef::new(name))
    }

    fn namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.namespaces.get(&ObjectRef::new(name))
    }

    fn ip_instances_of_pod(&self, namespace: &str, pod_label: &str) -> Vec<Arc<IpInstance>> {
        self.held().of_pod(namespace, pod_label)
    }

    fn ip_instances_of_vm(&self, namespace: &str, vm: &str) -> Vec<Arc<IpInstance>> {
        self.held().of_vm(namespace, vm)
    }
}

fn sorted<K>(store: &Store<K>, is_wanted: impl Fn(&K) -> bool) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut found = store.state_filter(is_wanted);
    found.sort_by_key(|object| object.name_any());
    found
}

async fn filled<K>(store: &Store<K>) -> Result<(), WatchEnded>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.wait_until_ready().await.map_err(|_| ended::<K>())
}

fn ended<K: Resource<DynamicType = ()>>() -> WatchEnded {
    WatchEnded(K::plural(&()))
}

fn followed<K>(api: Api<K>) -> (Store<K>, BoxFuture<'static, ()>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    followed_without(api, |object| object.managed_fields_mut().clear())
}

fn followed_nodes(
    api: Api<PartialObjectMeta<Node>>,
) -> (Store<PartialObjectMeta<Node>>, BoxFuture<'static, ()>) {
    followed_without(api, |node| {
        node.managed_fields_mut().clear();
        node.annotations_mut().clear();
    })
}

/// `strip` takes away what nobody asks for.
fn followed_without<K>(
    api: Api<K>,
    strip: impl Fn(&mut K) + Send + 'static,
) -> (Store<K>, BoxFuture<'static, ()>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, mut writer) = reflector::store();
    let sink = move |event: Event<K>| writer.apply_watcher_event(&event.modify(&strip));
    (store, feed::run(api, config(), sink).boxed())
}

fn followed_held(
    api: Api<IpInstance>,
    held: Arc<RwLock<Held>>,
) -> (BoxFuture<'static, ()>, watch::Receiver<bool>) {
    let (filled, is_filled) = watch::channel(false);
    let sink = move |event| {
        let complete = matches!(event, Event::InitDone);
        held.write().unwrap_or_else(PoisonError::into_inner).apply(event);
        if complete {
            filled.send_replace(true);
        }
    };
    (feed::run(api, config(), sink).boxed(), is_filled)
}

fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hybridnet_service::testing::{Answer, FakeApi};
    use serde_json::{Value, json};
    use tokio::time::timeout;

    use super::*;

    /// A server that knows lists only, and whose nodes are not to be had while `closed`.
    fn server(closed: &Arc<std::sync::atomic::AtomicBool>) -> FakeApi {
        let closed = closed.clone();
        FakeApi::new(move |seen| {
            if seen.query.contains("sendInitialEvents") {
                return Answer::status(422, "Invalid");
            }
            let nodes = seen.path.ends_with("/nodes");
            if nodes && closed.load(std::sync::atomic::Ordering::Relaxed) {
                return Answer::status(503, "ServiceUnavailable");
            }
            let items = if nodes { vec![node()] } else { vec![] };
            Answer::ok(
                json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "5"},
                "items": items}),
            )
        })
    }

    fn node() -> Value {
        json!({"metadata": {"name": "a", "labels": {"zone": "b"}, "annotations": {"c": "d"},
            "resourceVersion": "4"}})
    }

    #[tokio::test(start_paused = true)]
    async fn caches_are_filled_once_each_has_seen_a_whole_list() {
        let closed = Arc::new(true.into());
        let (caches, feeds) = Caches::start(&server(&closed).client());
        let feeds = tokio::spawn(feeds);

        let early = timeout(Duration::from_mins(1), caches.filled()).await;
        assert!(early.is_err(), "not without the nodes");
        closed.store(false, std::sync::atomic::Ordering::Relaxed);
        caches.filled().await.expect("all lists");

        let labels = [("zone".to_owned(), "b".to_owned())].into();
        assert_eq!(caches.nodes(), [("a".to_owned(), labels)]);
        let node = caches.nodes.get(&ObjectRef::new("a")).expect("a node");
        assert!(node.annotations().is_empty());
        feeds.abort();
    }
}
