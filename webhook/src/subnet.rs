//! Subnets: judged by the rules of `api::validation` against a live list (control-plane 5.5).

use std::time::Instant;

use hybridnet_api::names::label;
use hybridnet_api::validation::subnet::{self as rules, SubnetFault};
use hybridnet_api::{Network, Subnet};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::admission::Admission;
use crate::live::{get, list, list_with};
use crate::review::{Allowed, Answer, Refusal, Request};

/// Whether a new subnet is allowed.
pub async fn create(admission: &Admission, request: &Request) -> Answer {
    let subnet: Subnet = request.object()?;
    // From the list to the decision: of two that come together one sees the other.
    let mut recent = admission.subnets.lock().await;
    let now = Instant::now();
    let network = parent(admission, &subnet).await?;
    let others = recent.beside(now, list(&admission.client).await?, &subnet.name_any());
    rules::create(&subnet, network.as_ref(), &others).map_err(|fault| denied(&subnet, &fault))?;
    if request.counts() {
        recent.allow(now, &subnet);
    }
    Ok(Allowed::default())
}

/// Whether a subnet may become another.
pub async fn update(admission: &Admission, request: &Request) -> Answer {
    let (old, new): (Subnet, Subnet) = (request.old_object()?, request.object()?);
    if old.spec == new.spec {
        return Ok(Allowed::default());
    }
    let network = parent(admission, &new).await?;
    let beside = rules::Surroundings {
        network: network.as_ref(),
        ..rules::Surroundings::default()
    };
    rules::update(&old, &new, &beside).map_err(|fault| match &fault {
        SubnetFault::NoNetwork(_) => Refusal::errored(text(&new, &fault)),
        _ => denied(&new, &fault),
    })?;
    Ok(Allowed::default())
}

/// Whether a subnet may go.
pub async fn delete(admission: &Admission, request: &Request) -> Answer {
    let subnet: Subnet = request.old_object()?;
    let of_subnet = ListParams::default().labels(&format!("{}={}", label::SUBNET, subnet.name_any()));
    let held = list_with(&Api::all(admission.client.clone()), &of_subnet).await?;
    rules::delete(&held).map_err(|fault| denied(&subnet, &fault))?;
    if request.counts() {
        admission.subnets.lock().await.forget(&subnet.name_any());
    }
    Ok(Allowed::default())
}

async fn parent(admission: &Admission, subnet: &Subnet) -> Result<Option<Network>, Refusal> {
    // The path of an empty name is that of the list.
    if subnet.spec.network.is_empty() {
        return Ok(None);
    }
    get(&Api::all(admission.client.clone()), &subnet.spec.network).await
}

fn denied(subnet: &Subnet, fault: &SubnetFault) -> Refusal {
    Refusal::denied(text(subnet, fault))
}

fn text(subnet: &Subnet, fault: &SubnetFault) -> String {
    format!("subnet {:?}: {fault}", subnet.name_any())
}

#[cfg(test)]
mod tests;
