//! What must hold after every step (control-plane spec 3.10).

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use hybridnet_api::names::MANAGER_LEASE;
use serde_json::Value;

use super::cluster::has_ended;
use super::manager::NAMESPACE;
use super::model::is_crowded;
use super::resource::{Resource, ip_of, key_of, text, uid_of};
use super::server::{Changed, Request, is_marked};
use super::{Manager, Simulation, Violation};
use crate::world::addresses::addresses_of;
use crate::world::store::Key;

impl Simulation {
    /// Everything that a single step can break.
    pub(super) fn check_step(&mut self) -> Result<(), Violation> {
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        self.check_changes()?;
        self.check_calls()?;
        for manager in &mut self.managers {
            if std::mem::take(&mut manager.stirred) {
                check_memory(manager)?;
            }
        }
        Ok(())
    }

    /// What became of objects.
    pub(super) fn check_changes(&mut self) -> Result<(), Violation> {
        for changed in std::mem::take(&mut self.server.changes) {
            if changed.resource != Resource::IpInstance {
                continue;
            }
            self.check_alone(&changed)?;
            self.check_limit(&changed)?;
            check_address(&changed)?;
            self.check_unused(&changed)?;
        }
        Ok(())
    }

    /// Invariant 1: an address of a network has one object, in all namespaces.
    fn check_alone(&self, changed: &Changed) -> Result<(), Violation> {
        let (None, Some(new)) = (&changed.old, &changed.new) else {
            return Ok(());
        };
        let place = |object: &Value| {
            let network = text(object, "/spec/network").to_owned();
            (network, ip_of(object).to_owned())
        };
        let mut others = self.server.list(Resource::IpInstance);
        let other = others.find(|other| place(other) == place(new) && uid_of(other) != uid_of(new));
        match other {
            Some(other) => broken(format!(
                "invariant 1: {} has the address of {} too: {}",
                key_of(new),
                key_of(other),
                ip_of(new)
            )),
            None => Ok(()),
        }
    }

    /// A namespace never holds more addresses than it may.
    fn check_limit(&self, changed: &Changed) -> Result<(), Violation> {
        let (None, Some(new)) = (&changed.old, &changed.new) else {
            return Ok(());
        };
        let namespace = text(new, "/metadata/namespace");
        if is_crowded(&self.server, namespace, 0) {
            return broken(format!(
                "the limit: {} is one too many in {namespace}",
                key_of(new)
            ));
        }
        Ok(())
    }

    /// Invariant 2: an address is not free while a pod runs with it.
    fn check_unused(&self, changed: &Changed) -> Result<(), Violation> {
        let (Some(old), None) = (&changed.old, &changed.new) else {
            return Ok(());
        };
        let namespace = text(old, "/metadata/namespace");
        let mut sandboxes = self.sandboxes.values();
        let user = sandboxes
            .find(|sandbox| sandbox.pod.namespace == namespace && sandbox.addresses.contains(ip_of(old)));
        match user {
            Some(user) => broken(format!(
                "invariant 2: {} is gone, and pod {} runs with its address",
                key_of(old),
                user.pod
            )),
            None => Ok(()),
        }
    }

    /// No two pods run with one address, whatever the API says.
    pub(super) fn check_start(&self, pod: &Key, addresses: &BTreeSet<String>) -> Result<(), Violation> {
        let mut sandboxes = self.sandboxes.values();
        match sandboxes.find(|other| !other.addresses.is_disjoint(addresses)) {
            Some(other) => broken(format!(
                "invariant 1: pods {pod} and {} run with {addresses:?}",
                other.pod
            )),
            None => Ok(()),
        }
    }

    /// Invariant 5, on a request that is about to be carried out: an address that a pod runs with is not
    /// deleted.
    pub(super) fn observe(&mut self, request: &Request) {
        let target = &request.target;
        if request.method != Method::DELETE || target.resource != Resource::IpInstance {
            return;
        }
        let Some(instance) = self.server.get(Resource::IpInstance, &target.key) else {
            return;
        };
        let means = |precondition: &str, is: &str| {
            let meant = text(&request.body, precondition);
            meant.is_empty() || meant == is
        };
        let version = text(instance, "/metadata/resourceVersion");
        let refused = !means("/preconditions/uid", uid_of(instance))
            || !means("/preconditions/resourceVersion", version);
        if refused || is_marked(instance) {
            return;
        }
        let bound = text(instance, "/spec/binding/podUID");
        let mut pods = self.server.list(Resource::Pod);
        let pod = pods.find(|pod| uid_of(pod) == bound && !has_ended(pod));
        if let Some(pod) = pod.filter(|_| self.sandboxes.contains_key(bound)) {
            self.broken = Some(Violation(format!(
                "invariant 5: {} is deleted, and pod {} runs with it",
                target.key,
                key_of(pod)
            )));
        }
    }

    /// No manager writes while another one has the lease.
    fn check_calls(&mut self) -> Result<(), Violation> {
        let sent = self.wire.sent();
        if sent == self.checked {
            return Ok(());
        }
        let checked = std::mem::replace(&mut self.checked, sent);
        let lease = Key {
            namespace: NAMESPACE.to_owned(),
            name: MANAGER_LEASE.to_owned(),
        };
        let lease = self.server.get(Resource::Lease, &lease);
        let holder = lease.map_or("", |lease| text(lease, "/spec/holderIdentity"));
        self.wire.with(|calls| {
            let mut new = calls.iter().filter(|call| call.id > checked && !call.is_lease());
            let wrong = new.find(|call| call.is_write() && format!("manager-{}", call.manager) != holder);
            match wrong {
                Some(call) => broken(format!(
                    "the lease: manager-{} writes, and {holder:?} holds it: {} {}",
                    call.manager, call.method, call.path
                )),
                None => Ok(()),
            }
        })
    }
}

/// Invariant 6: the address of an object never changes.
fn check_address(changed: &Changed) -> Result<(), Violation> {
    let (Some(old), Some(new)) = (&changed.old, &changed.new) else {
        return Ok(());
    };
    if old["spec"]["address"] == new["spec"]["address"] {
        return Ok(());
    }
    broken(format!("invariant 6: the address of {} changed", key_of(new)))
}

/// Invariants 2 to 4: what a manager knows of is taken in its memory.
fn check_memory(manager: &Manager) -> Result<(), Violation> {
    let Some(context) = manager.context().filter(|_| manager.has_started()) else {
        return Ok(());
    };
    context.world.with(|state| {
        let ipam = state.addresses.ipam();
        for instance in state.ip_instances.iter() {
            let key = Key::of(instance.as_ref());
            for ip in addresses_of(instance) {
                let holders = ipam.holders(&instance.spec.network, ip);
                let holds = holders
                    .iter()
                    .any(|held| held.owner.namespace == key.namespace && held.owner.instance == key.name);
                if !holds {
                    return broken(format!(
                        "invariant 2: {ip} is free in the memory of {}, and there is {key}",
                        manager.identity
                    ));
                }
            }
        }
        Ok(())
    })
}

pub(super) fn broken<T>(rule: String) -> Result<T, Violation> {
    Err(Violation(rule))
}

/// The pods of a server by UID.
pub(super) fn by_uid<'a>(
    objects: impl Iterator<Item = &'a std::sync::Arc<Value>>,
) -> BTreeMap<&'a str, &'a Value> {
    objects.map(|object| (uid_of(object), object.as_ref())).collect()
}
