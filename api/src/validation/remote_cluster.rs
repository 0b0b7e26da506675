//! Rules for `RemoteCluster`s: an endpoint that can be called, and something to show there.

use k8s_openapi::ByteString;

use crate::multicluster::{ApiEndpoint, EndpointFault, RemoteCluster, RemoteClusterSpec};

/// Why a remote cluster cannot be so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteClusterFault {
    /// Nowhere to call.
    #[error(
        "spec.apiEndpoint is empty: give the URL of the cluster's API server, such as https://10.0.0.1:6443"
    )]
    NoEndpoint,
    /// Not a URL that can be called.
    #[error(
        "spec.apiEndpoint {value:?} {fault}: write it as https://10.0.0.1:6443 or https://[fd00::1]:6443"
    )]
    Endpoint {
        /// What stands there.
        value: String,
        /// What is wrong.
        fault: EndpointFault,
    },
    /// Nothing to show.
    #[error("spec.{0} is empty: give PEM in base64, or name a Secret in spec.credentialsSecretRef")]
    NoCredential(&'static str),
    /// Half a reference.
    #[error("spec.credentialsSecretRef.{0} is empty: name the Secret and its namespace")]
    SecretReference(&'static str),
}

/// Whether a new remote cluster may come in, and what is doubtful about it.
pub fn create(cluster: &RemoteCluster) -> Result<Vec<String>, RemoteClusterFault> {
    let spec = &cluster.spec;
    let endpoint = endpoint(spec)?;
    credentials(spec)?;
    Ok(doubts(spec, &endpoint))
}

/// Whether a remote cluster may change, and what is doubtful about it. What was stored before a rule existed
/// may stay, and may be deleted.
pub fn update(old: &RemoteCluster, new: &RemoteCluster) -> Result<Vec<String>, RemoteClusterFault> {
    if old.spec == new.spec || new.metadata.deletion_timestamp.is_some() {
        return Ok(Vec::new());
    }
    let spec = &new.spec;
    if !same_credentials(&old.spec, spec) {
        credentials(spec)?;
    }
    match endpoint(spec) {
        Ok(endpoint) => Ok(doubts(spec, &endpoint)),
        Err(_) if old.spec.api_endpoint == spec.api_endpoint => Ok(Vec::new()),
        Err(fault) => Err(fault),
    }
}

fn endpoint(spec: &RemoteClusterSpec) -> Result<ApiEndpoint, RemoteClusterFault> {
    let value = spec.api_endpoint.clone();
    if value.is_empty() {
        return Err(RemoteClusterFault::NoEndpoint);
    }
    value
        .parse()
        .map_err(|fault| RemoteClusterFault::Endpoint { value, fault })
}

fn credentials(spec: &RemoteClusterSpec) -> Result<(), RemoteClusterFault> {
    if let Some(secret) = &spec.credentials_secret_ref {
        let parts = [("name", &secret.name), ("namespace", &secret.namespace)];
        return match parts.into_iter().find(|(_, value)| value.is_empty()) {
            Some((part, _)) => Err(RemoteClusterFault::SecretReference(part)),
            None => Ok(()),
        };
    }
    match inline(spec).into_iter().find(|(_, data, _)| is_empty(*data)) {
        Some((field, ..)) => Err(RemoteClusterFault::NoCredential(field)),
        None => Ok(()),
    }
}

fn same_credentials(old: &RemoteClusterSpec, new: &RemoteClusterSpec) -> bool {
    inline(old) == inline(new) && old.credentials_secret_ref == new.credentials_secret_ref
}

/// The credentials that stand in the object, with what their PEM is called.
fn inline(spec: &RemoteClusterSpec) -> [(&'static str, Option<&ByteString>, &'static str); 3] {
    [
        ("caData", spec.ca_data.as_ref(), "CERTIFICATE"),
        ("certData", spec.cert_data.as_ref(), "CERTIFICATE"),
        ("keyData", spec.key_data.as_ref(), "PRIVATE KEY"),
    ]
}

fn is_empty(data: Option<&ByteString>) -> bool {
    data.is_none_or(|data| data.0.is_empty())
}

fn doubts(spec: &RemoteClusterSpec, endpoint: &ApiEndpoint) -> Vec<String> {
    let mut doubts = Vec::new();
    if !endpoint.secure {
        doubts.push(
            "spec.apiEndpoint is http: nobody proves who he is, and all can read along; use https".to_owned(),
        );
    }
    for (field, data, label) in inline(spec) {
        let Some(data) = data.filter(|data| !data.0.is_empty()) else {
            continue;
        };
        if spec.credentials_secret_ref.is_some() {
            doubts.push(format!(
                "spec.{field} is not read: spec.credentialsSecretRef takes its place"
            ));
        } else if !holds(data, label) {
            doubts.push(format!("spec.{field} holds no PEM block of a {label}"));
        }
    }
    doubts
}

fn holds(data: &ByteString, label: &str) -> bool {
    let text = String::from_utf8_lossy(&data.0);
    let end = format!("{label}-----");
    let is_first = |line: &str| line.starts_with("-----BEGIN ") && line.ends_with(&end);
    text.lines().any(|line| is_first(line.trim_end()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n";

    fn cluster(endpoint: &str, credentials: [&str; 3]) -> RemoteCluster {
        let data = |text: &str| ByteString(text.as_bytes().to_vec());
        let [ca, certificate, key] = credentials.map(data);
        RemoteCluster::new(
            "east",
            RemoteClusterSpec {
                api_endpoint: endpoint.to_owned(),
                ca_data: Some(ca),
                cert_data: Some(certificate),
                key_data: Some(key),
                ..RemoteClusterSpec::default()
            },
        )
    }

    fn proper(endpoint: &str) -> RemoteCluster {
        cluster(endpoint, [CERTIFICATE, CERTIFICATE, KEY])
    }

    fn refused(cluster: &RemoteCluster) -> String {
        create(cluster).unwrap_err().to_string()
    }

    /// Scenario 137: endpoints and empty certificates.
    #[test]
    fn a_remote_cluster_needs_an_endpoint_and_credentials() {
        assert_eq!(create(&proper("https://1.2.3.4:6443")), Ok(vec![]));
        assert_eq!(create(&proper("https://[fd00::1]:6443")), Ok(vec![]));
        assert!(refused(&proper("")).starts_with("spec.apiEndpoint is empty: give the URL"));
        assert!(
            refused(&proper("1.2.3.4:6443"))
                .starts_with("spec.apiEndpoint \"1.2.3.4:6443\" does not begin with https://: write it as")
        );
        for (credentials, field) in [
            (["", CERTIFICATE, KEY], "caData"),
            ([CERTIFICATE, "", KEY], "certData"),
            ([CERTIFICATE, CERTIFICATE, ""], "keyData"),
        ] {
            let text = refused(&cluster("https://1.2.3.4:6443", credentials));
            assert!(
                text.starts_with(&format!("spec.{field} is empty: give PEM")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_secret_takes_the_place_of_credentials_in_the_object() {
        let of = |reference: Value| -> RemoteCluster {
            serde_json::from_value(json!({
                "apiVersion": "multicluster.alibaba.com/v1", "kind": "RemoteCluster", "metadata": {"name": "east"},
                "spec": {"apiEndpoint": "https://1.2.3.4:6443", "caData": "AA==", "credentialsSecretRef": reference},
            }))
            .unwrap()
        };
        let doubts = create(&of(json!({"name": "east", "namespace": "kube-system"}))).unwrap();
        assert_eq!(
            doubts,
            ["spec.caData is not read: spec.credentialsSecretRef takes its place"]
        );
        assert_eq!(
            refused(&of(json!({"name": "east", "namespace": ""}))),
            "spec.credentialsSecretRef.namespace is empty: name the Secret and its namespace"
        );
    }

    #[test]
    fn plain_http_and_what_is_no_pem_are_told() {
        let doubts = create(&cluster("http://a.b:80", ["ca", CERTIFICATE, KEY])).unwrap();
        let [http, ca] = doubts.as_slice() else {
            panic!("{doubts:?}")
        };
        assert!(http.contains("is http") && http.contains("use https"), "{http}");
        assert!(
            ca.contains("spec.caData holds no PEM block of a CERTIFICATE"),
            "{ca}"
        );
    }

    #[test]
    fn what_was_stored_before_may_stay_but_not_come_in() {
        let odd = cluster("https://a.b:99999", ["", "", ""]);
        assert_eq!(update(&odd, &odd), Ok(vec![]));
        let mut slow = odd.clone();
        slow.spec.timeout = Some(9);
        assert_eq!(update(&odd, &slow), Ok(vec![]));
        let mut moved = odd.clone();
        moved.spec.api_endpoint = "https://a.b:88888".to_owned();
        assert!(
            update(&odd, &moved)
                .unwrap_err()
                .to_string()
                .contains("\"88888\"")
        );
        let mut half = odd.clone();
        half.spec.ca_data = Some(ByteString(CERTIFICATE.as_bytes().to_vec()));
        assert_eq!(
            update(&odd, &half),
            Err(RemoteClusterFault::NoCredential("certData"))
        );
        moved.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).ok();
        assert_eq!(update(&odd, &moved), Ok(vec![]));
    }
}
