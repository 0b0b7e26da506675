use super::*;
use crate::fixtures::{instance, pod};

fn list<K: Kind>(state: &mut State, objects: Vec<K>) {
    let objects = objects.into_iter().map(Event::InitApply);
    for event in std::iter::once(Event::Init)
        .chain(objects)
        .chain([Event::InitDone])
    {
        let changes = K::store(state).apply(event);
        taken_in(state, &changes);
    }
}

#[test]
fn at_the_start_pods_without_addresses_do_not_wait_behind_those_that_have_them() {
    let mut state = State::default();
    let name = |number: usize| format!("p{number}");
    let waiting = [7, 23];
    list(
        &mut state,
        (0..50).map(|number| pod(&name(number)).build()).collect(),
    );
    let served = (0..50).filter(|number| !waiting.contains(number));
    let addresses = served.map(|number| {
        instance("ns", &format!("10.0.0.{number}"))
            .pod(&name(number))
            .build()
    });
    list(&mut state, addresses.collect());

    let wakes = state.start();

    let pods = wakes.into_iter().filter_map(|wake| match wake {
        Wake::Pod(key) => Some(key.name),
        _ => None,
    });
    let pods: Vec<_> = pods.collect();
    let mut first: Vec<_> = pods.iter().take(waiting.len()).cloned().collect();
    first.sort();
    assert_eq!((first, pods.len()), (vec![name(23), name(7)], 50));
}
