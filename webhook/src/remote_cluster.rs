//! `RemoteCluster`s: judged by the rules of `api::validation` alone (control-plane 5.6).

use hybridnet_api::multicluster::RemoteCluster;
use hybridnet_api::validation::remote_cluster as rules;
use kube::ResourceExt;

use crate::review::{Allowed, Answer, Operation, Refusal, Request};

/// Whether a remote cluster may come in, or become another.
pub fn check(request: &Request) -> Answer {
    let cluster: RemoteCluster = request.object()?;
    let judged = match request.operation {
        Operation::Update => rules::update(&request.old_object()?, &cluster),
        _ => rules::create(&cluster),
    };
    let name = || format!("remote cluster {:?}", cluster.name_any());
    let doubts = judged.map_err(|fault| Refusal::denied(fault).about(name()))?;
    Ok(Allowed {
        warnings: doubts
            .into_iter()
            .map(|doubt| format!("{}: {doubt}", name()))
            .collect(),
        ..Allowed::default()
    })
}

#[cfg(test)]
mod tests {
    use hybridnet_api::settings::Settings;
    use serde_json::{Value, json};

    use crate::fixtures::{World, remote};

    // "-----BEGIN CERTIFICATE-----" and "-----BEGIN PRIVATE KEY-----".
    const CERTIFICATE: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t";
    const KEY: &str = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t";

    fn cluster(endpoint: &str) -> Value {
        let spec =
            json!({"apiEndpoint": endpoint, "caData": CERTIFICATE, "certData": CERTIFICATE, "keyData": KEY});
        remote("RemoteCluster", "east", spec)
    }

    fn world() -> World {
        World::of(&[], Settings::default())
    }

    /// Scenario 137: endpoints and empty certificates.
    #[tokio::test]
    async fn a_remote_cluster_needs_an_endpoint_and_credentials() {
        let world = world();
        for endpoint in [
            "https://1.2.3.4:6443",
            "https://[fd00::1]:6443",
            "https://master:6443",
        ] {
            assert_eq!(world.warned(&cluster(endpoint)).await, [""; 0], "{endpoint}");
        }
        let text = world.denied(&cluster("1.2.3.4:6443")).await;
        assert!(
            text.starts_with("remote cluster \"east\": spec.apiEndpoint \"1.2.3.4:6443\" ")
                && text.contains("write it as https://"),
            "{text}"
        );
        for field in ["caData", "certData", "keyData"] {
            let mut bare = cluster("https://1.2.3.4:6443");
            bare["spec"][field] = json!("");
            let text = world.denied(&bare).await;
            assert!(
                text.starts_with(&format!(
                    "remote cluster \"east\": spec.{field} is empty: give PEM"
                )),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn a_doubt_comes_with_the_name() {
        let warnings = world().warned(&cluster("http://1.2.3.4:6443")).await;
        assert!(
            matches!(warnings.as_slice(), [one] if one.starts_with("remote cluster \"east\": spec.apiEndpoint is http")),
            "{warnings:?}"
        );
    }

    #[tokio::test]
    async fn a_stored_one_keeps_its_finalizer_and_goes_whatever_it_says() {
        let world = world();
        let old = cluster("1.2.3.4");
        let mut new = old.clone();
        new["metadata"]["finalizers"] = json!(["multicluster.alibaba.com/manager-runtime-registered"]);
        assert!(world.update(&old, &new).await.is_ok());
        new["spec"]["apiEndpoint"] = json!("5.6.7.8");
        let text = world.denied_change(&old, &new).await;
        assert!(text.contains("\"5.6.7.8\""), "{text}");
        assert!(world.delete(&old).await.is_ok());
    }
}
