use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::fixtures::{Made, instance, pod};
use crate::world::store::Key;

const TTL: Duration = Duration::from_mins(30);

fn now() -> Timestamp {
    Timestamp::from_second(100_000).unwrap()
}

/// The address of `web-ORDINAL` of the `StatefulSet` `web`, kept since `ago`.
fn kept(ordinal: i32, ago: Option<Duration>) -> Arc<IpInstance> {
    let mut object = bound(ordinal).build();
    let binding = object.spec.binding.as_mut().unwrap();
    binding.node_name.clear();
    binding.pod_uid.clear();
    object.status = ago.map(|ago| hybridnet_api::IpInstanceStatus {
        update_timestamp: Some(Time(now() - ago)),
        ..Default::default()
    });
    Arc::new(object)
}

fn bound(ordinal: i32) -> Made<IpInstance> {
    let name = format!("web-{ordinal}");
    let owner = pod(&name).controlled_by("StatefulSet", "web").build();
    instance("ns", "10.0.0.2").pod(&name).owned_like(&owner, ordinal)
}

fn present(uid: &str, replicas: Option<i64>, ttl: Option<Duration>) -> Workload {
    Workload::Present {
        uid: uid.to_owned(),
        terminating: false,
        replicas,
        first_ordinal: 0,
        skipped: BTreeSet::new(),
        ttl,
        fault: None,
    }
}

fn world(instances: &[Arc<IpInstance>], pods: &[Pod]) -> Snapshot {
    Snapshot {
        instances: instances.to_vec(),
        pods: pods
            .iter()
            .map(|pod| (Key::of(pod), Arc::new(pod.clone())))
            .collect(),
        nodes: ["n".to_owned()].into(),
        unrecorded: vec![],
    }
}

/// What is found when every owner is `workload`.
fn found(world: &Snapshot, workload: &Workload) -> Vec<(Kind, Repair, Wait)> {
    let workloads = owners(world)
        .into_iter()
        .map(|owner| (owner, workload.clone()))
        .collect();
    findings(world, &workloads, now())
        .iter()
        .map(|finding| (finding.kind, finding.repair, finding.wait))
        .collect()
}

const AT_ONCE: Wait = Wait::For(Duration::ZERO);

#[test]
fn a_world_in_order_has_no_findings_and_asks_for_no_owner() {
    let plain = instance("ns", "10.0.0.3").pod("p").shared();
    let leaving = instance("ns", "10.0.0.4").pod("gone").terminating().shared();
    let pods = [pod("p").on("n").build(), pod("web-0").on("n").build()];
    let world = world(&[plain, leaving, bound(0).shared()], &pods);

    assert_eq!(owners(&world), []);
    assert_eq!(found(&world, &Workload::Gone), []);
}

#[test]
fn the_address_of_a_plain_pod_that_is_gone_or_another_one_by_now_is_deleted() {
    let object = instance("ns", "10.0.0.2").pod("p").shared();
    let deleted = [(Kind::PodGone, Repair::Delete, Wait::Grace)];

    assert_eq!(
        found(&world(std::slice::from_ref(&object), &[]), &Workload::Gone),
        deleted
    );
    let another = pod("p").uid("another").build();
    assert_eq!(found(&world(&[object], &[another]), &Workload::Gone), deleted);
}

#[test]
fn an_address_that_names_its_pod_in_one_place_only_is_known_by_it() {
    let mut object = instance("ns", "10.0.0.2").pod("p").build();
    let binding = object.spec.binding.as_mut().unwrap();
    binding.pod_uid.clear();
    binding.pod_name.clear();
    let object = Arc::new(object);

    assert_eq!(
        found(
            &world(std::slice::from_ref(&object), &[pod("p").build()]),
            &Workload::Gone
        ),
        []
    );
    assert_eq!(found(&world(&[object], &[]), &Workload::Gone).len(), 1);
}

#[test]
fn what_is_known_about_the_owner_decides_about_a_kept_address() {
    let ttl = Some(TTL);
    let long = Some(TTL + Duration::from_secs(1));
    let gone = vec![(Kind::WorkloadGone, Repair::Delete, Wait::Grace)];
    let expired = |wait| vec![(Kind::Expired, Repair::Delete, wait)];
    let unknown = Workload::Unknown {
        why: "forbidden".to_owned(),
    };
    for (case, ordinal, ago, workload, expected) in [
        ("gone", 0, long, Workload::Gone, gone.clone()),
        ("not known", 0, long, unknown, vec![]),
        ("wants the pod", 1, long, present("uid-web", Some(2), ttl), vec![]),
        ("no time set", 5, long, present("uid-web", Some(2), None), vec![]),
        (
            "time over",
            5,
            long,
            present("uid-web", Some(2), ttl),
            expired(AT_ONCE),
        ),
        (
            "time not over",
            5,
            Some(TTL / 2),
            present("uid-web", Some(2), ttl),
            vec![],
        ),
        (
            "since when is not recorded",
            5,
            None,
            present("uid-web", Some(2), ttl),
            expired(Wait::For(TTL)),
        ),
        (
            "does not count its pods",
            0,
            long,
            present("uid-web", None, ttl),
            expired(AT_ONCE),
        ),
        (
            "made anew, wants the pod",
            1,
            long,
            present("new", Some(2), ttl),
            vec![],
        ),
        (
            "made anew, does not want it",
            5,
            long,
            present("new", Some(2), None),
            gone,
        ),
        (
            "made anew, does not count",
            5,
            long,
            present("new", None, ttl),
            vec![],
        ),
    ] {
        let world = world(&[kept(ordinal, ago)], &[]);

        assert_eq!(found(&world, &workload), expected, "{case}");
    }
}

