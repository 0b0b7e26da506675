//! What a pod's metadata says, and what follows from its name.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use md5::{Digest, Md5};
use sha1::Sha1;

use crate::names::{NO_ORDINAL, annotation as key};
use crate::settings::Settings;

/// Longest label value that Kubernetes takes.
pub const LABEL_LENGTH: usize = 63;
const KEPT_OF_LONG_NAME: usize = 31;

/// The words that Go takes for booleans; nothing for others.
pub fn go_bool(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// An annotation that is not empty.
pub fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    let value = meta.annotations.as_ref()?.get(key)?;
    (!value.is_empty()).then_some(value)
}

/// A label that is not empty.
pub fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    let value = meta.labels.as_ref()?.get(key)?;
    (!value.is_empty()).then_some(value)
}

/// The annotation, else the label of the same key.
pub fn annotation_or_label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    annotation(meta, key).or_else(|| label(meta, key))
}

/// The owner that controls the object.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    let owners = meta.owner_references.as_ref()?;
    owners.iter().find(|owner| owner.controller == Some(true))
}

/// Whether the pod belongs to a workload whose pods have identities. Only the kind of the controller
/// counts, not its API group.
pub fn is_stateful(meta: &ObjectMeta, settings: &Settings) -> bool {
    controller_of(meta).is_some_and(|owner| settings.stateful_workload_kinds.contains(&owner.kind))
}

/// What `ip-retain` says, else the default. Only meant for stateful pods.
pub fn retains(meta: &ObjectMeta, settings: &Settings) -> bool {
    annotation(meta, key::IP_RETAIN)
        .and_then(go_bool)
        .unwrap_or(settings.default_ip_retain)
}

/// A name as a label value: up to 63 bytes as it is, longer ones as their first 31 bytes and the MD5 of the
/// rest. Every look-up of a pod's addresses goes through it, so it may never change.
pub fn name_label(name: &str) -> String {
    if name.len() <= LABEL_LENGTH {
        return name.to_owned();
    }
    // Names of objects are ASCII. Should one not be, the cut moves to the next character.
    let cut = (KEPT_OF_LONG_NAME..=name.len())
        .find(|cut| name.is_char_boundary(*cut))
        .unwrap_or(name.len());
    let (kept, rest) = name.split_at(cut);
    format!("{kept}{:x}", Md5::digest(rest))
}

/// The number after the last dash of a pod's name, or [`NO_ORDINAL`].
pub fn ordinal(name: &str) -> i32 {
    let number = name.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
    number.unwrap_or(NO_ORDINAL)
}

/// Name of the host's end of a pod's link (datapath spec 2.6).
pub fn host_link_name(namespace: &str, pod: &str) -> String {
    let hash = format!("{:x}", Sha1::digest(format!("{namespace}.{pod}")));
    format!("hybr{hash:.11}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Scenario 22: a pod name as a label.
    #[test]
    fn long_names_are_hashed_as_the_original_does() {
        let long = "a".repeat(70);
        let expected = format!("{}08b2f2b0864bac1ba1585043362cbec9", "a".repeat(31));
        assert_eq!(name_label(&long), expected);
        assert_eq!(expected.len(), LABEL_LENGTH);
        let short = "b".repeat(63);
        assert_eq!(name_label(&short), short);
        assert_eq!(name_label(&format!("{short}b")).len(), LABEL_LENGTH);
    }

    /// Scenario 25: the ordinal in a pod name.
    #[test]
    fn ordinals_stand_after_the_last_dash() {
        for (name, expected) in [
            ("web-3", 3),
            ("web", NO_ORDINAL),
            ("a-b-12", 12),
            ("web-", NO_ORDINAL),
            ("web-x", NO_ORDINAL),
            ("web-99999999999", NO_ORDINAL),
        ] {
            assert_eq!(ordinal(name), expected, "{name}");
        }
    }

    #[test]
    fn the_host_link_is_named_by_a_hash_of_namespace_and_name() {
        assert_eq!(host_link_name("default", "web-0"), "hybr0d7763386da");
        assert_eq!(host_link_name("a", "b").len(), 15);
    }

    #[test]
    fn only_the_words_of_go_are_booleans() {
        for word in ["1", "t", "T", "TRUE", "true", "True"] {
            assert_eq!(go_bool(word), Some(true));
        }
        for word in ["0", "f", "F", "FALSE", "false", "False"] {
            assert_eq!(go_bool(word), Some(false));
        }
        for word in ["", "yes", "tRUE", "on"] {
            assert_eq!(go_bool(word), None);
        }
    }

    fn meta(annotation: &str, label: &str) -> ObjectMeta {
        let map = |value: &str| Some(BTreeMap::from([("k".to_owned(), value.to_owned())]));
        ObjectMeta {
            annotations: map(annotation),
            labels: map(label),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn an_annotation_wins_over_a_label_unless_it_is_empty() {
        assert_eq!(annotation_or_label(&meta("a", "l"), "k"), Some("a"));
        assert_eq!(annotation_or_label(&meta("", "l"), "k"), Some("l"));
        assert_eq!(annotation_or_label(&meta("", ""), "k"), None);
        assert_eq!(annotation_or_label(&ObjectMeta::default(), "k"), None);
    }

    fn owned(controller: Option<bool>) -> ObjectMeta {
        ObjectMeta {
            owner_references: Some(vec![OwnerReference {
                kind: "StatefulSet".to_owned(),
                controller,
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn only_the_controller_makes_a_pod_stateful() {
        let settings = Settings::default();
        assert!(is_stateful(&owned(Some(true)), &settings));
        assert!(!is_stateful(&owned(Some(false)), &settings));
        assert!(!is_stateful(&owned(None), &settings));
        assert!(!is_stateful(&ObjectMeta::default(), &settings));
    }

    #[test]
    fn a_word_that_is_no_boolean_leaves_retention_to_the_default() {
        for (word, default, expected) in [
            ("false", true, false),
            ("T", false, true),
            ("perhaps", true, true),
            ("", false, false),
        ] {
            let meta = ObjectMeta {
                annotations: Some(BTreeMap::from([(key::IP_RETAIN.to_owned(), word.to_owned())])),
                ..ObjectMeta::default()
            };
            let settings = Settings {
                default_ip_retain: default,
                ..Settings::default()
            };
            assert_eq!(retains(&meta, &settings), expected, "{word}");
        }
    }
}
