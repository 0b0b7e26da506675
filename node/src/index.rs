//! Which node a remote address is behind: the answer to the kernel's question for a neighbour on the tunnel
//! (datapath spec 5.3). Fed by a metadata-only watch of all `IPInstance`s and by the `NodeInfo`s; the objects
//! are not kept, because a large cluster has 150 000 of them and every node needs them all.

mod pods;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hybridnet_api::{IpInstance, NodeInfo, pod};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use tokio::sync::Notify;

use crate::mac::Mac;
use pods::PodIndex;

/// Both halves, shared between the watches that fill it and the responder that asks.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    halves: RwLock<Halves>,
    /// Addresses that came to a node since somebody asked.
    arrived: Mutex<BTreeSet<IpAddr>>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Halves {
    pods: PodIndex,
    vteps: Vteps,
}

impl Directory {
    /// Takes in one event of the watch of `IPInstance`s.
    pub fn apply(&self, event: &Event<PartialObjectMeta<IpInstance>>) {
        let arrived = self.write().pods.apply(event);
        self.arrive(arrived);
    }

    /// Replaces what is known of the tunnel ends. What is behind one whose MAC is another now has moved.
    pub fn set_vteps(&self, vteps: Vteps) {
        let mut halves = self.write();
        let old = std::mem::replace(&mut halves.vteps, vteps);
        let moved = halves.moved(&old);
        drop(halves);
        self.arrive(moved);
    }

    fn arrive(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        let mut arrived = self.0.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let before = arrived.len();
        arrived.extend(addresses);
        if arrived.len() > before {
            self.0.news.notify_one();
        }
    }

    /// The inner destination MAC of packets to `ip`, unless nobody or this node has that address.
    pub fn lookup(&self, ip: IpAddr) -> Option<Mac> {
        self.read().lookup(ip)
    }

    /// Waits for addresses that came to other nodes, or moved between them, since it was called last. The kernel
    /// may remember where they were before.
    pub async fn arrivals(&self) -> BTreeMap<IpAddr, Mac> {
        loop {
            let located = self.take_arrived();
            if !located.is_empty() {
                return located;
            }
            self.0.news.notified().await;
        }
    }

    fn take_arrived(&self) -> BTreeMap<IpAddr, Mac> {
        let arrived = std::mem::take(&mut *self.0.arrived.lock().unwrap_or_else(PoisonError::into_inner));
        let halves = self.read();
        let known = |ip: IpAddr| Some((ip, halves.lookup(ip)?));
        arrived.into_iter().filter_map(known).collect()
    }

    /// Whether a full list has been seen.
    pub fn is_synced(&self) -> bool {
        self.read().pods.is_synced()
    }

    /// How many addresses are known to be behind a node.
    pub fn len(&self) -> usize {
        self.read().pods.len()
    }

    /// Whether no address is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read(&self) -> RwLockReadGuard<'_, Halves> {
        self.0.halves.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Halves> {
        self.0.halves.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Halves {
    fn lookup(&self, ip: IpAddr) -> Option<Mac> {
        let of_node = self.vteps.by_address.get(&ip);
        let of_pod = || self.vteps.by_node.get(self.pods.node_of(ip)?);
        of_node.or_else(of_pod).copied()
    }

    /// Addresses behind tunnel ends that have another MAC than in `old`.
    fn moved(&self, old: &Vteps) -> Vec<IpAddr> {
        let nodes: HashSet<_> = changed(&old.by_node, &self.vteps.by_node)
            .map(String::as_str)
            .collect();
        let of_nodes = changed(&old.by_address, &self.vteps.by_address).copied();
        if nodes.is_empty() {
            return of_nodes.collect();
        }
        let is_behind = |ip: &IpAddr| self.pods.node_of(*ip).is_some_and(|node| nodes.contains(node));
        of_nodes.chain(self.pods.addresses().filter(is_behind)).collect()
    }
}

/// Keys of both whose values differ.
fn changed<'a, K: Eq + Hash>(
    old: &'a HashMap<K, Mac>,
    new: &'a HashMap<K, Mac>,
) -> impl Iterator<Item = &'a K> {
    new.iter()
        .filter(|(key, mac)| old.get(key).is_some_and(|old| old != *mac))
        .map(|(key, _)| key)
}

