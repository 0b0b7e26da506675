//! Subnets: judged by the rules of `api::validation` against live lists (control-plane 5.5).

use std::time::Instant;

use hybridnet_api::Subnet;
use hybridnet_api::validation::subnet::{self as rules, SubnetFault, Surroundings, changes_addresses};
use kube::ResourceExt;

use crate::admission::Admission;
use crate::live::{addresses_of, list, parent};
use crate::namespaces;
use crate::remote_subnet::beside_subnets;
use crate::review::{Allowed, Answer, Refusal, Request};

/// Whether a new subnet is allowed.
pub async fn create(admission: &Admission, request: &Request) -> Answer {
    let subnet: Subnet = request.object()?;
    // From the list to the decision: of two that come together one sees the other.
    let mut recent = admission.subnets.lock().await;
    let now = Instant::now();
    let network = parent(&admission.client, &subnet).await?;
    let others = recent.beside(now, list(&admission.client).await?, &subnet.name_any());
    rules::create(&subnet, network.as_ref(), &others).map_err(|fault| denied(&subnet, &fault))?;
    let remote = beside_subnets(admission).await?;
    rules::apart_from_remote(&subnet, &remote).map_err(|fault| denied(&subnet, &fault))?;
    if request.counts() {
        recent.allow(now, &subnet);
    }
    Ok(allowed(admission, &subnet))
}

/// Whether a subnet may become another.
pub async fn update(admission: &Admission, request: &Request) -> Answer {
    let (old, new): (Subnet, Subnet) = (request.old_object()?, request.object()?);
    let network = parent(&admission.client, &new).await?;
    let mut surroundings = Surroundings {
        network: network.as_ref(),
        ..Surroundings::default()
    };
    if !changes_addresses(&old, &new) {
        judged(&old, &new, &surroundings)?;
        return Ok(allowed(admission, &new));
    }
    let name = new.name_any();
    let mut recent = admission.subnets.lock().await;
    let now = Instant::now();
    let others = recent.beside(now, list(&admission.client).await?, &name);
    let remote = beside_subnets(admission).await?;
    let held = addresses_of(&admission.client, &name).await?;
    surroundings.others = &others;
    surroundings.remote = &remote;
    surroundings.held = &held;
    judged(&old, &new, &surroundings)?;
    if request.counts() {
        recent.allow(now, &new);
    }
    Ok(allowed(admission, &new))
}

fn judged(old: &Subnet, new: &Subnet, surroundings: &Surroundings<'_>) -> Result<(), Refusal> {
    rules::update(old, new, surroundings).map_err(|fault| match &fault {
        SubnetFault::NoNetwork(_) => Refusal::errored(text(new, &fault)),
        _ => denied(new, &fault),
    })
}

fn allowed(admission: &Admission, subnet: &Subnet) -> Allowed {
    Allowed {
        warnings: namespaces::doubts(subnet.spec.allowed_namespaces(), &*admission.caches),
        ..Allowed::default()
    }
}

/// Whether a subnet may go.
pub async fn delete(admission: &Admission, request: &Request) -> Answer {
    let subnet: Subnet = request.old_object()?;
    let held = addresses_of(&admission.client, &subnet.name_any()).await?;
    rules::delete(&held).map_err(|fault| denied(&subnet, &fault))?;
    if request.counts() {
        admission.subnets.lock().await.forget(&subnet.name_any());
    }
    Ok(Allowed::default())
}

fn denied(subnet: &Subnet, fault: &SubnetFault) -> Refusal {
    Refusal::denied(text(subnet, fault))
}

fn text(subnet: &Subnet, fault: &SubnetFault) -> String {
    format!("subnet {:?}: {fault}", subnet.name_any())
}

#[cfg(test)]
mod tests;
