//! What we write is what `nft` writes when it is given the same in words; and so are the few writes that lead
//! from one state to the next.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hybridnet_node::firewall::table::Table;
use hybridnet_node::firewall::{Outcome, Ruleset, converge};
use ipnetwork::IpNetwork;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use crate::everything;
use crate::net::Netns;

/// The table as `nft` reads it, without what is another for each writer.
fn listed(namespace: &Netns) -> Value {
    let json = namespace.sh("nft -j list table inet hybridnet");
    let mut value: Value = serde_json::from_str(&json).unwrap();
    forget(&mut value);
    value
}

fn forget(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| name != "handle" && name != "metainfo");
            fields.values_mut().for_each(forget);
            // Elements come in the order that they were added in.
            if let Some(Value::Array(elements)) = fields.get_mut("elem") {
                elements.sort_by_key(Value::to_string);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

/// The instructions of all rules, as the kernel gives them back.
fn instructions(namespace: &Netns) -> Vec<String> {
    let text = namespace.sh("nft --debug=netlink list table inet hybridnet");
    text.lines()
        .filter(|line| line.trim_start().starts_with('['))
        .map(str::to_owned)
        .collect()
}

fn loaded_by_nft(ruleset: &Ruleset) -> Netns {
    let namespace = Netns::new("nft");
    namespace.sh_with("nft -f -", &Table::from(ruleset).to_string());
    namespace
}

#[test]
fn a_loaded_table_is_what_nft_loads_from_its_text() {
    for ruleset in [
        everything(),
        Ruleset::default(),
        Ruleset {
            vxlan: None,
            ..everything()
        },
    ] {
        let ours = Netns::new("ours");
        let theirs = loaded_by_nft(&ruleset);

        let outcome = ours.within(|| converge(&ruleset)).unwrap();

        assert!(matches!(outcome, Outcome::Replaced { .. }), "{outcome:?}");
        assert_eq!(listed(&ours), listed(&theirs));
        assert_eq!(instructions(&ours), instructions(&theirs));
        assert_eq!(ours.within(|| converge(&ruleset)).unwrap(), Outcome::Unchanged);
    }
}

#[test]
fn a_table_that_nft_loaded_is_not_taken_for_ours() {
    let namespace = loaded_by_nft(&everything());

    let outcome = namespace.within(|| converge(&everything())).unwrap();

    assert!(matches!(outcome, Outcome::Replaced { .. }), "{outcome:?}");
}

fn subnets() -> impl Strategy<Value = BTreeSet<IpNetwork>> {
    // Few bits, so that subnets lie in each other, beside each other and at the ends of the family.
    let v4 = (any::<u8>(), 24u8..=32, any::<bool>()).prop_map(|(address, prefix, top)| {
        let base = if top { 0xffff_ff00 } else { 0x6440_0000 };
        IpNetwork::new(IpAddr::V4((base + u32::from(address)).into()), prefix).unwrap()
    });
    let v6 = (any::<u8>(), 120u8..=128).prop_map(|(address, prefix)| {
        IpNetwork::new(IpAddr::V6((u128::MAX - u128::from(address)).into()), prefix).unwrap()
    });
    prop::collection::btree_set(prop_oneof![v4, v6], 0..6).prop_map(|subnets| {
        let network = |subnet: IpNetwork| IpNetwork::new(subnet.network(), subnet.prefix()).unwrap();
        subnets.into_iter().map(network).collect()
    })
}

fn rulesets() -> impl Strategy<Value = Ruleset> {
    let addresses =
        || prop::collection::btree_set(any::<u8>().prop_map(|last| IpAddr::from([192, 0, 2, last])), 0..5);
    (
        subnets(),
        subnets(),
        subnets(),
        subnets(),
        addresses(),
        addresses(),
    )
        .prop_map(|(overlay, underlay, ten, twenty, nodes, local_pods)| Ruleset {
            overlay,
            underlay,
            nodes,
            local_pods,
            local_underlay: [
                ("eth0.10".to_owned(), ten),
                // Never empty, so that the rules stay and only elements change.
                (
                    "eth0.20".to_owned(),
                    twenty
                        .into_iter()
                        .chain(["10.0.0.0/30".parse().unwrap()])
                        .collect(),
                ),
            ]
            .into(),
            ..everything()
        })
}

#[test]
fn changing_elements_leads_to_what_a_fresh_table_would_be() {
    let ours = Netns::new("ours");
    ours.within(|| converge(&everything())).unwrap();

    let mut runner = TestRunner::new(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&rulesets(), |ruleset| {
        let outcome = ours.within(|| converge(&ruleset)).unwrap();

        prop_assert!(!matches!(outcome, Outcome::Replaced { .. }), "{:?}", outcome);
        prop_assert_eq!(ours.within(|| converge(&ruleset)).unwrap(), Outcome::Unchanged);
        prop_assert_eq!(listed(&ours), listed(&loaded_by_nft(&ruleset)));
        Ok(())
    });

    result.unwrap();
}

#[test]
fn ten_thousand_elements_are_written_at_once_and_one_change_of_them_is_two_messages() {
    let namespace = Netns::new("many");
    let ruleset = Ruleset {
        nodes: (0..10_000u32)
            .map(|i| IpAddr::V4((0x0a00_0000 + i * 7).into()))
            .collect(),
        overlay: (0..10_000u32)
            .map(|i| IpNetwork::new(IpAddr::V4((0x6400_0000 + i * 512).into()), 24).unwrap())
            .collect(),
        ..everything()
    };
    let mut changed = ruleset.clone();
    changed.nodes.pop_first();
    changed.nodes.insert("192.0.2.77".parse().unwrap());

    let start = Instant::now();
    let first = namespace.within(|| converge(&ruleset)).unwrap();
    let loaded = start.elapsed();
    let second = namespace.within(|| converge(&changed)).unwrap();
    let third = namespace.within(|| converge(&changed)).unwrap();

    assert!(matches!(first, Outcome::Replaced { .. }), "{first:?}");
    assert_eq!(second, Outcome::Elements { added: 1, removed: 1 });
    assert_eq!(third, Outcome::Unchanged);
    println!("loaded in {loaded:?}, all in {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
