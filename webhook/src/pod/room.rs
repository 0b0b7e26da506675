//! Whether a network has an address for one more pod (control-plane 5.4, step 7). A pod is refused only when no Subnet that it could get an address of has one: numbers that are not known yet count as
//! room, for the manager will see.

use std::sync::Arc;

use hybridnet_api::address::Family;
use hybridnet_api::allowance::allows;
use hybridnet_api::network::Count;
use hybridnet_api::{Network, Subnet};
use kube::ResourceExt;

use super::doubt::Doubt;
use super::fault::PodFault;
use super::seeker::Seeker;

/// Refuses a pod that gets nothing before somebody adds a Subnet or deletes pods.
pub fn room(seeker: &Seeker<'_>, network: &Network, subnets: &[Arc<Subnet>]) -> Result<Vec<Doubt>, PodFault> {
    let of_family = |family: &Family| {
        let theirs = subnets
            .iter()
            .filter(|subnet| Family::from_version(&subnet.spec.range.version) == Some(*family))
            .filter(|subnet| subnet.metadata.deletion_timestamp.is_none());
        let place = Place {
            seeker,
            network,
            family: *family,
            subnets: theirs.map(|subnet| &**subnet).collect(),
        };
        place.room()
    };
    let found: Result<Vec<_>, _> = seeker.family.families().iter().map(of_family).collect();
    Ok(found?.into_iter().flatten().collect())
}

struct Place<'a> {
    seeker: &'a Seeker<'a>,
    network: &'a Network,
    family: Family,
    subnets: Vec<&'a Subnet>,
}

impl Place<'_> {
    fn room(&self) -> Result<Option<Doubt>, PodFault> {
        if !self.seeker.subnets.is_empty() {
            return self.room_in_named();
        }
        let open: Vec<_> = self
            .subnets
            .iter()
            .filter(|subnet| self.is_open(subnet))
            .collect();
        // Nobody has counted a Subnet that was made or grew a moment ago, and the caches may not know it.
        let uncounted = open.iter().any(|subnet| available(subnet).is_none());
        let unknown = self.subnets.is_empty() && !self.is_full();
        if uncounted || unknown {
            return Ok(None);
        }
        match self.subnets.first() {
            Some(passed_over) if open.is_empty() && !self.is_full() => Err(PodFault::NothingOpen {
                network: self.network.name_any(),
                family: self.family,
                namespace: self.seeker.namespace(),
                passed_over: passed_over.name_any(),
            }),
            _ if self.is_full() || !open.iter().any(|subnet| has_room(subnet)) => Err(self.full()),
            _ => Ok(None),
        }
    }

    // A full Subnet that is named is waited for, unless the whole network is full.
    fn room_in_named(&self) -> Result<Option<Doubt>, PodFault> {
        let is_named = |subnet: &&&Subnet| self.seeker.subnets.contains(&subnet.name_any());
        match self.subnets.iter().find(is_named) {
            Some(named) if !has_room(named) && self.is_full() => Err(self.full()),
            Some(named) if !has_room(named) => Ok(Some(Doubt::FullSubnet(named.name_any()))),
            _ => Ok(None),
        }
    }

    // What automatic choice takes into account for this pod.
    fn is_open(&self, subnet: &Subnet) -> bool {
        !subnet.spec.is_private() && allows(subnet.spec.allowed_namespaces(), self.seeker.subject.namespace)
    }

    // Private subnets count in these numbers, so they only tell what is full.
    fn is_full(&self) -> bool {
        let status = self.network.status.as_ref();
        let count = status.and_then(|status| match self.family {
            Family::V4 => status.statistics,
            Family::V6 => status.ipv6_statistics,
        });
        count.is_some_and(|Count { available, .. }| available <= 0)
    }

    fn full(&self) -> PodFault {
        PodFault::Full {
            type_: self.seeker.network_type,
            network: self.network.name_any(),
            family: self.family,
            pods: self.seeker.family,
            namespace: self.seeker.namespace(),
        }
    }
}

fn has_room(subnet: &Subnet) -> bool {
    available(subnet).is_none_or(|available| available > 0)
}

// Nothing while nobody has counted the range as it is now.
fn available(subnet: &Subnet) -> Option<i32> {
    let status = subnet.status.as_ref()?;
    let observed = status
        .conditions
        .iter()
        .filter_map(|condition| condition.observed_generation);
    let is_outdated = observed
        .max()
        .is_some_and(|observed| Some(observed) < subnet.metadata.generation);
    (!is_outdated).then_some(status.available)
}
