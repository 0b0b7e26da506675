//! Whether a pod can get what it asks for (control-plane 5.4): the first rule that it breaks is the answer.

use std::sync::Arc;

use hybridnet_api::names::annotation::{IP_FAMILY, NETWORK_TYPE};
use hybridnet_api::pod::{annotation, annotation_or_label};
use hybridnet_api::selection::{Catalogue, PodFamily, SelectionError, Subject, kept, named, preferred};
use hybridnet_api::settings::Settings;
use hybridnet_api::{Network, NetworkType};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;

use super::doubt::Doubt;
use super::fault::PodFault;
use super::pools::Pools;
use super::room::room;
use super::seeker::Seeker;
use super::{allowed, names_its_addresses};
use crate::fresh::Fresh;
use crate::review::{Allowed, Answer, Refusal};

/// The answer.
pub async fn judge(subject: &Subject<'_>, catalogue: &mut Fresh<'_>, settings: &Settings) -> Answer {
    let namespace = catalogue.namespace_of(subject).await?;
    let wish = catalogue
        .learning(|catalogue| named_and_there(subject, catalogue))
        .await?;
    let seeker = wish
        .map_err(PodFault::from)
        .and_then(|wish| seeker(subject, wish, catalogue, settings))
        .map_err(Refusal::denied)?;
    let mut judged = verdict(&seeker, namespace.as_deref(), catalogue);
    if let Err(PodFault::Limit { .. }) = &judged {
        // It may have been raised for this very pod.
        let namespace = catalogue.namespace_by_now(subject.namespace).await?;
        judged = verdict(&seeker, namespace.as_ref(), catalogue);
    }
    let doubts = judged.map_err(Refusal::denied)?;
    Ok(Allowed {
        warnings: doubts.iter().map(ToString::to_string).collect(),
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

fn seeker<'a>(
    subject: &'a Subject<'a>,
    wish: Wish,
    catalogue: &dyn Catalogue,
    settings: &'a Settings,
) -> Result<Seeker<'a>, PodFault> {
    Ok(Seeker {
        subject,
        settings,
        network_type: network_type(subject, wish.network.as_deref(), settings)?,
        network: wish.network,
        subnets: wish.subnets,
        family: family(subject, settings)?,
        kept: preferred(&kept(subject, catalogue, settings)),
        pooled: names_its_addresses(subject.metadata, settings),
    })
}

fn network_type(
    subject: &Subject<'_>,
    network: Option<&Network>,
    settings: &Settings,
) -> Result<NetworkType, SelectionError> {
    let word = annotation_or_label(subject.metadata, NETWORK_TYPE);
    let asked = word.map(NetworkType::parse_ignoring_case).transpose()?;
    let Some(network) = network else {
        return Ok(asked.unwrap_or(settings.default_network_type));
    };
    let name = network.name_any();
    let actual = network.spec.network_type();
    let actual = actual.map_err(|source| SelectionError::UnusableNetwork {
        network: name.clone(),
        source,
    })?;
    match asked {
        Some(asked) if asked != actual => Err(SelectionError::Type {
            key: NETWORK_TYPE,
            asked: asked.to_string(),
            network: name,
            actual,
        }),
        _ => Ok(actual),
    }
}

fn family(subject: &Subject<'_>, settings: &Settings) -> Result<PodFamily, SelectionError> {
    match annotation(subject.metadata, IP_FAMILY) {
        None => Ok(settings.default_ip_family),
        Some(word) => {
            PodFamily::parse_ignoring_case(word).ok_or_else(|| SelectionError::Family(word.to_owned()))
        }
    }
}

fn verdict(
    seeker: &Seeker<'_>,
    namespace: Option<&Namespace>,
    catalogue: &Fresh<'_>,
) -> Result<Vec<Doubt>, PodFault> {
    keeps_what_it_asks_for(seeker)?;
    let pools = Pools::of(seeker)?;
    let network = home(seeker, catalogue)?;
    let mut doubts = pools.doubts(seeker);
    if let Some(network) = &network {
        allowed::places(seeker, network, catalogue)?;
        let subnets = catalogue.subnets_of(&network.name_any());
        doubts.extend(pools.in_their_places(seeker, &subnets, catalogue)?);
        // Addresses that are kept or named are there, however full the network is.
        if seeker.kept.is_empty() && !seeker.pooled {
            doubts.extend(other_family(seeker, catalogue));
            doubts.extend(outlook(seeker, room(seeker, network, &subnets))?);
        }
    }
    doubts.extend(allowed::number(seeker, namespace, catalogue)?);
    Ok(doubts)
}

// Nodes of an underlay network say by their labels when it is full, and its pods wait for the scheduler. That a
// network has nothing for this namespace they do not say.
fn outlook(seeker: &Seeker<'_>, room: Result<Vec<Doubt>, PodFault>) -> Result<Vec<Doubt>, PodFault> {
    match room {
        Err(PodFault::NothingOpen { network, family, .. }) if !seeker.network_type.is_unique() => {
            Ok(vec![Doubt::NothingOpen { network, family }])
        }
        Err(PodFault::Full { .. }) if !seeker.network_type.is_unique() => Ok(Vec::new()),
        room => room,
    }
}

// The network that is named, or the only one of its type. Which underlay network it will be is the scheduler's
// choice, and that of kept addresses was made long ago.
fn home(seeker: &Seeker<'_>, catalogue: &dyn Catalogue) -> Result<Option<Arc<Network>>, PodFault> {
    let type_ = seeker.network_type;
    match &seeker.network {
        Some(network) => Ok(Some(network.clone())),
        None if !type_.is_unique() || !seeker.kept.is_empty() => Ok(None),
        None => {
            let found = catalogue.networks_of_type(type_).into_iter().next();
            found.map(Some).ok_or(PodFault::NoNetworkOfType(type_))
        }
    }
}

fn keeps_what_it_asks_for(seeker: &Seeker<'_>) -> Result<(), PodFault> {
    let Some(network) = &seeker.network else {
        return Ok(());
    };
    let asked = network.name_any();
    for kept in &seeker.kept {
        let address = kept.spec.address.ip.clone();
        if kept.spec.network != asked {
            return Err(PodFault::KeptInNetwork {
                address,
                kept: kept.spec.network.clone(),
                asked,
            });
        }
        // With a pool it is the pool that says which addresses they are.
        let names_others = !seeker.subnets.is_empty() && !seeker.subnets.contains(&kept.spec.subnet);
        if names_others && !seeker.pooled {
            return Err(PodFault::KeptInSubnet {
                address,
                kept: kept.spec.subnet.clone(),
                asked: seeker.subnets.join("/"),
            });
        }
    }
    Ok(())
}

// One subnet for each family that is asked for, or none at all.
fn other_family(seeker: &Seeker<'_>, catalogue: &dyn Catalogue) -> Option<Doubt> {
    let version = |name: &String| {
        let subnet = catalogue.subnet(name);
        subnet
            .map(|subnet| subnet.spec.range.version.clone())
            .unwrap_or_default()
    };
    let named = seeker.subnets.iter().map(version);
    let asked = seeker.family.families().iter().map(|family| family.version());
    let fits = seeker.subnets.is_empty() || named.eq(asked);
    (!fits).then(|| Doubt::SubnetFamily {
        subnets: seeker.subnets.join("/"),
        family: seeker.family,
    })
}
