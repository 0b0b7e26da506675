//! CHECK: is the pod's network still what ADD made? Answered from the kernel; the daemon is not asked, since
//! it repairs what is the host's by itself.

use std::collections::BTreeSet;

use nix::ifaddrs::getifaddrs;

use crate::config::{Config, PrevInterface, PrevResult};
use crate::failure::{Code, Failure};
use crate::invocation::Sandbox;
use crate::link;

/// Names of the host's ends of pods begin so (datapath spec 2.6). Others in a chain's result belong to
/// other plugins.
const HOST_LINK_PREFIX: &str = "hybr";

pub(super) fn check(config: &Config, sandbox: &Sandbox) -> Result<String, Failure> {
    let Some(result) = &config.prev_result else {
        let text = "CHECK needs the result of the ADD: prevResult is missing in the configuration";
        return Err(Failure::new(Code::InvalidConfig, text));
    };
    let is_host_end =
        |link: &&PrevInterface| link.sandbox.is_empty() && link.name.starts_with(HOST_LINK_PREFIX);
    for host_end in result.interfaces.iter().filter(is_host_end) {
        check_link(host_end, "the host's namespace")?;
    }
    link::enter(&sandbox.netns).map_err(|error| {
        let text = format!(
            "unable to enter netns {} (CNI_NETNS): {error}",
            sandbox.netns.display()
        );
        Failure::new(Code::UnknownContainer, text)
    })?;
    let pod_link = result
        .interfaces
        .iter()
        .position(|link| !link.sandbox.is_empty() && link.name == sandbox.link)
        .and_then(|index| Some((index, result.interfaces.get(index)?)));
    let Some((index, pod_end)) = pod_link else {
        let text = format!("prevResult has no link {} in a sandbox", sandbox.link);
        return Err(Failure::new(Code::InvalidConfig, text));
    };
    check_link(pod_end, "the pod")?;
    check_addresses(result, index, &sandbox.link)?;
    Ok(String::new())
}

fn check_link(expected: &PrevInterface, place: &str) -> Result<(), Failure> {
    let PrevInterface { name, mac, .. } = expected;
    let found = link::get(name)
        .map_err(|error| Failure::new(Code::Io, format!("link {name} in {place}: {error}")))?
        .ok_or_else(|| different(format!("link {name} in {place} is gone")))?;
    if !found.up {
        return Err(different(format!("link {name} in {place} is down")));
    }
    if !mac.is_empty() && !found.mac.eq_ignore_ascii_case(mac) {
        return Err(different(format!(
            "link {name} in {place} has the MAC {}, not {mac}",
            found.mac
        )));
    }
    Ok(())
}

fn check_addresses(result: &PrevResult, link_index: usize, link: &str) -> Result<(), Failure> {
    let interfaces =
        getifaddrs().map_err(|error| Failure::new(Code::Io, format!("addresses of the pod: {error}")))?;
    let present: BTreeSet<String> = interfaces
        .filter(|entry| entry.interface_name == link)
        .filter_map(|entry| {
            let address = entry.address?;
            let v4 = address.as_sockaddr_in().map(|v4| v4.ip().to_string());
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().to_string()))
        })
        .collect();
    let expected = result
        .ips
        .iter()
        .filter(|ip| ip.interface.is_none_or(|index| index == link_index));
    for address in expected {
        let bare = address.address.split('/').next().unwrap_or_default();
        let canonical = bare
            .parse::<std::net::IpAddr>()
            .map_or_else(|_| bare.to_owned(), |ip| ip.to_string());
        if !present.contains(&canonical) {
            return Err(different(format!(
                "address {bare} is missing on link {link} in the pod"
            )));
        }
    }
    Ok(())
}

fn different(text: String) -> Failure {
    Failure::new(Code::NotAsAdded, text)
}
