//! The environment of an invocation: the container and the pod that a verb is about.

use std::path::{Path, PathBuf};

use crate::config::is_identifier;
use crate::failure::{Code, Failure};

/// Looks up an environment variable; an absent one is empty.
pub type Variables<'a> = &'a dyn Fn(&str) -> String;

/// The only link that the daemon makes in a pod. The protocol has no field for another name.
pub const POD_LINK: &str = "eth0";

/// One pod's sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_NETNS`; empty when the runtime no longer has one (DEL only).
    pub netns: PathBuf,
    /// `CNI_IFNAME`.
    pub link: String,
    /// The pod of `CNI_ARGS`.
    pub pod: PodArgs,
}

/// What Kubernetes' runtimes put into `CNI_ARGS`; empty where a key is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodArgs {
    /// `K8S_POD_NAMESPACE`.
    pub namespace: String,
    /// `K8S_POD_NAME`.
    pub name: String,
    /// `K8S_POD_UID`.
    pub uid: String,
}

impl Sandbox {
    /// For ADD and CHECK: everything must be there.
    pub fn of_running(variables: Variables<'_>) -> Result<Self, Failure> {
        Self::read(variables, &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"])
    }

    /// For DEL: a network namespace that is gone is no reason to fail.
    pub fn of_ended(variables: Variables<'_>) -> Result<Self, Failure> {
        Self::read(variables, &["CNI_CONTAINERID", "CNI_IFNAME"])
    }

    fn read(variables: Variables<'_>, required: &[&str]) -> Result<Self, Failure> {
        let missing: Vec<_> = required
            .iter()
            .copied()
            .filter(|name| variables(name).is_empty())
            .collect();
        if !missing.is_empty() {
            return Err(invalid(format!(
                "required env variables [{}] missing",
                missing.join(",")
            )));
        }
        let (container_id, link) = (variables("CNI_CONTAINERID"), variables("CNI_IFNAME"));
        if !is_identifier(&container_id) {
            return Err(invalid(format!("invalid CNI_CONTAINERID {container_id:?}")));
        }
        if !is_link_name(&link) {
            return Err(invalid(format!(
                "invalid CNI_IFNAME {link:?}: not the name of a link"
            )));
        }
        Ok(Self {
            container_id,
            netns: variables("CNI_NETNS").into(),
            link,
            pod: PodArgs::parse(&variables("CNI_ARGS")),
        })
    }

    /// What only an ADD needs. The order of checks is that of the Go plugin.
    pub fn check_for_add(&self, args: &str) -> Result<(), Failure> {
        if self.link != POD_LINK {
            return Err(invalid(format!(
                "invalid CNI_IFNAME {:?}: hybridnet makes the link {POD_LINK} and no other",
                self.link
            )));
        }
        openable(&self.netns)?;
        if args.is_empty() {
            return Err(invalid("CNI_ARGS is required".to_owned()));
        }
        for (key, value) in [
            ("K8S_POD_NAME", &self.pod.name),
            ("K8S_POD_NAMESPACE", &self.pod.namespace),
        ] {
            if value.is_empty() {
                return Err(invalid(format!(
                    "{key} is required in CNI_ARGS: hybridnet serves pods of Kubernetes only"
                )));
            }
        }
        Ok(())
    }
}

fn openable(netns: &Path) -> Result<(), Failure> {
    match std::fs::File::open(netns) {
        Ok(_) => Ok(()),
        Err(error) => Err(invalid(format!(
            "unable to open netns {} (CNI_NETNS): {error}",
            netns.display()
        ))),
    }
}

fn invalid(text: String) -> Failure {
    Failure::new(Code::InvalidEnvironment, text)
}

/// The kernel's rules for names of links.
fn is_link_name(text: &str) -> bool {
    let forbidden = |byte: u8| byte == b'/' || byte == b':' || byte.is_ascii_whitespace();
    !text.is_empty() && text.len() < 16 && text != "." && text != ".." && !text.bytes().any(forbidden)
}

impl PodArgs {
    /// `KEY=VALUE` between semicolons; the first non-empty value of a key counts, unknown keys do not.
    fn parse(args: &str) -> Self {
        let value = |key: &str| {
            args.split(';')
                .filter_map(|pair| pair.split_once('='))
                .find(|(name, value)| *name == key && !value.is_empty())
                .map(|(_, value)| value.to_owned())
                .unwrap_or_default()
        };
        Self {
            namespace: value("K8S_POD_NAMESPACE"),
            name: value("K8S_POD_NAME"),
            uid: value("K8S_POD_UID"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARGS: &str = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=;K8S_POD_NAME=web-0;\
                        K8S_POD_NAME=other;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1";

    fn variables<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> String + 'a {
        move |name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map_or(String::new(), |(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn the_pod_is_read_from_the_first_values_that_are_not_empty() {
        let pod = PodArgs::parse(ARGS);

        assert_eq!(
            (pod.namespace.as_str(), pod.name.as_str(), pod.uid.as_str()),
            ("default", "web-0", "u1")
        );
        assert_eq!(PodArgs::parse("nonsense;;=x"), PodArgs::default());
    }

    #[test]
    fn missing_variables_are_named_together() {
        let environment = variables(&[("CNI_CONTAINERID", "c1")]);

        let add = Sandbox::of_running(&environment).unwrap_err();
        let del = Sandbox::of_ended(&environment).unwrap_err();

        assert_eq!(
            add.message,
            "required env variables [CNI_NETNS,CNI_IFNAME] missing"
        );
        assert_eq!(del.message, "required env variables [CNI_IFNAME] missing");
        assert_eq!(add.code, Code::InvalidEnvironment);
    }

    #[test]
    fn ids_and_names_that_the_kernel_or_the_specification_refuses_are_refused() {
        for (id, link) in [
            ("../c", "eth0"),
            ("c1", "a/b"),
            ("c1", "sixteen-letters-"),
            ("c1", ".."),
        ] {
            let pairs = [("CNI_CONTAINERID", id), ("CNI_IFNAME", link)];

            assert_eq!(
                Sandbox::of_ended(&variables(&pairs)).unwrap_err().code,
                Code::InvalidEnvironment
            );
        }
    }

    #[test]
    fn an_add_needs_its_own_link_name_a_namespace_and_a_pod() {
        let cases = [
            ("net1", "/proc/self/ns/net", ARGS, "CNI_IFNAME"),
            ("eth0", "/nowhere", ARGS, "CNI_NETNS"),
            ("eth0", "/proc/self/ns/net", "", "CNI_ARGS is required"),
            ("eth0", "/proc/self/ns/net", "A=b", "K8S_POD_NAME is required"),
            (
                "eth0",
                "/proc/self/ns/net",
                "K8S_POD_NAME=a",
                "K8S_POD_NAMESPACE is required",
            ),
        ];
        for (link, netns, args, expected) in cases {
            let pairs = [
                ("CNI_CONTAINERID", "c1"),
                ("CNI_IFNAME", link),
                ("CNI_NETNS", netns),
                ("CNI_ARGS", args),
            ];
            let sandbox = Sandbox::of_running(&variables(&pairs)).unwrap();

            let failure = sandbox.check_for_add(args).unwrap_err();

            assert!(failure.message.contains(expected), "{}", failure.message);
        }
    }
}
