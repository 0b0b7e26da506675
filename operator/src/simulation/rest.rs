//! The end of a history: faults stop, everything comes to rest, and every promise is called in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::agents::is_bound;
use super::checks::{broken, by_uid};
use super::cluster::{self, NODES, has_ended};
use super::manager::Phase;
use super::model::{Model, families_of, is_crowded, wants};
use super::resource::{Resource, controller_of, ip_of, key_of, owners_of, text, uid_of};
use super::server::is_marked;
use super::{Simulation, Violation};
use crate::world::store::Key;

/// What failed is tried again within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(31);
/// Who waits for an address is woken by it.
const AT_ONCE: Duration = Duration::from_secs(1);
/// So many histories in a hundred are asked for all addresses that are left.
const FILLED: usize = 30;
/// A cluster that still changes after this never rests.
const LIMIT: Duration = Duration::from_mins(15);
/// Nothing waits for longer than this before somebody looks again.
const PORTION: Duration = Duration::from_secs(2);
/// The same in steps.
const STEPS: usize = 20_000;

impl Simulation {
    /// Everything that holds at rest: for what the history left, for the last address of each pool, and for a
    /// manager that begins anew.
    pub(super) async fn conclude(&mut self) -> Result<(), Violation> {
        self.faults = 0;
        self.death = None;
        self.resume();
        self.note(|_| "nothing goes wrong any more".to_owned());
        self.rest(LONGEST_PAUSE).await?;
        self.check_rest()?;
        // It takes as long as all the rest, so not each history is asked for its last address.
        if self.chance.percent(FILLED) {
            let expected = self.fill();
            self.rest(AT_ONCE).await?;
            self.check_filled(&expected)?;
            self.check_rest()?;
        }
        self.check_restart().await
    }

    /// Until nothing happens for so long.
    async fn rest(&mut self, quiet: Duration) -> Result<(), Violation> {
        let began = Instant::now();
        let (mut since, mut writes) = (began, self.figures.writes);
        let mut steps = 0;
        loop {
            while self.step().await? {
                steps += 1;
                if steps > STEPS {
                    return broken("rest: the cluster does not come to rest".to_owned());
                }
            }
            if self.figures.writes > writes || self.leader().is_none() {
                writes = self.figures.writes;
                since = Instant::now();
            }
            if since.elapsed() > quiet {
                return Ok(());
            }
            if began.elapsed() > LIMIT {
                return broken("rest: something is written again and again".to_owned());
            }
            self.pass(self.next_due().unwrap_or(PORTION).min(PORTION)).await?;
        }
    }

    fn check_rest(&self) -> Result<(), Violation> {
        let model = Model::new(&self.server);
        self.check_pods(&model)?;
        self.check_instances()?;
        self.check_memories()?;
        self.check_subnets(&model)?;
        self.check_networks(&model)
    }

    /// Every pod has its addresses, or there are none for it and that was said.
    fn check_pods(&self, model: &Model<'_>) -> Result<(), Violation> {
        for pod in self.server.list(Resource::Pod) {
            let key = key_of(pod);
            if is_marked(pod) {
                return broken(format!("rest: pod {key} cannot go"));
            }
            if has_ended(pod) {
                continue;
            }
            let held: Vec<_> = self
                .server
                .list(Resource::IpInstance)
                .filter(|instance| is_bound(instance, pod) && !is_marked(instance))
                .filter(|instance| wants(pod, instance))
                .collect();
            let of = |v6: bool| {
                held.iter()
                    .filter(move |object| ip_of(object).contains(':') == v6)
                    .count()
            };
            if of(true) > 1 || of(false) > 1 {
                return broken(format!("rest: pod {key} has several addresses of a family"));
            }
            let missing: Vec<bool> = families_of(pod)
                .iter()
                .copied()
                .filter(|v6| of(*v6) == 0)
                .collect();
            let network = match held.first() {
                Some(instance) => Some(text(instance, "/spec/network").to_owned()),
                None => model.network_of(pod),
            };
            // What a pod runs with, it has, also when somebody wants it deleted. What it has of its predecessor
            // decides about its families.
            let apart = !held.is_empty() && missing.len() == families_of(pod).len();
            if missing.is_empty() || apart || self.sandboxes.contains_key(uid_of(pod)) {
                continue;
            }
            if !self.warned.contains(uid_of(pod)) {
                return broken(format!("liveness: pod {key} has no address, and nobody said why"));
            }
            if model.is_misplaced(pod)
                || is_crowded(&self.server, text(pod, "/metadata/namespace"), missing.len())
            {
                continue;
            }
            // Of two addresses, a pod gets both or none.
            let lacks = |network: &String| missing.iter().any(|v6| model.is_out_of(pod, network, *v6));
            if let Some(network) = network.filter(|network| !lacks(network)) {
                return broken(format!(
                    "liveness: pod {key} has no address, and network {network} has some left"
                ));
            }
        }
        Ok(())
    }

