//! Objects that somebody has written another address into, or given a name of another address.

use hybridnet_ipam::{Adoption, Families, Record, Release, State};

use crate::fixtures::{Cluster, NETWORK, ip, record, subnet};

/// An object that is named after one address and records another.
fn named_after(name: &str, mut record: Record) -> Record {
    let instance = name.replace('.', "-");
    record.owner.instance_uid = format!("{}/{instance}", record.owner.namespace);
    record.owner.instance = instance;
    record
}

fn cluster() -> Cluster {
    Cluster::with(&[subnet("s", "10.0.0.0/28")])
}

fn held(cluster: &Cluster) -> Vec<String> {
    cluster.ipam.held().map(|(_, ip, _)| ip.to_string()).collect()
}

#[test]
fn an_address_that_an_object_gave_up_is_free() {
    let mut cluster = cluster();
    let object = |address| named_after("10.0.0.2", record("ns/p", address, State::Allocated));
    cluster.ipam.adopt(object("10.0.0.2"));
    cluster.ipam.adopt(object("10.0.0.5"));
    assert_eq!(held(&cluster), ["10.0.0.2", "10.0.0.5"]);

    assert_eq!(cluster.ipam.adopt(object("10.0.0.9")), Adoption::Held);

    // Its name still is one that nobody else can have.
    assert_eq!(held(&cluster), ["10.0.0.2", "10.0.0.9"]);
    assert_eq!(cluster.ipam.held_by("ns"), 1, "one object is one address");
    assert_eq!(cluster.assign(None, "10.0.0.5", false, "ns/q"), "10.0.0.5");
    assert_eq!(
        cluster.assign(None, "10.0.0.2", true, "ns/q"),
        "network net: 10.0.0.2 of subnet s is the name of IPInstance ns/10-0-0-2, which has another address: give another \
         address, or wait until it is free"
    );
    assert_eq!(cluster.counts("s"), (14, 3, 11));

    cluster.ipam.adopt(object("10.0.0.2"));
    assert_eq!(held(&cluster), ["10.0.0.2", "10.0.0.5"]);
}

#[test]
fn an_object_that_moves_to_another_network_leaves_the_former_one() {
    let mut cluster = cluster();
    let mut object = record("ns/p", "10.0.0.2", State::Reserved);
    cluster.ipam.adopt(object.clone());

    object.network = "another".into();
    assert_eq!(cluster.ipam.adopt(object.clone()), Adoption::Outside);

    assert!(cluster.ipam.holders(NETWORK, object.ip).is_empty());
    let places = cluster.ipam.addresses_of("ns", "10-0-0-2");
    assert_eq!(places, [("another".to_owned(), object.ip)]);
    assert_eq!(cluster.ipam.held_by("ns"), 1);
    assert_eq!(
        cluster.ipam.release("another", object.ip, &object.owner),
        Release::Freed
    );
    assert_eq!(cluster.ipam.held_by("ns"), 0);
}

#[test]
fn an_object_that_is_gone_is_gone_wherever_it_was() {
    let mut cluster = cluster();
    let object = named_after("10.0.0.2", record("ns/p", "10.0.0.5", State::Allocated));
    cluster.ipam.adopt(object.clone());

    // Whatever address the last event tells.
    let released = cluster.ipam.release(NETWORK, ip("10.0.0.9"), &object.owner);

    assert_eq!(released, Release::Freed);
    assert_eq!(held(&cluster), Vec::<String>::new());
    assert_eq!(cluster.counts("s"), (14, 0, 14));
}

#[test]
fn an_address_that_another_object_is_named_after_has_two_holders() {
    let mut cluster = cluster();
    cluster.ipam.adopt(record("a/p", "10.0.0.2", State::Allocated));
    let misnamed = named_after("10.0.0.2", record("b/q", "10.0.0.5", State::Allocated));

    let adopted = cluster.ipam.adopt(misnamed.clone());

    let Adoption::Conflict(conflict) = adopted else {
        panic!("{adopted:?}")
    };
    assert_eq!((conflict.ip, conflict.owners.len()), (ip("10.0.0.2"), 2));
    assert_eq!(
        cluster.ipam.release(NETWORK, misnamed.ip, &misnamed.owner),
        Release::StillHeld
    );
    assert_eq!(held(&cluster), ["10.0.0.2"]);
    assert_eq!(cluster.ipam.conflicts().count(), 0);
}

#[test]
fn a_name_that_is_no_address_keeps_only_what_the_object_records() {
    let mut cluster = cluster();
    let object = named_after("by-hand", record("ns/p", "10.0.0.5", State::Reserved));
    assert_eq!(cluster.ipam.adopt(object.clone()), Adoption::Held);
    assert_eq!(held(&cluster), ["10.0.0.5"]);
    // Its pod takes it up again, under the name that it has.
    let again = cluster.reserve_these(Families::Ipv4Only, &[(None, "10.0.0.5")], false, "ns/p");
    let again = again.expect("its own");
    assert_eq!(again.addresses()[0].instance, "by-hand");
    cluster.ipam.rollback(again);
    assert_eq!(
        cluster.ipam.release(NETWORK, object.ip, &object.owner),
        Release::Freed
    );
}