/// The tunnel ends of the other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vteps {
    /// By the node's name in the form of labels, as `IPInstance`s have it.
    by_node: HashMap<String, Mac>,
    by_address: HashMap<IpAddr, Mac>,
}

impl Vteps {
    /// From all `NodeInfo`s but that of the node `own`; incomplete ones are passed over.
    pub fn of_others<'a>(infos: impl IntoIterator<Item = &'a NodeInfo>, own: &str) -> Self {
        let mut vteps = Self::default();
        for info in infos {
            let name = info.metadata.name.as_deref().unwrap_or_default();
            let Some(vtep) = info.spec.vtep_info.as_ref().filter(|_| name != own) else {
                continue;
            };
            let Ok(mac) = vtep.mac.parse() else { continue };
            vteps.by_node.insert(pod::name_label(name), mac);
            let addresses = vtep.local_ips.iter().chain([&vtep.ip]);
            vteps.by_address.extend(
                addresses
                    .filter_map(|ip| ip.parse().ok())
                    .map(|ip: IpAddr| (ip, mac)),
            );
        }
        vteps
    }
}

#[cfg(test)]
mod tests {
    use hybridnet_api::NodeInfoSpec;
    use hybridnet_api::node_info::VtepInfo;

    use super::pods::tests::{instance, terminating};
    use super::*;
    use futures::FutureExt;

    fn info(node: &str, ip: &str, mac: &str) -> NodeInfo {
        let vtep = VtepInfo {
            ip: ip.into(),
            mac: mac.into(),
            local_ips: vec![ip.into(), "fd00::9".into()],
        };
        NodeInfo::new(
            node,
            NodeInfoSpec {
                vtep_info: Some(vtep),
            },
        )
    }

    fn directory(events: impl IntoIterator<Item = Event<PartialObjectMeta<IpInstance>>>) -> Directory {
        let directory = Directory::default();
        directory.set_vteps(Vteps::of_others(
            [
                &info("b", "192.168.0.2", "02:00:00:00:00:02"),
                &info("c", "192.168.0.3", "02:00:00:00:00:03"),
                &info("own", "192.168.0.1", "02:00:00:00:00:01"),
                &info("half", "192.168.0.4", ""),
            ],
            "own",
        ));
        for event in events {
            directory.apply(&event);
        }
        directory
    }

    fn found(directory: &Directory, ip: &str) -> Option<u8> {
        directory.lookup(ip.parse().unwrap()).map(|mac| mac.0[5])
    }

    #[test]
    fn a_pod_is_behind_the_tunnel_end_of_its_node() {
        let directory = directory([
            Event::Apply(instance("x", "10-0-0-5", "b")),
            Event::Apply(instance("x", "fd00-0-0-0-0-0-0-5", "c")),
            Event::Apply(instance("x", "10-0-0-6", "own")),
            Event::Apply(instance("x", "10-0-0-7", "unheard-of")),
            Event::Apply(instance("x", "10-0-0-8", "")),
        ]);

        let answers = [
            "10.0.0.5", "fd00::5", "10.0.0.6", "10.0.0.7", "10.0.0.8", "10.0.0.9",
        ];
        assert_eq!(
            answers.map(|ip| found(&directory, ip)),
            [Some(2), Some(3), None, None, None, None]
        );
    }

    #[test]
    fn addresses_of_other_nodes_are_found_and_our_own_are_not() {
        let directory = directory([]);

        assert_eq!(found(&directory, "192.168.0.3"), Some(3));
        assert_eq!(found(&directory, "192.168.0.1"), None);
        assert_eq!(found(&directory, "192.168.0.4"), None);
    }

