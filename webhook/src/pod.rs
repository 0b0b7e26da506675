//! Pods: which network they get is written into them (control-plane 5.2), and what cannot get one is
//! refused (5.4).

mod allowed;
mod doubt;
mod fault;
mod judge;
mod place;
mod pools;
mod room;
mod seeker;

use hybridnet_api::names::annotation;
use hybridnet_api::pod::{annotation as annotated, is_stateful};
use hybridnet_api::selection::{Subject, kept, preferred};
use hybridnet_api::settings::Settings;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ObjectMeta;
use serde_json::Value;

use crate::admission::Admission;
use crate::fresh::Fresh;
use crate::review::{Allowed, Answer, Refusal, Request};
use crate::vm;
use place::Placement;

/// Fills in the network of a new pod.
pub async fn mutate(admission: &Admission, request: &Request) -> Answer {
    let pod: Pod = request.object()?;
    let raw = request.object.as_ref().unwrap_or_default();
    if is_of_host(&pod) {
        return Ok(place::tolerating(raw, &pod));
    }
    let answer = placed(admission, request, (raw, &pod)).await;
    answer.map_err(|refusal| refusal.about(named(request, &pod)))
}

async fn placed(admission: &Admission, request: &Request, (raw, pod): (&Value, &Pod)) -> Answer {
    let vm = machine(admission, request, pod).await?;
    let subject = subject(request, pod, vm.as_deref());
    let mut catalogue = Fresh::new(&admission.client, &*admission.caches);
    let selection = catalogue.select(&subject, &admission.settings).await?;
    let placement = Placement {
        raw,
        metadata: &pod.metadata,
        selection: &selection,
        kept: preferred(&kept(&subject, &catalogue, &admission.settings)),
    };
    Ok(placement.written(&catalogue, &admission.settings))
}

/// Refuses a new pod that cannot get a network.
pub async fn validate(admission: &Admission, request: &Request) -> Answer {
    let pod: Pod = request.object()?;
    if is_of_host(&pod) {
        return Ok(Allowed::default());
    }
    let answer = judged(admission, request, &pod).await;
    answer.map_err(|refusal| refusal.about(named(request, &pod)))
}

async fn judged(admission: &Admission, request: &Request, pod: &Pod) -> Answer {
    let vm = machine(admission, request, pod).await?;
    let subject = subject(request, pod, vm.as_deref());
    let mut catalogue = Fresh::new(&admission.client, &*admission.caches);
    judge::judge(&subject, &mut catalogue, &admission.settings).await
}

fn is_of_host(pod: &Pod) -> bool {
    pod.spec
        .as_ref()
        .is_some_and(|spec| spec.host_network == Some(true))
}

async fn machine(admission: &Admission, request: &Request, pod: &Pod) -> Result<Option<String>, Refusal> {
    vm::of_pod(
        &admission.client,
        &request.namespace,
        &pod.metadata,
        &admission.settings,
    )
    .await
}

// The object may have neither yet: namespace and name are those of the request.
fn subject<'a>(request: &'a Request, pod: &'a Pod, vm: Option<&'a str>) -> Subject<'a> {
    Subject {
        namespace: &request.namespace,
        name: name(request, pod),
        metadata: &pod.metadata,
        vm,
    }
}

fn name<'a>(request: &'a Request, pod: &'a Pod) -> &'a str {
    match request.name.as_str() {
        "" => pod.metadata.name.as_deref().unwrap_or_default(),
        name => name,
    }
}

// A pod that the server has yet to name is known by the beginning of its name.
fn named(request: &Request, pod: &Pod) -> String {
    match name(request, pod) {
        "" => {
            let beginning = pod.metadata.generate_name.as_deref().unwrap_or_default();
            format!("pod {:?}", format!("{beginning}*"))
        }
        name => format!("pod {name:?}"),
    }
}

/// Whether the pod's workload lists the addresses of its pods. Those of other pods are not looked at.
fn names_its_addresses(metadata: &ObjectMeta, settings: &Settings) -> bool {
    is_stateful(metadata, settings) && annotated(metadata, annotation::IP_POOL).is_some()
}

#[cfg(test)]
mod tests;
