//! What is to be done about a pod, from what is known about it (control-plane spec 4.3.1).

use std::sync::Arc;

use hybridnet_api::names::annotation;
use hybridnet_api::settings::Settings;
use hybridnet_api::{IpInstance, pod};
use kube::Resource;

use crate::world::pod::Pod;

/// The `IPInstance`s of a pod.
pub type Instances = Vec<Arc<IpInstance>>;

/// The next thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Until something changes.
    Nothing,
    /// Delete the objects: the pod will not run again. Then let the pod go.
    Release(Instances),
    /// Keep the objects for a successor. Then let the pod go.
    Reserve(Instances),
    /// Take our finalizer away.
    LetGo,
    /// Give the pod what it lacks.
    Provide(Holdings),
}

/// What a pod that needs addresses has already.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Holdings {
    /// Bound to this very pod.
    pub bound: Instances,
    /// Kept for it by its predecessor.
    pub kept: Instances,
}

/// What the step follows from.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// All objects that carry its name.
    pub instances: &'a [Arc<IpInstance>],
    /// How pods are read.
    pub settings: &'a Settings,
}

impl Known<'_> {
    /// The next thing to do.
    pub fn step(&self) -> Step {
        let pod = self.pod;
        if pod.spec.host_network {
            return Step::Nothing;
        }
        if pod.is_terminating() || pod.is_evicted() || pod.is_completed() {
            return self.leaving();
        }
        let holdings = self.holdings();
        if pod.spec.node_name.is_empty() || is_set_up(pod, &holdings.bound) {
            return Step::Nothing;
        }
        Step::Provide(holdings)
    }

    /// Whether the pod is one of a stateful workload. An orphan is known by the owner of its addresses.
    pub fn is_stateful(&self) -> bool {
        if pod::controller_of(&self.pod.metadata).is_some() {
            return pod::is_stateful(&self.pod.metadata, self.settings);
        }
        let owned = self
            .live()
            .find(|instance| pod::controller_of(instance.meta()).is_some());
        owned.is_some_and(|instance| pod::is_stateful(instance.meta(), self.settings))
    }

    fn leaving(&self) -> Step {
        let (pod, bound) = (self.pod, self.holdings().bound);
        let let_go = if pod.has_finalizer() {
            Step::LetGo
        } else {
            Step::Nothing
        };
        if self.is_stateful() {
            return match bound.is_empty() {
                _ if pod.runs() => Step::Nothing,
                true => let_go,
                false if keeps(self.pod, self.settings) => Step::Reserve(bound),
                false => Step::Release(bound),
            };
        }
        // A pod that is only on its way out keeps its addresses until it is gone: its containers may run.
        let ended = pod.is_evicted() || pod.is_completed();
        if ended && !bound.is_empty() {
            return Step::Release(bound);
        }
        if pod.runs() { Step::Nothing } else { let_go }
    }

    fn holdings(&self) -> Holdings {
        let uid = |instance: &Arc<IpInstance>| {
            let binding = instance.spec.binding.as_ref();
            binding.map(|binding| binding.pod_uid.clone()).unwrap_or_default()
        };
        let (bound, kept) = self
            .live()
            .cloned()
            .partition(|instance| uid(instance) == self.pod.uid());
        Holdings { bound, kept }
    }

    fn live(&self) -> impl Iterator<Item = &Arc<IpInstance>> {
        let all = self.instances.iter();
        all.filter(|instance| instance.meta().deletion_timestamp.is_none())
    }
}

/// Whether a stateful pod's addresses are kept for its successor. A pool says so whatever `ip-retain` says.
pub fn keeps(of: &Pod, settings: &Settings) -> bool {
    pod::annotation(&of.metadata, annotation::IP_POOL).is_some() || pod::retains(&of.metadata, settings)
}