#[test]
fn what_a_workload_owns_goes_with_it_when_it_is_being_deleted() {
    let mut leaving = present("uid-web", Some(0), Some(TTL));
    if let Workload::Present { terminating, .. } = &mut leaving {
        *terminating = true;
    }

    assert_eq!(found(&world(&[kept(5, Some(2 * TTL))], &[]), &leaving), []);
}

#[test]
fn the_address_of_a_stateful_pod_that_went_without_a_word_is_kept_for_the_next_one() {
    let world = world(&[bound(0).shared()], &[]);

    assert_eq!(
        found(&world, &present("uid-web", Some(1), None)),
        [(Kind::PodGone, Repair::Unbind, Wait::Grace)]
    );
    assert_eq!(
        found(&world, &Workload::Gone),
        [(Kind::WorkloadGone, Repair::Delete, Wait::Grace)]
    );
}

#[test]
fn a_kept_address_whose_pod_has_come_is_not_looked_into() {
    let next = pod("web-0").uid("next").build();
    let world = world(&[kept(0, Some(2 * TTL))], &[next]);

    assert_eq!(owners(&world), []);
    assert_eq!(found(&world, &Workload::Gone), []);
}

#[test]
fn a_live_object_without_our_finalizer_gets_it_and_one_of_a_former_release_is_left_alone() {
    let mut object = instance("ns", "10.0.0.2").pod("p").build();
    object.metadata.finalizers = Some(vec!["theirs".to_owned()]);
    let mut legacy = object.clone();
    legacy.metadata.name = Some("10-0-0-3".to_owned());
    legacy.spec.binding.as_mut().unwrap().referred_object.kind.clear();
    let mut unreadable = object.clone();
    unreadable.spec.address.ip = "nonsense".to_owned();
    let objects = [object, legacy, unreadable].map(Arc::new);

    assert_eq!(
        found(&world(&objects, &[pod("p").build()]), &Workload::Gone),
        [(Kind::NoFinalizer, Repair::Hold, Wait::Grace)]
    );
}

#[test]
fn a_pod_that_cannot_end_because_its_node_is_gone_is_given_up() {
    let leaving = |node: &str| {
        pod("web-0")
            .on(node)
            .finalizer(finalizer::IP_ALLOCATED)
            .container(true)
            .terminating()
    };
    let given_up = [(Kind::NodeGone, Repair::GiveUp, Wait::Grace)];

    assert_eq!(
        found(&world(&[], &[leaving("gone").build()]), &Workload::Gone),
        given_up
    );
    for fine in [
        leaving("n"),
        pod("web-0")
            .on("gone")
            .finalizer(finalizer::IP_ALLOCATED)
            .container(true),
        pod("web-0").on("gone").container(true).terminating(),
    ] {
        assert_eq!(found(&world(&[], &[fine.build()]), &Workload::Gone), []);
    }
}

#[test]
fn an_address_in_memory_alone_is_freed_unless_its_pod_is_at_work_on_it() {
    let lost = |in_flight| Unrecorded {
        network: "net".to_owned(),
        subnet: "s".to_owned(),
        ip: "10.0.0.2".parse().unwrap(),
        owner: hybridnet_ipam::Owner {
            namespace: "ns".to_owned(),
            instance: "10-0-0-2".to_owned(),
            instance_uid: String::new(),
            pod: "p".to_owned(),
            pod_uid: "uid-p".to_owned(),
        },
        in_flight,
    };
    let with = |lost: Unrecorded, pods: &[Pod]| {
        let world = Snapshot {
            unrecorded: vec![lost],
            ..world(&[], pods)
        };
        found(&world, &Workload::Gone).len()
    };

    assert_eq!(with(lost(false), &[pod("p").build()]), 1);
    assert_eq!(with(lost(true), &[pod("p").build()]), 0);
    assert_eq!(with(lost(true), &[pod("p").uid("another").build()]), 1);
}

mod never_a_live_pods {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is said about owners, the address that a pod has is not taken from it.
        #[test]
        fn whatever_the_owner_says(
            stateful: bool, known in 0..4_u8, replicas in proptest::option::of(0..3_i64),
            ttl in proptest::option::of(0..100_u64), same: bool, ordinal in 0..4_i32,
        ) {
            let name = format!("web-{ordinal}");
            let object = if stateful { bound(ordinal) } else { instance("ns", "10.0.0.2").pod(&name) };
            let workload = match known {
                0 => Workload::Gone,
                1 => Workload::Unknown { why: String::new() },
                _ => present(if same { "uid-web" } else { "new" }, replicas, ttl.map(Duration::from_secs)),
            };
            let world = world(&[object.shared()], &[pod(&name).on("n").build()]);

            prop_assert_eq!(found(&world, &workload), vec![]);
        }
    }
}
