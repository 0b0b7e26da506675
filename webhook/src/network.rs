//! Networks: judged by the rules of `api::validation` against a live list (control-plane 5.3).

use std::time::Instant;

use hybridnet_api::names::label;
use hybridnet_api::validation::network::{self as rules, Dependants, NetworkFault, Surroundings};
use hybridnet_api::{IpInstance, Network, Subnet};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::admission::Admission;
use crate::live::{list, list_with};
use crate::review::{Allowed, Answer, Refusal, Request};

/// Whether a new network is allowed.
pub async fn create(admission: &Admission, request: &Request) -> Answer {
    let network: Network = request.object()?;
    let mut recent = admission.networks.lock().await;
    let now = Instant::now();
    let others = recent.beside(now, list(&admission.client).await?, &network.name_any());
    let nodes = admission.caches.nodes();
    let beside = Surroundings {
        networks: &others,
        nodes: &nodes,
    };
    rules::create(&network, &beside).map_err(|fault| denied(&network, &fault))?;
    if request.counts() {
        recent.allow(now, &network);
    }
    Ok(Allowed::default())
}

/// Whether a network may become another.
pub async fn update(admission: &Admission, request: &Request) -> Answer {
    let (old, new): (Network, Network) = (request.old_object()?, request.object()?);
    let needs_others = old.spec.node_selector != new.spec.node_selector;
    let others = if needs_others {
        list(&admission.client).await?
    } else {
        Vec::new()
    };
    let nodes = if needs_others {
        admission.caches.nodes()
    } else {
        Vec::new()
    };
    let beside = Surroundings {
        networks: &others,
        nodes: &nodes,
    };
    rules::update(&old, &new, &beside).map_err(|fault| denied(&new, &fault))?;
    Ok(Allowed::default())
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
    drop(recent);
    if request.counts() {
        admission.networks.lock().await.forget(&network.name_any());
    }
    Ok(Allowed::default())
}

async fn announced(admission: &Admission, network: &Network) -> Result<Vec<IpInstance>, Refusal> {
    let networks = list(&admission.client).await?;
    let Some(global) = rules::global_bgp_beside(network, &networks) else {
        return Ok(Vec::new());
    };
    let of_global = ListParams::default().labels(&format!("{}={global}", label::NETWORK));
    list_with(&Api::all(admission.client.clone()), &of_global).await
}

fn denied(network: &Network, fault: &NetworkFault) -> Refusal {
    Refusal::denied(format!("network {:?}: {fault}", network.name_any()))
}

#[cfg(test)]
mod tests;
