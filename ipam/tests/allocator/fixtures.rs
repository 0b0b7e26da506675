//! Fluent constructors, and an allocator with one network that a test can talk to in one line.

use std::net::IpAddr;

use hybridnet_ipam::{
    AddressRange, Assignment, Claimant, Error, Families, Ipam, NetworkSpec, NetworkUsage, Owner, Record,
    Request, Reservation, State, SubnetSpec, SubnetUsage, Wanted,
};

/// The name of the network that all fixtures are about.
pub const NETWORK: &str = "net";

/// A subnet of [`NETWORK`].
pub fn subnet(name: &str, cidr: &str) -> Sub {
    Sub(SubnetSpec {
        name: name.into(),
        network: NETWORK.into(),
        range: AddressRange {
            version: if cidr.contains(':') { "6" } else { "4" }.into(),
            cidr: cidr.into(),
            ..AddressRange::default()
        },
        ..SubnetSpec::default()
    })
}

#[derive(Clone)]
pub struct Sub(pub SubnetSpec);

impl Sub {
    pub fn gateway(mut self, ip: &str) -> Self {
        self.0.range.gateway = Some(ip.into());
        self
    }

    pub fn between(mut self, start: &str, end: &str) -> Self {
        (self.0.range.start, self.0.range.end) = (Some(start.into()), Some(end.into()));
        self
    }

    pub fn reserving(mut self, ips: &[&str]) -> Self {
        self.0.range.reserved_ips = ips.iter().map(ToString::to_string).collect();
        self
    }

    pub fn excluding(mut self, ips: &[&str]) -> Self {
        self.0.range.exclude_ips = ips.iter().map(ToString::to_string).collect();
        self
    }

    pub fn reserving_ranges(mut self, ranges: &[&str]) -> Self {
        self.0.range.reserved_ip_ranges = ranges.iter().map(ToString::to_string).collect();
        self
    }

    pub fn excluding_ranges(mut self, ranges: &[&str]) -> Self {
        self.0.range.exclude_ip_ranges = ranges.iter().map(ToString::to_string).collect();
        self
    }

    /// Pods of other namespaces get nothing here.
    pub fn only_for(mut self, namespaces: &[&str]) -> Self {
        self.0.allowed_namespaces = namespaces.iter().map(ToString::to_string).collect();
        self
    }

    pub fn private(mut self) -> Self {
        self.0.private = true;
        self
    }

    pub fn after(mut self, ip: &str) -> Self {
        self.0.last_allocated = Some(ip.into());
        self
    }

    pub fn net_id(mut self, id: i32) -> Self {
        self.0.net_id = Some(id);
        self
    }
}

pub fn network() -> NetworkSpec {
    NetworkSpec {
        name: NETWORK.into(),
        ..NetworkSpec::default()
    }
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The identity of `namespace/name`, with a UID made of both.
pub fn claimant(pod: &str) -> Claimant {
    let (namespace, name) = pod.split_once('/').expect("namespace/name");
    Claimant {
        namespace: namespace.into(),
        pod: name.into(),
        pod_uid: format!("uid-of-{pod}"),
    }
}

/// An object as the API would have it for this pod and address.
pub fn record(pod: &str, address: &str, state: State) -> Record {
    let Claimant {
        namespace,
        pod: name,
        pod_uid,
    } = claimant(pod);
    let instance = address.replace(['.', ':'], "-");
    Record {
        network: NETWORK.into(),
        subnet: String::new(),
        ip: ip(address),
        owner: Owner {
            instance_uid: format!("{namespace}/{instance}"),
            namespace,
            instance,
            pod: name,
            pod_uid,
        },
        state,
    }
}

/// The allocator with [`NETWORK`].
#[derive(Clone, Default)]
pub struct Cluster {
    pub ipam: Ipam,
    /// Of every namespace.
    pub limit: Option<u64>,
    /// Of the network.
    pub allowed_namespaces: Vec<String>,
}

impl Cluster {
    /// All of these subnets must be accepted.
    pub fn with(subnets: &[Sub]) -> Self {
        let mut cluster = Self::default();
        assert_eq!(cluster.refresh(subnets), Vec::<String>::new());
        cluster
    }

    /// Gives the messages of the subnets that are refused.
    pub fn refresh(&mut self, subnets: &[Sub]) -> Vec<String> {
        let specs: Vec<_> = subnets.iter().map(|subnet| subnet.0.clone()).collect();
        let network = NetworkSpec {
            allowed_namespaces: self.allowed_namespaces.clone(),
            ..network()
        };
        self.ipam
            .refresh(&network, &specs)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    pub fn reserve(&mut self, families: Families, subnets: &[&str], pod: &str) -> Result<Reservation, Error> {
        self.ipam.allocate(&Request {
            network: NETWORK.into(),
            families,
            subnets: subnets.iter().map(ToString::to_string).collect(),
            claimant: claimant(pod),
            limit: self.limit,
        })
    }

    /// Reserves and commits; gives the addresses or the message, joined by a comma.
    pub fn allocate(&mut self, families: Families, subnets: &[&str]) -> String {
        self.allocate_for("ns/p", families, subnets)
    }

    /// As [`Cluster::allocate`], for this pod.
    pub fn allocate_for(&mut self, pod: &str, families: Families, subnets: &[&str]) -> String {
        match self.reserve(families, subnets, pod) {
            Ok(reservation) => self.commit(reservation),
            Err(error) => error.to_string(),
        }
    }

    pub fn v4(&mut self) -> String {
        self.allocate(Families::Ipv4Only, &[])
    }

    pub fn v6(&mut self) -> String {
        self.allocate(Families::Ipv6Only, &[])
    }

    pub fn reserve_these(
        &mut self,
        families: Families,
        addresses: &[(Option<&str>, &str)],
        force: bool,
        pod: &str,
    ) -> Result<Reservation, Error> {
        let wanted = |(subnet, address): &(Option<&str>, &str)| Wanted {
            subnet: subnet.map(Into::into),
            ip: ip(address),
        };
        self.ipam.assign(&Assignment {
            network: NETWORK.into(),
            families,
            addresses: addresses.iter().map(wanted).collect(),
            force,
            claimant: claimant(pod),
            limit: self.limit,
        })
    }

    /// Assigns one IPv4 address and commits; gives the address or the message.
    pub fn assign(&mut self, subnet: Option<&str>, address: &str, force: bool, pod: &str) -> String {
        match self.reserve_these(Families::Ipv4Only, &[(subnet, address)], force, pod) {
            Ok(reservation) => self.commit(reservation),
            Err(error) => error.to_string(),
        }
    }

    pub fn commit(&mut self, reservation: Reservation) -> String {
        let texts: Vec<_> = reservation
            .addresses()
            .iter()
            .map(|address| address.ip.to_string())
            .collect();
        self.ipam.commit(reservation);
        texts.join(",")
    }

    /// The API says that whatever holds this address is gone.
    pub fn gone(&mut self, address: &str) {
        for held in self.ipam.holders(NETWORK, ip(address)) {
            self.ipam.release(NETWORK, ip(address), &held.owner);
        }
    }

    pub fn usage(&self, subnet: &str) -> SubnetUsage {
        self.ipam
            .subnet_usage(NETWORK, subnet)
            .expect("the subnet is loaded")
    }

    /// Total, used, available.
    pub fn counts(&self, subnet: &str) -> (u128, u128, u128) {
        let counts = self.usage(subnet).counts;
        (counts.total, counts.used, counts.available)
    }

    pub fn network_usage(&self) -> NetworkUsage {
        self.ipam.network_usage(NETWORK).expect("the network is loaded")
    }
}
