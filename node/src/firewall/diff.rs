//! What has to change for the kernel to hold a table.

use std::collections::{BTreeMap, BTreeSet};

use super::dump::Shape;
use super::socket::Change;
use super::table::{Element, Set};
use super::wire::{add_elements, remove_elements};

/// The first difference between the rules that are there and those that should be, in words; elements of sets
/// do not count.
pub fn difference(there: Option<&Shape>, wanted: &Shape) -> Option<String> {
    let Some(there) = there else {
        return Some("it was missing".to_owned());
    };
    if there.flags != wanted.flags {
        return Some("it was taken out of work".to_owned());
    }
    odd_one(&there.sets, &wanted.sets)
        .map(|name| format!("set {name} was another"))
        .or_else(|| odd_one(&there.chains, &wanted.chains).map(|name| format!("chain {name} was another")))
}

/// A key whose values differ, or that one side has not.
fn odd_one<'a, T: PartialEq>(a: &'a BTreeMap<String, T>, b: &'a BTreeMap<String, T>) -> Option<&'a str> {
    a.keys()
        .chain(b.keys())
        .find(|key| a.get(*key) != b.get(*key))
        .map(String::as_str)
}

/// Elements that come and go.
#[derive(Debug, Default)]
pub struct Elements {
    /// The changes, those that remove before those that add: ranges must not meet.
    pub changes: Vec<Change>,
    /// How many elements come.
    pub added: usize,
    /// How many elements go.
    pub removed: usize,
}

impl Elements {
    /// Adds what a set of the kernel needs to become this one.
    pub fn collect(&mut self, there: &BTreeSet<Element>, wanted: &Set) {
        let (name, kind) = (wanted.name, wanted.kind);
        let gone: Vec<_> = there.difference(&wanted.elements).collect();
        let new: Vec<_> = wanted.elements.difference(there).collect();
        self.removed += gone.len();
        self.added += new.len();
        self.changes.extend(remove_elements(name, kind, gone));
        self.changes.extend(add_elements(name, kind, new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::Ruleset;
    use crate::firewall::dump::ChainShape;
    use crate::firewall::fixtures::{empty, overlay_and_underlay};
    use crate::firewall::table::Table;

    fn shape(ruleset: &Ruleset) -> Shape {
        Shape::from(&Table::from(ruleset))
    }

    #[test]
    fn the_same_rules_with_other_elements_do_not_differ() {
        let mut other = overlay_and_underlay();
        other.nodes.clear();
        other.overlay.insert("10.99.0.0/16".parse().unwrap());

        assert_eq!(
            difference(Some(&shape(&other)), &shape(&overlay_and_underlay())),
            None
        );
    }

    #[test]
    fn each_kind_of_damage_is_a_difference() {
        let wanted = shape(&overlay_and_underlay());
        let damage: [fn(&mut Shape); 8] = [
            |shape| shape.flags = 1,
            |shape| shape.sets.retain(|name, _| name != "overlay4"),
            |shape| shape.sets.get_mut("nodes6").unwrap().flags = 4,
            |shape| shape.chains.extend([("another".into(), ChainShape::default())]),
            |shape| shape.chains.get_mut("forward").unwrap().rules.truncate(1),
            |shape| shape.chains.get_mut("forward").unwrap().rules.reverse(),
            |shape| shape.chains.get_mut("forward").unwrap().priority = 1,
            |shape| shape.chains.get_mut("forward").unwrap().policy = 0,
        ];

        for (number, damage) in damage.iter().enumerate() {
            let mut there = wanted.clone();
            damage(&mut there);
            assert_ne!(difference(Some(&there), &wanted), None, "damage {number}");
        }
        assert_eq!(difference(None, &wanted).as_deref(), Some("it was missing"));
    }

    #[test]
    fn another_name_of_the_tunnel_is_other_rules() {
        let mut other = overlay_and_underlay();
        other.vxlan = Some("eth1.vxlan4".into());

        assert_ne!(
            difference(Some(&shape(&other)), &shape(&overlay_and_underlay())),
            None
        );
        assert_ne!(
            difference(Some(&shape(&empty())), &shape(&overlay_and_underlay())),
            None
        );
    }

    #[test]
    fn only_elements_that_differ_are_sent() {
        let table = Table::from(&overlay_and_underlay());
        let nodes = table
            .sets
            .iter()
            .find(|set| set.name.to_string() == "nodes4")
            .unwrap();
        let mut there = nodes.elements.clone();
        let missing = there.pop_first().unwrap();
        there.insert("192.0.2.99".parse::<std::net::IpAddr>().unwrap().into());
        there.insert("192.0.2.98".parse::<std::net::IpAddr>().unwrap().into());

        let mut elements = Elements::default();
        elements.collect(&there, nodes);

        assert_eq!(
            (elements.added, elements.removed, elements.changes.len()),
            (1, 2, 2)
        );
        assert!(format!("{:?}", elements.changes).contains(&format!("add element {missing} of set nodes4")));
    }
}
