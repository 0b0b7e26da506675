//! The rules as `nft` would show them, and what they hang on.

use super::*;
use crate::firewall::fixtures::{empty, overlay_and_underlay};

#[test]
fn the_rules_of_a_node_with_an_overlay_and_an_underlay() {
    let table = Table::from(&overlay_and_underlay());

    insta::assert_snapshot!("overlay_and_underlay", table.to_string());
}

#[test]
fn without_networks_there_are_empty_sets_and_the_full_nat_mark() {
    let table = Table::from(&empty());

    insta::assert_snapshot!("empty", table.to_string());
}

#[test]
fn every_condition_on_an_address_comes_after_that_on_its_family() {
    let table = Table::from(&overlay_and_underlay());

    for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
        let mut family = None;
        for condition in &rule.matches {
            match condition {
                Match::Family(of) => family = Some(*of),
                Match::Address { set, .. }
                | Match::LinkAndDestination { set }
                | Match::OriginalDestination { set, .. }
                | Match::ReplySource { set } => assert_eq!(family, Some(set.family), "{rule}"),
                _ => {}
            }
        }
    }
}

#[test]
fn every_set_that_is_looked_in_exists_and_is_of_the_right_kind() {
    let table = Table::from(&overlay_and_underlay());
    let kind = |name: &SetName| {
        table
            .sets
            .iter()
            .find(|set| set.name == *name)
            .map(|set| set.kind)
    };

    for condition in table
        .chains
        .iter()
        .flat_map(|chain| &chain.rules)
        .flat_map(|rule| &rule.matches)
    {
        match condition {
            Match::LinkAndDestination { set } => assert_eq!(kind(set), Some(SetKind::LinkRanges)),
            Match::Address { set, .. }
            | Match::OriginalDestination { set, .. }
            | Match::ReplySource { set } => {
                assert!(
                    matches!(kind(set), Some(SetKind::Addresses | SetKind::Ranges)),
                    "{set}"
                );
            }
            _ => {}
        }
    }
}

#[test]
fn the_subnet_of_one_set_is_merged_with_its_neighbour_of_another_only_where_both_belong() {
    let ruleset = Ruleset {
        overlay: ["10.0.0.0/24".parse().unwrap()].into(),
        underlay: ["10.0.1.0/24".parse().unwrap()].into(),
        ..Ruleset::default()
    };

    let table = Table::from(&ruleset);

    let last = |purpose| {
        let set = table.sets.iter().find(|set| {
            set.name
                == SetName {
                    purpose,
                    family: Family::V4,
                }
        });
        set.and_then(|set| set.elements.last())
            .map(|element| element.last.to_string())
    };
    assert_eq!(last(OVERLAY), Some("10.0.0.255".into()));
    assert_eq!(last(SUBNETS), Some("10.0.1.255".into()));
}
