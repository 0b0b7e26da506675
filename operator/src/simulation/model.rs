//! The meaning of it all, as naive as can be: every address of every Subnet in a list, searched from end to
//! end, from what the API server has. What the manager says must be the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hybridnet_api::names::annotation;
use serde_json::Value;

use super::cluster::UNDERLAY_LABEL;
use super::resource::{Resource, controller_of, ip_of, key_of, text};
use super::server::Server;
use crate::world::store::Key;

/// A Subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Of the Subnet.
    pub name: String,
    /// Whose it is.
    pub network: String,
    /// Whether its addresses are of IPv6.
    pub v6: bool,
    private: bool,
    /// Namespaces that get addresses here; none means all.
    allowed: Vec<String>,
    /// What may be chosen.
    pub choosable: BTreeSet<IpAddr>,
    /// What may be asked for by its number.
    assignable: BTreeSet<IpAddr>,
}

/// See the module.
#[derive(Debug)]
pub struct Model<'a> {
    server: &'a Server,
    /// The Subnets that are used.
    pub pools: Vec<Pool>,
    taken: BTreeMap<String, BTreeSet<IpAddr>>,
}

/// The families that a pod asks for: whether each is IPv6.
pub fn families_of(pod: &Value) -> &'static [bool] {
    match said(pod, annotation::IP_FAMILY) {
        "IPv6" | "IPv6Only" => &[true],
        "DualStack" => &[false, true],
        _ => &[false],
    }
}

/// The addresses that a workload has for a pod, if it names addresses: one, or none.
fn named_for(pod: &Value) -> Option<Vec<IpAddr>> {
    let pool = said(pod, annotation::IP_POOL);
    let ordinal = text(pod, "/metadata/name").rsplit('-').next()?;
    let entry = pool.split(',').nth(ordinal.parse().ok()?);
    (!pool.is_empty() && !controller_of(pod).is_empty())
        .then(|| entry.into_iter().flat_map(str::parse).collect())
}

/// Whether an address is one that the pod asks for.
pub fn wants(pod: &Value, instance: &Value) -> bool {
    let ip = ip_of(instance).parse::<IpAddr>();
    named_for(pod).is_none_or(|named| named.first() == ip.as_ref().ok())
}

/// Whether the namespace would hold more addresses than it may, with so many more.
pub fn is_crowded(server: &Server, namespace: &str, more: usize) -> bool {
    let object = server.get(Resource::Namespace, &Key::cluster(namespace));
    let limit = object.and_then(|object| said(object, annotation::ADDRESS_LIMIT).parse::<usize>().ok());
    let held = || {
        let instances = server.list(Resource::IpInstance);
        instances.filter(|instance| text(instance, "/metadata/namespace") == namespace)
    };
    limit.is_some_and(|limit| held().count() + more > limit)
}

impl Pool {
    fn allows(&self, namespace: &str) -> bool {
        self.allowed.is_empty() || self.allowed.iter().any(|allowed| allowed == namespace)
    }
}

impl<'a> Model<'a> {
    /// Of what the server has now.
    pub fn new(server: &'a Server) -> Self {
        let mut taken: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for instance in server.list(Resource::IpInstance) {
            let network = text(instance, "/spec/network").to_owned();
            taken
                .entry(network)
                .or_default()
                .extend(ip_of(instance).parse::<IpAddr>());
        }
        Self {
            server,
            pools: pools(server),
            taken,
        }
    }

    /// How many of a Subnet's addresses are in use.
    pub fn used(&self, pool: &Pool) -> usize {
        let taken = self.taken.get(&pool.network);
        taken.map_or(0, |taken| pool.choosable.intersection(taken).count())
    }

    /// The addresses that a pod of the namespace may get without naming a Subnet.
    pub fn free(&self, network: &str, v6: bool, namespace: &str) -> BTreeSet<IpAddr> {
        let open = self
            .pools
            .iter()
            .filter(|pool| pool.network == network && pool.v6 == v6)
            .filter(|pool| !pool.private && pool.allows(namespace));
        open.flat_map(|pool| self.free_in(pool)).collect()
    }

    fn free_in(&self, pool: &Pool) -> Vec<IpAddr> {
        let taken = self.taken.get(&pool.network);
        let is_free = |ip: &&IpAddr| taken.is_none_or(|taken| !taken.contains(*ip));
        pool.choosable.iter().filter(is_free).copied().collect()
    }

    /// The Network that a pod gets its addresses from; nothing when there is none.
    pub fn network_of(&self, pod: &Value) -> Option<String> {
        let type_ = said(pod, annotation::NETWORK_TYPE);
        let mut networks = self.server.list(Resource::Network);
        let network = networks.find(|network| text(network, "/spec/type") == type_)?;
        let name = key_of(network).name;
        self.reaches(&name, pod).then_some(name)
    }

    /// Whether addresses that are kept for the pod cannot come to its node, or are of no Subnet any more.
    pub fn is_misplaced(&self, pod: &Value) -> bool {
        let mut instances = self.server.list(Resource::IpInstance);
        instances.any(|instance| {
            let subnet = Key::cluster(text(instance, "/spec/subnet"));
            text(instance, "/metadata/namespace") == text(pod, "/metadata/namespace")
                && text(instance, "/spec/binding/podName") == text(pod, "/metadata/name")
                && (!self.reaches(text(instance, "/spec/network"), pod)
                    || self.server.get(Resource::Subnet, &subnet).is_none())
        })
    }

