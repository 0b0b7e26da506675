//! Reads that must not come from a cache.

use std::fmt::Debug;

use hybridnet_service::errors::chain;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::review::Refusal;

/// All objects of a kind without namespaces.
pub async fn list<K>(client: &Client) -> Result<Vec<K>, Refusal>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    list_with(&Api::all(client.clone()), &ListParams::default()).await
}

/// Some objects of a kind.
pub async fn list_with<K>(api: &Api<K>, params: &ListParams) -> Result<Vec<K>, Refusal>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let listed = api.list(params).await;
    listed
        .map(|list| list.items)
        .map_err(|error| unreadable::<K>("list of", &error))
}

/// One object, if it exists.
pub async fn get<K>(api: &Api<K>, name: &str) -> Result<Option<K>, Refusal>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    api.get_opt(name)
        .await
        .map_err(|error| unreadable::<K>(name, &error))
}

fn unreadable<K: Resource<DynamicType = ()>>(what: &str, error: &kube::Error) -> Refusal {
    let plural = K::plural(&());
    Refusal::errored(format!("{plural}: {what}: {}: try again", chain(error)))
}