    /// Every object is somebody's.
    fn check_instances(&self) -> Result<(), Violation> {
        let pods = by_uid(self.server.list(Resource::Pod));
        let sets = by_uid(self.server.list(Resource::StatefulSet));
        for instance in self.server.list(Resource::IpInstance) {
            let key = key_of(instance);
            let bound = text(instance, "/spec/binding/podUID");
            let pod = pods.get(bound);
            if is_marked(instance) {
                if pod.is_some_and(|_| self.sandboxes.contains_key(bound)) {
                    continue;
                }
                return broken(format!("leak: {key} is marked for deletion and stays"));
            }
            let owned = owners_of(instance).any(|uid| sets.contains_key(uid) || pods.contains_key(uid));
            let orphaned = owners_of(instance).next().is_none();
            if !owned && !orphaned {
                return broken(format!("leak: the owner of {key} is gone"));
            }
            if bound.is_empty() {
                continue;
            }
            match pod {
                None => return broken(format!("leak: {key} is bound to a pod that is gone")),
                Some(pod) if has_ended(pod) => {
                    return broken(format!("leak: {key} is bound to a pod that has ended"));
                }
                Some(pod) if owned && !is_owner(instance, pod) => {
                    return broken(format!("leak: {key} does not belong to its pod's owner"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Invariants 2 to 4: what the leader's memory holds is what the API has.
    fn check_memories(&self) -> Result<(), Violation> {
        let Some(context) = self.leader().and_then(|at| self.managers[at].context()) else {
            return broken("rest: nobody leads".to_owned());
        };
        let place = |instance: &Value| {
            let network = text(instance, "/spec/network").to_owned();
            (network, ip_of(instance).to_owned())
        };
        let present: BTreeSet<_> = self
            .server
            .list(Resource::IpInstance)
            .map(|instance| place(instance))
            .collect();
        context.world.with(|state| {
            let held = state.addresses.ipam().held();
            let held: BTreeMap<_, _> = held
                .map(|(network, ip, held)| ((network.to_owned(), ip.to_string()), held))
                .collect();
            if let Some(lost) = present.iter().find(|place| !held.contains_key(*place)) {
                return broken(format!(
                    "invariant 2: {lost:?} is free in memory, and has an object"
                ));
            }
            for (place, held) in &held {
                let named = Key {
                    namespace: held.owner.namespace.clone(),
                    name: held.owner.instance.clone(),
                };
                let blocked = self.server.get(Resource::IpInstance, &named).is_some();
                if !present.contains(place) && !blocked {
                    return broken(format!("invariant 3: {place:?} is lost: {held:?}"));
                }
            }
            Ok(())
        })
    }

    fn check_subnets(&self, model: &Model<'_>) -> Result<(), Violation> {
        for subnet in self.server.list(Resource::Subnet) {
            let name = key_of(subnet).name;
            let pool = model.pools.iter().find(|pool| pool.name == name);
            let (total, used) = pool.map_or((0, 0), |pool| (pool.choosable.len(), model.used(pool)));
            let status = &subnet["status"];
            let told = ["total", "used", "available"].map(|field| status[field].as_u64().unwrap_or(0));
            let expected = [total, used, total - used].map(|number| number as u64);
            if told != expected {
                return broken(format!(
                    "status: subnet {name} says {told:?} and should say {expected:?}"
                ));
            }
        }
        Ok(())
    }

    fn check_networks(&self, model: &Model<'_>) -> Result<(), Violation> {
        for network in self.server.list(Resource::Network) {
            let name = key_of(network).name;
            for (v6, field) in [(false, "statistics"), (true, "ipv6Statistics")] {
                let pools = model
                    .pools
                    .iter()
                    .filter(|pool| pool.network == name && pool.v6 == v6);
                let (mut total, mut used) = (0, 0);
                for pool in pools {
                    total += pool.choosable.len();
                    used += model.used(pool);
                }
                let told = ["total", "used", "available"]
                    .map(|number| network["status"][field][number].as_u64().unwrap_or(0));
                let expected = [total, used, total - used].map(|number| number as u64);
                if told != expected {
                    return broken(format!(
                        "status: {field} of network {name} say {told:?} and should say {expected:?}"
                    ));
                }
            }
            let nodes = self.server.list(Resource::Node).filter(|node| {
                let joined = !node["metadata"]["labels"][cluster::UNDERLAY_LABEL].is_null();
                name == "o" || joined
            });
            let nodes: Vec<_> = nodes.map(|node| key_of(node).name).collect();
            let told = network["status"]["nodeList"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            if json!(told) != json!(nodes) {
                return broken(format!(
                    "status: network {name} says that its nodes are {told:?}, and they are {nodes:?}"
                ));
            }
        }
        Ok(())
    }

    /// Asks for every address that is left, and for one more of each family of each network. Gives who should
    /// get how many.
    fn fill(&mut self) -> Vec<(String, usize)> {
        let model = Model::new(&self.server);
        let mut wanted = vec![];
        for (type_, network) in [("Overlay", "o"), ("Underlay", "u")] {
            for (family, v6) in [("IPv4", false), ("IPv6", true)] {
                let wish = cluster::Wish {
                    type_,
                    family,
                    subnet: None,
                    handled: true,
                    retain: true,
                    pool: None,
                };
                let probe = cluster::pod("fill", "probe", NODES[0], &wish.annotations());
                if model.network_of(&probe).is_some() {
                    wanted.push((
                        format!("{network}-{v6}"),
                        wish,
                        model.free(network, v6, "fill").len(),
                    ));
                }
            }
        }
        let mut expected = vec![];
        for (prefix, wish, free) in wanted {
            for at in 0..=free {
                let pod = cluster::pod("fill", &format!("{prefix}-{at}"), NODES[0], &wish.annotations());
                cluster::add(&mut self.server, Resource::Pod, pod);
            }
            expected.push((prefix, free));
        }
        self.note(|_| format!("asked for all that is left: {expected:?}"));
        expected
    }

    /// Every free address could be had, and not one more.
    fn check_filled(&self, expected: &[(String, usize)]) -> Result<(), Violation> {
        for (prefix, free) in expected {
            let got = self.server.list(Resource::IpInstance).filter(|instance| {
                let pod = text(instance, "/spec/binding/podName");
                text(instance, "/metadata/namespace") == "fill" && pod.starts_with(prefix.as_str())
            });
            let got = got.count();
            if got != *free {
                return broken(format!(
                    "liveness: of {free} free addresses of {prefix}, {got} could be had at once"
                ));
            }
        }
        Ok(())
    }

    /// Invariant 7: a manager that begins in a cluster at rest writes nothing.
    async fn check_restart(&mut self) -> Result<(), Violation> {
        let before = self.figures.writes;
        if let Some(at) = self.leader() {
            self.managers[at].stop();
        }
        self.note(|_| "the leader is replaced".to_owned());
        while self.managers.iter().any(|manager| manager.stopping) {
            if !self.step().await? {
                self.pass(Duration::from_secs(2)).await?;
            }
        }
        self.rest(AT_ONCE).await?;
        let leads = self
            .managers
            .iter()
            .any(|manager| manager.phase() == Phase::Leading);
        // A pod that runs with an address which somebody has deleted gets another one when it is looked at next.
        let mut instances = self.server.list(Resource::IpInstance);
        let meddled = instances.any(|instance| is_marked(instance));
        if !leads || self.figures.writes > before && !meddled {
            return broken("invariant 7: a new manager writes in a cluster at rest".to_owned());
        }
        self.check_memories()
    }
}

/// Whether an object belongs to whom it should: to the pod, or to its controller.
fn is_owner(instance: &Value, pod: &Value) -> bool {
    owners_of(instance).any(|uid| uid == uid_of(pod) || uid == controller_of(pod))
}
