//! One pod's host end, without looking at anything else: the same work on a node of ten pods or five hundred.

use std::net::IpAddr;

use super::Kernel;
use super::apply::{Failure, Report, Worker};
use super::change::{Change, LinkChange};
use super::diff::{host_end_route, host_end_sysctls};
use super::names::{GATEWAY_V6, HOST_END};
use crate::plan::{HostEnd, Sysctl};

/// A pod whose veth is in place: its host end is in this namespace, named, and need not be up.
#[derive(Clone, Debug)]
pub struct NewPod<'a> {
    /// Name of the host end.
    pub link: &'a str,
    /// The pod's addresses.
    pub end: &'a HostEnd,
    /// Links on which the node answers for them: the VXLAN link, and that of the pod's VLAN.
    pub answers_on: &'a [String],
    /// Number of the table of host routes.
    pub local_direct: u32,
}

impl Kernel {
    /// Makes the node answer for and route to a pod (datapath spec 2.7, 5.4). Doing it twice is the same as
    /// once. A pass whose plan does not know the pod yet takes nothing from it. After a failure what was done stays: the caller removes the veth, and the kernel the rest.
    pub async fn add_pod(&self, pod: &NewPod<'_>) -> Result<(), Failure> {
        self.newcomers
            .admit(pod.link, pod.end.addresses.iter().copied())
            .await;
        let mut report = Report::default();
        let mut worker = Worker::new(&self.for_pods, &self.netns, self.proc_sys.clone());
        // Before the link is up: afterwards IPv6 has begun to look for duplicates.
        worker.write_sysctls(sysctls(pod), &mut report).await;
        if let Some(failure) = report.errors.pop() {
            return Err(failure);
        }
        for change in changes(pod) {
            if let Err(source) = worker.take(&change).await {
                return Err(Failure { change, source });
            }
        }
        Ok(())
    }
}

fn sysctls(pod: &NewPod<'_>) -> Vec<Change> {
    let text = |wanted| match wanted {
        Sysctl::Exactly(value) => value,
        Sysctl::AtLeast(least) => least.to_string(),
    };
    let step = |(path, wanted)| Change::Sysctl {
        path,
        value: text(wanted),
    };
    host_end_sysctls(pod.link, pod.end)
        .into_iter()
        .map(step)
        .collect()
}

fn changes(pod: &NewPod<'_>) -> Vec<Change> {
    let link = pod.link.to_owned();
    let mut changes = vec![Change::SetLink(LinkChange {
        name: link.clone(),
        mac: Some(HOST_END),
        mtu: None,
        up: true,
    })];
    if pod.end.addresses.iter().any(IpAddr::is_ipv6) {
        changes.push(Change::AddProxy {
            link,
            ip: GATEWAY_V6.into(),
        });
    }
    for ip in &pod.end.addresses {
        changes.push(Change::ReplaceRoute(host_end_route(
            pod.local_direct,
            pod.link,
            *ip,
        )));
        changes.extend(pod.answers_on.iter().map(|link| Change::AddProxy {
            link: link.clone(),
            ip: *ip,
        }));
    }
    changes
}