    #[test]
    fn a_pod_that_moved_or_went_is_no_longer_found_at_its_old_place() {
        let directory = directory([
            Event::Apply(instance("x", "10-0-0-5", "b")),
            Event::Apply(instance("x", "10-0-0-6", "b")),
            Event::Apply(instance("x", "10-0-0-5", "c")),
            Event::Delete(instance("x", "10-0-0-6", "b")),
        ]);

        assert_eq!(found(&directory, "10.0.0.5"), Some(3));
        assert_eq!(found(&directory, "10.0.0.6"), None);
        assert_eq!(directory.len(), 1);
    }

    #[test]
    fn of_two_objects_for_one_address_the_live_one_counts_in_any_order() {
        let (old, new) = (
            terminating(instance("x", "10-0-0-5", "b")),
            instance("y", "10-0-0-5", "c"),
        );
        for events in [[old.clone(), new.clone()], [new.clone(), old.clone()]] {
            let directory = directory(events.map(Event::Apply));
            assert_eq!(found(&directory, "10.0.0.5"), Some(3));

            directory.apply(&Event::Delete(old.clone()));
            assert_eq!(found(&directory, "10.0.0.5"), Some(3));

            directory.apply(&Event::Delete(new.clone()));
            assert_eq!(found(&directory, "10.0.0.5"), None);
        }
    }

    #[tokio::test]
    async fn addresses_that_came_or_moved_are_told_with_the_tunnel_end_behind_them() {
        let directory = directory([
            Event::Init,
            Event::InitApply(instance("x", "10-0-0-5", "b")),
            Event::InitDone,
        ]);
        assert_eq!(directory.arrivals().now_or_never(), None, "a list is no news");

        directory.apply(&Event::Apply(instance("x", "10-0-0-5", "b")));
        directory.apply(&Event::Apply(instance("x", "10-0-0-8", "own")));
        directory.apply(&Event::Delete(instance("x", "10-0-0-7", "b")));
        assert_eq!(
            directory.arrivals().now_or_never(),
            None,
            "nothing moved that is not ours"
        );

        directory.apply(&Event::Apply(instance("x", "10-0-0-5", "c")));
        directory.apply(&Event::Apply(instance("x", "10-0-0-6", "b")));
        let told: Vec<_> = directory
            .arrivals()
            .await
            .into_iter()
            .map(|(ip, mac)| (ip.to_string(), mac.0[5]))
            .collect();
        assert_eq!(told, [("10.0.0.5".to_owned(), 3), ("10.0.0.6".to_owned(), 2)]);
        assert_eq!(directory.arrivals().now_or_never(), None, "told once");
    }

    #[tokio::test]
    async fn what_is_behind_a_tunnel_end_with_another_mac_has_moved() {
        let directory = directory([
            Event::Apply(instance("x", "10-0-0-5", "b")),
            Event::Apply(instance("x", "10-0-0-6", "c")),
        ]);
        directory.arrivals().await;
        let ends = |mac| {
            let infos = [
                info("b", "192.168.0.2", mac),
                info("c", "192.168.0.3", "02:00:00:00:00:03"),
            ];
            Vteps::of_others(&infos, "own")
        };

        directory.set_vteps(ends("02:00:00:00:00:02"));
        assert_eq!(directory.arrivals().now_or_never(), None, "nothing is another");

        directory.set_vteps(ends("02:00:00:00:00:09"));
        let told: Vec<_> = directory
            .arrivals()
            .await
            .into_iter()
            .map(|(ip, mac)| (ip.to_string(), mac.0[5]))
            .collect();
        assert_eq!(told, [("10.0.0.5".to_owned(), 9), ("192.168.0.2".to_owned(), 9)]);
    }

    #[test]
    fn a_new_list_replaces_what_was_known_at_its_end() {
        let directory = directory([Event::Apply(instance("x", "10-0-0-5", "b"))]);
        assert!(!directory.is_synced());

        directory.apply(&Event::Init);
        directory.apply(&Event::InitApply(instance("x", "10-0-0-6", "c")));
        assert_eq!(found(&directory, "10.0.0.5"), Some(2));
        directory.apply(&Event::InitDone);

        assert!(directory.is_synced());
        assert_eq!(found(&directory, "10.0.0.5"), None);
        assert_eq!(found(&directory, "10.0.0.6"), Some(3));
    }
}
