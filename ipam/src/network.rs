//! One network: its subnets, who holds its addresses, and which address comes next.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;

use hybridnet_api::address::{Family, Interval, gaps, number, object_name};
use hybridnet_api::allowance::allows;

use crate::cursor::Cursor;
use crate::directory::ObjectName;
use crate::error::{Error, SubnetError};
use crate::holding::Holding;
use crate::request::{Address, Ticket};
use crate::spec::{NetworkSpec, SubnetSpec};
use crate::subnet::{Subnet, accept};
use crate::usage::{FamilyUsage, SubnetUsage};

/// Holdings are kept by address, apart from the subnets: they outlive a subnet that is changed, refused,
/// or not there yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Network {
    /// Whether the Network object is known; without it there are only holdings.
    pub(crate) loaded: bool,
    name: String,
    net_id: Option<i32>,
    allowed_namespaces: Vec<String>,
    pub(crate) subnets: BTreeMap<String, Subnet>,
    cursor_v4: Cursor<String>,
    cursor_v6: Cursor<String>,
    pub(crate) held: BTreeMap<IpAddr, Holding>,
}

impl Network {
    /// Takes over what the objects say. Subnets that did not change keep everything, changed ones keep
    /// their position, refused ones are out until they are changed.
    pub(crate) fn refresh(&mut self, spec: &NetworkSpec, subnets: &[SubnetSpec]) -> Vec<SubnetError> {
        let (accepted, refused) = accept(&spec.name, subnets);
        self.loaded = true;
        self.name.clone_from(&spec.name);
        self.net_id = spec.net_id;
        self.allowed_namespaces.clone_from(&spec.allowed_namespaces);
        let mut before = std::mem::take(&mut self.subnets);
        for (subnet, range) in accepted {
            let old = before.remove(&subnet.name);
            self.subnets
                .insert(subnet.name.clone(), Subnet::load(subnet, range, old, &self.held));
        }
        for (family, last) in [
            (Family::V4, &spec.last_allocated_subnet),
            (Family::V6, &spec.last_allocated_ipv6_subnet),
        ] {
            let subnets = &self.subnets;
            let exists = |name: &String| {
                subnets
                    .get(name)
                    .is_some_and(|subnet| subnet.range.family() == family)
            };
            match family {
                Family::V4 => self.cursor_v4.restrict(last.clone(), exists),
                Family::V6 => self.cursor_v6.restrict(last.clone(), exists),
            }
        }
        refused
    }

    /// Forgets the objects, not who holds what.
    pub(crate) fn forget(&mut self) {
        let held = std::mem::take(&mut self.held);
        *self = Self {
            held,
            ..Self::default()
        };
    }

    /// Whether pods of a namespace may get new addresses here, and in this subnet.
    pub(crate) fn admit(&self, namespace: &str, subnet: Option<&str>) -> Result<(), Error> {
        let refuse = |subnet: Option<&str>| Error::NamespaceNotAllowed {
            network: self.name.clone(),
            subnet: subnet.map(ToOwned::to_owned),
            namespace: namespace.to_owned(),
        };
        if !allows(&self.allowed_namespaces, namespace) {
            return Err(refuse(None));
        }
        match subnet.and_then(|name| self.subnets.get(name)) {
            Some(known) if !allows(&known.allowed_namespaces, namespace) => Err(refuse(subnet)),
            _ => Ok(()),
        }
    }

    /// The address that a pod of this namespace gets next: from the subnet it names, else from the first one
    /// with room. Nothing is changed yet.
    pub(crate) fn choose(
        &self,
        family: Family,
        named: Option<&str>,
        namespace: &str,
    ) -> Result<Choice, Error> {
        match named {
            Some(subnet) => self.choose_in(family, subnet, namespace),
            None => self.search(family, namespace),
        }
    }

    fn search(&self, family: Family, namespace: &str) -> Result<Choice, Error> {
        let mut passed_over = false;
        for (name, subnet) in self.in_search_order(family) {
            let Some(ip) = subnet.next().filter(|_| !subnet.private) else {
                continue;
            };
            if allows(&subnet.allowed_namespaces, namespace) {
                return Ok(Choice {
                    subnet: name.clone(),
                    ip,
                    searched: true,
                });
            }
            passed_over = true;
        }
        Err(Error::NoSubnetAvailable {
            network: self.name.clone(),
            family,
            for_others: passed_over.then(|| namespace.to_owned()),
        })
    }

    fn choose_in(&self, family: Family, subnet: &str, namespace: &str) -> Result<Choice, Error> {
        let network = || self.name.clone();
        let found = self
            .subnets
            .get(subnet)
            .filter(|subnet| subnet.range.family() == family);
        let found = found.ok_or_else(|| Error::SubnetNotFound {
            network: network(),
            family,
            subnet: subnet.into(),
        })?;
        self.admit(namespace, Some(subnet))?;
        let ip = found.next().ok_or_else(|| Error::NoAddressAvailable {
            network: network(),
            family,
            subnet: subnet.into(),
        })?;
        Ok(Choice {
            subnet: subnet.into(),
            ip,
            searched: false,
        })
    }

    /// Moves the cursors to a choice. The network's stays where it is for a named subnet.
    pub(crate) fn step(&mut self, ticket: Ticket, choice: &Choice) {
        if let Some(subnet) = self.subnets.get_mut(&choice.subnet) {
            subnet.pool.cursor.step(ticket, number(choice.ip));
        }
        if choice.searched {
            self.cursor_mut(Family::of(choice.ip))
                .step(ticket, choice.subnet.clone());
        }
    }

