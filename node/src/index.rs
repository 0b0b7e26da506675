//! Which node a remote address is behind: the answer to the kernel's question for a neighbour on the tunnel
//! (datapath spec 5.3). Fed by a metadata-only watch of all `IPInstance`s and by the `NodeInfo`s; the objects
//! are not kept, because a large cluster has 150 000 of them and every node needs them all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock};

use hybridnet_api::names::label;
use hybridnet_api::{IpInstance, NodeInfo};
use hybridnet_api::{address, pod};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;

use crate::mac::Mac;

/// Both halves, shared between the watches that fill it and the responder that asks.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<RwLock<Halves>>);

#[derive(Debug, Default)]
struct Halves {
    pods: PodIndex,
    vteps: Vteps,
}

impl Directory {
    /// Takes in one event of the watch of `IPInstance`s.
    pub fn apply(&self, event: &Event<PartialObjectMeta<IpInstance>>) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .pods
            .apply(event);
    }

    /// Replaces what is known of the tunnel ends.
    pub fn set_vteps(&self, vteps: Vteps) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).vteps = vteps;
    }

    /// The inner destination MAC of packets to `ip`, unless nobody or this node has that address.
    pub fn lookup(&self, ip: IpAddr) -> Option<Mac> {
        let halves = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let of_node = halves.vteps.by_address.get(&ip);
        let of_pod = || halves.vteps.by_node.get(halves.pods.node_of(ip)?);
        of_node.or_else(of_pod).copied()
    }

    /// Whether a full list has been seen.
    pub fn is_synced(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).pods.synced
    }

    /// How many addresses are known to be behind a node.
    pub fn len(&self) -> usize {
        let halves = self.0.read().unwrap_or_else(PoisonError::into_inner);
        halves.pods.claims.v4.len() + halves.pods.claims.v6.len()
    }

    /// Whether no address is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
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

/// Address to node. A bound `IPInstance` is a claim; an address has one, except while something is wrong
/// (the same address in two networks, or an old object on its way out): then the live one counts.
#[derive(Debug, Default)]
struct PodIndex {
    claims: Claims,
    /// Claims besides the first of an address.
    contested: HashMap<IpAddr, Vec<Claim>>,
    nodes: Names,
    namespaces: Names,
    /// What a list under way has shown.
    listed: Option<Box<PodIndex>>,
    synced: bool,
}

/// The first claim of each address: 12 or 24 bytes and the table's own.
#[derive(Debug, Default)]
struct Claims {
    v4: HashMap<Ipv4Addr, Claim>,
    v6: HashMap<Ipv6Addr, Claim>,
}

/// An `IPInstance` by its namespace (its name is the address), and the node it is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    namespace: u32,
    /// Number of the node; the top bit says that the object is being deleted.
    node: u32,
}

const TERMINATING: u32 = 1 << 31;

impl Claim {
    fn is_live(self) -> bool {
        self.node & TERMINATING == 0
    }
}

impl PodIndex {
    fn node_of(&self, ip: IpAddr) -> Option<&str> {
        let first = self.claims.get(ip)?;
        let others = self.contested.get(&ip).into_iter().flatten().copied();
        let chosen = std::iter::once(first)
            .chain(others)
            .find(|claim| claim.is_live())
            .unwrap_or(first);
        self.nodes.name(chosen.node & !TERMINATING)
    }

    fn apply(&mut self, event: &Event<PartialObjectMeta<IpInstance>>) {
        match event {
            Event::Init => self.listed = Some(Box::default()),
            Event::InitApply(object) => self.listed.get_or_insert_default().put(object),
            Event::InitDone => {
                *self = Self {
                    synced: true,
                    ..*self.listed.take().unwrap_or_default()
                };
            }
            Event::Apply(object) => self.put(object),
            Event::Delete(object) => {
                if let Some((ip, namespace)) = self.identity(object) {
                    self.withdraw(ip, namespace);
                }
            }
        }
    }

