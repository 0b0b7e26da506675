//! Addresses that a pod keeps decide about its network.

use std::cmp::Reverse;
use std::sync::Arc;

use kube::ResourceExt;

use super::level::Wish;
use super::{PodFamily, SelectionError, Subject};
use crate::address::Family;
use crate::names::annotation;
use crate::settings::Settings;
use crate::{IpInstance, pod};

/// At most one address of each family, IPv4 first: the bound one (it has a node), else the youngest, else
/// the first by name. More than one are left-overs of release 0.8.9, whose stateful pods could get another
/// address without losing the old one (control-plane spec 0).
pub fn preferred(held: &[Arc<IpInstance>]) -> Vec<Arc<IpInstance>> {
    let of_family = |family| {
        let candidates = held.iter().filter(move |one| one.spec.family() == family);
        candidates.min_by_key(|one| {
            (
                one.spec.is_reserved(),
                Reverse(one.metadata.creation_timestamp.as_ref().map(|time| time.0)),
                one.name_any(),
            )
        })
    };
    [Family::V4, Family::V6]
        .into_iter()
        .filter_map(|family| of_family(family).cloned())
        .collect()
}

pub(super) fn wish(
    subject: &Subject<'_>,
    held: &[Arc<IpInstance>],
    settings: &Settings,
) -> Result<Wish, SelectionError> {
    let kept = preferred(held);
    let network = match kept.as_slice() {
        [first, second] if first.spec.network != second.spec.network => {
            return Err(SelectionError::TornApart {
                first: first.name_any(),
                first_network: first.spec.network.clone(),
                second: second.name_any(),
                second_network: second.spec.network.clone(),
            });
        }
        [first, ..] => Some(first.spec.network.clone()),
        [] => None,
    };
    let of_kept = match kept.as_slice() {
        [_, _] => PodFamily::DualStack,
        [one] if one.spec.family() == Family::V6 => PodFamily::Ipv6Only,
        _ => PodFamily::Ipv4Only,
    };
    // The pool decides what the pod gets, so the family that is asked for beside it counts: the workload may
    // have gone over to another one. With left-overs, those that are kept say nothing about it.
    let asked = pod::annotation(subject.metadata, annotation::IP_FAMILY).map(str::to_owned);
    let pool = pod::annotation(subject.metadata, annotation::IP_POOL);
    let family = match pool.filter(|_| pod::is_stateful(subject.metadata, settings)) {
        Some(_) if held.len() > kept.len() => asked,
        Some(_) => asked.or_else(|| Some(of_kept.as_str().to_owned())),
        None => Some(of_kept.as_str().to_owned()),
    };
    Ok(Wish {
        network,
        family,
        retained: true,
        ..Wish::default()
    })
}
