//! The kinds of objects, their places on the API, and how objects are read without their types.

use serde_json::Value;

use crate::world::store::Key;

/// A kind of objects. Kinds that are watched come in the order in which a manager asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// `networks`
    Network,
    /// `subnets`
    Subnet,
    /// `ipinstances`
    IpInstance,
    /// `nodes`
    Node,
    /// `namespaces`
    Namespace,
    /// `pods`
    Pod,
    /// `statefulsets`
    StatefulSet,
    /// `leases`
    Lease,
}

impl Resource {
    /// What a manager watches.
    pub const WATCHED: [Self; 6] = [
        Self::Network,
        Self::Subnet,
        Self::IpInstance,
        Self::Node,
        Self::Namespace,
        Self::Pod,
    ];
    const ALL: [Self; 8] = [
        Self::Network,
        Self::Subnet,
        Self::IpInstance,
        Self::Node,
        Self::Namespace,
        Self::Pod,
        Self::StatefulSet,
        Self::Lease,
    ];

    /// Its name in paths.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Network => "networks",
            Self::Subnet => "subnets",
            Self::IpInstance => "ipinstances",
            Self::Node => "nodes",
            Self::Namespace => "namespaces",
            Self::Pod => "pods",
            Self::StatefulSet => "statefulsets",
            Self::Lease => "leases",
        }
    }

    /// Its name in objects.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Network => "Network",
            Self::Subnet => "Subnet",
            Self::IpInstance => "IPInstance",
            Self::Node => "Node",
            Self::Namespace => "Namespace",
            Self::Pod => "Pod",
            Self::StatefulSet => "StatefulSet",
            Self::Lease => "Lease",
        }
    }

    /// Group and version.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Network | Self::Subnet | Self::IpInstance => "networking.alibaba.com/v1",
            Self::Node | Self::Namespace | Self::Pod => "v1",
            Self::StatefulSet => "apps/v1",
            Self::Lease => "coordination.k8s.io/v1",
        }
    }

    fn of_plural(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.plural() == plural)
    }
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The kind.
    pub resource: Resource,
    /// The object; the name is empty when the path leads to all objects.
    pub key: Key,
    /// Whether only the status is meant.
    pub status: bool,
}

impl Target {
    /// Reads a path such as `/api/v1/namespaces/ns/pods/p/status`.
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = path.trim_start_matches('/').split('/');
        let groups = if parts.next()? == "api" { 1 } else { 2 };
        let mut parts = parts.skip(groups);
        let mut first = parts.next()?;
        let mut namespace = String::new();
        let mut name = parts.next().unwrap_or_default();
        if first == "namespaces"
            && let Some(plural) = parts.next().filter(|part| *part != "status")
        {
            name.clone_into(&mut namespace);
            first = plural;
            name = parts.next().unwrap_or_default();
        }
        Some(Self {
            resource: Resource::of_plural(first)?,
            key: Key {
                namespace,
                name: name.to_owned(),
            },
            status: parts.next() == Some("status") || path.ends_with("/status"),
        })
    }
}

/// A text in an object by the names on the way to it, such as `/metadata/name`; empty when there is none.
pub fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    let mut names = path.split('/').skip(1);
    let found = names.try_fold(object, |within, name| within.get(name));
    found.and_then(Value::as_str).unwrap_or_default()
}

/// A label of an object; empty when there is none.
pub fn label_of<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["labels"][key].as_str().unwrap_or_default()
}

/// Namespace and name.
pub fn key_of(object: &Value) -> Key {
    Key {
        namespace: text(object, "/metadata/namespace").to_owned(),
        name: text(object, "/metadata/name").to_owned(),
    }
}

/// UID.
pub fn uid_of(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// The address that an `IPInstance` records, without prefix length.
pub fn ip_of(instance: &Value) -> &str {
    let ip = text(instance, "/spec/address/ip");
    ip.split('/').next().unwrap_or_default()
}

/// UIDs of owners.
pub fn owners_of(object: &Value) -> impl Iterator<Item = &str> {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.into_iter().flatten().map(|owner| text(owner, "/uid"))
}

/// The UID of the controller among the owners; empty when there is none.
pub fn controller_of(object: &Value) -> &str {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let controller = owners
        .into_iter()
        .flatten()
        .find(|owner| owner["controller"] == true);
    controller.map_or("", |owner| text(owner, "/uid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_kind_namespace_name_and_whether_the_status_is_meant() {
        let read = |path: &str| {
            let target = Target::parse(path).unwrap();
            (target.resource, target.key.to_string(), target.status)
        };
        let group = "/apis/networking.alibaba.com/v1";

        assert_eq!(
            read("/api/v1/namespaces/ns/pods/p"),
            (Resource::Pod, "ns/p".to_owned(), false)
        );
        assert_eq!(
            read(&format!("{group}/subnets/s/status")),
            (Resource::Subnet, "s".to_owned(), true)
        );
        assert_eq!(
            read(&format!("{group}/namespaces/ns/ipinstances")),
            (Resource::IpInstance, "ns/".to_owned(), false)
        );
        assert_eq!(read("/api/v1/nodes/n"), (Resource::Node, "n".to_owned(), false));
        assert_eq!(
            read("/api/v1/namespaces/ns"),
            (Resource::Namespace, "ns".to_owned(), false)
        );
        assert_eq!(Target::parse("/apis/apps/v1"), None);
    }
}
