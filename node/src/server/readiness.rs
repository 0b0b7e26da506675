//! Whether this node has done its part for a pod (datapath spec 2.10): its network has a link to the other
//! nodes, and packets from its subnet find their table. Woken by each pass over the kernel.

use ipnetwork::IpNetwork;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use hybridnet_api::{Network, NetworkMode};

use crate::plan::{Path, Table};
use crate::run::reconcile::{Converged, KERNEL};
use crate::watch::Cache;

/// What a pod of a network needs to know of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Link to the other nodes.
    pub uplink: String,
    /// Largest packet that it carries.
    pub mtu: u32,
}

/// What is missing. Texts as the Go project has them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The address names a network that is not there.
    #[error("cannot get network {0}: it does not exist")]
    NoNetwork(String),
    /// A network that says something unknown.
    #[error("network {name}: {reason}")]
    BadNetwork {
        /// Its name.
        name: String,
        /// What it says.
        reason: String,
    },
    /// A kind of network that this daemon does not do.
    #[error("network {name} has mode {mode}, which this release does not carry: use an Overlay network")]
    UnknownMode {
        /// Its name.
        name: String,
        /// The mode.
        mode: &'static str,
    },
    /// Nothing has been put into the kernel yet, or no overlay.
    #[error("vxlan device of this node does not exist, waiting for daemon to create it{0}")]
    NoUplink(Why),
    /// The link of a VLAN was not made.
    #[error("forward link {0} does not exist, waiting for daemon to create it{1}")]
    NoLink(String, Why),
    /// The subnet is unknown to the kernel.
    #[error("policy rule for {0} is not created, waiting for daemon to create it{1}")]
    NoRule(IpNetwork, Why),
}

/// What the last pass said about it, if anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why(Option<String>);

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

/// Waits until a pod with `addresses` of `network` can be carried.
pub(super) async fn wait(
    networks: &Cache<Network>,
    network: &str,
    converged: &watch::Receiver<Option<Converged>>,
    addresses: &[IpNetwork],
    deadline: Instant,
) -> Result<Prepared, NotReady> {
    check_mode(networks, network, deadline).await?;
    let mut converged = converged.clone();
    let ready = converged.wait_for(|now| of(now.as_ref(), addresses).is_ok());
    // Both errors mean that it did not come to be: the time is over, or the daemon ends.
    let _ = timeout_at(deadline, ready).await;
    of(converged.borrow().as_ref(), addresses)
}

/// Addresses may be seen before their network: these are two watches.
async fn check_mode(networks: &Cache<Network>, name: &str, deadline: Instant) -> Result<(), NotReady> {
    let mut store = networks.subscribe();
    let known = store.wait_for(|store| store.of_namespace("").any(|network| is_named(network, name)));
    let _ = timeout_at(deadline, known).await;
    let network = networks
        .get("", name)
        .ok_or_else(|| NotReady::NoNetwork(name.to_owned()))?;
    match network.spec.network_mode() {
        Ok(NetworkMode::Vxlan) => Ok(()),
        Ok(mode) => Err(NotReady::UnknownMode {
            name: name.to_owned(),
            mode: mode.as_str(),
        }),
        Err(error) => Err(NotReady::BadNetwork {
            name: name.to_owned(),
            reason: error.to_string(),
        }),
    }
}

fn is_named(network: &Network, name: &str) -> bool {
    network.metadata.name.as_deref() == Some(name)
}

/// The answer as of one pass.
fn of(now: Option<&Converged>, addresses: &[IpNetwork]) -> Result<Prepared, NotReady> {
    let Some(now) = now else {
        return Err(NotReady::NoUplink(Why::default()));
    };
    // What could not even be read may lack everything.
    if let Why(Some(reason)) = failure(now, KERNEL) {
        return Err(NotReady::NoUplink(Why(Some(reason))));
    }
    let mut prepared: Option<Prepared> = None;
    for address in addresses {
        let path = carried(now, *address)?;
        // A pod has one link for both families: what the narrower path carries.
        let mtu = prepared
            .as_ref()
            .map_or(path.mtu, |first| first.mtu.min(path.mtu));
        let uplink = prepared.map_or_else(|| path.link.clone(), |first| first.uplink);
        prepared = Some(Prepared { uplink, mtu });
    }
    prepared.ok_or_else(|| NotReady::NoUplink(Why::default()))
}

