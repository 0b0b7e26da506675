//! What is where a pair belongs, and whether it may go (datapath spec 2.6).

use super::{POD_LINK, Sandbox, label};

/// A link that bears one of our names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The kernel's number for it, in its namespace.
    pub index: u32,
    /// Whether it is an end of a pair.
    pub veth: bool,
    /// Number of the other end, in the other end's namespace.
    pub peer: u32,
    /// Its alias.
    pub label: Option<String>,
}

/// Something that we must not remove.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The host has a link of our name that is no pod's.
    #[error("link {name} of this node is not a veth: it bears the name of a pod's link; rename or remove it")]
    NotVeth {
        /// Its name.
        name: String,
    },
    /// The hash of two pods is the same.
    #[error("link {name} of this node belongs to {label}: two pods have the same link name; rename this pod")]
    OfAnotherPod {
        /// Its name.
        name: String,
        /// What is written on it.
        label: String,
    },
    /// Somebody else gave the pod an `eth0`.
    #[error("the pod has a link {POD_LINK} already that hybridnet did not make")]
    ForeignPodLink,
}

/// The link of the host that must be deleted before a pair for `sandbox` can be made, given what bears its
/// names here (`host`) and in the pod's namespace (`inside`). The other end goes with it.
pub(super) fn to_remove(
    sandbox: &Sandbox,
    host: Option<&Found>,
    inside: Option<&Found>,
) -> Result<Option<u32>, Obstacle> {
    if let Some(host) = host {
        if !host.veth {
            return Err(Obstacle::NotVeth {
                name: sandbox.host_link.clone(),
            });
        }
        if let Some(label) = host
            .label
            .as_ref()
            .filter(|label| !label::is_of_pod(label, sandbox))
        {
            return Err(Obstacle::OfAnotherPod {
                name: sandbox.host_link.clone(),
                label: label.clone(),
            });
        }
    }
    let paired = |inside: &Found| {
        host.is_some_and(|host| inside.veth && inside.peer == host.index && host.peer == inside.index)
    };
    if inside.is_some_and(|inside| !paired(inside)) {
        return Err(Obstacle::ForeignPodLink);
    }
    Ok(host.map(|host| host.index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox() -> Sandbox {
        Sandbox {
            namespace: "default".into(),
            name: "web-0".into(),
            container_id: "c2".into(),
            host_link: "hybr0d7763386da".into(),
            ..Sandbox::default()
        }
    }

    fn veth(index: u32, peer: u32, label: Option<&str>) -> Found {
        Found {
            index,
            veth: true,
            peer,
            label: label.map(Into::into),
        }
    }

    #[test]
    fn a_free_place_needs_nothing_removed() {
        assert_eq!(to_remove(&sandbox(), None, None), Ok(None));
    }

    #[test]
    fn the_pair_of_an_earlier_attempt_or_sandbox_goes() {
        for label in [None, Some("default/web-0 c1"), Some("default/web-0 c2")] {
            let host = veth(7, 2, label);

            assert_eq!(
                to_remove(&sandbox(), Some(&host), None),
                Ok(Some(7)),
                "of a namespace that we do not see"
            );
            assert_eq!(
                to_remove(&sandbox(), Some(&host), Some(&veth(2, 7, None))),
                Ok(Some(7))
            );
        }
    }

    #[test]
    fn what_is_not_of_this_pod_stays() {
        let other = veth(7, 2, Some("default/api-0 c9"));
        let dummy = Found {
            index: 7,
            ..Found::default()
        };

        assert!(matches!(
            to_remove(&sandbox(), Some(&other), None),
            Err(Obstacle::OfAnotherPod { .. })
        ));
        assert!(matches!(
            to_remove(&sandbox(), Some(&dummy), None),
            Err(Obstacle::NotVeth { .. })
        ));
    }

    #[test]
    fn an_eth0_of_somebody_else_stays() {
        let host = veth(7, 2, None);
        let cases = [
            (None, veth(2, 7, None)),
            (Some(&host), veth(3, 7, None)),
            (Some(&host), veth(2, 8, None)),
            (
                Some(&host),
                Found {
                    index: 2,
                    peer: 7,
                    ..Found::default()
                },
            ),
        ];
        for (host, inside) in cases {
            assert_eq!(
                to_remove(&sandbox(), host, Some(&inside)),
                Err(Obstacle::ForeignPodLink),
                "{inside:?}"
            );
        }
    }
}
