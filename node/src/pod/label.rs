//! What is written on a host's end (`IFLA_IFALIAS`): `<namespace>/<name> <container ID>`. The name of the
//! link is a short hash, and two pods, or two sandboxes of one pod, can have the same. Links of the Go release
//! have no label.

use super::Sandbox;

/// The kernel takes 255 bytes. Names of pods that long are not seen, but allowed.
const LONGEST_NAME: usize = 120;
const LONGEST_ID: usize = 64;

/// The label of a sandbox's link.
pub(super) fn text(sandbox: &Sandbox) -> String {
    format!("{} {}", pod(sandbox), cut(&sandbox.container_id, LONGEST_ID))
}

/// Whether a link with this label is of the same pod, of whatever sandbox.
pub(super) fn is_of_pod(label: &str, sandbox: &Sandbox) -> bool {
    label.split(' ').next().is_some_and(|of| of == pod(sandbox))
}

/// Whether a link with this label is of this very sandbox.
pub(super) fn is_of_sandbox(label: &str, sandbox: &Sandbox) -> bool {
    !sandbox.container_id.is_empty() && label == text(sandbox)
}

fn pod(sandbox: &Sandbox) -> String {
    format!("{}/{}", sandbox.namespace, cut(&sandbox.name, LONGEST_NAME))
}

/// Names of Kubernetes and IDs are ASCII; anything else is cut earlier rather than inside a character.
fn cut(text: &str, longest: usize) -> &str {
    text.get(..longest.min(text.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(name: &str, container_id: &str) -> Sandbox {
        Sandbox {
            namespace: "default".into(),
            name: name.into(),
            container_id: container_id.into(),
            ..Sandbox::default()
        }
    }

    #[test]
    fn a_label_tells_pods_and_sandboxes_apart() {
        let label = text(&sandbox("web-0", "c1"));

        assert_eq!(label, "default/web-0 c1");
        assert!(is_of_pod(&label, &sandbox("web-0", "c2")) && !is_of_pod(&label, &sandbox("web", "c1")));
        assert!(is_of_sandbox(&label, &sandbox("web-0", "c1")));
        assert!(!is_of_sandbox(&label, &sandbox("web-0", "c2")));
        assert!(!is_of_sandbox("default/web-0 ", &sandbox("web-0", "")));
    }

    #[test]
    fn the_longest_names_fit_and_are_still_recognised() {
        let longest = Sandbox {
            namespace: "n".repeat(63),
            ..sandbox(&"p".repeat(253), &"c".repeat(200))
        };

        let label = text(&longest);

        assert!(label.len() < 256, "{}", label.len());
        assert!(is_of_sandbox(&label, &longest));
    }
}