/// How pods with that address are carried, if they are: by a link and a rule that exist.
fn carried(now: &Converged, address: IpNetwork) -> Result<&Path, NotReady> {
    let subnet = subnet_of(address);
    let Some(path) = now.plan.path_of(address) else {
        let has_overlay = now.plan.vxlan.is_some();
        return Err(if has_overlay {
            NotReady::NoRule(subnet, why(now, &subnet.to_string()))
        } else {
            NotReady::NoUplink(why(now, "overlay"))
        });
    };
    if let Why(Some(reason)) = failure(now, &format!("link {}", path.link)) {
        let why = Why(Some(reason));
        return Err(match path.mode {
            NetworkMode::Vxlan => NotReady::NoUplink(why),
            _ => NotReady::NoLink(path.link.clone(), why),
        });
    }
    let refused = failure(now, &format!("rule from {subnet}"));
    if refused.0.is_some() {
        return Err(NotReady::NoRule(subnet, refused));
    }
    if !now.plan.tables.contains_key(&Table::FromSubnet(subnet)) {
        return Err(NotReady::NoRule(subnet, why(now, &subnet.to_string())));
    }
    Ok(path)
}

/// What the kernel refused about it.
fn failure(now: &Converged, object: &str) -> Why {
    let about = now.failures.iter().find(|failure| failure.about == object);
    Why(about.map(|failure| failure.message.clone()))
}

/// What could not even be planned.
fn why(now: &Converged, object: &str) -> Why {
    let problem = now
        .plan
        .problems
        .iter()
        .find(|problem| problem.about.contains(object));
    Why(problem.map(|problem| problem.message.clone()))
}

