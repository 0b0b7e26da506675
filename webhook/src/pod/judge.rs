//! Whether a pod can get what it asks for (control-plane 5.4): the first rule that it breaks is the answer.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use hybridnet_api::address::{Family, number};
use hybridnet_api::names::annotation::{IP_FAMILY, IP_POOL, MAC_POOL, NETWORK_TYPE, SPECIFIED_NETWORK};
use hybridnet_api::network::Count;
use hybridnet_api::pod::{annotation, annotation_or_label};
use hybridnet_api::selection::{Catalogue, PodFamily, SelectionError, Subject, kept, named, preferred};
use hybridnet_api::settings::Settings;
use hybridnet_api::{IpInstance, Network, NetworkType, pool};
use kube::ResourceExt;

use super::names_its_addresses;
use crate::fresh::Fresh;
use crate::review::{Allowed, Answer, Refusal};

/// The answer.
pub async fn judge(subject: &Subject<'_>, catalogue: &mut Fresh<'_>, settings: &Settings) -> Answer {
    let wish = catalogue
        .learning(|catalogue| named_and_there(subject, catalogue))
        .await?;
    let wish = wish.map_err(Refusal::denied)?;
    let held = preferred(&kept(subject, &*catalogue, settings));
    let pooled = names_its_addresses(subject.metadata, settings);
    let network_type = network_type(subject, wish.network.as_deref(), settings)?;
    if let Some(network) = &wish.network {
        may_keep(&held, network, if pooled { &[] } else { &wish.subnets })?;
    }
    let family = family(subject, settings)?;
    let pool = ip_pool(subject, wish.network.as_deref())?;
    mac_pool(subject)?;
    // Addresses that are kept or named are there, however full the network is.
    if held.is_empty() && !pooled && network_type.is_unique() {
        has_room(network_type, wish.network, family, &*catalogue)?;
    }
    let warnings = doubts(&pool, family);
    Ok(Allowed {
        warnings,
        ..Allowed::default()
    })
}

struct Wish {
    network: Option<Arc<Network>>,
    subnets: Vec<String>,
}

fn named_and_there(subject: &Subject<'_>, catalogue: &dyn Catalogue) -> Result<Wish, SelectionError> {
    let (network, subnets) = named(subject.metadata, catalogue)?;
    let network = match network {
        None => None,
        Some(name) => Some(catalogue.network(&name).ok_or(SelectionError::NoNetwork(name))?),
    };
    Ok(Wish { network, subnets })
}

fn network_type(
    subject: &Subject<'_>,
    network: Option<&Network>,
    settings: &Settings,
) -> Result<NetworkType, Refusal> {
    let asked = annotation_or_label(subject.metadata, NETWORK_TYPE);
    let asked = asked.map(NetworkType::parse_ignoring_case).transpose();
    let asked = asked.map_err(|unknown| Refusal::denied(format!("{NETWORK_TYPE}: {unknown}")))?;
    let Some(network) = network else {
        return Ok(asked.unwrap_or(settings.default_network_type));
    };
    let name = network.name_any();
    let actual = network.spec.network_type();
    let actual = actual.map_err(|unknown| Refusal::denied(format!("network {name:?}: {unknown}")))?;
    match asked {
        Some(asked) if asked != actual => Err(Refusal::denied(format!(
            "{NETWORK_TYPE} asks for {asked}, but network {name:?} is {actual}: leave the type out, or name a \
             network of that type"
        ))),
        _ => Ok(actual),
    }
}

fn may_keep(held: &[Arc<IpInstance>], network: &Network, subnets: &[String]) -> Result<(), Refusal> {
    for instance in held {
        let (address, name) = (&instance.spec.address.ip, network.name_any());
        if instance.spec.network != name {
            return Err(Refusal::denied(format!(
                "the pod keeps {address} of network {:?}, but {SPECIFIED_NETWORK} is {name:?}: name the former, or set \
                 ip-retain to \"false\" for new addresses",
                instance.spec.network
            )));
        }
        if !subnets.is_empty() && !subnets.contains(&instance.spec.subnet) {
            return Err(Refusal::denied(format!(
                "the pod keeps {address} of subnet {:?}, but asks for subnet {}: name the former, or set ip-retain to \
                 \"false\" for new addresses",
                instance.spec.subnet,
                subnets.join("/")
            )));
        }
    }
    Ok(())
}

fn family(subject: &Subject<'_>, settings: &Settings) -> Result<PodFamily, Refusal> {
    match annotation(subject.metadata, IP_FAMILY) {
        None => Ok(settings.default_ip_family),
        Some(word) => PodFamily::parse_ignoring_case(word)
            .ok_or_else(|| Refusal::denied(SelectionError::Family(word.to_owned()))),
    }
}

fn ip_pool(subject: &Subject<'_>, network: Option<&Network>) -> Result<Vec<Vec<IpAddr>>, Refusal> {
    let Some(text) = annotation(subject.metadata, IP_POOL) else {
        return Ok(Vec::new());
    };
    if network.is_none() {
        return Err(Refusal::denied(format!(
            "{IP_POOL} is set without a network: name the network of its addresses in {SPECIFIED_NETWORK}"
        )));
    }
    pool::ip_sections(text).map_err(|error| Refusal::denied(format!("{IP_POOL}: {error}")))
}

fn mac_pool(subject: &Subject<'_>) -> Result<(), Refusal> {
    let Some(text) = annotation(subject.metadata, MAC_POOL) else {
        return Ok(());
    };
    let sections = pool::mac_sections(text);
    sections
        .map(|_| ())
        .map_err(|error| Refusal::denied(format!("{MAC_POOL}: {error}")))
}

fn has_room(
    type_: NetworkType,
    network: Option<Arc<Network>>,
    family: PodFamily,
    catalogue: &dyn Catalogue,
) -> Result<(), Refusal> {
    let network = network.or_else(|| catalogue.networks_of_type(type_).into_iter().next());
    let Some(network) = network else {
        return Err(Refusal::denied(format!(
            "there is no {type_} network: create one, or ask for another type in {NETWORK_TYPE}"
        )));
    };
    // A network that was made a moment ago has no numbers yet: the manager will see.
    let is_full = |count: Option<Count>| count.is_some_and(|count| count.available <= 0);
    let full = network.status.as_ref().is_some_and(|status| {
        is_full(match family {
            PodFamily::Ipv4Only => status.statistics,
            PodFamily::Ipv6Only => status.ipv6_statistics,
            PodFamily::DualStack => status.dual_stack_statistics,
        })
    });
    if full {
        let name = network.name_any();
        return Err(Refusal::denied(format!(
            "{type_} network {name:?} has no {family} addresses left: add a subnet to it, or delete pods"
        )));
    }
    Ok(())
}

fn doubts(pool: &[Vec<IpAddr>], family: PodFamily) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut seen = BTreeSet::new();
    for (section, addresses) in pool.iter().enumerate() {
        let families: Vec<_> = addresses.iter().map(|ip| Family::of(*ip)).collect();
        if families != family.families() {
            warnings.push(format!(
                "{IP_POOL}: section {section} is not {family}, which the pod asks for"
            ));
        }
        for ip in addresses
            .iter()
            .filter(|ip| !seen.insert((Family::of(**ip), number(**ip))))
        {
            warnings.push(format!("{IP_POOL}: {ip} is listed twice"));
        }
    }
    warnings
}