    /// Makes the steps of a reservation in one family lasting.
    pub(crate) fn settle(&mut self, ticket: Ticket, family: Family, subnet: &str) {
        self.cursor_mut(family).settle(ticket);
        if let Some(subnet) = self.subnets.get_mut(subnet) {
            subnet.pool.cursor.settle(ticket);
        }
    }

    /// Takes back the steps of a reservation in one family.
    pub(crate) fn undo(&mut self, ticket: Ticket, family: Family, subnet: &str) {
        self.cursor_mut(family).undo(ticket);
        if let Some(subnet) = self.subnets.get_mut(subnet) {
            subnet.pool.cursor.undo(ticket);
        }
    }

    /// What an `IPInstance` for this address of this subnet says.
    pub(crate) fn address(&self, subnet_name: &str, ip: IpAddr) -> Option<Address> {
        let subnet = self.subnets.get(subnet_name)?;
        Some(Address {
            ip,
            prefix_len: subnet.range.network.prefix(),
            gateway: subnet.range.gateway.and_then(|gateway| subnet.address(gateway)),
            net_id: subnet.net_id.or(self.net_id),
            subnet: subnet_name.to_owned(),
            network: self.name.clone(),
            instance: object_name(ip),
        })
    }

    /// The subnet in which an address is usable, the named one before all others.
    pub(crate) fn containing(&self, ip: IpAddr, named: Option<&str>) -> Option<&str> {
        let (family, number) = (Family::of(ip), number(ip));
        let has = |subnet: &Subnet| subnet.range.family() == family && subnet.range.contains(number);
        let named = named.and_then(|name| self.subnets.get_key_value(name));
        named
            .into_iter()
            .chain(&self.subnets)
            .find(|(_, subnet)| has(subnet))
            .map(|(name, _)| name.as_str())
    }

    /// Whether the object of this name has the address, or is being written for it.
    pub(crate) fn holds(&self, ip: IpAddr, name: &ObjectName) -> bool {
        let holding = self.held.get(&ip);
        holding.is_some_and(|holding| holding.has(name))
    }

    /// Makes the pool agree with whether anyone holds the address.
    pub(crate) fn sync_pool(&mut self, ip: IpAddr) {
        let free = self.held.get(&ip).is_none_or(Holding::is_free);
        if free {
            self.held.remove(&ip);
        }
        // Subnets of a network share no address, so it is in the pool of one.
        let Some(name) = self.containing(ip, None).map(ToOwned::to_owned) else {
            return;
        };
        if let Some(subnet) = self.subnets.get_mut(&name) {
            if free {
                subnet.pool.put_back(number(ip));
            } else {
                subnet.pool.take(number(ip));
            }
        }
    }

    /// Addresses in use whose objects name this subnet, and which its range does not have (any more), in order.
    /// Only its gaps are searched, so a range without any costs nothing, however full it is.
    pub(crate) fn left_behind(&self, name: &str) -> Vec<IpAddr> {
        let Some(subnet) = self.subnets.get(name) else {
            return Vec::new();
        };
        let family = subnet.range.family();
        let whole = Interval::of(subnet.range.network);
        let bounds = gaps(whole, subnet.range.claimed().iter()).into_iter();
        let bounds = bounds.filter_map(|gap| family.address(gap.first()).zip(family.address(gap.last())));
        let held = bounds.flat_map(|(first, last)| self.held.range(first..=last));
        held.filter(|(_, holding)| holding.is_recorded_in(name))
            .map(|(ip, _)| *ip)
            .collect()
    }

    pub(crate) fn subnet_usage(&self, name: &str) -> Option<SubnetUsage> {
        self.subnets.get(name).map(Subnet::usage)
    }

    pub(crate) fn usage(&self, family: Family) -> FamilyUsage {
        let mut usage = FamilyUsage::default();
        for (_, subnet) in self
            .subnets
            .iter()
            .filter(|(_, subnet)| subnet.range.family() == family)
        {
            let counts = subnet.usage().counts;
            usage.counts.add(counts);
            if !subnet.private {
                usage.open = usage.open.saturating_add(counts.available);
            }
        }
        usage.last_subnet = self.in_search_order(family).next().map(|(name, _)| name.clone());
        usage
    }

    /// The subnets of a family by name, from the cursor on and round.
    fn in_search_order(&self, family: Family) -> impl Iterator<Item = (&String, &Subnet)> {
        let from = self.cursor(family).get().map_or("", String::as_str);
        let tail = self
            .subnets
            .range::<str, _>((Bound::Included(from), Bound::Unbounded));
        let head = self
            .subnets
            .range::<str, _>((Bound::Unbounded, Bound::Excluded(from)));
        tail.chain(head)
            .filter(move |(_, subnet)| subnet.range.family() == family)
    }

    fn cursor(&self, family: Family) -> &Cursor<String> {
        match family {
            Family::V4 => &self.cursor_v4,
            Family::V6 => &self.cursor_v6,
        }
    }

    fn cursor_mut(&mut self, family: Family) -> &mut Cursor<String> {
        match family {
            Family::V4 => &mut self.cursor_v4,
            Family::V6 => &mut self.cursor_v6,
        }
    }
}

/// An address that is free and comes next.
pub(crate) struct Choice {
    pub(crate) subnet: String,
    pub(crate) ip: IpAddr,
    /// Found by searching, not by name.
    searched: bool,
}