    fn put(&mut self, object: &PartialObjectMeta<IpInstance>) {
        let Some((ip, namespace)) = self.identity(object) else {
            return;
        };
        self.withdraw(ip, namespace);
        let node = object
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(label::NODE));
        let Some(node) = node.filter(|node| !node.is_empty()) else {
            return;
        };
        let terminating = if object.metadata.deletion_timestamp.is_some() {
            TERMINATING
        } else {
            0
        };
        let claim = Claim {
            namespace,
            node: self.nodes.number(node) | terminating,
        };
        if let Some(displaced) = self.claims.insert(ip, claim) {
            self.contested.entry(ip).or_default().push(displaced);
        }
    }

    fn withdraw(&mut self, ip: IpAddr, namespace: u32) {
        let mut others = self.contested.remove(&ip).unwrap_or_default();
        others.retain(|claim| claim.namespace != namespace);
        if self
            .claims
            .get(ip)
            .is_some_and(|claim| claim.namespace == namespace)
        {
            self.claims.remove(ip);
            if let Some(next) = others.pop() {
                self.claims.insert(ip, next);
            }
        }
        if !others.is_empty() {
            self.contested.insert(ip, others);
        }
    }

    /// Address and namespace of an object; objects whose name is no address are not ours to read.
    fn identity(&mut self, object: &PartialObjectMeta<IpInstance>) -> Option<(IpAddr, u32)> {
        let ip = address::from_object_name(object.metadata.name.as_deref()?)?;
        Some((
            ip,
            self.namespaces
                .number(object.metadata.namespace.as_deref().unwrap_or_default()),
        ))
    }
}

impl Claims {
    fn get(&self, ip: IpAddr) -> Option<Claim> {
        match ip {
            IpAddr::V4(ip) => self.v4.get(&ip),
            IpAddr::V6(ip) => self.v6.get(&ip),
        }
        .copied()
    }

    fn insert(&mut self, ip: IpAddr, claim: Claim) -> Option<Claim> {
        match ip {
            IpAddr::V4(ip) => self.v4.insert(ip, claim),
            IpAddr::V6(ip) => self.v6.insert(ip, claim),
        }
    }

    fn remove(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.v4.remove(&ip),
            IpAddr::V6(ip) => self.v6.remove(&ip),
        };
    }
}

/// Numbers for names, so that a claim is small. Names are forgotten with the next full list.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let (name, number) = (
            Arc::<str>::from(name),
            u32::try_from(self.names.len()).unwrap_or(u32::MAX),
        );
        self.numbers.insert(name.clone(), number);
        self.names.push(name);
        number
    }

    fn name(&self, number: u32) -> Option<&str> {
        self.names.get(usize::try_from(number).ok()?).map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hybridnet_api::NodeInfoSpec;
    use hybridnet_api::node_info::VtepInfo;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
    use k8s_openapi::jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn instance(namespace: &str, name: &str, node: &str) -> PartialObjectMeta<IpInstance> {
        let labels = BTreeMap::from([(label::NODE.to_owned(), node.to_owned())]);
        PartialObjectMeta {
            metadata: ObjectMeta {
                namespace: Some(namespace.into()),
                name: Some(name.into()),
                labels: (!node.is_empty()).then_some(labels),
                ..ObjectMeta::default()
            },
            ..PartialObjectMeta::default()
        }
    }

    fn terminating(mut object: PartialObjectMeta<IpInstance>) -> PartialObjectMeta<IpInstance> {
        object.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        object
    }

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

    proptest! {
        /// The index is as good as keeping all objects and searching them.
        #[test]
        fn the_index_agrees_with_a_search_of_all_objects(
            steps in prop::collection::vec((0..3_u8, 0..3_u8, 0..4_u8, any::<bool>(), any::<bool>()), 0..60),
        ) {
            let (mut index, mut model) = (PodIndex::default(), BTreeMap::new());
            for (ip, namespace, node, dying, gone) in steps {
                let node = ["", "b", "c", "d"][usize::from(node)];
                let mut object = instance(&format!("n{namespace}"), &format!("10-0-0-{ip}"), node);
                if dying {
                    object = terminating(object);
                }
                if gone {
                    model.remove(&(ip, namespace));
                    index.apply(&Event::Delete(object));
                } else {
                    model.insert((ip, namespace), (dying, node));
                    index.apply(&Event::Apply(object));
                }
                for ip in 0..3 {
                    let claims: Vec<_> = model.range((ip, 0)..=(ip, 9)).map(|(_, claim)| *claim)
                        .filter(|(_, node)| !node.is_empty()).collect();
                    let live: Vec<_> = claims.iter().filter(|(dying, _)| !dying).collect();
                    let answer = index.node_of(Ipv4Addr::new(10, 0, 0, ip).into());
                    match answer {
                        None => prop_assert!(claims.is_empty()),
                        Some(node) if live.is_empty() => prop_assert!(claims.contains(&(true, node))),
                        Some(node) => prop_assert!(live.contains(&&(false, node))),
                    }
                }
            }
        }
    }
}
