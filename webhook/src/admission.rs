//! Which rule answers which request. Kinds and operations without a rule are allowed.

use std::sync::Arc;

use hybridnet_api::multicluster::RemoteSubnet;
use hybridnet_api::names::{GROUP, MULTICLUSTER_GROUP};
use hybridnet_api::selection::Catalogue;
use hybridnet_api::settings::Settings;
use hybridnet_api::validation::network::NodeLabels;
use hybridnet_api::{Network, Subnet};
use kube::Client;
use tokio::sync::Mutex;

use crate::recent::Recent;
use crate::review::{Allowed, Answer, Operation, Request};
use crate::{network, pod, remote_cluster, remote_subnet, subnet};

/// What the caches hold.
pub trait Cluster: Catalogue + Send + Sync {
    /// Names and labels of all nodes.
    fn nodes(&self) -> Vec<NodeLabels>;
    /// The Subnets of a Network, by name.
    fn subnets_of(&self, network: &str) -> Vec<Arc<Subnet>>;
    /// How many `IPInstance`s a namespace has; those that are being deleted do not count.
    fn addresses_in(&self, namespace: &str) -> u64;
}

/// What rules need to judge.
pub struct Admission {
    pub(crate) client: Client,
    pub(crate) caches: Arc<dyn Cluster>,
    pub(crate) settings: Settings,
    // Held from the list to the decision: two requests to one replica are judged one after the other. Who needs
    // two of them takes the one of the subnets first.
    pub(crate) networks: Mutex<Recent<Network>>,
    pub(crate) subnets: Mutex<Recent<Subnet>>,
    pub(crate) remote_subnets: Mutex<Recent<RemoteSubnet>>,
}

impl Admission {
    /// Rules over these caches, and over live lists through `client`.
    pub fn new(client: Client, caches: Arc<dyn Cluster>, settings: Settings) -> Self {
        Self {
            client,
            caches,
            settings,
            networks: Mutex::default(),
            subnets: Mutex::default(),
            remote_subnets: Mutex::default(),
        }
    }

    /// The answer to `/mutate`.
    pub async fn mutate(&self, request: &Request) -> Answer {
        match (kind(request), request.operation) {
            (("", "Pod"), Operation::Create) => pod::mutate(self, request).await,
            _ => Ok(Allowed::default()),
        }
    }

    /// The answer to `/validate`.
    pub async fn validate(&self, request: &Request) -> Answer {
        if request.operation == Operation::Update && !request.changes_spec() {
            return Ok(Allowed::default());
        }
        match (kind(request), request.operation) {
            ((GROUP, "Network"), Operation::Create) => network::create(self, request).await,
            ((GROUP, "Network"), Operation::Update) => network::update(self, request).await,
            ((GROUP, "Network"), Operation::Delete) => network::delete(self, request).await,
            ((GROUP, "Subnet"), Operation::Create) => subnet::create(self, request).await,
            ((GROUP, "Subnet"), Operation::Update) => subnet::update(self, request).await,
            ((GROUP, "Subnet"), Operation::Delete) => subnet::delete(self, request).await,
            ((MULTICLUSTER_GROUP, "RemoteCluster"), Operation::Create | Operation::Update) => {
                remote_cluster::check(request)
            }
            ((MULTICLUSTER_GROUP, "RemoteSubnet"), Operation::Create | Operation::Update) => {
                remote_subnet::check(self, request).await
            }
            ((MULTICLUSTER_GROUP, "RemoteSubnet"), Operation::Delete) => {
                remote_subnet::delete(self, request).await
            }
            (("", "Pod"), Operation::Create) => pod::validate(self, request).await,
            _ => Ok(Allowed::default()),
        }
    }
}

// A subresource is not the object that the rules are about.
fn kind(request: &Request) -> (&str, &str) {
    match request.sub_resource.as_deref() {
        None | Some("") => (&request.kind.group, &request.kind.kind),
        Some(_) => ("", ""),
    }
}
