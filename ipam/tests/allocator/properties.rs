//! Random histories of the allocator beside its naive twin: after each step both say the same, so no
//! address is given twice, none is lost, and equal input gives an equal choice.

use std::net::IpAddr;

use hybridnet_ipam::{
    Adoption, Claimant, Families, Family, NetworkSpec, Owner, Record, Release, Reservation, Standing, State,
};
use proptest::prelude::*;

use crate::fixtures::{Cluster, NETWORK, Sub, claimant, ip, network, subnet};
use crate::model::{Naive, NaiveSubnet, Picked};

#[derive(Clone, Debug)]
enum Step {
    Allocate {
        families: Families,
        named: bool,
        place: usize,
        pod: usize,
    },
    Assign {
        address: usize,
        force: bool,
        pod: usize,
    },
    Commit(usize),
    Rollback(usize),
    CommitFirstOnly(usize),
    Adopt {
        address: usize,
        pod: usize,
        bound: bool,
    },
    /// The watch shows what a reservation has written.
    Fulfil(usize),
    Release(usize),
    ReleaseByAnother(usize),
    Change {
        shrunk: bool,
        private: bool,
        without: bool,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let families = prop_oneof![
        Just(Families::Ipv4Only),
        Just(Families::Ipv6Only),
        Just(Families::DualStack)
    ];
    prop_oneof![
        8 => (families, prop::bool::weighted(0.3), 0..4usize, 0..6usize)
            .prop_map(|(families, named, place, pod)| Step::Allocate { families, named, place, pod }),
        3 => (0..40usize, any::<bool>(), 0..6usize)
            .prop_map(|(address, force, pod)| Step::Assign { address, force, pod }),
        5 => any::<usize>().prop_map(Step::Commit),
        3 => any::<usize>().prop_map(Step::Rollback),
        1 => any::<usize>().prop_map(Step::CommitFirstOnly),
        2 => (0..40usize, 0..6usize, any::<bool>())
            .prop_map(|(address, pod, bound)| Step::Adopt { address, pod, bound }),
        2 => any::<usize>().prop_map(Step::Fulfil),
        5 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::ReleaseByAnother),
        1 => (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(shrunk, private, without)| Step::Change { shrunk, private, without }),
        1 => Just(Step::Restart),
    ]
}

/// The same subnets twice: for the allocator as texts, for the twin as lists.
fn subnets(shrunk: bool, private: bool, without: bool) -> (Vec<Sub>, Vec<NaiveSubnet>) {
    let (a_end, a_list) = if shrunk {
        ("10.0.0.5", 2..=5)
    } else {
        ("10.0.0.9", 2..=9)
    };
    let naive = |name, family, private, choosable: Vec<String>, reserved: &[&str]| NaiveSubnet {
        name,
        family,
        private,
        choosable: choosable
            .iter()
            .map(|text| ip(text))
            .filter(|ip| !reserved.contains(&ip.to_string().as_str()))
            .collect(),
        reserved: reserved.iter().map(|text| ip(text)).collect(),
    };
    let v4 = |third: u8, hosts: std::ops::RangeInclusive<u8>| {
        hosts
            .map(|host| format!("10.0.{third}.{host}"))
            .collect::<Vec<_>>()
    };
    let v6 = |net: u8, hosts: std::ops::RangeInclusive<u8>| {
        hosts
            .map(|host| format!("fd0{net}::{host:x}"))
            .collect::<Vec<_>>()
    };
    let b = subnet("b", "10.0.1.0/29").gateway("10.0.1.1");
    let mut both = vec![
        (
            subnet("a", "10.0.0.0/28")
                .gateway("10.0.0.1")
                .between("10.0.0.1", a_end)
                .reserving(&["10.0.0.3"])
                .excluding(&["10.0.0.4"]),
            naive(
                "a",
                Family::V4,
                false,
                v4(0, a_list)
                    .into_iter()
                    .filter(|text| text != "10.0.0.4")
                    .collect(),
                &["10.0.0.3"],
            ),
        ),
        (
            if private { b.private() } else { b },
            naive("b", Family::V4, private, v4(1, 2..=6), &[]),
        ),
        (
            subnet("c", "fd00::/125"),
            naive("c", Family::V6, false, v6(0, 1..=7), &[]),
        ),
        (
            subnet("d", "fd01::/126"),
            naive("d", Family::V6, false, v6(1, 1..=3), &[]),
        ),
    ];
    if without {
        both.remove(2);
    }
    both.into_iter().unzip()
}

