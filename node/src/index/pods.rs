//! Address to node, small: about 16 bytes a pod.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hybridnet_api::names::label;
use hybridnet_api::{IpInstance, address};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;

/// Address to node. A bound `IPInstance` is a claim; an address has one, except while something is wrong
/// (the same address in two networks, or an old object on its way out): then the live one counts.
#[derive(Debug, Default)]
pub(super) struct PodIndex {
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
    /// Name of the node that has the address, as labels have it.
    pub fn node_of(&self, ip: IpAddr) -> Option<&str> {
        let first = self.claims.get(ip)?;
        let others = self.contested.get(&ip).into_iter().flatten().copied();
        let chosen = std::iter::once(first)
            .chain(others)
            .find(|claim| claim.is_live())
            .unwrap_or(first);
        self.nodes.name(chosen.node & !TERMINATING)
    }

    /// All addresses that are behind a node.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let v4 = self.claims.v4.keys().copied().map(IpAddr::from);
        v4.chain(self.claims.v6.keys().copied().map(IpAddr::from))
    }

    /// Whether a full list has been seen.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// How many addresses are behind a node.
    pub fn len(&self) -> usize {
        self.claims.v4.len() + self.claims.v6.len()
    }

    /// Takes in one event of the watch, and gives an address that is now behind another node than before, or
    /// behind one at all. A list is no news: it says where addresses are, not that they came.
    pub fn apply(&mut self, event: &Event<PartialObjectMeta<IpInstance>>) -> Option<IpAddr> {
        match event {
            Event::Init => self.listed = Some(Box::default()),
            Event::InitApply(object) => {
                self.listed.get_or_insert_default().put(object);
            }
            Event::InitDone => {
                let listed = *self.listed.take().unwrap_or_default();
                *self = Self {
                    synced: true,
                    ..listed
                };
            }
            Event::Apply(object) => {
                let ip = address_of(object)?;
                let before = self.node_of(ip).map(ToOwned::to_owned);
                self.put(object);
                let now = self.node_of(ip);
                return now.filter(|now| before.as_deref() != Some(*now)).map(|_| ip);
            }
            Event::Delete(object) => {
                if let Some((ip, namespace)) = self.identity(object) {
                    self.withdraw(ip, namespace);
                }
            }
        }
        None
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

    fn identity(&mut self, object: &PartialObjectMeta<IpInstance>) -> Option<(IpAddr, u32)> {
        let ip = address_of(object)?;
        Some((
            ip,
            self.namespaces
                .number(object.metadata.namespace.as_deref().unwrap_or_default()),
        ))
    }
}

/// Objects whose name is no address are not ours to read.
fn address_of(object: &PartialObjectMeta<IpInstance>) -> Option<IpAddr> {
    address::from_object_name(object.metadata.name.as_deref()?)
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
pub(super) mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
    use k8s_openapi::jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    pub(in crate::index) fn instance(
        namespace: &str,
        name: &str,
        node: &str,
    ) -> PartialObjectMeta<IpInstance> {
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

    pub(in crate::index) fn terminating(
        mut object: PartialObjectMeta<IpInstance>,
    ) -> PartialObjectMeta<IpInstance> {
        object.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        object
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
