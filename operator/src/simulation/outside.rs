//! What users and administrators do to the cluster.

use hybridnet_api::names::annotation;
use serde_json::{Value, json};

use super::agents::{self, Sandboxes};
use super::chance::Chance;
use super::cluster::{self, NAMESPACES, NODES, POOLS, RANGES, UNDERLAY_LABEL, has_ended};
use super::history::{What, wish};
use super::resource::{Resource, controller_of, key_of, text, uid_of};
use super::server::{Server, is_marked};
use crate::world::store::Key;

const PODS: [&str; 4] = ["a", "b", "c", "d"];
const SETS: [&str; 2] = ["v", "w"];

/// Does what happens from outside. Nothing when there is nobody whom it could happen to.
pub fn happen(
    what: What,
    server: &mut Server,
    sandboxes: &mut Sandboxes,
    chance: &mut Chance,
) -> Option<String> {
    let key = match what {
        What::CreatePod => create_pod(server, chance),
        What::DeletePod => chosen(server, Resource::Pod, chance, |pod| !is_marked(pod))
            .inspect(|key| _ = server.delete(Resource::Pod, key)),
        What::CompletePod => {
            let plain = |pod: &Value| controller_of(pod).is_empty() && sandboxes.contains_key(uid_of(pod));
            let key = chosen(server, Resource::Pod, chance, plain)?;
            agents::end(server, sandboxes, &key, |pod| {
                pod["status"]["phase"] = json!("Succeeded");
            });
            Some(key)
        }
        What::EvictPod => {
            let key = chosen(server, Resource::Pod, chance, |pod| {
                !is_marked(pod) && !has_ended(pod)
            })?;
            agents::end(server, sandboxes, &key, |pod| {
                pod["status"]["phase"] = json!("Failed");
                pod["status"]["reason"] = json!("Evicted");
            });
            Some(key)
        }
        What::CreateSet => create_set(server, chance),
        What::ScaleSet => {
            let key = chosen(server, Resource::StatefulSet, chance, |set| !is_marked(set))?;
            let (replicas, pool) = (chance.below(4), *chance.pick(&POOLS)?);
            server.change(Resource::StatefulSet, &key, |set| {
                set["spec"]["replicas"] = json!(replicas);
                let annotations = &mut set["spec"]["template"]["metadata"]["annotations"];
                if !annotations[annotation::IP_POOL].is_null() {
                    annotations[annotation::IP_POOL] = json!(pool);
                }
            });
            Some(key)
        }
        What::DeleteSet => chosen(server, Resource::StatefulSet, chance, |set| !is_marked(set))
            .inspect(|key| _ = server.delete(Resource::StatefulSet, key)),
        What::DeleteSetInForeground => chosen(server, Resource::StatefulSet, chance, |set| !is_marked(set))
            .inspect(|key| agents::delete_with(server, key, "foregroundDeletion")),
        What::OrphanSet => chosen(server, Resource::StatefulSet, chance, |set| !is_marked(set))
            .inspect(|key| agents::delete_with(server, key, "orphan")),
        What::DeleteInstance => chosen(server, Resource::IpInstance, chance, |object| !is_marked(object))
            .inspect(|key| _ = server.delete(Resource::IpInstance, key)),
        What::AddSubnet => {
            let range = chance.pick(&RANGES)?;
            let object = cluster::subnet(range);
            let key = key_of(&object);
            server.create(Resource::Subnet, object).is_ok().then_some(key)
        }
        What::DeleteSubnet => chosen(server, Resource::Subnet, chance, |_| true)
            .inspect(|key| _ = server.delete(Resource::Subnet, key)),
        What::ChangeSubnet => change_subnet(server, chance),
        What::FlipNetwork => {
            let name = *chance.pick(&["o", "u"])?;
            let key = Key::cluster(name);
            if server.get(Resource::Network, &key).is_some() {
                server.delete(Resource::Network, &key);
            } else {
                cluster::add(server, Resource::Network, cluster::network(name));
            }
            Some(key)
        }
        What::FlipNode => {
            let key = Key::cluster(NODES[chance.below(2)]);
            server.change(Resource::Node, &key, |node| {
                let joined = node["metadata"]["labels"][UNDERLAY_LABEL].is_null();
                node["metadata"]["labels"][UNDERLAY_LABEL] = if joined { json!("a") } else { Value::Null };
                if let Some(labels) = node["metadata"]["labels"].as_object_mut() {
                    labels.retain(|_, value| !value.is_null());
                }
            });
            Some(key)
        }
        What::Crash
        | What::CrashAtWrite
        | What::Pause
        | What::Resume
        | What::Stop
        | What::Relist
        | What::Wait => None,
    };
    key.map(|key| key.to_string())
}

