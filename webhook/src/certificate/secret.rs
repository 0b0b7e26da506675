//! The shape of the Secret.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;

use super::Material;

/// Name of the Secret.
pub const NAME: &str = "hybridnet-webhook-certs";
const AUTHORITIES: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
const LEAF: &str = "tls.crt";
const LEAF_KEY: &str = "tls.key";

/// What the Secret holds; an entry that is missing or is not text reads as empty, and so as broken.
pub fn read(secret: &Secret) -> Material {
    let entry = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        bytes
            .and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
            .unwrap_or_default()
    };
    Material {
        authorities: entry(AUTHORITIES),
        authority_key: entry(AUTHORITY_KEY),
        leaf: entry(LEAF),
        leaf_key: entry(LEAF_KEY),
    }
}

/// `old` with our entries replaced and everything else of it kept: its resource version makes the write
/// fail when another replica was faster.
pub fn write(material: &Material, namespace: &str, old: Option<Secret>) -> Secret {
    let mut secret = old.unwrap_or_else(|| Secret {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        ..Secret::default()
    });
    let entries = [
        (AUTHORITIES, &material.authorities),
        (AUTHORITY_KEY, &material.authority_key),
        (LEAF, &material.leaf),
        (LEAF_KEY, &material.leaf_key),
    ];
    let data = secret.data.get_or_insert_with(BTreeMap::new);
    for (key, text) in entries {
        data.insert(key.to_owned(), ByteString(text.clone().into_bytes()));
    }
    secret
}
