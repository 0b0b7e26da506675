//! The allocator once more, as naive as can be: lists of all addresses, searched from end to end. What it
//! says is the meaning of the specification; the real one must say the same.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hybridnet_ipam::{Families, Family, Owner, State};

/// A subnet with every address that may be chosen, in order.
#[derive(Clone, Debug)]
pub struct NaiveSubnet {
    pub name: &'static str,
    pub family: Family,
    pub private: bool,
    pub choosable: Vec<IpAddr>,
    pub reserved: Vec<IpAddr>,
}

#[derive(Clone, Debug, Default)]
pub struct NaiveHolding {
    /// Objects that exist, at most one a namespace: the name follows from the address.
    pub objects: Vec<(Owner, State)>,
    pub claim: Option<(usize, Owner)>,
}

/// Choices of one kind that were made and not taken back, the latest last.
#[derive(Clone, Debug)]
struct History<T>(Vec<(Option<usize>, T)>);

impl<T> Default for History<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> History<T> {
    fn last(&self) -> Option<&T> {
        self.0.last().map(|(_, choice)| choice)
    }

    /// Nothing can be taken back behind a choice that stands.
    fn stands(&mut self, reservation: usize) {
        if let Some(at) = self.0.iter().rposition(|(of, _)| *of == Some(reservation)) {
            self.0.drain(..at);
            self.0[0].0 = None;
        }
    }

    fn take_back(&mut self, reservation: usize) {
        self.0.retain(|(of, _)| *of != Some(reservation));
    }

    fn only_the_last_stands(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(1));
        self.0.iter_mut().for_each(|(of, _)| *of = None);
    }
}

