//! What a pod gets, from its `IPInstance`s (datapath spec 2.5, step 6).

use std::sync::Arc;

use hybridnet_api::IpInstance;
use hybridnet_api::cni::PodAddress;
use ipnetwork::IpNetwork;
use kube::ResourceExt;

use crate::mac::Mac;

/// Addresses that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Name of the network.
    pub network: String,
    /// MAC of the pod.
    pub mac: Mac,
    /// The addresses, IPv4 first.
    pub addresses: Vec<Address>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// With the prefix length of its subnet.
    pub ip: IpNetwork,
    /// The subnet's gateway, or empty.
    pub gateway: String,
}

/// `IPInstance`s that no pod can have together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadInstances {
    /// There is none.
    #[error("pod has no ip instance")]
    None,
    /// Two MACs for one link.
    #[error("mac for all ip instances of pod should be the same, but {0} and {1} are found")]
    Macs(String, String),
    /// Two networks.
    #[error("found different networks {0} and {1} for the ip instances of pod")]
    Networks(String, String),
    /// Two addresses of one family.
    #[error("only one ipv{0} address for each pod is supported, but {1} and {2} are found")]
    TwoOfAFamily(u8, String, String),
    /// One that is not written as it must be.
    #[error("ip instance {instance} has {field} {value:?}: {reason}")]
    Field {
        /// Name of the object.
        instance: String,
        /// Field of its spec.
        field: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The parts in common, or what contradicts.
pub(super) fn of(instances: &[Arc<IpInstance>]) -> Result<Wanted, BadInstances> {
    let first = instances.first().ok_or(BadInstances::None)?;
    let mac = mac(first)?;
    let network = first.spec.network.clone();
    let mut addresses: Vec<Address> = Vec::new();
    for instance in instances {
        if self::mac(instance)? != mac {
            let (a, b) = (&first.spec.address.mac, &instance.spec.address.mac);
            return Err(BadInstances::Macs(a.clone(), b.clone()));
        }
        if instance.spec.network != network {
            return Err(BadInstances::Networks(network, instance.spec.network.clone()));
        }
        let address = address(instance)?;
        if let Some(twin) = addresses
            .iter()
            .find(|twin| twin.ip.is_ipv4() == address.ip.is_ipv4())
        {
            let family = if address.ip.is_ipv4() { 4 } else { 6 };
            return Err(BadInstances::TwoOfAFamily(
                family,
                twin.ip.to_string(),
                address.ip.to_string(),
            ));
        }
        addresses.push(address);
    }
    addresses.sort_by_key(|address| address.ip.is_ipv6());
    Ok(Wanted {
        network,
        mac,
        addresses,
    })
}

fn mac(instance: &IpInstance) -> Result<Mac, BadInstances> {
    let text = &instance.spec.address.mac;
    text.parse()
        .map_err(|error: crate::mac::NotAMac| wrong(instance, "spec.address.mac", text, &error))
}

/// Both halves are needed: an address without a prefix length does not say its subnet.
fn address(instance: &IpInstance) -> Result<Address, BadInstances> {
    let text = &instance.spec.address.ip;
    let field = "spec.address.ip";
    if !text.contains('/') {
        return Err(wrong(instance, field, text, &"it has no prefix length"));
    }
    let ip = text
        .parse()
        .map_err(|error: ipnetwork::IpNetworkError| wrong(instance, field, text, &error))?;
    Ok(Address {
        ip,
        gateway: instance.spec.address.gateway.clone().unwrap_or_default(),
    })
}

fn wrong(instance: &IpInstance, field: &'static str, value: &str, reason: &impl ToString) -> BadInstances {
    BadInstances::Field {
        instance: instance.name_any(),
        field,
        value: value.to_owned(),
        reason: reason.to_string(),
    }
}

impl Wanted {
    /// As the plugin reads it.
    pub fn to_wire(&self) -> Vec<PodAddress> {
        let one = |address: &Address| PodAddress {
            ip: address.ip.to_string(),
            mac: self.mac.to_string(),
            gateway: address.gateway.clone(),
            protocol: if address.ip.is_ipv4() { "4" } else { "6" }.to_owned(),
        };
        self.addresses.iter().map(one).collect()
    }

    /// The addresses alone.
    pub fn ips(&self) -> Vec<IpNetwork> {
        self.addresses.iter().map(|address| address.ip).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instance;

    fn of_pod(ip: &str, mac: &str, network: &str) -> Arc<IpInstance> {
        let mut instance = instance("web-0", ip);
        instance.spec.address.mac = mac.into();
        instance.spec.network = network.into();
        Arc::new(instance)
    }

    const MAC: &str = "00:16:ea:00:00:01";

    #[test]
    fn ipv4_comes_first_and_goes_out_as_the_plugin_reads_it() {
        let mut v4 = IpInstance::clone(&of_pod("10.14.0.5/16", MAC, "overlay"));
        v4.spec.address.gateway = Some("10.14.0.1".into());
        let v6 = of_pod("fd00::5/64", "00:16:EA:00:00:01", "overlay");

        let wanted = of(&[v6, Arc::new(v4)]).unwrap();

        let wire: Vec<_> = wanted
            .to_wire()
            .into_iter()
            .map(|a| (a.ip, a.mac, a.gateway, a.protocol))
            .collect();
        let expected = [("10.14.0.5/16", "10.14.0.1", "4"), ("fd00::5/64", "", "6")]
            .map(|(ip, gateway, protocol)| (ip.into(), MAC.into(), gateway.into(), protocol.into()));
        assert_eq!(wire, expected);
        assert_eq!(wanted.network, "overlay");
    }

    #[test]
    fn what_contradicts_is_refused_by_name() {
        let one = || of_pod("10.14.0.5/16", MAC, "overlay");
        let cases = [
            (vec![], "pod has no ip instance"),
            (
                vec![one(), of_pod("fd00::5/64", "00:16:ea:00:00:02", "overlay")],
                "mac for all ip instances of pod should be the same",
            ),
            (
                vec![one(), of_pod("fd00::5/64", MAC, "other")],
                "found different networks overlay and other",
            ),
            (
                vec![one(), of_pod("10.14.0.6/16", MAC, "overlay")],
                "only one ipv4 address",
            ),
            (
                vec![of_pod("10.14.0.5", MAC, "overlay")],
                "spec.address.ip \"10.14.0.5\": it has no prefix length",
            ),
            (
                vec![of_pod("10.14.0/16", MAC, "overlay")],
                "spec.address.ip \"10.14.0/16\"",
            ),
            (
                vec![of_pod("10.14.0.5/16", "02", "overlay")],
                "spec.address.mac \"02\"",
            ),
        ];
        for (instances, expected) in cases {
            let error = of(&instances).unwrap_err().to_string();

            assert!(error.contains(expected), "{error}");
        }
    }
}
