//! What a namespace may have: how many addresses, and of which networks and subnets.

use kube::api::ObjectMeta;

use crate::names::annotation::ADDRESS_LIMIT;
use crate::pod::annotation;

/// A limit that is not a number: it counts as none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{ADDRESS_LIMIT} {value:?} is not a whole number from 0 on: no limit holds; write one, such as 20")]
pub struct LimitError {
    /// What stands there.
    pub value: String,
}

/// How many addresses the namespace of this metadata may hold, both families and retained ones together.
/// Absent means any number; so should the caller take an error, and tell the user.
pub fn address_limit(namespace: &ObjectMeta) -> Result<Option<u64>, LimitError> {
    let Some(text) = annotation(namespace, ADDRESS_LIMIT) else {
        return Ok(None);
    };
    let error = || LimitError {
        value: text.to_owned(),
    };
    // `parse` itself would take a sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error());
    }
    text.parse().map(Some).map_err(|_| error())
}

/// Whether a list of allowed namespaces lets this one in. An empty list lets everyone in.
pub fn allows(allowed: &[String], namespace: &str) -> bool {
    allowed.is_empty() || allowed.iter().any(|name| name == namespace)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn namespace(limit: &str) -> ObjectMeta {
        ObjectMeta {
            annotations: Some(BTreeMap::from([(ADDRESS_LIMIT.to_owned(), limit.to_owned())])),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn a_limit_is_a_whole_number_and_absent_is_none() {
        assert_eq!(address_limit(&namespace("0")), Ok(Some(0)));
        assert_eq!(address_limit(&namespace("150000")), Ok(Some(150_000)));
        assert_eq!(address_limit(&namespace("")), Ok(None));
        assert_eq!(address_limit(&ObjectMeta::default()), Ok(None));
    }

    #[test]
    fn a_limit_that_is_no_number_is_named_with_the_way_out() {
        for value in ["-1", "+5", "ten", "1.5", " 7", "99999999999999999999"] {
            let error = address_limit(&namespace(value)).unwrap_err();
            assert_eq!(error.value, value);
            assert_eq!(
                error.to_string(),
                format!(
                    "networking.alibaba.com/address-limit {value:?} is not a whole number from 0 on: no limit holds; \
                     write one, such as 20"
                )
            );
        }
    }

    #[test]
    fn an_empty_list_allows_everyone_and_names_are_exact() {
        let list = ["team-a".to_owned(), "team-b".to_owned()];
        assert!(allows(&[], "anyone"));
        assert!(allows(&list, "team-b"));
        assert!(!allows(&list, "team"));
        assert!(!allows(&list, ""));
    }
}
