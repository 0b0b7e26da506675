//! The allocator and its naive twin, which go the same steps and must say the same after each.

mod compare;

use std::net::IpAddr;

use hybridnet_ipam::{
    Adoption, Claimant, Families, Family, Ipam, NetworkSpec, Owner, Record, Release, Reservation, State,
};

use crate::fixtures::{Cluster, NETWORK, network};
use crate::model::{Asking, Naive, NaiveObject, Picked};
use crate::shape::Shape;
use crate::step::{Step, address, pod};

/// A network that nobody has loaded.
const ELSEWHERE: &str = "elsewhere";

/// The two, and what lies between them.
pub struct Pair {
    pub real: Cluster,
    pub naive: Naive,
    pub in_flight: Vec<(usize, Reservation)>,
    shape: Shape,
    serial: usize,
}

impl Pair {
    pub fn new() -> Self {
        let shape = Shape::default();
        let (texts, lists) = shape.subnets();
        let mut naive = Naive::default();
        naive.refresh(shape.allowed(), lists);
        Self {
            real: Cluster::with(&texts),
            naive,
            in_flight: Vec::new(),
            shape,
            serial: 0,
        }
    }

    fn serial(&mut self) -> usize {
        self.serial += 1;
        self.serial
    }

    fn take(&mut self, index: usize) -> Option<(usize, Reservation)> {
        let count = self.in_flight.len();
        (count > 0).then(|| self.in_flight.remove(index % count))
    }

    pub fn run(&mut self, step: Step) {
        match step {
            Step::Allocate {
                families,
                named,
                place,
                pod: who,
            } => {
                let by_name: Vec<&str> = match families {
                    _ if !named => vec![],
                    Families::DualStack => vec![["a", "b"][place % 2], ["c", "d"][place / 2]],
                    _ => vec![["a", "b", "c", "d"][place]],
                };
                self.allocate(families, &by_name, &pod(who));
            }
            Step::Assign {
                address: index,
                force,
                pod: who,
            } => self.assign(address(index), force, &pod(who)),
            Step::Limit(limit) => self.real.limit = limit,
            Step::Commit(index) => self.end(index, <[IpAddr]>::to_vec),
            Step::Rollback(index) => self.end(index, |_| vec![]),
            Step::CommitFirstOnly(index) => self.end(index, |all| all[..1].to_vec()),
            Step::Adopt {
                address: index,
                named,
                pod: who,
                bound,
            } => {
                let uid = self.serial().to_string();
                let state = if bound { State::Allocated } else { State::Reserved };
                let named = address(named.unwrap_or(index));
                self.adopt(address(index), owner(&pod(who), named, &uid), state);
            }
            Step::Edit {
                object,
                address: index,
            } => self.edit(object, address(index)),
            Step::MoveAway(index) => self.move_away(index),
            Step::Fulfil(index) => self.fulfil(index),
            Step::Release(index) => self.release(index),
            Step::ReleaseByAnother(index) => self.release_by_another(index),
            Step::Change(shape) => self.reshape(shape),
            Step::Restart => self.restart(),
        }
    }