/// One of the objects that will do.
fn chosen(
    server: &Server,
    resource: Resource,
    chance: &mut Chance,
    will_do: impl Fn(&Value) -> bool,
) -> Option<Key> {
    let all: Vec<Key> = server
        .list(resource)
        .filter(|object| will_do(object))
        .map(|object| key_of(object))
        .collect();
    chance.pick(&all).cloned()
}

fn create_pod(server: &mut Server, chance: &mut Chance) -> Option<Key> {
    let (namespace, name) = (NAMESPACES[chance.below(2)], *chance.pick(&PODS)?);
    let wish = wish(chance);
    let node = wish.node(chance.percent(50));
    let pod = cluster::pod(namespace, name, node, &wish.annotations());
    let key = key_of(&pod);
    server.create(Resource::Pod, pod).is_ok().then_some(key)
}

fn create_set(server: &mut Server, chance: &mut Chance) -> Option<Key> {
    let (namespace, name) = (NAMESPACES[chance.below(2)], *chance.pick(&SETS)?);
    let (replicas, mut wish) = (1 + chance.below(3) as u64, wish(chance));
    if wish.type_ == "Overlay" && wish.family == "IPv4" && chance.percent(30) {
        wish.subnet = None;
        wish.pool = chance.pick(&POOLS).copied();
    }
    let set = cluster::stateful_set(namespace, name, replicas, &wish);
    let key = key_of(&set);
    server.create(Resource::StatefulSet, set).is_ok().then_some(key)
}

/// Grows, shrinks, opens, closes or reserves; sometimes in a way that the webhook would not let pass.
fn change_subnet(server: &mut Server, chance: &mut Chance) -> Option<Key> {
    let key = chosen(server, Resource::Subnet, chance, |_| true)?;
    let (how, reserve) = (chance.below(6), chance.percent(50));
    server.change(Resource::Subnet, &key, |subnet| {
        let range = &mut subnet["spec"]["range"];
        let (start, end) = (text(range, "/start").to_owned(), text(range, "/end").to_owned());
        let last = end.rsplit(['.', ':']).next().unwrap_or_default();
        match how {
            // The smallest CIDR here ends at 15.
            0 if last.len() == 1 || end.contains(':') => range["end"] = json!(moved(&end, 1)),
            1 if start != end => range["end"] = json!(moved(&end, -1)),
            2 => range["reservedIPs"] = if reserve { json!([start]) } else { json!([]) },
            3 => range["excludeIPs"] = if reserve { json!([start]) } else { json!([]) },
            4 => {
                let private = subnet["spec"]["config"]["private"] == json!(true);
                subnet["spec"]["config"]["private"] = json!(!private);
            }
            5 if reserve => subnet["spec"]["config"]["allowedNamespaces"] = json!([NAMESPACES[0]]),
            5 => subnet["spec"]["config"]["allowedNamespaces"] = json!([]),
            _ => {}
        }
    });
    Some(key)
}

/// The next address or the one before; ranges in use here end far from the borders of a byte.
fn moved(ip: &str, by: i8) -> String {
    let at = ip.rfind(['.', ':']).map_or(0, |at| at + 1);
    let (rest, last) = ip.split_at(at);
    if ip.contains(':') {
        let number = i64::from_str_radix(last, 16).unwrap_or(1) + i64::from(by);
        format!("{rest}{number:x}")
    } else {
        let number: i64 = last.parse().unwrap_or(1) + i64::from(by);
        format!("{rest}{number}")
    }
}