/// Whether the pod's network has been made: what it lacks now it would not get.
fn is_set_up(pod: &Pod, bound: &[Arc<IpInstance>]) -> bool {
    let seen = |instance: &Arc<IpInstance>| {
        let status = instance.status.as_ref();
        status.is_some_and(|status| !status.sandbox_id.is_empty())
    };
    !bound.is_empty() && (!pod.status.pod_ip.is_empty() || bound.iter().any(seen))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{Made, instance, pod};

    fn step(pod: Made<Pod>, instances: &[Arc<IpInstance>]) -> Step {
        let known = Known {
            pod: &pod.build(),
            instances,
            settings: &Settings::default(),
        };
        known.step()
    }

    fn bound() -> Arc<IpInstance> {
        instance("ns", "10.0.0.2").pod("p").shared()
    }

    fn provide(bound: &[Arc<IpInstance>]) -> Step {
        Step::Provide(Holdings {
            bound: bound.to_vec(),
            kept: vec![],
        })
    }

    #[test]
    fn a_scheduled_pod_without_address_gets_one() {
        assert_eq!(step(pod("p").on("n"), &[]), provide(&[]));
        assert_eq!(step(pod("p"), &[]), Step::Nothing);
        assert_eq!(step(pod("p").on("n").host_network(), &[]), Step::Nothing);
    }

    #[test]
    fn a_pod_that_runs_with_its_address_is_left_alone() {
        assert_eq!(
            step(pod("p").on("n").with_address("10.0.0.2"), &[bound()]),
            Step::Nothing
        );
    }

    #[test]
    fn a_pod_whose_allocation_was_cut_short_is_looked_at_until_it_is_set_up() {
        assert_eq!(step(pod("p").on("n"), &[bound()]), provide(&[bound()]));
    }

    #[test]
    fn addresses_of_a_former_pod_of_the_name_and_those_being_deleted_are_not_its_own() {
        let former = instance("ns", "10.0.0.2").pod("p").shared();
        let dying = instance("ns", "10.0.0.3").pod("p").terminating().shared();

        let found = step(pod("p").uid("another").on("n"), &[former.clone(), dying]);

        let Step::Provide(holdings) = found else {
            panic!("{found:?}");
        };
        assert_eq!((holdings.bound, holdings.kept), (vec![], vec![former]));
    }

    #[test]
    fn a_completed_or_evicted_pod_gives_its_addresses_back_once() {
        let completed = pod("p").on("n").phase("Succeeded", "").container(false);
        let evicted = pod("p").on("n").phase("Failed", "Evicted");
        let failed = pod("p").on("n").phase("Failed", "Error").with_address("10.0.0.2");

        for ended in [completed, evicted] {
            assert_eq!(step(ended.clone(), &[bound()]), Step::Release(vec![bound()]));
            assert_eq!(step(ended, &[]), Step::Nothing);
        }
        assert_eq!(step(failed, &[bound()]), Step::Nothing);
    }

    #[test]
    fn a_plain_pod_on_its_way_out_keeps_its_addresses_until_it_is_gone() {
        assert_eq!(step(pod("p").on("n").terminating(), &[bound()]), Step::Nothing);
    }

    #[test]
    fn our_finalizer_never_outlives_the_containers() {
        let leaving = pod("p")
            .on("n")
            .finalizer("networking.alibaba.com/ip-allocated")
            .terminating();

        assert_eq!(step(leaving.clone(), &[bound()]), Step::LetGo);
        assert_eq!(step(leaving.container(true), &[bound()]), Step::Nothing);
    }

    #[test]
    fn addresses_of_a_stateful_pod_are_kept_when_nothing_runs_any_more() {
        let leaving = pod("p")
            .on("n")
            .controlled_by("StatefulSet", "w")
            .finalizer("networking.alibaba.com/ip-allocated")
            .terminating();

        assert_eq!(step(leaving.clone().container(true), &[bound()]), Step::Nothing);
        assert_eq!(step(leaving.clone(), &[bound()]), Step::Reserve(vec![bound()]));
        assert_eq!(step(leaving, &[]), Step::LetGo);
    }

    #[test]
    fn an_orphan_is_known_by_the_owner_of_its_addresses() {
        let mut object = instance("ns", "10.0.0.2").pod("p").build();
        let owner = pod("x").controlled_by("StatefulSet", "w").build();
        object.metadata.owner_references = owner.metadata.owner_references;
        let kept = Arc::new(object);

        assert_eq!(
            step(pod("p").on("n").terminating(), std::slice::from_ref(&kept)),
            Step::Reserve(vec![kept])
        );
    }
}
