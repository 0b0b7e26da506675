//! The allocator once more, as naive as can be: lists of all addresses, searched from end to end. What it
//! says is the meaning of the specification; the real one must say the same.

mod history;
mod holding;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use history::History;
pub use holding::{NaiveHolding, NaiveObject, Name, name};
use holding::{is_same, put};
use hybridnet_ipam::{Families, Family, Owner, State};

/// A subnet with every address that may be chosen, in order.
#[derive(Clone, Debug)]
pub struct NaiveSubnet {
    pub name: &'static str,
    pub family: Family,
    pub private: bool,
    pub choosable: Vec<IpAddr>,
    pub reserved: Vec<IpAddr>,
    pub allowed: &'static [&'static str],
}

/// An object as the API tells it.
pub type Told = (IpAddr, Owner, State);

/// What the naive allocator would hand out.
pub type Picked = Vec<(&'static str, IpAddr)>;

/// Who asks, and how much he may have.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub reservation: usize,
    pub namespace: &'a str,
    pub limit: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub struct Naive {
    pub subnets: Vec<NaiveSubnet>,
    pub allowed: &'static [&'static str],
    pub held: BTreeMap<IpAddr, NaiveHolding>,
    /// Objects that were moved to another network, with their address there.
    away: BTreeMap<Name, Told>,
    addresses: BTreeMap<&'static str, History<IpAddr>>,
    searches: BTreeMap<Family, History<&'static str>>,
}

