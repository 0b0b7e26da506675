//! Lists of allowed namespaces: a name that no namespace can have lets nobody in, and nobody would see why.

use crate::object_name::is_namespace_name;

/// An entry that can be the name of no namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "spec.config.allowedNamespaces {value:?} is not the name of a namespace: write whole names, of lower-case \
     letters, digits and dashes; leave the list empty to allow all"
)]
pub struct NamespaceFault {
    /// What stands there.
    pub value: String,
}

pub(super) fn check(allowed: &[String]) -> Result<(), NamespaceFault> {
    match allowed.iter().find(|name| !is_namespace_name(name)) {
        Some(name) => Err(NamespaceFault { value: name.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_no_name_is_told() {
        let list = |name: &str| vec!["team-a".to_owned(), name.to_owned()];
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&list("0")), Ok(()));
        assert_eq!(check(&list(&"a".repeat(63))), Ok(()));
        for name in [
            "",
            "*",
            "team-*",
            "Team",
            "-a",
            "a-",
            "a.b",
            "a b",
            &"a".repeat(64),
        ] {
            let error = check(&list(name)).unwrap_err();
            assert!(
                error.to_string().contains(&format!("{name:?} is not the name")),
                "{error}"
            );
        }
    }
}
