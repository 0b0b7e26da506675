//! `ip-pool` and `mac-pool` of a pod: what no pod of the workload could be given is refused, what one of them
//! cannot be given is told (control-plane 5.4, steps 4 and 5).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use hybridnet_api::address::{Family, ParsedRange, number};
use hybridnet_api::allowance::allows;
use hybridnet_api::names::annotation::{IP_POOL, IP_RETAIN, MAC_POOL};
use hybridnet_api::pod::{annotation, go_bool, is_stateful, ordinal};
use hybridnet_api::selection::Catalogue;
use hybridnet_api::{Subnet, pool};
use kube::ResourceExt;

use super::doubt::{Doubt, OneOf};
use super::fault::PodFault;
use super::seeker::Seeker;

/// The pools of a workload, a section an ordinal.
#[derive(Debug)]
pub struct Pools {
    ips: Vec<Vec<IpAddr>>,
    macs: Vec<String>,
}

impl Pools {
    /// Reads both. Like the original also those of pods that have no use for them.
    pub fn of(seeker: &Seeker<'_>) -> Result<Self, PodFault> {
        let metadata = seeker.subject.metadata;
        let ips = match annotation(metadata, IP_POOL) {
            None => Vec::new(),
            Some(_) if seeker.network.is_none() => return Err(PodFault::PoolWithoutNetwork),
            Some(text) => pool::ip_sections(text).map_err(PodFault::IpPool)?,
        };
        let macs = match annotation(metadata, MAC_POOL) {
            None => Vec::new(),
            Some(text) => pool::mac_sections(text).map_err(PodFault::MacPool)?,
        };
        Ok(Self { ips, macs })
    }

    /// What is wrong with them within themselves, and beside what the pod is and asks for.
    pub fn doubts(&self, seeker: &Seeker<'_>) -> Vec<Doubt> {
        if !is_stateful(seeker.subject.metadata, seeker.settings) {
            return without_effect(seeker);
        }
        let ips = self.ips.iter().flatten();
        let shared = repeated(ips.copied(), |ip| (Family::of(*ip), number(*ip)));
        let shared_macs = repeated(self.macs.iter().cloned(), String::clone);
        let doubts = [
            shared.map(Doubt::SharedAddress),
            self.of_other_family(seeker),
            too_short("ip-pool", self.ips.len(), seeker),
            shared_macs.map(Doubt::SharedMac),
            too_short("mac-pool", self.macs.len(), seeker),
            unreadable_retain(seeker),
        ];
        doubts.into_iter().flatten().collect()
    }

    fn of_other_family(&self, seeker: &Seeker<'_>) -> Option<Doubt> {
        let family = seeker.family;
        let is_other = |(_, section): &(usize, &Vec<IpAddr>)| {
            !section
                .iter()
                .map(|ip| Family::of(*ip))
                .eq(family.families().iter().copied())
        };
        let sections = self.ips.iter().enumerate().filter(is_other).map(|(at, _)| at);
        OneOf::all(sections).map(|sections| Doubt::PoolFamily { sections, family })
    }