/// The range that an address with its prefix length lies in.
fn subnet_of(address: IpNetwork) -> IpNetwork {
    IpNetwork::new(address.network(), address.prefix()).unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use kube::runtime::watcher::Event;

    use super::*;
    use crate::plan::{Path, Plan, Problem, TableRoutes, Vxlan};
    use crate::testing::{overlay, underlay};

    fn path(mode: NetworkMode, link: &str, mtu: u32) -> Path {
        Path {
            mode,
            link: link.into(),
            mtu,
            gateway: None,
            answers_on: [link.to_owned()].into(),
        }
    }

    /// A node without an overlay, on two VLANs.
    fn vlans() -> Converged {
        let subnets = [("10.0.0.0/24", "eth0", 9000), ("fd01::/64", "eth0.7", 1500)];
        let mut plan = Plan::default();
        for (cidr, link, mtu) in subnets {
            let cidr = cidr.parse().unwrap();
            plan.tables
                .insert(Table::FromSubnet(cidr), TableRoutes::default());
            plan.paths.insert(cidr, path(NetworkMode::Vlan, link, mtu));
        }
        Converged {
            plan: Arc::new(plan),
            failures: vec![],
        }
    }

    fn pass(subnets: &[&str]) -> Converged {
        let vxlan = Vxlan {
            name: "eth0.vxlan4".into(),
            parent: "eth0".into(),
            vni: 4,
            mac: crate::mac::Mac::default(),
            local: "192.168.0.1".parse().unwrap(),
            port: 8472,
            mtu: 1450,
            addresses: [].into(),
            peers: [].into(),
        };
        let table = |cidr: &&str| (Table::FromSubnet(cidr.parse().unwrap()), TableRoutes::default());
        let tables = subnets.iter().map(table).collect();
        let path = |cidr: &&str| (cidr.parse().unwrap(), path(NetworkMode::Vxlan, &vxlan.name, 1450));
        let paths = subnets.iter().map(path).collect();
        Converged {
            plan: Arc::new(Plan {
                vxlan: Some(vxlan),
                tables,
                paths,
                ..Plan::default()
            }),
            failures: vec![],
        }
    }

    fn addresses(all: &[&str]) -> Vec<IpNetwork> {
        all.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn problem(about: &str, message: &str) -> Problem {
        Problem {
            about: about.into(),
            reason: "Failed",
            message: message.into(),
        }
    }

    #[test]
    fn every_subnet_of_the_pod_must_have_its_rule() {
        let pod = addresses(&["10.14.0.5/16", "fd00::5/64"]);

        assert_eq!(
            of(Some(&pass(&["10.14.0.0/16"])), &pod).unwrap_err().to_string(),
            "policy rule for fd00::/64 is not created, waiting for daemon to create it"
        );
        let prepared = of(Some(&pass(&["10.14.0.0/16", "fd00::/64"])), &pod).unwrap();
        assert_eq!(
            prepared,
            Prepared {
                uplink: "eth0.vxlan4".into(),
                mtu: 1450
            }
        );
    }

    #[test]
    fn a_pod_of_a_vlan_has_the_mtu_of_its_link_and_of_two_the_smaller() {
        let v4 = of(Some(&vlans()), &addresses(&["10.0.0.5/24"])).unwrap();
        let both = of(Some(&vlans()), &addresses(&["10.0.0.5/24", "fd01::5/64"])).unwrap();

        assert_eq!((v4.uplink.as_str(), v4.mtu), ("eth0", 9000));
        assert_eq!((both.uplink.as_str(), both.mtu), ("eth0", 1500));
    }

    #[test]
    fn a_vlan_whose_link_was_not_made_names_it() {
        let mut without_link = vlans();
        without_link
            .failures
            .push(problem("link eth0.7", "operation not supported"));

        let refused = of(Some(&without_link), &addresses(&["fd01::5/64"])).unwrap_err();

        assert_eq!(
            refused.to_string(),
            "forward link eth0.7 does not exist, waiting for daemon to create it: operation not supported"
        );
        assert!(of(Some(&without_link), &addresses(&["10.0.0.5/24"])).is_ok());
    }

    #[test]
    fn what_the_kernel_refused_is_not_ready_and_says_why() {
        let pod = addresses(&["10.14.0.5/16"]);
        let mut refused = pass(&["10.14.0.0/16"]);
        refused
            .failures
            .push(problem("rule from 10.14.0.0/16", "no space left"));
        let mut without_link = pass(&["10.14.0.0/16"]);
        without_link
            .failures
            .push(problem("link eth0.vxlan4", "operation not supported"));

        let mut unread = pass(&["10.14.0.0/16"]);
        unread
            .failures
            .push(problem(KERNEL, "list of links: interrupted"));

        let nothing = of(Some(&unread), &pod).unwrap_err().to_string();
        let rule = of(Some(&refused), &pod).unwrap_err().to_string();
        let link = of(Some(&without_link), &pod).unwrap_err().to_string();

        assert!(
            rule.ends_with("waiting for daemon to create it: no space left"),
            "{rule}"
        );
        assert!(
            link.contains("vxlan device") && link.ends_with(": operation not supported"),
            "{link}"
        );
        assert!(nothing.ends_with(": list of links: interrupted"), "{nothing}");
        assert!(matches!(of(None, &pod), Err(NotReady::NoUplink(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_waits_for_its_network_and_then_for_the_pass_that_carries_it() {
        let (networks, (sender, converged)) = (Cache::default(), watch::channel(None));
        let deadline = Instant::now() + Duration::from_secs(20);
        let pod = addresses(&["10.14.0.5/16"]);
        let waiting = wait(&networks, "overlay", &converged, &pod, deadline);
        let events = async {
            tokio::task::yield_now().await;
            networks.apply(Event::Apply(overlay("overlay", 4)));
            tokio::task::yield_now().await;
            sender.send_replace(Some(pass(&[])));
            tokio::task::yield_now().await;
            sender.send_replace(Some(pass(&["10.14.0.0/16"])));
        };

        let (prepared, ()) = tokio::join!(waiting, events);

        assert_eq!(prepared.unwrap().mtu, 1450);
        assert!(Instant::now() < deadline, "no timer had to fire");
    }

    #[tokio::test(start_paused = true)]
    async fn networks_that_are_missing_or_of_another_mode_are_named() {
        let (networks, (_sender, converged)) = (Cache::default(), watch::channel(None));
        networks.apply(Event::Apply(underlay("vlan", "VLAN")));
        let deadline = Instant::now() + Duration::from_secs(1);

        let missing = wait(&networks, "none", &converged, &[], deadline)
            .await
            .unwrap_err();
        let other = wait(&networks, "vlan", &converged, &[], deadline)
            .await
            .unwrap_err();

        assert_eq!(missing, NotReady::NoNetwork("none".into()));
        assert!(
            other
                .to_string()
                .starts_with("network vlan has mode VLAN, which this release does not carry")
        );
    }
}
