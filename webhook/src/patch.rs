//! JSON patches that carry only what is meant: built on the raw object, so that fields which we do not
//! know survive (control-plane 5.2).

use std::collections::BTreeSet;

use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, TestOperation, jsonptr::PointerBuf};
use serde_json::{Value, json};

/// `add` at `path`: sets what is there already, too.
pub fn add(path: &[&str], value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation {
        path: pointer(path),
        value,
    })
}

/// The patch is refused as a whole unless `value` stands at `path`.
pub fn test(path: &[&str], value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation {
        path: pointer(path),
        value,
    })
}

fn remove(path: &[&str]) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path: pointer(path) })
}

fn pointer(path: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(path.iter().copied())
}

/// Edits of one object, collected.
pub struct Edits<'a> {
    object: &'a Value,
    made: BTreeSet<Vec<&'a str>>,
    operations: Vec<PatchOperation>,
}

impl<'a> Edits<'a> {
    /// No edit of `object` yet.
    pub fn of(object: &'a Value) -> Self {
        Self {
            object,
            made: BTreeSet::new(),
            operations: Vec::new(),
        }
    }

    /// Sets `key` in the map at `path` and returns the other value that stood there. Does nothing when
    /// it has the value. Missing maps on the way are made.
    pub fn set(&mut self, path: &[&'a str], key: &str, value: &str) -> Option<&'a str> {
        let before = self.at(path).and_then(|map| map.get(key)).and_then(Value::as_str);
        if before == Some(value) {
            return None;
        }
        self.ensure(path, &json!({}));
        self.operations.push(add(&[path, &[key]].concat(), json!(value)));
        before
    }

    /// Removes `key` from the map at `path` and returns what stood there.
    pub fn remove(&mut self, path: &[&'a str], key: &str) -> Option<&'a str> {
        let before = self.at(path)?.get(key)?;
        self.operations.push(remove(&[path, &[key]].concat()));
        before.as_str()
    }

    /// Appends to the list at `path`, which is made when missing.
    pub fn append(&mut self, path: &[&'a str], value: Value) {
        self.ensure(path, &json!([]));
        self.operations.push(add(&[path, &["-"]].concat(), value));
    }

    /// Everything that was collected, in order.
    pub fn into_patch(self) -> Patch {
        Patch(self.operations)
    }

    fn ensure(&mut self, path: &[&'a str], empty: &Value) {
        for end in 1..=path.len() {
            let Some(parent) = path.get(..end) else { return };
            if self.at(parent).is_some() || !self.made.insert(parent.to_vec()) {
                continue;
            }
            let value = if end == path.len() {
                empty.clone()
            } else {
                json!({})
            };
            self.operations.push(add(parent, value));
        }
    }

    // An explicit `null` is as good as nothing.
    fn at(&self, path: &[&str]) -> Option<&'a Value> {
        let found = path.iter().try_fold(self.object, |value, token| value.get(token));
        found.filter(|value| !value.is_null())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(object: &Value, edits: Edits<'_>) -> Value {
        let mut object = object.clone();
        json_patch::patch(&mut object, &edits.into_patch()).expect("the patch applies");
        object
    }

    #[test]
    fn missing_and_null_maps_are_made_once() {
        for object in [json!({}), json!({"metadata": {"annotations": null}})] {
            let mut edits = Edits::of(&object);
            edits.set(&["metadata", "annotations"], "a/b", "1");
            edits.set(&["metadata", "annotations"], "c~d", "2");
            assert_eq!(
                patched(&object, edits),
                json!({"metadata": {"annotations": {"a/b": "1", "c~d": "2"}}})
            );
        }
    }

    #[test]
    fn slashes_in_keys_are_escaped() {
        let object = json!({"metadata": {"annotations": {}}});
        let mut edits = Edits::of(&object);
        edits.set(&["metadata", "annotations"], "a/b", "1");
        let text = serde_json::to_string(&edits.into_patch()).expect("a patch is JSON");
        assert_eq!(
            text,
            r#"[{"op":"add","path":"/metadata/annotations/a~1b","value":"1"}]"#
        );
    }

    #[test]
    fn a_value_that_stands_there_already_needs_no_edit() {
        let object = json!({"spec": {"nodeSelector": {"a": "1"}}});
        let mut edits = Edits::of(&object);
        assert_eq!(edits.set(&["spec", "nodeSelector"], "a", "1"), None);
        assert!(edits.into_patch().0.is_empty());
    }

    #[test]
    fn the_value_that_is_overwritten_is_told() {
        let object = json!({"spec": {"nodeSelector": {"a": "1", "b": "2"}}});
        let mut edits = Edits::of(&object);
        assert_eq!(edits.set(&["spec", "nodeSelector"], "a", "9"), Some("1"));
        assert_eq!(edits.remove(&["spec", "nodeSelector"], "b"), Some("2"));
        assert_eq!(edits.remove(&["spec", "nodeSelector"], "c"), None);
        assert_eq!(
            patched(&object, edits),
            json!({"spec": {"nodeSelector": {"a": "9"}}})
        );
    }

    #[test]
    fn lists_are_made_or_appended_to() {
        for (object, count) in [
            (json!({"spec": {}}), 2),
            (json!({"spec": {"tolerations": [1]}}), 3),
        ] {
            let mut edits = Edits::of(&object);
            edits.append(&["spec", "tolerations"], json!(2));
            edits.append(&["spec", "tolerations"], json!(3));
            let after = patched(&object, edits);
            assert_eq!(after["spec"]["tolerations"].as_array().map(Vec::len), Some(count));
        }
    }
}