    /// Whether each address belongs to a subnet of the network that the namespace may use. The pod's own must,
    /// unless it has it already.
    pub fn in_their_places(
        &self,
        seeker: &Seeker<'_>,
        subnets: &[Arc<Subnet>],
        catalogue: &dyn Catalogue,
    ) -> Result<Vec<Doubt>, PodFault> {
        // The caches may not know the subnets yet.
        let known = seeker.pooled && !subnets.is_empty();
        let Some(network) = seeker.network.as_ref().filter(|_| known) else {
            return Ok(Vec::new());
        };
        let map = Map::of(subnets);
        let own = usize::try_from(ordinal(seeker.subject.name)).ok();
        let held = seeker.held(catalogue);
        let is_held = |ip: IpAddr| held.iter().any(|instance| instance.spec.ip() == Some(ip));
        let (mut astray, mut of_others) = (Vec::new(), Vec::new());
        for (section, ips) in self.ips.iter().enumerate() {
            for ip in ips.iter().copied().filter(|ip| !is_held(*ip)) {
                match map.subnet_of(ip) {
                    None => astray.push(ip),
                    Some(subnet) if allows(subnet.spec.allowed_namespaces(), seeker.subject.namespace) => {}
                    Some(subnet) if own == Some(section) => {
                        return Err(PodFault::PoolNotAllowed {
                            ip,
                            section,
                            subnet: subnet.name_any(),
                            namespace: seeker.namespace(),
                        });
                    }
                    Some(subnet) => of_others.push((ip, subnet.name_any())),
                }
            }
        }
        let first_subnet = of_others.first().map(|(_, subnet)| subnet.clone());
        let not_allowed = OneOf::all(of_others.into_iter().map(|(ip, _)| ip)).zip(first_subnet);
        let astray = OneOf::all(astray).map(|ips| Doubt::Astray {
            ips,
            network: network.name_any(),
        });
        let not_allowed = not_allowed.map(|(ips, subnet)| Doubt::PoolNotAllowed {
            ips,
            subnet,
            namespace: seeker.namespace(),
        });
        Ok(astray.into_iter().chain(not_allowed).collect())
    }
}

/// Subnets by the addresses that pods can have of them.
struct Map<'a>(Vec<(&'a Subnet, ParsedRange)>);

impl<'a> Map<'a> {
    // Subnets that cannot be read have no addresses.
    fn of(subnets: &'a [Arc<Subnet>]) -> Self {
        let parsed = |subnet: &'a Arc<Subnet>| {
            let range = ParsedRange::parse(&subnet.spec.range).ok()?;
            Some((&**subnet, range))
        };
        Self(subnets.iter().filter_map(parsed).collect())
    }

    fn subnet_of(&self, ip: IpAddr) -> Option<&'a Subnet> {
        let has_it = |(_, range): &&(&Subnet, ParsedRange)| {
            range.family() == Family::of(ip) && range.contains(number(ip))
        };
        self.0.iter().find(has_it).map(|(subnet, _)| *subnet)
    }
}

fn repeated<T, K: Ord>(things: impl Iterator<Item = T>, key: impl Fn(&T) -> K) -> Option<OneOf<T>> {
    let (mut seen, mut told) = (BTreeSet::new(), BTreeSet::new());
    // Told once, however often it stands there.
    OneOf::all(things.filter(|thing| !seen.insert(key(thing)) && told.insert(key(thing))))
}

fn too_short(key: &'static str, sections: usize, seeker: &Seeker<'_>) -> Option<Doubt> {
    let ordinal = ordinal(seeker.subject.name);
    let is_missing = usize::try_from(ordinal).is_ok_and(|ordinal| ordinal >= sections);
    (sections > 0 && is_missing).then_some(Doubt::PoolTooShort {
        key,
        sections,
        ordinal,
    })
}

fn unreadable_retain(seeker: &Seeker<'_>) -> Option<Doubt> {
    let word = annotation(seeker.subject.metadata, IP_RETAIN)?;
    go_bool(word).is_none().then(|| Doubt::Retain {
        value: word.to_owned(),
        default: seeker.settings.default_ip_retain,
    })
}

fn without_effect(seeker: &Seeker<'_>) -> Vec<Doubt> {
    let keys = [
        (IP_POOL, "ip-pool"),
        (MAC_POOL, "mac-pool"),
        (IP_RETAIN, "ip-retain"),
    ];
    let is_set = |(key, _): &(&str, &str)| annotation(seeker.subject.metadata, key).is_some();
    let set = keys.into_iter().filter(is_set);
    let told = set.map(|(_, key)| Doubt::OnlyForStateful {
        key,
        kinds: seeker.settings.stateful_workload_kinds.join(", "),
    });
    told.collect()
}