    fn asking<'a>(&mut self, pod: &'a Claimant) -> Asking<'a> {
        Asking {
            reservation: self.serial(),
            namespace: &pod.namespace,
            limit: self.real.limit,
        }
    }

    pub fn allocate(&mut self, families: Families, named: &[&str], pod: &Claimant) {
        let asking = self.asking(pod);
        let before = self.real.ipam.clone();
        let request = |cluster: &mut Cluster| {
            cluster.reserve(families, named, &format!("{}/{}", pod.namespace, pod.pod))
        };
        let mut again = self.real.clone();
        let got = request(&mut self.real);
        assert_eq!(request(&mut again), got, "equal state, equal choice");

        let wanted = self
            .naive
            .allocate(asking, families, named, |ip| owner(pod, ip, ""));
        let Ok(reservation) = got else {
            assert_eq!(wanted, None, "{got:?}");
            assert!(self.real.ipam == before, "a refusal changes nothing");
            return;
        };
        let picked: Vec<_> = reservation
            .addresses()
            .iter()
            .map(|address| (address.subnet.as_str(), address.ip))
            .collect();
        assert_eq!(
            Some(picked),
            wanted.map(|wanted: Picked| wanted.into_iter().collect())
        );
        self.check_undo(&before, again, request);
        self.in_flight.push((asking.reservation, reservation));
    }

    /// Taken back at once, a reservation leaves exactly what was there.
    fn check_undo<E: std::fmt::Debug>(
        &self,
        before: &Ipam,
        mut cluster: Cluster,
        request: impl Fn(&mut Cluster) -> Result<Reservation, E>,
    ) {
        cluster.ipam = before.clone();
        let reservation = request(&mut cluster).expect("it was possible before");
        assert!(cluster.ipam == self.real.ipam);
        cluster.ipam.rollback(reservation);
        assert!(cluster.ipam == *before, "rollback is exact");
    }

    fn assign(&mut self, ip: IpAddr, force: bool, pod: &Claimant) {
        let asking = self.asking(pod);
        let before = self.real.ipam.clone();
        let families = if ip.is_ipv4() {
            Families::Ipv4Only
        } else {
            Families::Ipv6Only
        };
        let text = ip.to_string();
        let request = |cluster: &mut Cluster| {
            cluster.reserve_these(
                families,
                &[(None, &text)],
                force,
                &format!("{}/{}", pod.namespace, pod.pod),
            )
        };
        let got = request(&mut self.real);
        let possible = self.naive.assign(asking, ip, force, &owner(pod, ip, ""));
        assert_eq!(got.is_ok(), possible, "{got:?}");
        match got {
            Ok(reservation) => {
                self.check_undo(&before, self.real.clone(), request);
                self.in_flight.push((asking.reservation, reservation));
            }
            Err(_) => assert!(self.real.ipam == before, "a refusal changes nothing"),
        }
    }

    pub fn end(&mut self, index: usize, written: impl Fn(&[IpAddr]) -> Vec<IpAddr>) {
        let Some((id, reservation)) = self.take(index) else {
            return;
        };
        let all: Vec<_> = reservation.addresses().iter().map(|address| address.ip).collect();
        let written = written(&all);
        self.naive.end(id, &written);
        self.real.ipam.settle(reservation, &written);
    }

    fn adopt(&mut self, ip: IpAddr, owner: Owner, state: State) {
        self.naive.adopt(ip, &owner, state);
        let record = record(NETWORK, ip, owner, state);
        let adopted = self.real.ipam.adopt(record.clone());
        let name = crate::model::name(&record.owner);
        let of_object = self
            .naive
            .held
            .values()
            .filter(|holding| holding.names().contains(&name));
        let clashes = of_object.filter(|holding| holding.names().len() > 1).count();
        if let Adoption::Conflict(_) = adopted {
            assert!(clashes > 0, "{adopted:?}");
        }
        let here = &self.naive.held[&ip];
        assert!(here.names().len() == 1 || matches!(adopted, Adoption::Conflict(_)));

        let once = self.real.ipam.clone();
        self.real.ipam.adopt(record);
        assert!(self.real.ipam == once, "adopting twice changes nothing");
    }

    /// One of the objects that were seen.
    fn seen(&self, index: usize) -> Option<(IpAddr, NaiveObject)> {
        let mut seen = self.naive.objects();
        seen.retain(|(_, object)| !object.owner.instance_uid.is_empty());
        seen.get(index % seen.len().max(1)).cloned()
    }

    fn edit(&mut self, index: usize, ip: IpAddr) {
        if let Some((_, object)) = self.seen(index) {
            self.adopt(ip, object.owner, object.state);
        }
    }

    fn move_away(&mut self, index: usize) {
        if let Some((ip, object)) = self.seen(index) {
            self.naive.move_away(ip, &object.owner, object.state);
            self.real
                .ipam
                .adopt(record(ELSEWHERE, ip, object.owner, object.state));
        }
    }

    fn fulfil(&mut self, index: usize) {
        let uid = self.serial().to_string();
        let claims: Vec<_> = self
            .naive
            .held
            .iter()
            .filter_map(|(ip, holding)| Some((*ip, holding.claim.clone()?.1)))
            .collect();
        if let Some((ip, claimed)) = claims.get(index % claims.len().max(1)) {
            let uid = if claimed.instance_uid.is_empty() {
                uid
            } else {
                claimed.instance_uid.clone()
            };
            self.adopt(
                *ip,
                Owner {
                    instance_uid: uid,
                    ..claimed.clone()
                },
                State::Allocated,
            );
        }
    }

    fn release(&mut self, index: usize) {
        let objects = self.naive.objects();
        let Some((ip, NaiveObject { owner, .. })) = objects.get(index % objects.len().max(1)) else {
            return;
        };
        let released = self.naive.release(*ip, owner);
        let expected = if released.iter().all(|ip| self.naive.is_free(*ip)) {
            Release::Freed
        } else {
            Release::StillHeld
        };
        assert_eq!(self.real.ipam.release(NETWORK, *ip, owner), expected);
        assert_eq!(
            self.real.ipam.release(NETWORK, *ip, owner),
            Release::NotTheOwner,
            "the second time"
        );
    }

    fn release_by_another(&mut self, index: usize) {
        let objects = self.naive.objects();
        let Some((ip, NaiveObject { owner, .. })) = objects.get(index % objects.len().max(1)) else {
            return;
        };
        let before = self.real.ipam.clone();
        let stranger = Owner {
            instance_uid: "stranger".into(),
            pod_uid: "stranger".into(),
            ..owner.clone()
        };
        assert_eq!(
            self.real.ipam.release(NETWORK, *ip, &stranger),
            Release::NotTheOwner
        );
        assert!(self.real.ipam == before);
    }

    fn reshape(&mut self, shape: Shape) {
        self.shape = shape;
        let (texts, lists) = shape.subnets();
        self.real.allowed_namespaces = shape.allowed().iter().map(ToString::to_string).collect();
        assert!(self.real.refresh(&texts).is_empty());
        self.naive.refresh(shape.allowed(), lists);
    }

    /// A new process: it knows the objects and what the status says, nothing else.
    fn restart(&mut self) {
        let (mut texts, _) = self.shape.subnets();
        self.in_flight.clear();
        for text in &mut texts {
            text.0.last_allocated = self
                .real
                .usage(&text.0.name)
                .last_allocated
                .map(|ip| ip.to_string());
        }
        let network = NetworkSpec {
            allowed_namespaces: self.real.allowed_namespaces.clone(),
            last_allocated_subnet: self.naive.last_subnet(Family::V4).map(Into::into),
            last_allocated_ipv6_subnet: self.naive.last_subnet(Family::V6).map(Into::into),
            ..network()
        };
        self.real.ipam = Ipam::default();
        let (here, away) = self.naive.restart();
        for (network, told) in [(NETWORK, here), (ELSEWHERE, away)] {
            for (ip, owner, state) in told {
                self.real.ipam.adopt(record(network, ip, owner, state));
            }
        }
        let specs: Vec<_> = texts.into_iter().map(|text| text.0).collect();
        assert!(self.real.ipam.refresh(&network, &specs).is_empty());
    }
}

fn record(network: &str, ip: IpAddr, owner: Owner, state: State) -> Record {
    Record {
        network: network.into(),
        subnet: String::new(),
        ip,
        owner,
        state,
    }
}

/// The pod as owner of an object that is named after this address.
fn owner(pod: &Claimant, named: IpAddr, uid: &str) -> Owner {
    let instance = match named {
        IpAddr::V4(ip) => ip.to_string().replace('.', "-"),
        IpAddr::V6(ip) => ip.segments().map(|group| format!("{group:x}")).join("-"),
    };
    Owner {
        namespace: pod.namespace.clone(),
        instance,
        instance_uid: uid.into(),
        pod: pod.pod.clone(),
        pod_uid: pod.pod_uid.clone(),
    }
}
