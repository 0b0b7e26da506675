//! A pod that wants in, and what is known of its wishes when the rules look at it.

use std::sync::Arc;

use hybridnet_api::pod::name_label;
use hybridnet_api::selection::{Catalogue, PodFamily, Subject};
use hybridnet_api::settings::Settings;
use hybridnet_api::{IpInstance, Network, NetworkType};

/// A pod whose words have been understood.
pub struct Seeker<'a> {
    /// The pod.
    pub subject: &'a Subject<'a>,
    /// How pods are read.
    pub settings: &'a Settings,
    /// The network that it names, by itself or by its subnets.
    pub network: Option<Arc<Network>>,
    /// The subnets that it names.
    pub subnets: Vec<String>,
    /// Type of its network.
    pub network_type: NetworkType,
    /// How many addresses it gets.
    pub family: PodFamily,
    /// The addresses that it keeps.
    pub kept: Vec<Arc<IpInstance>>,
    /// Whether its workload lists its addresses.
    pub pooled: bool,
}

impl Seeker<'_> {
    /// Its namespace, for a message.
    pub fn namespace(&self) -> String {
        self.subject.namespace.to_owned()
    }

    /// The addresses of its name that are not on their way out, kept or not.
    pub fn held(&self, catalogue: &dyn Catalogue) -> Vec<Arc<IpInstance>> {
        let label = name_label(self.subject.name);
        let mut held = catalogue.ip_instances_of_pod(self.subject.namespace, &label);
        held.retain(|instance| instance.metadata.deletion_timestamp.is_none());
        held
    }
}
