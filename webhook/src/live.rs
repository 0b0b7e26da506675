//! Reads that must not come from a cache.

use std::fmt::Debug;

use hybridnet_api::names::label;
use hybridnet_api::object_name::is_object_name;
use hybridnet_api::pod::LABEL_LENGTH;
use hybridnet_api::{IpInstance, Network, Subnet};
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
    listed(Api::<K>::all(client.clone()).list(&ListParams::default()).await)
}

/// The same of a kind that a cluster need not have: then there is none.
pub async fn list_if_served<K>(client: &Client) -> Result<Vec<K>, Refusal>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    match Api::<K>::all(client.clone()).list(&ListParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Vec::new()),
        answer => listed(answer),
    }
}

/// The `IPInstance`s that carry this value of a label, in all namespaces; also reserved and terminating ones.
pub async fn addresses(client: &Client, key: &str, value: &str) -> Result<Vec<IpInstance>, Refusal> {
    // What is too long for a label labels nothing, and the API server would not take the question.
    if value.len() > LABEL_LENGTH {
        return Ok(Vec::new());
    }
    let labelled = ListParams::default().labels(&format!("{key}={value}"));
    listed(Api::<IpInstance>::all(client.clone()).list(&labelled).await)
}

/// The addresses of a subnet.
pub async fn addresses_of(client: &Client, subnet: &str) -> Result<Vec<IpInstance>, Refusal> {
    addresses(client, label::SUBNET, subnet).await
}

/// The network that a subnet belongs to, if it exists.
pub async fn parent(client: &Client, subnet: &Subnet) -> Result<Option<Network>, Refusal> {
    get(&Api::all(client.clone()), &subnet.spec.network).await
}

/// One object, if it exists. What cannot be a name names nothing, and never becomes part of a path.
pub async fn get<K>(api: &Api<K>, name: &str) -> Result<Option<K>, Refusal>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    if !is_object_name(name) {
        return Ok(None);
    }
    api.get_opt(name)
        .await
        .map_err(|error| unreadable::<K>(name, &error))
}

fn listed<K>(answer: kube::Result<kube::api::ObjectList<K>>) -> Result<Vec<K>, Refusal>
where
    K: Resource<DynamicType = ()> + Clone,
{
    answer
        .map(|list| list.items)
        .map_err(|error| unreadable::<K>("list of", &error))
}

fn unreadable<K: Resource<DynamicType = ()>>(what: &str, error: &kube::Error) -> Refusal {
    let plural = K::plural(&());
    let remedy = match error {
        kube::Error::Api(status) if status.is_forbidden() => {
            "give this right to the webhook's ServiceAccount"
        }
        _ => "try again",
    };
    Refusal::errored(format!("{plural}: {what}: {}: {remedy}", chain(error)))
}

#[cfg(test)]
mod tests {
    use hybridnet_service::testing::{Answer, FakeApi};

    use super::*;
    use crate::fixtures::Objects;

    #[tokio::test]
    async fn what_cannot_be_a_name_is_not_even_asked_for() {
        let fake = Objects::default();
        let networks = Api::<Network>::all(fake.client());
        for text in ["", "..", "over/status", "a?watch=true"] {
            assert_eq!(get(&networks, text).await, Ok(None), "{text}");
        }
        let subnets = addresses_of(&fake.client(), &"s".repeat(LABEL_LENGTH + 1)).await;
        assert_eq!(subnets, Ok(Vec::new()));
        assert!(fake.state().reads.is_empty());
    }

    #[tokio::test]
    async fn what_the_api_server_refuses_is_told_with_the_way_out() {
        for (code, reason, way_out) in [
            (
                403,
                "Forbidden",
                "give this right to the webhook's ServiceAccount",
            ),
            (503, "ServiceUnavailable", "try again"),
        ] {
            let api = FakeApi::new(move |_| Answer::status(code, reason));
            let refusals = [
                list::<Subnet>(&api.client()).await.map(drop),
                list_if_served::<Subnet>(&api.client()).await.map(drop),
                get(&Api::<Subnet>::all(api.client()), "s").await.map(drop),
            ];
            for refusal in refusals {
                let Refusal { code, message } = refusal.expect_err(reason);
                assert_eq!(code, 500);
                assert!(
                    message.starts_with("subnets: ") && message.ends_with(way_out),
                    "{message}"
                );
            }
        }
    }

    #[tokio::test]
    async fn of_a_kind_that_is_not_served_there_is_none() {
        let api = FakeApi::new(|_| Answer::not_found());
        assert_eq!(list_if_served::<Subnet>(&api.client()).await, Ok(Vec::new()));
        assert!(list::<Subnet>(&api.client()).await.is_err());
    }
}
