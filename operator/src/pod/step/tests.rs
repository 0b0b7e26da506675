use super::*;
use crate::fixtures::{Made, instance, pod};

fn step(pod: Made<Pod>, instances: &[Arc<IpInstance>]) -> Step {
    step_with(&Settings::default(), pod, instances)
}

fn step_with(settings: &Settings, pod: Made<Pod>, instances: &[Arc<IpInstance>]) -> Step {
    let known = Known {
        pod: &pod.build(),
        instances,
        settings,
    };
    known.step()
}

/// Ended, with our finalizer.
fn leaving() -> Made<Pod> {
    pod("p")
        .on("n")
        .finalizer("networking.alibaba.com/ip-allocated")
        .terminating()
}

/// Of the workload `w` of this kind.
fn owned_by(kind: &str) -> Arc<IpInstance> {
    let owner = pod("x").controlled_by(kind, "w").build();
    instance("ns", "10.0.0.2").pod("p").owned_like(&owner, 0).shared()
}

fn virtual_machines() -> Settings {
    let mut settings = Settings::default();
    settings.gates.vm_ip_retain = true;
    settings
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

/// Scenario 82: pods that are none of ours, or not scheduled.
#[test]
fn a_scheduled_pod_without_address_gets_one() {
    assert_eq!(step(pod("p").on("n"), &[]), provide(&[]));
    assert_eq!(step(pod("p"), &[]), Step::Nothing);
    assert_eq!(step(pod("p").on("n").host_network(), &[]), Step::Nothing);
}

/// Scenario 84: a running pod that has its address.
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

/// Scenario 79: a pod of a job that is done.
/// Scenario 80: a container of it without a status.
/// Scenario 81: an evicted plain pod.
#[test]
fn a_completed_or_evicted_pod_gives_its_addresses_back_once() {
    let completed = pod("p").on("n").phase("Succeeded", "").container(false);
    let evicted = pod("p").on("n").phase("Failed", "Evicted");
    let failed = pod("p").on("n").phase("Failed", "Error").with_address("10.0.0.2");

    for ended in [completed, evicted] {
        assert_eq!(step(ended.clone(), &[bound()]), Step::Release(vec![bound()]));
        assert_eq!(step(ended, &[]), Step::Nothing);
    }
    let untold = pod("p").on("n").phase("Succeeded", "").with_address("10.0.0.2");
    assert_eq!(step(failed, &[bound()]), Step::Nothing);
    assert_eq!(step(untold, &[bound()]), Step::Nothing);
}

/// Scenario 83: a plain pod on its way out.
#[test]
fn a_plain_pod_on_its_way_out_keeps_its_addresses_until_it_is_gone() {
    assert_eq!(step(pod("p").on("n").terminating(), &[bound()]), Step::Nothing);
}

#[test]
fn our_finalizer_never_outlives_the_containers() {
    assert_eq!(step(leaving(), &[bound()]), Step::LetGo);
    assert_eq!(step(leaving().container(true), &[bound()]), Step::Nothing);
}

/// Scenario 64: a stateful pod that has ended.
/// Scenario 66: a stateful pod whose container runs on.
#[test]
fn addresses_of_a_stateful_pod_are_kept_when_nothing_runs_any_more() {
    let stateful = leaving().controlled_by("StatefulSet", "w");

    assert_eq!(step(stateful.clone().container(true), &[bound()]), Step::Nothing);
    assert_eq!(step(stateful.clone(), &[bound()]), Step::Reserve(vec![bound()]));
    assert_eq!(step(stateful, &[]), Step::LetGo);
}

#[test]
fn addresses_that_a_stateful_pod_does_not_keep_go_at_its_end() {
    let stateful = leaving()
        .controlled_by("StatefulSet", "w")
        .annotation(annotation::IP_RETAIN, "false");
    let pooled = stateful.clone().annotation(annotation::IP_POOL, "10.0.0.2");

    assert_eq!(step(stateful, &[bound()]), Step::Release(vec![bound()]));
    assert_eq!(step(pooled, &[bound()]), Step::Reserve(vec![bound()]));
}

/// Scenario 81: an evicted stateful pod.
#[test]
fn an_evicted_stateful_pod_keeps_its_addresses_for_its_successor_and_once() {
    let evicted = pod("p")
        .on("n")
        .controlled_by("StatefulSet", "w")
        .phase("Failed", "Evicted");

    assert_eq!(step(evicted.clone(), &[bound()]), Step::Reserve(vec![bound()]));
    assert_eq!(step(evicted, &[]), Step::Nothing);
}

/// Scenario 94: an orphan.
#[test]
fn an_orphan_is_known_by_the_owner_of_its_addresses() {
    let owned = owned_by("StatefulSet");
    // The garbage collector takes the reference from what it orphans.
    let mut stripped = (*owned).clone();
    stripped.metadata.owner_references = None;

    for kept in [owned, Arc::new(stripped)] {
        assert_eq!(
            step(pod("p").on("n").terminating(), std::slice::from_ref(&kept)),
            Step::Reserve(vec![kept])
        );
    }
}

#[test]
fn what_a_pod_of_the_name_left_behind_does_not_make_a_plain_pod_stateful() {
    let mut former = (*owned_by("StatefulSet")).clone();
    former.spec.binding.as_mut().unwrap().pod_uid.clear();

    assert_eq!(
        step(pod("p").on("n").terminating(), &[Arc::new(former), bound()]),
        Step::Nothing
    );
}

#[test]
fn a_workload_that_takes_a_pod_in_takes_its_addresses_over() {
    let running = pod("p")
        .on("n")
        .with_address("10.0.0.2")
        .controlled_by("StatefulSet", "w");
    let own = owned_by("StatefulSet");
    let mut stripped = (*own).clone();
    stripped.metadata.owner_references = None;
    let mut former = (*own).clone();
    former.spec.binding.as_mut().unwrap().referred_object.uid = "uid-former".to_owned();

    assert_eq!(step(running.clone(), std::slice::from_ref(&own)), Step::Nothing);
    for stray in [Arc::new(stripped), Arc::new(former), bound()] {
        assert_eq!(
            step(running.clone(), std::slice::from_ref(&stray)),
            Step::MakeOver(vec![stray])
        );
    }
    let replica = pod("p")
        .on("n")
        .with_address("10.0.0.2")
        .controlled_by("ReplicaSet", "r");
    assert_eq!(step(replica, &[bound()]), Step::Nothing);
}

/// Scenario 93: the gate is off when a virtual machine's pod ends.
#[test]
fn a_pod_that_is_of_no_such_kind_any_more_is_let_go_and_its_addresses_are_kept() {
    let (of_machine, of_workload) = (owned_by("VirtualMachine"), owned_by("CloneSet"));
    let machine = leaving().controlled_by("VirtualMachineInstance", "i");
    let workload = leaving().controlled_by("CloneSet", "w");

    assert_eq!(
        step(machine.clone(), std::slice::from_ref(&of_machine)),
        Step::Reserve(vec![of_machine.clone()])
    );
    assert_eq!(
        step(workload, std::slice::from_ref(&of_workload)),
        Step::Reserve(vec![of_workload])
    );
    assert_eq!(
        step(machine.clone().container(true), &[of_machine]),
        Step::Nothing
    );
    assert_eq!(step(machine, &[]), Step::LetGo);
}

/// Scenario 91: a virtual machine's pod that has ended.
#[test]
fn addresses_of_a_virtual_machine_are_left_to_it_when_nothing_runs_any_more() {
    let settings = virtual_machines();
    let instance = leaving().controlled_by("VirtualMachineInstance", "i");
    let of_machine = owned_by("VirtualMachine");
    let objects = std::slice::from_ref(&of_machine);
    let leave = Step::LeaveMachine(vec![of_machine.clone()]);

    assert_eq!(step_with(&settings, instance.clone(), objects), leave);
    assert_eq!(step_with(&settings, leaving(), objects), leave);
    assert_eq!(
        step_with(&settings, instance.clone().container(true), objects),
        Step::Nothing
    );
    assert_eq!(step_with(&settings, instance.clone(), &[]), Step::LetGo);
    assert_eq!(step_with(&settings, instance, &[bound()]), Step::LetGo);
}