impl Naive {
    /// Takes over changed subnets; positions that do not exist any more are forgotten.
    pub fn refresh(&mut self, allowed: &'static [&'static str], subnets: Vec<NaiveSubnet>) {
        let choosable = |name: &str| {
            subnets
                .iter()
                .find(|subnet| subnet.name == name)
                .map(|subnet| &subnet.choosable)
        };
        for (name, history) in &mut self.addresses {
            history.retain(|ip| choosable(name).is_some_and(|list| list.contains(ip)));
        }
        for history in self.searches.values_mut() {
            history.retain(|name| choosable(name).is_some());
        }
        self.subnets = subnets;
        self.allowed = allowed;
    }

    pub fn is_free(&self, ip: IpAddr) -> bool {
        self.held
            .get(&ip)
            .is_none_or(|holding| holding.names().is_empty())
    }

    pub fn available(&self, subnet: &NaiveSubnet) -> usize {
        subnet.choosable.iter().filter(|ip| self.is_free(**ip)).count()
    }

    pub fn last_address(&self, subnet: &str) -> Option<IpAddr> {
        self.addresses.get(subnet)?.last().copied()
    }

    pub fn last_subnet(&self, family: Family) -> Option<&'static str> {
        self.searches.get(&family)?.last().copied()
    }

    /// Where a network's search starts: at its last subnet, else at the first one.
    pub fn first_searched(&self, family: Family) -> Option<&'static str> {
        let first = self
            .subnets
            .iter()
            .find(|subnet| subnet.family == family)
            .map(|subnet| subnet.name);
        self.last_subnet(family).or(first)
    }

    /// All objects that a namespace has or gets.
    pub fn names(&self) -> BTreeSet<Name> {
        let here = self.held.values().flat_map(NaiveHolding::names);
        here.chain(self.away.keys().cloned()).collect()
    }

    pub fn count(&self, namespace: &str) -> u64 {
        let names = self.names();
        names.iter().filter(|(of, _)| of == namespace).count() as u64
    }

    /// Chooses and claims, or says that it cannot.
    pub fn allocate(
        &mut self,
        asking: Asking<'_>,
        families: Families,
        named: &[&str],
        owner: impl Fn(IpAddr) -> Owner,
    ) -> Option<Picked> {
        if !allows(self.allowed, asking.namespace) || !self.is_within(asking, families.families().len()) {
            return None;
        }
        let mut picked = Vec::new();
        for (place, family) in families.families().iter().enumerate() {
            let subnet = self.find_subnet(*family, named.get(place).copied(), asking.namespace)?;
            picked.push((*family, subnet.name, self.next_in(subnet)?));
        }
        for (family, subnet, ip) in &picked {
            self.held.entry(*ip).or_default().claim = Some((asking.reservation, owner(*ip)));
            let addresses = self.addresses.entry(subnet).or_default();
            addresses.push(asking.reservation, *ip);
            if named.is_empty() {
                let searches = self.searches.entry(*family).or_default();
                searches.push(asking.reservation, *subnet);
            }
        }
        Some(picked.into_iter().map(|(_, subnet, ip)| (subnet, ip)).collect())
    }

    /// Claims one particular address for a pod, or says that it cannot.
    pub fn assign(&mut self, asking: Asking<'_>, ip: IpAddr, force: bool, fresh: &Owner) -> bool {
        let mine = |subnet: &&NaiveSubnet| subnet.choosable.contains(&ip) || subnet.reserved.contains(&ip);
        let Some(subnet) = self.subnets.iter().find(mine) else {
            return false;
        };
        let holding = self.held.get(&ip).cloned().unwrap_or_default();
        let owner = match holding.objects.as_slice() {
            _ if holding.claim.is_some() => return false,
            [] if subnet.reserved.contains(&ip) && !force => return false,
            [] if !allows(self.allowed, asking.namespace) || !allows(subnet.allowed, asking.namespace) => {
                return false;
            }
            [] => fresh.clone(),
            [
                NaiveObject {
                    owner,
                    state,
                    recorded,
                },
            ] => {
                let own = owner.namespace == fresh.namespace && owner.pod == fresh.pod;
                let retained = *state == State::Reserved && owner.namespace == fresh.namespace;
                if !recorded || !(own || retained && force) {
                    return false;
                }
                Owner {
                    instance: owner.instance.clone(),
                    instance_uid: owner.instance_uid.clone(),
                    ..fresh.clone()
                }
            }
            _ => return false,
        };
        let is_new = !self.names().contains(&name(&owner));
        if !self.is_within(asking, usize::from(is_new)) {
            return false;
        }
        self.held.entry(ip).or_default().claim = Some((asking.reservation, owner));
        true
    }

    pub fn end(&mut self, reservation: usize, written: &[IpAddr]) {
        let ended: Vec<_> = self
            .held
            .iter_mut()
            .filter_map(|(ip, holding)| {
                let (_, owner) = holding.claim.take_if(|(of, _)| *of == reservation)?;
                Some((*ip, owner))
            })
            .collect();
        for (ip, owner) in ended {
            if written.contains(&ip) {
                self.stands(reservation, ip);
                let written = NaiveObject {
                    owner,
                    state: State::Allocated,
                    recorded: true,
                };
                put(&mut self.held.entry(ip).or_default().objects, written);
            } else {
                self.histories_of(
                    ip,
                    |history| history.take_back(reservation),
                    |history| history.take_back(reservation),
                );
            }
        }
    }

    /// The object is at this address and at that of its name, and nowhere else.
    pub fn adopt(&mut self, ip: IpAddr, owner: &Owner, state: State) {
        let places: Vec<_> = address_of_name(&owner.instance)
            .filter(|named| *named != ip)
            .map(|named| (named, false))
            .into_iter()
            .chain([(ip, true)])
            .collect();
        self.leave(owner, |at| places.iter().any(|(place, _)| *place == at));
        for (at, recorded) in places {
            let holding = self.held.entry(at).or_default();
            let fulfils = |(_, claimed): &mut (usize, Owner)| {
                name(claimed) == name(owner) && claimed.pod_uid == owner.pod_uid
            };
            let fulfilled = holding.claim.take_if(fulfils);
            let owner = owner.clone();
            put(
                &mut holding.objects,
                NaiveObject {
                    owner,
                    state,
                    recorded,
                },
            );
            if let Some((reservation, _)) = fulfilled {
                self.stands(reservation, at);
            }
        }
    }

    /// The object is in another network, and nowhere here.
    pub fn move_away(&mut self, ip: IpAddr, owner: &Owner, state: State) {
        self.leave(owner, |_| false);
        self.away.insert(name(owner), (ip, owner.clone(), state));
    }

    fn leave(&mut self, owner: &Owner, keeps: impl Fn(IpAddr) -> bool) {
        self.away.remove(&name(owner));
        for (_, holding) in self.held.iter_mut().filter(|(at, _)| !keeps(**at)) {
            let is_it = |known: &Owner| name(known) == name(owner) && !known.instance_uid.is_empty();
            holding.objects.retain(|object| !is_it(&object.owner));
        }
    }

    fn stands(&mut self, reservation: usize, ip: IpAddr) {
        self.histories_of(
            ip,
            |history| history.stands(reservation),
            |history| history.stands(reservation),
        );
    }

    /// The histories of the family of an address.
    fn histories_of(
        &mut self,
        ip: IpAddr,
        addresses: impl Fn(&mut History<IpAddr>),
        searches: impl Fn(&mut History<&'static str>),
    ) {
        let family = Family::of(ip);
        let same = |history: &&mut History<IpAddr>| history.any(|at| Family::of(*at) == family);
        self.addresses.values_mut().filter(same).for_each(addresses);
        self.searches.get_mut(&family).into_iter().for_each(searches);
    }

    /// The object is gone; gives the addresses that it took. One that was never seen is gone here only.
    pub fn release(&mut self, ip: IpAddr, owner: &Owner) -> Vec<IpAddr> {
        let mut released = Vec::new();
        if !owner.instance_uid.is_empty() {
            self.away.retain(|_, (_, known, _)| !is_same(known, owner));
        }
        for (at, holding) in &mut self.held {
            if owner.instance_uid.is_empty() && *at != ip {
                continue;
            }
            let before = holding.objects.len();
            holding.objects.retain(|object| !is_same(&object.owner, owner));
            released.extend((holding.objects.len() < before).then_some(*at));
        }
        released
    }

    /// All objects that exist, at each of their addresses.
    pub fn objects(&self) -> Vec<(IpAddr, NaiveObject)> {
        let each = |(ip, holding): (&IpAddr, &NaiveHolding)| {
            let objects = holding.objects.iter().cloned();
            objects.map(|object| (*ip, object)).collect::<Vec<_>>()
        };
        self.held.iter().flat_map(each).collect()
    }

    /// The process ends: what was in flight was never written, and only the latest positions are known.
    /// Gives the objects that the next one is told, of this network and of the other.
    pub fn restart(&mut self) -> (Vec<Told>, Vec<Told>) {
        let recorded = self.objects().into_iter().filter(|(_, object)| object.recorded);
        let told: Vec<_> = recorded
            .map(|(ip, object)| (ip, object.owner, object.state))
            .collect();
        let away: Vec<_> = std::mem::take(&mut self.away).into_values().collect();
        self.held.clear();
        for (ip, owner, state) in &told {
            self.adopt(*ip, owner, *state);
        }
        for (ip, owner, state) in &away {
            self.move_away(*ip, owner, *state);
        }
        self.addresses
            .values_mut()
            .for_each(History::only_the_last_stands);
        self.searches.values_mut().for_each(History::only_the_last_stands);
        (told, away)
    }

    fn is_within(&self, asking: Asking<'_>, asked: usize) -> bool {
        let held = self.count(asking.namespace);
        asked == 0 || asking.limit.is_none_or(|limit| held + asked as u64 <= limit)
    }

    fn find_subnet(&self, family: Family, named: Option<&str>, namespace: &str) -> Option<&NaiveSubnet> {
        let mut turn: Vec<_> = self
            .subnets
            .iter()
            .filter(|subnet| subnet.family == family)
            .collect();
        if let Some(named) = named {
            let found = turn.into_iter().find(|subnet| subnet.name == named);
            return found.filter(|subnet| allows(subnet.allowed, namespace));
        }
        let start = self
            .last_subnet(family)
            .and_then(|last| turn.iter().position(|subnet| subnet.name == last));
        turn.rotate_left(start.unwrap_or_default());
        turn.into_iter()
            .find(|subnet| !subnet.private && allows(subnet.allowed, namespace) && self.available(subnet) > 0)
    }

    fn next_in(&self, subnet: &NaiveSubnet) -> Option<IpAddr> {
        let last = self.last_address(subnet.name);
        let start = last.and_then(|last| subnet.choosable.iter().position(|ip| *ip == last));
        let mut turn = subnet.choosable.clone();
        turn.rotate_left(start.map_or(0, |start| (start + 1) % subnet.choosable.len()));
        turn.into_iter().find(|ip| self.is_free(*ip))
    }
}

fn allows(list: &[&str], namespace: &str) -> bool {
    list.is_empty() || list.contains(&namespace)
}

fn address_of_name(name: &str) -> Option<IpAddr> {
    let v4 = name.replace('-', ".").parse().ok();
    v4.or_else(|| name.replace('-', ":").parse().ok())
}
