//! Which objects there are: how many each namespace has, and which addresses belong to an object of which the
//! name says otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hybridnet_api::address::from_object_name;

/// The name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectName {
    pub(crate) namespace: String,
    pub(crate) instance: String,
}

impl ObjectName {
    /// The address that the name stands for, if it does for any.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        from_object_name(&self.instance)
    }
}

/// See the module. It follows from the holdings of all networks, which it spares a search.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    /// By namespace and name: how many addresses the object takes.
    objects: BTreeMap<String, BTreeMap<String, usize>>,
    /// Objects with an address that is not the one of their name. Mostly there are none.
    strays: BTreeSet<(ObjectName, String, IpAddr)>,
}

impl Directory {
    /// How many objects a namespace has.
    pub(crate) fn count(&self, namespace: &str) -> u64 {
        let objects = self.objects.get(namespace).map_or(0, BTreeMap::len);
        u64::try_from(objects).unwrap_or(u64::MAX)
    }

    /// How many addresses an object takes.
    pub(crate) fn addresses(&self, name: &ObjectName) -> usize {
        let of_namespace = self.objects.get(&name.namespace);
        of_namespace
            .and_then(|objects| objects.get(&name.instance))
            .copied()
            .unwrap_or_default()
    }

    /// Networks and addresses of an object, less the address of its name.
    pub(crate) fn strays<'a>(&'a self, name: &'a ObjectName) -> impl Iterator<Item = (&'a str, IpAddr)> {
        let from = (name.clone(), String::new(), IpAddr::from([0, 0, 0, 0]));
        let all = self.strays.range(from..);
        all.take_while(move |(of, ..)| of == name)
            .map(|(_, network, ip)| (network.as_str(), *ip))
    }

    /// An address has other objects than before.
    pub(crate) fn update(&mut self, network: &str, ip: IpAddr, before: &[ObjectName], after: &[ObjectName]) {
        for name in before.iter().filter(|name| !after.contains(name)) {
            self.remove(network, ip, name);
        }
        for name in after.iter().filter(|name| !before.contains(name)) {
            self.add(network, ip, name);
        }
    }

    fn add(&mut self, network: &str, ip: IpAddr, name: &ObjectName) {
        let objects = self.objects.entry(name.namespace.clone()).or_default();
        *objects.entry(name.instance.clone()).or_default() += 1;
        if name.address() != Some(ip) {
            self.strays.insert((name.clone(), network.to_owned(), ip));
        }
    }

    fn remove(&mut self, network: &str, ip: IpAddr, name: &ObjectName) {
        let Some(objects) = self.objects.get_mut(&name.namespace) else {
            return;
        };
        match objects.get_mut(&name.instance) {
            Some(addresses) if *addresses > 1 => *addresses -= 1,
            _ => {
                objects.remove(&name.instance);
            }
        }
        if objects.is_empty() {
            self.objects.remove(&name.namespace);
        }
        self.strays.remove(&(name.clone(), network.to_owned(), ip));
    }
}