/// What the naive allocator would hand out.
pub type Picked = Vec<(&'static str, IpAddr)>;

#[derive(Clone, Debug, Default)]
pub struct Naive {
    pub subnets: Vec<NaiveSubnet>,
    pub held: BTreeMap<IpAddr, NaiveHolding>,
    addresses: BTreeMap<&'static str, History<IpAddr>>,
    searches: BTreeMap<Family, History<&'static str>>,
}

impl Naive {
    /// Takes over changed subnets; positions that do not exist any more are forgotten.
    pub fn refresh(&mut self, subnets: Vec<NaiveSubnet>) {
        let choosable = |name: &str| {
            subnets
                .iter()
                .find(|subnet| subnet.name == name)
                .map(|subnet| &subnet.choosable)
        };
        for (name, history) in &mut self.addresses {
            history
                .0
                .retain(|(_, ip)| choosable(name).is_some_and(|list| list.contains(ip)));
        }
        for history in self.searches.values_mut() {
            history.0.retain(|(_, name)| choosable(name).is_some());
        }
        self.subnets = subnets;
    }

    pub fn is_free(&self, ip: IpAddr) -> bool {
        self.held
            .get(&ip)
            .is_none_or(|holding| holding.objects.is_empty() && holding.claim.is_none())
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

    /// Chooses and claims, or says that it cannot.
    pub fn allocate(
        &mut self,
        reservation: usize,
        families: Families,
        named: &[&str],
        owner: impl Fn(IpAddr) -> Owner,
    ) -> Option<Picked> {
        let mut picked = Vec::new();
        for (place, family) in families.families().iter().enumerate() {
            let subnet = self.find_subnet(*family, named.get(place).copied())?;
            picked.push((*family, subnet.name, self.next_in(subnet)?));
        }
        for (family, subnet, ip) in &picked {
            self.held.entry(*ip).or_default().claim = Some((reservation, owner(*ip)));
            self.addresses
                .entry(subnet)
                .or_default()
                .0
                .push((Some(reservation), *ip));
            if named.is_empty() {
                self.searches
                    .entry(*family)
                    .or_default()
                    .0
                    .push((Some(reservation), *subnet));
            }
        }
        Some(picked.into_iter().map(|(_, subnet, ip)| (subnet, ip)).collect())
    }

    /// Claims one particular address for a pod, or says that it cannot.
    pub fn assign(&mut self, reservation: usize, ip: IpAddr, force: bool, fresh: &Owner) -> bool {
        let mine = |subnet: &&NaiveSubnet| subnet.choosable.contains(&ip) || subnet.reserved.contains(&ip);
        let Some(subnet) = self.subnets.iter().find(mine) else {
            return false;
        };
        let holding = self.held.entry(ip).or_default();
        let owner = match holding.objects.as_slice() {
            _ if holding.claim.is_some() => return false,
            [] if subnet.reserved.contains(&ip) && !force => return false,
            [] => fresh.clone(),
            [(owner, state)] => {
                let own = owner.namespace == fresh.namespace && owner.pod == fresh.pod;
                let retained = *state == State::Reserved && owner.namespace == fresh.namespace;
                if !(own || retained && force) {
                    return false;
                }
                Owner {
                    instance_uid: owner.instance_uid.clone(),
                    ..fresh.clone()
                }
            }
            _ => return false,
        };
        holding.claim = Some((reservation, owner));
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
                put(
                    &mut self.held.entry(ip).or_default().objects,
                    owner,
                    State::Allocated,
                );
            } else {
                self.histories_of(
                    ip,
                    |history| history.take_back(reservation),
                    |history| history.take_back(reservation),
                );
            }
        }
    }

    pub fn adopt(&mut self, ip: IpAddr, owner: Owner, state: State) {
        let holding = self.held.entry(ip).or_default();
        let fulfils = |claim: &mut (usize, Owner)| {
            claim.1.namespace == owner.namespace && claim.1.pod_uid == owner.pod_uid
        };
        let fulfilled = holding.claim.take_if(fulfils);
        put(&mut holding.objects, owner, state);
        if let Some((reservation, _)) = fulfilled {
            self.stands(reservation, ip);
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
        let same = |history: &&mut History<IpAddr>| history.0.iter().any(|(_, at)| Family::of(*at) == family);
        self.addresses.values_mut().filter(same).for_each(addresses);
        self.searches.get_mut(&family).into_iter().for_each(searches);
    }

    pub fn release(&mut self, ip: IpAddr, namespace: &str) {
        if let Some(holding) = self.held.get_mut(&ip) {
            holding.objects.retain(|(owner, _)| owner.namespace != namespace);
        }
    }

    /// All objects that exist.
    pub fn objects(&self) -> Vec<(IpAddr, Owner, State)> {
        let each = |(ip, holding): (&IpAddr, &NaiveHolding)| {
            let ip = *ip;
            holding
                .objects
                .clone()
                .into_iter()
                .map(move |(owner, state)| (ip, owner, state))
                .collect::<Vec<_>>()
        };
        self.held.iter().flat_map(each).collect()
    }

    /// The process ends: what was in flight was never written, and only the latest positions are known.
    pub fn restart(&mut self) {
        for holding in self.held.values_mut() {
            holding.claim = None;
        }
        self.addresses
            .values_mut()
            .for_each(History::only_the_last_stands);
        self.searches.values_mut().for_each(History::only_the_last_stands);
    }

    fn find_subnet(&self, family: Family, named: Option<&str>) -> Option<&NaiveSubnet> {
        let mut turn: Vec<_> = self
            .subnets
            .iter()
            .filter(|subnet| subnet.family == family)
            .collect();
        if let Some(named) = named {
            return turn.into_iter().find(|subnet| subnet.name == named);
        }
        let start = self
            .last_subnet(family)
            .and_then(|last| turn.iter().position(|subnet| subnet.name == last));
        turn.rotate_left(start.unwrap_or_default());
        turn.into_iter()
            .find(|subnet| !subnet.private && self.available(subnet) > 0)
    }

    fn next_in(&self, subnet: &NaiveSubnet) -> Option<IpAddr> {
        let last = self.last_address(subnet.name);
        let start = last.and_then(|last| subnet.choosable.iter().position(|ip| *ip == last));
        let mut turn = subnet.choosable.clone();
        turn.rotate_left(start.map_or(0, |start| (start + 1) % subnet.choosable.len()));
        turn.into_iter().find(|ip| self.is_free(*ip))
    }
}

fn put(objects: &mut Vec<(Owner, State)>, owner: Owner, state: State) {
    match objects
        .iter_mut()
        .find(|(known, _)| known.namespace == owner.namespace)
    {
        Some(known) => *known = (owner, state),
        None => objects.push((owner, state)),
    }
}
