//! Lists of allowed namespaces, beside the namespaces that there are: a name that nobody has is allowed, for its
//! namespace may come later, but mostly it is a slip.

use hybridnet_api::selection::Catalogue;

/// A warning for the first name that is none's, and how many others there are.
pub fn doubts(allowed: &[String], catalogue: &dyn Catalogue) -> Vec<String> {
    let mut missing = allowed.iter().filter(|name| catalogue.namespace(name).is_none());
    let Some(first) = missing.next() else {
        return Vec::new();
    };
    let more = match missing.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    vec![format!(
        "spec.config.allowedNamespaces: {first:?}{more} not there (yet): check the name"
    )]
}