/// Where adoptions and assignments aim at: usable, reserved, excluded, gateway, outside of everything.
fn address(index: usize) -> IpAddr {
    let host = index % 10 + 1;
    match index / 10 {
        0 => ip(&format!("10.0.0.{host}")),
        1 => ip(&format!("10.0.1.{host}")),
        2 => ip(&format!("fd00::{host:x}")),
        _ => ip(&format!("fd01::{host:x}")),
    }
}

fn pod(index: usize) -> Claimant {
    claimant(["x/p", "x/q", "x/r", "y/p", "y/q", "z/p"][index])
}

fn owner(pod: &Claimant, ip: IpAddr, uid: &str) -> Owner {
    let instance = match ip {
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

/// The allocator, its twin, and what lies between them.
struct Pair {
    real: Cluster,
    naive: Naive,
    in_flight: Vec<(usize, Reservation)>,
    shape: (bool, bool, bool),
    serial: usize,
}

impl Pair {
    fn new() -> Self {
        let (texts, lists) = subnets(false, false, false);
        let mut naive = Naive::default();
        naive.refresh(lists);
        Self {
            real: Cluster::with(&texts),
            naive,
            in_flight: Vec::new(),
            shape: (false, false, false),
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

    fn run(&mut self, step: Step) {
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
            Step::Commit(index) => self.end(index, <[IpAddr]>::to_vec),
            Step::Rollback(index) => self.end(index, |_| vec![]),
            Step::CommitFirstOnly(index) => self.end(index, |all| all[..1].to_vec()),
            Step::Adopt {
                address: index,
                pod: who,
                bound,
            } => {
                let uid = self.serial().to_string();
                let state = if bound { State::Allocated } else { State::Reserved };
                let ip = address(index);
                self.adopt(ip, owner(&pod(who), ip, &uid), state);
            }
            Step::Fulfil(index) => self.fulfil(index),
            Step::Release(index) => self.release(index),
            Step::ReleaseByAnother(index) => self.release_by_another(index),
            Step::Change {
                shrunk,
                private,
                without,
            } => {
                self.shape = (shrunk, private, without);
                let (texts, lists) = subnets(shrunk, private, without);
                assert!(self.real.refresh(&texts).is_empty());
                self.naive.refresh(lists);
            }
            Step::Restart => self.restart(),
        }
    }

    fn allocate(&mut self, families: Families, named: &[&str], pod: &Claimant) {
        let id = self.serial();
        let before = self.real.ipam.clone();
        let request = |cluster: &mut Cluster| {
            cluster.reserve(families, named, &format!("{}/{}", pod.namespace, pod.pod))
        };
        let mut again = self.real.clone();
        let got = request(&mut self.real);
        assert_eq!(request(&mut again), got, "equal state, equal choice");

        let wanted = self.naive.allocate(id, families, named, |ip| owner(pod, ip, ""));
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
        self.in_flight.push((id, reservation));
    }

    /// Taken back at once, a reservation leaves exactly what was there.
    fn check_undo<E: std::fmt::Debug>(
        &self,
        before: &hybridnet_ipam::Ipam,
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
        let id = self.serial();
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
        let possible = self.naive.assign(id, ip, force, &owner(pod, ip, ""));
        assert_eq!(got.is_ok(), possible, "{got:?}");
        match got {
            Ok(reservation) => {
                self.check_undo(&before, self.real.clone(), request);
                self.in_flight.push((id, reservation));
            }
            Err(_) => assert!(self.real.ipam == before, "a refusal changes nothing"),
        }
    }

    fn end(&mut self, index: usize, written: impl Fn(&[IpAddr]) -> Vec<IpAddr>) {
        let Some((id, reservation)) = self.take(index) else {
            return;
        };
        let all: Vec<_> = reservation.addresses().iter().map(|address| address.ip).collect();
        let written = written(&all);
        self.naive.end(id, &written);
        self.real.ipam.settle(reservation, &written);
    }

    fn adopt(&mut self, ip: IpAddr, owner: Owner, state: State) {
        self.naive.adopt(ip, owner.clone(), state);
        let record = Record {
            network: NETWORK.into(),
            subnet: String::new(),
            ip,
            owner,
            state,
        };
        let adopted = self.real.ipam.adopt(record.clone());
        let holding = &self.naive.held[&ip];
        let mut names: Vec<_> = holding
            .objects
            .iter()
            .map(|(owner, _)| &owner.namespace)
            .collect();
        names.extend(holding.claim.iter().map(|(_, owner)| &owner.namespace));
        names.sort();
        names.dedup();
        assert_eq!(matches!(adopted, Adoption::Conflict(_)), names.len() > 1);

        let once = self.real.ipam.clone();
        self.real.ipam.adopt(record);
        assert!(self.real.ipam == once, "adopting twice changes nothing");
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
        let Some((ip, owner, _)) = objects.get(index % objects.len().max(1)) else {
            return;
        };
        self.naive.release(*ip, &owner.namespace);
        let expected = if self.naive.is_free(*ip) {
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
        let Some((ip, owner, _)) = objects.get(index % objects.len().max(1)) else {
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

    /// A new process: it knows the objects and what the status says, nothing else.
    fn restart(&mut self) {
        let (mut texts, _) = subnets(self.shape.0, self.shape.1, self.shape.2);
        self.in_flight.clear();
        self.naive.restart();
        for text in &mut texts {
            text.0.last_allocated = self
                .real
                .usage(&text.0.name)
                .last_allocated
                .map(|ip| ip.to_string());
        }
        let network = NetworkSpec {
            last_allocated_subnet: self.naive.last_subnet(Family::V4).map(Into::into),
            last_allocated_ipv6_subnet: self.naive.last_subnet(Family::V6).map(Into::into),
            ..network()
        };
        self.real = Cluster::default();
        for (ip, owner, state) in self.naive.objects() {
            self.real.ipam.adopt(Record {
                network: NETWORK.into(),
                subnet: String::new(),
                ip,
                owner,
                state,
            });
        }
        let specs: Vec<_> = texts.into_iter().map(|text| text.0).collect();
        assert!(self.real.ipam.refresh(&network, &specs).is_empty());
    }

    /// Both say the same about every subnet and every address.
    fn compare(&self) {
        for subnet in &self.naive.subnets {
            let usage = self.real.usage(subnet.name);
            assert_eq!(usage.counts.total, subnet.choosable.len() as u128);
            assert_eq!(usage.counts.available, self.naive.available(subnet) as u128);
            assert_eq!(usage.counts.used + usage.counts.available, usage.counts.total);
            assert_eq!(usage.last_allocated, self.naive.last_address(subnet.name));
        }
        let usage = self.real.network_usage();
        assert_eq!(
            usage.ipv4.last_subnet.as_deref(),
            self.naive.first_searched(Family::V4)
        );
        assert_eq!(
            usage.ipv6.last_subnet.as_deref(),
            self.naive.first_searched(Family::V6)
        );
        for (ip, holding) in &self.naive.held {
            let held = self.real.ipam.holders(NETWORK, *ip);
            let (claims, objects): (Vec<_>, Vec<_>) = held
                .into_iter()
                .partition(|held| held.standing == Standing::InFlight);
            let objects: Vec<_> = objects.into_iter().map(|held| held.owner).collect();
            let claims: Vec<_> = claims.into_iter().map(|held| held.owner).collect();
            assert_eq!(
                objects,
                holding
                    .objects
                    .iter()
                    .map(|(owner, _)| owner.clone())
                    .collect::<Vec<_>>()
            );
            assert_eq!(
                claims,
                holding
                    .claim
                    .iter()
                    .map(|(_, owner)| owner.clone())
                    .collect::<Vec<_>>()
            );
        }
        let known = |(_, ip, _): (&str, IpAddr, _)| !self.naive.is_free(ip);
        assert!(
            self.real.ipam.held().all(known),
            "nothing is held that the twin does not hold"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_allocator_says_what_the_naive_one_says(steps in prop::collection::vec(step(), 1..40)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.run(step);
            pair.compare();
        }
    }

    #[test]
    fn reservations_taken_back_in_any_order_leave_nothing(
        count in 1usize..12,
        order in prop::collection::vec(any::<usize>(), 12),
    ) {
        let mut pair = Pair::new();
        pair.allocate(Families::DualStack, &[], &pod(0));
        pair.end(0, <[IpAddr]>::to_vec);
        let before = pair.real.ipam.clone();
        for who in 0..count {
            pair.allocate([Families::Ipv4Only, Families::Ipv6Only, Families::DualStack][who % 3], &[], &pod(who % 6));
        }
        for index in order {
            pair.end(index, |_| vec![]);
            pair.compare();
        }
        prop_assert!(pair.real.ipam == before);
    }
}
