//! The pods that run here: their host ends, and the addresses that the node answers for (datapath spec 4.4, 5.4).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hybridnet_api::{IpInstance, pod};
use ipnetwork::IpNetwork;
use kube::ResourceExt;

use super::{HostEnd, Problem};
use crate::view::View;

/// What the `IPInstance`s of this node come to.
#[derive(Debug, Default)]
pub(super) struct Pods {
    /// By the name of the link.
    pub host_ends: BTreeMap<String, HostEnd>,
    pub addresses: BTreeSet<IpAddr>,
    /// Whence each address is.
    pub origins: BTreeMap<IpAddr, Origin>,
}

/// What the object of an address says of its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The range of its subnet.
    pub range: Option<IpNetwork>,
    pub network: String,
    pub net_id: Option<i32>,
}

/// An address that is bound to a pod of this node.
struct Bound<'a> {
    instance: &'a IpInstance,
    ip: IpAddr,
    /// Very old objects do not name their pod.
    host_end: Option<String>,
}

pub(super) fn of(view: &View, problems: &mut Vec<Problem>) -> Pods {
    let bound: Vec<_> = view
        .own
        .iter()
        .filter_map(|instance| bound(view, instance, problems))
        .collect();
    let live: BTreeSet<_> = bound
        .iter()
        .filter(|bound| bound.is_live())
        .map(|bound| &bound.host_end)
        .collect();
    let mut pods = Pods::default();
    for bound in &bound {
        // An address on its way out is served as long as its pod is there: that is, the link is, and no
        // successor of the same name has taken it.
        let served = bound.is_live() || !live.contains(&bound.host_end) && bound.has_link(view);
        if !served || bound.ip.is_ipv6() && !view.machine.ipv6_usable {
            continue;
        }
        pods.addresses.insert(bound.ip);
        pods.origins.insert(bound.ip, origin(bound.instance));
        if let Some(name) = &bound.host_end {
            pods.host_ends
                .entry(name.clone())
                .or_default()
                .addresses
                .insert(bound.ip);
        }
    }
    pods
}

impl Bound<'_> {
    fn is_live(&self) -> bool {
        self.instance.metadata.deletion_timestamp.is_none()
    }

    fn has_link(&self, view: &View) -> bool {
        self.host_end
            .as_ref()
            .is_some_and(|name| view.machine.link(name).is_some())
    }
}

fn origin(instance: &IpInstance) -> Origin {
    let address = instance.spec.address.ip.parse::<IpNetwork>().ok();
    Origin {
        range: address.and_then(|ip| IpNetwork::new(ip.network(), ip.prefix()).ok()),
        network: instance.spec.network.clone(),
        net_id: instance.spec.address.net_id,
    }
}

/// Reserved addresses, and those whose label lags behind their binding, are nobody's here.
fn bound<'a>(view: &View, instance: &'a IpInstance, problems: &mut Vec<Problem>) -> Option<Bound<'a>> {
    let binding = instance
        .spec
        .binding
        .as_ref()
        .filter(|binding| binding.node_name == view.node)?;
    let namespace = instance.namespace().unwrap_or_default();
    let Some(ip) = instance.spec.ip() else {
        problems.push(Problem {
            about: format!("IPInstance {namespace}/{}", instance.name_any()),
            reason: "InvalidAddress",
            message: format!("spec.address.ip {:?} is not an address", instance.spec.address.ip),
        });
        return None;
    };
    let host_end = (!binding.pod_name.is_empty()).then(|| pod::host_link_name(&namespace, &binding.pod_name));
    Some(Bound {
        instance,
        ip,
        host_end,
    })
}
