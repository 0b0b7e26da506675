//! Networks: judged by the rules of `api::validation` against a live list (control-plane 5.3).

use std::time::Instant;

use hybridnet_api::multicluster::RemoteCluster;
use hybridnet_api::names::label;
use hybridnet_api::validation::network::{self as rules, Dependants, NetworkFault, Surroundings};
use hybridnet_api::{IpInstance, Network, NetworkType, Subnet};
use kube::ResourceExt;

use crate::admission::Admission;
use crate::live::{addresses, list, list_if_served};
use crate::namespaces;
use crate::review::{Allowed, Answer, Refusal, Request};

/// Whether a new network is allowed.
pub async fn create(admission: &Admission, request: &Request) -> Answer {
    let network: Network = request.object()?;
    beside(admission, request, &network, |beside| {
        rules::create(&network, beside)
    })
    .await
}

/// Whether a network may become another.
pub async fn update(admission: &Admission, request: &Request) -> Answer {
    let (old, new): (Network, Network) = (request.old_object()?, request.object()?);
    if old.spec.node_selector == new.spec.node_selector {
        let nothing = Surroundings::default();
        rules::update(&old, &new, &nothing).map_err(|fault| denied(&new, &fault))?;
        return Ok(allowed(admission, &new));
    }
    beside(admission, request, &new, |beside| {
        rules::update(&old, &new, beside)
    })
    .await
}

// From the list to the decision nobody else decides: of two that come together one sees the other.
async fn beside(
    admission: &Admission,
    request: &Request,
    network: &Network,
    rule: impl Fn(&Surroundings<'_>) -> Result<(), NetworkFault>,
) -> Answer {
    let mut recent = admission.networks.lock().await;
    let now = Instant::now();
    let others = recent.beside(now, list(&admission.client).await?, &network.name_any());
    let nodes = admission.caches.nodes();
    let surroundings = Surroundings {
        networks: &others,
        nodes: &nodes,
    };
    rule(&surroundings).map_err(|fault| denied(network, &fault))?;
    if request.counts() {
        recent.allow(now, network);
    }
    Ok(allowed(admission, network))
}

fn allowed(admission: &Admission, network: &Network) -> Allowed {
    Allowed {
        warnings: namespaces::doubts(network.spec.allowed_namespaces(), &*admission.caches),
        ..Allowed::default()
    }
}

/// Whether a network may go.
pub async fn delete(admission: &Admission, request: &Request) -> Answer {
    let network: Network = request.old_object()?;
    // A subnet that was allowed a moment ago counts, so nobody may allow one meanwhile.
    let mut recent = admission.subnets.lock().await;
    let subnets: Vec<Subnet> = recent.beside(Instant::now(), list(&admission.client).await?, "");
    let announced = announced(admission, &network).await?;
    let dependants = Dependants {
        subnets: &subnets,
        announced: &announced,
    };
    rules::delete(&network, &dependants).map_err(|fault| denied(&network, &fault))?;
    carries_no_other_cluster(admission, &network).await?;
    drop(recent);
    if request.counts() {
        admission.networks.lock().await.forget(&network.name_any());
    }
    Ok(Allowed::default())
}

async fn announced(admission: &Admission, network: &Network) -> Result<Vec<IpInstance>, Refusal> {
    let networks = list(&admission.client).await?;
    match rules::global_bgp_beside(network, &networks) {
        None => Ok(Vec::new()),
        Some(global) => addresses(&admission.client, label::NETWORK, &global).await,
    }
}

// Traffic to other clusters goes through the overlay.
async fn carries_no_other_cluster(admission: &Admission, network: &Network) -> Result<(), Refusal> {
    let is_overlay = network.spec.network_type() == Ok(NetworkType::Overlay);
    if !is_overlay || !admission.settings.gates.multi_cluster {
        return Ok(());
    }
    let clusters: Vec<RemoteCluster> = list_if_served(&admission.client).await?;
    let Some(cluster) = clusters.first() else {
        return Ok(());
    };
    Err(Refusal::denied(format!(
        "network {:?}: it carries the traffic to RemoteCluster {:?}: delete all RemoteClusters first",
        network.name_any(),
        cluster.name_any()
    )))
}

fn denied(network: &Network, fault: &NetworkFault) -> Refusal {
    Refusal::denied(format!("network {:?}: {fault}", network.name_any()))
}

#[cfg(test)]
mod tests;