    fn reaches(&self, network: &str, pod: &Value) -> bool {
        let object = self.server.get(Resource::Network, &Key::cluster(network));
        let node = self
            .server
            .get(Resource::Node, &Key::cluster(text(pod, "/spec/nodeName")));
        let joined = node.is_some_and(|node| !node["metadata"]["labels"][UNDERLAY_LABEL].is_null());
        object.is_some_and(|object| text(object, "/spec/type") == "Overlay" || joined)
    }

    /// Whether a pod cannot get an address of the family from the network: nothing is left that it may have.
    pub fn is_out_of(&self, pod: &Value, network: &str, v6: bool) -> bool {
        let subnets: Vec<&str> = said(pod, annotation::SPECIFIED_SUBNET)
            .split('/')
            .filter(|name| !name.is_empty())
            .collect();
        let namespace = text(pod, "/metadata/namespace");
        if let Some(named) = named_for(pod) {
            let mut named = named.into_iter();
            return !named.any(|ip| self.may_be_assigned(namespace, network, ip));
        }
        let free: Vec<IpAddr> = if subnets.is_empty() {
            self.free(network, v6, namespace).into_iter().collect()
        } else {
            let named = self
                .pools
                .iter()
                .filter(|pool| pool.network == network && pool.v6 == v6)
                .filter(|pool| subnets.contains(&pool.name.as_str()) && pool.allows(namespace));
            named.flat_map(|pool| self.free_in(pool)).collect()
        };
        free.iter().all(|ip| self.is_name_taken(namespace, *ip))
    }

    /// Whether the address is there, and free or kept for another pod of the namespace.
    fn may_be_assigned(&self, namespace: &str, network: &str, ip: IpAddr) -> bool {
        let mut pools = self.pools.iter().filter(|pool| pool.network == network);
        if !pools.any(|pool| pool.assignable.contains(&ip) && pool.allows(namespace)) {
            return false;
        }
        let mut objects = self.server.list(Resource::IpInstance);
        let holder = objects
            .find(|object| text(object, "/spec/network") == network && ip_of(object).parse() == Ok(ip));
        match holder {
            Some(holder) => {
                let kept = text(holder, "/spec/binding/nodeName").is_empty();
                kept && text(holder, "/metadata/namespace") == namespace
            }
            None => !self.is_name_taken(namespace, ip),
        }
    }

    /// Whether an object of another network has the name that the address needs.
    fn is_name_taken(&self, namespace: &str, ip: IpAddr) -> bool {
        let key = Key {
            namespace: namespace.to_owned(),
            name: hybridnet_api::address::object_name(ip),
        };
        self.server.get(Resource::IpInstance, &key).is_some()
    }
}

fn said<'a>(pod: &'a Value, key: &str) -> &'a str {
    pod["metadata"]["annotations"][key].as_str().unwrap_or_default()
}

/// Older Subnets come first; who shares an address with one before is out.
fn pools(server: &Server) -> Vec<Pool> {
    let mut subnets: Vec<_> = server.list(Resource::Subnet).collect();
    subnets.sort_by_key(|subnet| text(subnet, "/metadata/creationTimestamp").to_owned());
    let mut pools = vec![];
    let mut claimed: BTreeSet<IpAddr> = BTreeSet::new();
    for subnet in subnets {
        let name = key_of(subnet).name;
        let network = text(subnet, "/spec/network").to_owned();
        let range = &subnet["spec"]["range"];
        let excluded = listed(&range["excludeIPs"]);
        let usable: BTreeSet<_> = span(range).difference(&excluded).copied().collect();
        if usable.intersection(&claimed).next().is_some() {
            continue;
        }
        claimed.extend(&usable);
        if server.get(Resource::Network, &Key::cluster(&network)).is_none() {
            continue;
        }
        let gateway: BTreeSet<_> = text(range, "/gateway").parse::<IpAddr>().into_iter().collect();
        let assignable = &usable - &gateway;
        let allowed = subnet["spec"]["config"]["allowedNamespaces"].as_array();
        let allowed = allowed.into_iter().flatten().filter_map(Value::as_str);
        pools.push(Pool {
            name,
            network,
            v6: text(range, "/version") == "6",
            private: subnet["spec"]["config"]["private"] == true,
            allowed: allowed.map(str::to_owned).collect(),
            choosable: &assignable - &listed(&range["reservedIPs"]),
            assignable,
        });
    }
    pools
}

fn span(range: &Value) -> BTreeSet<IpAddr> {
    let end = |name: &str| text(range, name).parse::<IpAddr>();
    let mut all = BTreeSet::new();
    let (Ok(mut at), Ok(end)) = (end("/start"), end("/end")) else {
        return all;
    };
    while at <= end {
        all.insert(at);
        at = match at {
            IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) + 1).into()),
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) + 1).into()),
        };
    }
    all
}

fn listed(addresses: &Value) -> BTreeSet<IpAddr> {
    let all = addresses.as_array().into_iter().flatten();
    all.filter_map(|ip| ip.as_str()?.parse().ok()).collect()
}
