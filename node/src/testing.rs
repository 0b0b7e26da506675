//! Worlds for tests: fluent constructors of machines and API objects.

use std::sync::Arc;

use hybridnet_api::ip_instance::Binding;
use hybridnet_api::names::label;
use hybridnet_api::node_info::VtepInfo;
use hybridnet_api::subnet::SubnetConfig;
use hybridnet_api::{
    IpInstance, IpInstanceSpec, Network, NetworkSpec, NetworkStatus, NodeInfo, NodeInfoSpec, Subnet,
    SubnetSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::view::{Address, DefaultRoute, DirectRoute, Link, LinkKind, View};

/// A node `node1` with the link `eth0`, 192.168.0.1/24 and `fd00:1::1/64`, default routes of both families, and
/// the overlay network `overlay` with VNI 4.
pub(crate) fn world() -> View {
    let mut view = View {
        node: "node1".into(),
        ..View::default()
    };
    view.machine.ipv6_usable = true;
    view.node_addresses = vec!["192.168.0.1".parse().unwrap(), "fd00:1::1".parse().unwrap()];
    view.networks.push(Arc::new(overlay("overlay", 4)));
    view.link("lo", LinkKind::Loopback, 0)
        .link("eth0", LinkKind::Other, 1)
        .address("lo", "127.0.0.1/8")
        .address("eth0", "192.168.0.1/24")
        .address("eth0", "fd00:1::1/64")
        .address("eth0", "fe80::1/64")
        .default_route("eth0", "192.168.0.254")
        .default_route("eth0", "fe80::fe")
}

impl View {
    pub(crate) fn link(mut self, name: &str, kind: LinkKind, mac: u8) -> Self {
        let index = u32::try_from(self.machine.links.len()).unwrap() + 1;
        let mac = (kind != LinkKind::Loopback).then_some(crate::mac::Mac([2, 0, 0, 0, 0, mac]));
        self.machine.links.push(Link {
            index,
            name: name.into(),
            mac,
            mtu: 1500,
            up: true,
            kind,
        });
        self
    }

    pub(crate) fn address(mut self, link: &str, ip: &str) -> Self {
        self.machine.addresses.push(address(link, ip));
        self
    }

    pub(crate) fn default_route(mut self, link: &str, gateway: &str) -> Self {
        self.machine.default_routes.push(DefaultRoute {
            link: link.into(),
            ipv6: gateway.contains(':'),
            gateway: Some(gateway.parse().unwrap()),
            source: None,
            from_advertisement: false,
            metric: 0,
        });
        self
    }

    pub(crate) fn direct_route(mut self, link: &str, destination: &str, source: Option<&str>) -> Self {
        self.machine.direct_routes.push(DirectRoute {
            link: link.into(),
            destination: destination.parse().unwrap(),
            source: source.map(|source| source.parse().unwrap()),
        });
        self
    }

    pub(crate) fn network(mut self, network: Network) -> Self {
        self.networks.push(Arc::new(network));
        self
    }

    pub(crate) fn subnet(mut self, subnet: Subnet) -> Self {
        self.subnets.push(Arc::new(subnet));
        self
    }

    pub(crate) fn peer(mut self, name: &str, ip: &str, mac: u8) -> Self {
        self.node_infos.push(Arc::new(node_info(name, ip, mac)));
        self
    }

    pub(crate) fn own(mut self, instance: IpInstance) -> Self {
        self.own.push(Arc::new(instance));
        self
    }
}

pub(crate) fn address(link: &str, ip: &str) -> Address {
    Address {
        link: link.into(),
        ip: ip.parse().unwrap(),
        global_scope: !ip.starts_with("fe80") && !ip.starts_with("127."),
        no_prefix_route: false,
        unfit: false,
    }
}

pub(crate) fn overlay(name: &str, vni: i32) -> Network {
    let spec = NetworkSpec {
        type_: Some("Overlay".into()),
        net_id: Some(vni),
        ..NetworkSpec::default()
    };
    Network::new(name, spec)
}

/// A network of that mode that this node belongs to.
pub(crate) fn underlay(name: &str, mode: &str) -> Network {
    let mut network = Network::new(
        name,
        NetworkSpec {
            mode: Some(mode.into()),
            ..NetworkSpec::default()
        },
    );
    network.status = Some(NetworkStatus {
        node_list: vec!["node1".into()],
        ..NetworkStatus::default()
    });
    network
}

pub(crate) fn subnet(name: &str, network: &str, cidr: &str) -> Subnet {
    let mut subnet = Subnet::new(
        name,
        SubnetSpec {
            network: network.into(),
            ..SubnetSpec::default()
        },
    );
    subnet.spec.range.version = if cidr.contains(':') { "6" } else { "4" }.into();
    subnet.spec.range.cidr = cidr.into();
    subnet
}

pub(crate) trait SubnetExt {
    fn gateway(self, ip: &str) -> Self;
    fn range(self, start: &str, end: &str) -> Self;
    fn excluding(self, ips: &[&str]) -> Self;
    fn without_nat(self) -> Self;
    fn vlan(self, id: i32) -> Self;
}

impl SubnetExt for Subnet {
    fn gateway(mut self, ip: &str) -> Self {
        self.spec.range.gateway = Some(ip.into());
        self
    }

    fn range(mut self, start: &str, end: &str) -> Self {
        (self.spec.range.start, self.spec.range.end) = (Some(start.into()), Some(end.into()));
        self
    }

    fn excluding(mut self, ips: &[&str]) -> Self {
        self.spec.range.exclude_ips = ips.iter().map(ToString::to_string).collect();
        self
    }

    fn vlan(mut self, id: i32) -> Self {
        self.spec.net_id = Some(id);
        self
    }

    fn without_nat(mut self) -> Self {
        self.spec.config = Some(SubnetConfig {
            auto_nat_outgoing: Some(false),
            ..SubnetConfig::default()
        });
        self
    }
}

pub(crate) fn node_info(name: &str, ip: &str, mac: u8) -> NodeInfo {
    let vtep = VtepInfo {
        ip: ip.into(),
        mac: format!("02:00:00:00:00:{mac:02x}"),
        local_ips: vec![ip.into()],
    };
    NodeInfo::new(
        name,
        NodeInfoSpec {
            vtep_info: Some(vtep),
        },
    )
}

/// An address of the pod `pod` in `default` on this node.
pub(crate) fn instance(pod: &str, ip: &str) -> IpInstance {
    let name = ip.split('/').next().unwrap().replace(['.', ':'], "-");
    let mut instance = IpInstance::new(&name, IpInstanceSpec::default());
    instance.metadata.namespace = Some("default".into());
    instance.labels_mut().insert(label::NODE.into(), "node1".into());
    instance
        .labels_mut()
        .insert(label::POD_UID.into(), format!("uid-of-{pod}"));
    instance.spec.address.ip = ip.into();
    let binding = Binding {
        node_name: "node1".into(),
        pod_name: pod.into(),
        ..Binding::default()
    };
    instance.spec.binding = Some(binding);
    instance
}

pub(crate) fn terminating(mut instance: IpInstance) -> IpInstance {
    instance.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    instance
}

/// As [`instance`], of a network.
pub(crate) fn instance_of(network: &str, pod: &str, ip: &str) -> IpInstance {
    let mut instance = instance(pod, ip);
    instance.spec.network = network.into();
    instance
}
