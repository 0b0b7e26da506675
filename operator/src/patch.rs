//! Merge patches that carry only what differs (RFC 7396).

use serde::Serialize;
use serde_json::{Map, Value};

/// What turns `old` into `new`, or nothing when they are equal. What `new` leaves out is taken away.
/// Of nothing, the whole of `new` is written, also what it says by default.
pub fn difference<T: Serialize>(old: Option<&T>, new: &T) -> Option<Value> {
    let value = |object: &T| serde_json::to_value(object).unwrap_or(Value::Null);
    let old = old.map_or_else(|| Value::Object(Map::new()), value);
    between(&old, &value(new))
}

fn between(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let gone = before
        .keys()
        .filter(|key| !after.contains_key(*key))
        .map(|key| (key.clone(), Value::Null));
    let changed = after.iter().filter_map(|(key, after)| {
        let change = before
            .get(key)
            .map_or_else(|| Some(after.clone()), |before| between(before, after));
        change.map(|change| (key.clone(), change))
    });
    let patch: Map<_, _> = gone.chain(changed).collect();
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_values_need_no_patch() {
        let value = json!({"a": {"b": [1, 2]}});

        assert_eq!(difference(Some(&value), &value.clone()), None);
    }

    #[test]
    fn only_differences_are_sent_and_what_is_gone_is_null() {
        let old = json!({"same": 1, "changed": {"x": 1, "y": 2}, "gone": "z", "list": [1]});
        let new = json!({"same": 1, "changed": {"x": 1, "y": 3}, "list": [1, 2], "new": {"q": 1}});

        let patch = difference(Some(&old), &new).unwrap();

        assert_eq!(
            patch,
            json!({"changed": {"y": 3}, "gone": null, "list": [1, 2], "new": {"q": 1}})
        );
        let mut patched = old;
        json_patch::merge(&mut patched, &patch);
        assert_eq!(patched, new);
        assert_eq!(difference(None, &new), Some(new));
    }
}
