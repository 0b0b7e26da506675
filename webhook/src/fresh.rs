//! The caches, and what they did not hold yet: a pod may come in one breath with its namespace, network and
//! subnets. Only what a pod names and the caches lack is read live.

use std::sync::Arc;

use hybridnet_api::selection::{Catalogue, Selection, SelectionError, Subject, select};
use hybridnet_api::settings::Settings;
use hybridnet_api::{IpInstance, Network, NetworkType, Subnet};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt};

use crate::admission::Cluster;
use crate::live::get;
use crate::review::Refusal;

/// A catalogue that learns.
pub struct Fresh<'a> {
    client: &'a Client,
    caches: &'a dyn Cluster,
    networks: Vec<Arc<Network>>,
    subnets: Vec<Arc<Subnet>>,
    namespaces: Vec<Arc<Namespace>>,
}

impl<'a> Fresh<'a> {
    /// What the caches hold.
    pub fn new(client: &'a Client, caches: &'a dyn Cluster) -> Self {
        Self {
            client,
            caches,
            networks: Vec::new(),
            subnets: Vec::new(),
            namespaces: Vec::new(),
        }
    }

    /// What the pod gets. Errors of the choice are answered with 500, as the original does; it knows no networks
    /// that are for others.
    pub async fn select(&mut self, subject: &Subject<'_>, settings: &Settings) -> Result<Selection, Refusal> {
        let chosen = self
            .learning(|catalogue| select(subject, catalogue, settings))
            .await?;
        chosen.map_err(|error| match error {
            SelectionError::NotAllowed { .. } => Refusal::denied(error),
            _ => Refusal::errored(error),
        })
    }

    /// The namespace, if it exists.
    pub async fn namespace_of(&mut self, subject: &Subject<'_>) -> Result<Option<Arc<Namespace>>, Refusal> {
        let name = subject.namespace;
        let found = self
            .learning(|catalogue| {
                let missing = || SelectionError::NoNamespace(name.to_owned());
                catalogue.namespace(name).ok_or_else(missing)
            })
            .await?;
        Ok(found.ok())
    }

    /// The same, whatever the caches have.
    pub async fn namespace_by_now(&self, name: &str) -> Result<Option<Namespace>, Refusal> {
        get(&Api::all(self.client.clone()), name).await
    }

    /// The subnets of a network, as far as they are known.
    pub fn subnets_of(&self, network: &str) -> Vec<Arc<Subnet>> {
        let mut subnets = self.caches.subnets_of(network);
        let is_new = |learnt: &&Arc<Subnet>| {
            learnt.spec.network == network && self.caches.subnet(&learnt.name_any()).is_none()
        };
        subnets.extend(self.subnets.iter().filter(is_new).cloned());
        subnets
    }

    /// How many addresses the namespace holds.
    pub fn addresses_in(&self, namespace: &str) -> u64 {
        self.caches.addresses_in(namespace)
    }

    /// Judges, and judges again with what was missing, until nothing more can be learnt.
    pub async fn learning<T>(
        &mut self,
        judge: impl Fn(&dyn Catalogue) -> Result<T, SelectionError>,
    ) -> Result<Result<T, SelectionError>, Refusal> {
        loop {
            let judged = judge(self);
            let Err(error) = &judged else { return Ok(judged) };
            if !self.learn(error).await? {
                return Ok(judged);
            }
        }
    }

    async fn learn(&mut self, error: &SelectionError) -> Result<bool, Refusal> {
        match error {
            SelectionError::NoNetwork(name) => learn(self.client, &mut self.networks, name).await,
            SelectionError::NoSubnet { name, .. } => learn(self.client, &mut self.subnets, name).await,
            SelectionError::NoNamespace(name) => learn(self.client, &mut self.namespaces, name).await,
            _ => Ok(false),
        }
    }
}

async fn learn<K>(client: &Client, known: &mut Vec<Arc<K>>, name: &str) -> Result<bool, Refusal>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let found = get(&Api::<K>::all(client.clone()), name).await?;
    let is_new = found.is_some();
    known.extend(found.map(Arc::new));
    Ok(is_new)
}

fn named<K: kube::Resource>(known: &[Arc<K>], name: &str) -> Option<Arc<K>> {
    known.iter().find(|object| object.name_any() == name).cloned()
}

impl Catalogue for Fresh<'_> {
    fn network(&self, name: &str) -> Option<Arc<Network>> {
        self.caches.network(name).or_else(|| named(&self.networks, name))
    }

    fn networks_of_type(&self, wanted: NetworkType) -> Vec<Arc<Network>> {
        self.caches.networks_of_type(wanted)
    }

    fn subnet(&self, name: &str) -> Option<Arc<Subnet>> {
        self.caches.subnet(name).or_else(|| named(&self.subnets, name))
    }

    fn namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.caches
            .namespace(name)
            .or_else(|| named(&self.namespaces, name))
    }

    fn ip_instances_of_pod(&self, namespace: &str, pod_label: &str) -> Vec<Arc<IpInstance>> {
        self.caches.ip_instances_of_pod(namespace, pod_label)
    }

    fn ip_instances_of_vm(&self, namespace: &str, vm: &str) -> Vec<Arc<IpInstance>> {
        self.caches.ip_instances_of_vm(namespace, vm)
    }
}
