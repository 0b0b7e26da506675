//! What both must say alike.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hybridnet_ipam::{Family, Standing};

use super::Pair;
use crate::fixtures::NETWORK;
use crate::model::{NaiveHolding, name};

impl Pair {
    /// Both say the same about every subnet, address, object and namespace.
    pub fn compare(&self) {
        self.compare_subnets();
        for (ip, holding) in &self.naive.held {
            self.compare_holders(*ip, holding);
        }
        let mut here = self.real.ipam.held().filter(|(network, ..)| *network == NETWORK);
        assert!(
            here.all(|(_, ip, _)| !self.naive.is_free(ip)),
            "nothing is held that the twin does not hold"
        );
        self.compare_objects();
    }

    fn compare_subnets(&self) {
        for subnet in &self.naive.subnets {
            let usage = self.real.usage(subnet.name);
            assert_eq!(usage.counts.total, subnet.choosable.len() as u128);
            assert_eq!(usage.counts.available, self.naive.available(subnet) as u128);
            assert_eq!(usage.counts.used + usage.counts.available, usage.counts.total);
            assert_eq!(usage.last_allocated, self.naive.last_address(subnet.name));
        }
        let usage = self.real.network_usage();
        for (family, usage) in [(Family::V4, usage.ipv4), (Family::V6, usage.ipv6)] {
            assert_eq!(usage.last_subnet.as_deref(), self.naive.first_searched(family));
            let subnets = self.naive.subnets.iter();
            let open = subnets.filter(|subnet| subnet.family == family && !subnet.private);
            let open: usize = open.map(|subnet| self.naive.available(subnet)).sum();
            assert_eq!(usage.open, open as u128);
        }
    }

    fn compare_holders(&self, ip: IpAddr, holding: &NaiveHolding) {
        let held = self.real.ipam.holders(NETWORK, ip);
        let (claims, objects): (Vec<_>, Vec<_>) = held
            .into_iter()
            .partition(|held| held.standing == Standing::InFlight);
        let objects: Vec<_> = objects.into_iter().map(|held| held.owner).collect();
        let claims: Vec<_> = claims.into_iter().map(|held| held.owner).collect();
        let naive_objects = holding.objects.iter().map(|object| object.owner.clone());
        assert_eq!(objects, naive_objects.collect::<Vec<_>>());
        let naive_claims = holding.claim.iter().map(|(_, owner)| owner.clone());
        assert_eq!(claims, naive_claims.collect::<Vec<_>>());
    }

    fn compare_objects(&self) {
        for namespace in ["x", "y", "z"] {
            assert_eq!(self.real.ipam.held_by(namespace), self.naive.count(namespace));
        }
        for (namespace, instance) in self.naive.names() {
            let places = self.real.ipam.addresses_of(&namespace, &instance);
            let places = places.into_iter().filter(|(network, _)| network == NETWORK);
            let places: BTreeSet<_> = places.map(|(_, ip)| ip).collect();
            let object = (namespace, instance);
            let naive = self.naive.held.iter();
            let naive = naive.filter(|(_, holding)| holding.names().contains(&object));
            assert_eq!(places, naive.map(|(ip, _)| *ip).collect());
        }
        let unseen = self.naive.objects().into_iter();
        let unseen: BTreeSet<_> = unseen
            .filter(|(_, object)| object.owner.instance_uid.is_empty())
            .map(|(ip, object)| (ip, name(&object.owner)))
            .collect();
        let told = self.real.ipam.unseen();
        let told = told.filter(|(_, _, held)| held.standing == Standing::Written);
        let told: BTreeSet<_> = told.map(|(_, ip, held)| (ip, name(&held.owner))).collect();
        assert_eq!(told, unseen);
    }
}
