//! What the object of a workload says about its addresses.

use std::collections::BTreeSet;
use std::time::Duration;

use hybridnet_api::duration::retained_ip_ttl;
use kube::api::DynamicObject;
use serde_json::Value;

/// A workload, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Workload {
    /// There is one of the name; its UID says whether it is the one that was meant.
    Present {
        /// Of the object that is there.
        uid: String,
        /// Whether it is on its way out: what it owns goes with it.
        terminating: bool,
        /// How many pods it wants; nothing for kinds that do not say.
        replicas: Option<i64>,
        /// Ordinal of its first pod.
        first_ordinal: i64,
        /// Ordinals that it leaves out (`CloneSet`s and their like).
        skipped: BTreeSet<i64>,
        /// For how long addresses of pods that it no longer wants are kept; nothing means as long as it lives.
        ttl: Option<Duration>,
        /// Why the annotation that says so is not followed.
        fault: Option<String>,
    },
    /// There is none of the name.
    Gone,
    /// Nothing can be said: it is treated as if it were there.
    Unknown {
        /// What stood in the way.
        why: String,
    },
}

impl Workload {
    /// Whether it is the very object that was meant.
    pub fn is(&self, meant: &str) -> bool {
        matches!(self, Self::Present { uid, .. } if uid == meant)
    }

    /// Whether it wants a pod of the ordinal; nothing when it does not say, or is not known.
    pub fn wants(&self, ordinal: i64) -> Option<bool> {
        let Self::Present {
            replicas: Some(replicas),
            first_ordinal,
            skipped,
            ..
        } = self
        else {
            return None;
        };
        if ordinal < *first_ordinal || skipped.contains(&ordinal) {
            return Some(false);
        }
        let before = skipped.range(*first_ordinal..ordinal).count();
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        // Its place in the row of the pods that are wanted.
        Some(ordinal - first_ordinal - before < *replicas)
    }
}

/// What an object says.
pub fn interpret(object: &DynamicObject) -> Workload {
    let spec = object.data.get("spec").unwrap_or(&Value::Null);
    let (ttl, fault) = match retained_ip_ttl(&object.metadata) {
        Ok(ttl) => (ttl, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let first = spec.pointer("/ordinals/start").and_then(Value::as_i64);
    Workload::Present {
        uid: object.metadata.uid.clone().unwrap_or_default(),
        terminating: object.metadata.deletion_timestamp.is_some(),
        replicas: spec.get("replicas").and_then(Value::as_i64),
        first_ordinal: first.unwrap_or(0),
        skipped: skipped(spec),
        ttl,
        fault,
    }
}

/// `spec.reserveOrdinals`: numbers, or `"first-last"`.
fn skipped(spec: &Value) -> BTreeSet<i64> {
    /// More in one range is a mistake, and must not cost us the memory.
    const MOST: i64 = 10_000;
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first: i64 = first.trim().parse().ok()?;
        let last: i64 = last.trim().parse().ok()?;
        Some(first..=last.min(first.saturating_add(MOST)))
    };
    let entries = spec.get("reserveOrdinals").and_then(Value::as_array);
    let ranges = entries.into_iter().flatten().filter_map(|entry| match entry {
        Value::Number(number) => number.as_i64().map(|number| number..=number),
        Value::String(text) => range(text),
        _ => None,
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use hybridnet_api::names::annotation::RETAINED_IP_TTL;
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> DynamicObject {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn of_spec(spec: &Value) -> Workload {
        interpret(&object(
            &json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"uid": "u"}, "spec": spec}),
        ))
    }

    fn wanted(spec: &Value) -> Vec<i64> {
        let workload = of_spec(spec);
        (-1..12)
            .filter(|ordinal| workload.wants(*ordinal) == Some(true))
            .collect()
    }

    #[test]
    fn pods_are_wanted_from_the_first_ordinal_on_less_those_that_are_left_out() {
        for (spec, expected) in [
            (json!({"replicas": 3}), vec![0, 1, 2]),
            (json!({"replicas": 2, "ordinals": {"start": 5}}), vec![5, 6]),
            (json!({"replicas": 0}), vec![]),
            (json!({"replicas": 3, "reserveOrdinals": [1]}), vec![0, 2, 3]),
            (
                json!({"replicas": 3, "reserveOrdinals": [0, "2-3", true]}),
                vec![1, 4, 5],
            ),
        ] {
            assert_eq!(wanted(&spec), expected, "{spec}");
        }
    }

    #[test]
    fn a_kind_that_does_not_count_its_pods_says_nothing_about_ordinals() {
        assert_eq!(of_spec(&json!({"replicas": "many"})).wants(0), None);
        assert_eq!(Workload::Gone.wants(0), None);
    }

    #[test]
    fn the_annotation_says_how_long_addresses_are_kept_and_nonsense_is_told() {
        let with = |ttl: &str| {
            let workload = interpret(&object(&json!({"metadata": {"uid": "u", "annotations":
                {RETAINED_IP_TTL: ttl}}})));
            let Workload::Present { ttl, fault, .. } = workload else {
                panic!("{workload:?}");
            };
            (ttl, fault)
        };

        assert_eq!(with("1h30m"), (Some(Duration::from_mins(90)), None));
        assert_eq!(with(""), (None, None));
        let (ttl, fault) = with("soon");
        let fault = fault.unwrap();
        assert!(
            ttl.is_none() && fault.contains(RETAINED_IP_TTL) && fault.contains("soon"),
            "{fault}"
        );
    }

    #[test]
    fn another_object_of_the_name_is_not_the_one_that_was_meant() {
        let workload = of_spec(&json!({}));

        assert!(workload.is("u") && !workload.is("v"));
        assert!(!Workload::Gone.is("u"));
    }
}
