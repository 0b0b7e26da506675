//! What objects can be called (RFC 1123, as the API server has it). Names come out of annotations and references
//! that anybody may have written, and become parts of paths: what no object can be called is not asked for.

use crate::pod::LABEL_LENGTH;

/// The longest name of an object, in characters.
const SUBDOMAIN_LENGTH: usize = 253;

/// Whether an object can have the name: labels with dots between.
pub fn is_object_name(text: &str) -> bool {
    text.len() <= SUBDOMAIN_LENGTH && text.split('.').all(is_label_of_any_length)
}

/// Whether a namespace can have the name: one label.
pub fn is_namespace_name(text: &str) -> bool {
    text.len() <= LABEL_LENGTH && is_label_of_any_length(text)
}

fn is_label_of_any_length(text: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(is_alphanumeric)
        && bytes.last().is_some_and(is_alphanumeric)
        && bytes.iter().all(|byte| is_alphanumeric(byte) || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_object_can_be_called_is_a_name() {
        for name in ["a", "init", "under-1", "a.b-c.d", "0", &"a".repeat(253)] {
            assert!(is_object_name(name), "{name}");
        }
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "-a",
            "a-",
            "a.-b",
            "A",
            "a/b",
            "a/status",
            "a?b",
            "a%2fb",
            "a b",
            "\u{e4}",
            "a\n",
            &"a".repeat(254),
        ] {
            assert!(!is_object_name(text), "{text}");
        }
    }

    #[test]
    fn a_namespace_is_one_label() {
        assert!(is_namespace_name("team-1") && is_namespace_name(&"a".repeat(63)));
        assert!(!is_namespace_name("team.a") && !is_namespace_name(&"a".repeat(64)));
    }
}
