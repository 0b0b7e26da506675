//! The network configuration on stdin.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::failure::{Code, Failure};
use crate::version::{self, Version};

/// A daemon that restarts is back in seconds, and a pod that waited for it starts at once. After this long
/// the runtime gets its error, so that whoever looks at the pod sees that the daemon is away.
const DAEMON_WAIT: Duration = Duration::from_mins(1);

/// What we read of a configuration; `ipam`, `dns`, `runtimeConfig` and the rest are not ours.
#[derive(Clone, Debug)]
pub struct Config {
    /// Version to answer in.
    pub version: Version,
    /// Socket that the daemon listens on.
    pub server_socket: PathBuf,
    /// How long an ADD waits for a daemon that does not answer.
    pub daemon_wait: Duration,
    /// Result of the ADD that a CHECK is about.
    pub prev_result: Option<PrevResult>,
}

/// The part of a result that a CHECK compares.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PrevResult {
    /// Links of the pod; those without a sandbox are the host's.
    pub interfaces: Vec<PrevInterface>,
    /// Addresses of the pod.
    pub ips: Vec<PrevAddress>,
}

/// A link as ADD reported it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PrevInterface {
    /// Its name.
    pub name: String,
    /// Its MAC.
    pub mac: String,
    /// Path of its network namespace, or empty.
    pub sandbox: String,
}

/// An address as ADD reported it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PrevAddress {
    /// Index into the interfaces.
    pub interface: Option<usize>,
    /// With prefix length.
    pub address: String,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default, rename = "cniVersion")]
    cni_version: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    server_socket: String,
    #[serde(default)]
    daemon_wait_seconds: Option<u64>,
    #[serde(default, rename = "prevResult")]
    prev_result: Option<PrevResult>,
}

/// Only the version: VERSION must answer whatever else the configuration says, or to an empty one.
pub fn version_asked(text: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Asked {
        cni_version: String,
    }
    serde_json::from_slice::<Asked>(text)
        .unwrap_or_default()
        .cni_version
}

impl Config {
    /// Checks in the order of the CNI library: syntax, name, version; then what is ours.
    pub fn parse(text: &[u8]) -> Result<Self, Failure> {
        let wire: Wire = serde_json::from_slice(text).map_err(|error| {
            Failure::new(
                Code::Undecodable,
                format!("network configuration on stdin: {error}"),
            )
        })?;
        let version = Version::parse(&wire.cni_version).ok_or_else(|| {
            let text = format!(
                "incompatible CNI versions: the configuration has {:?}, this plugin supports {}",
                wire.cni_version,
                version::list()
            );
            Failure::new(Code::IncompatibleVersion, text)
        })?;
        let invalid = |text: String| Failure::new(Code::InvalidConfig, text).in_version(version);
        if !is_identifier(&wire.name) {
            let text = format!(
                "network name {:?} in the configuration is missing or invalid",
                wire.name
            );
            return Err(invalid(text));
        }
        if wire.server_socket.is_empty() {
            let text = "server_socket is required in cni.conf: the path of the daemon's socket, \
                        as in \"server_socket\": \"/run/cni/hybridnet.sock\"";
            return Err(invalid(text.to_owned()));
        }
        Ok(Self {
            version,
            server_socket: wire.server_socket.into(),
            daemon_wait: wire.daemon_wait_seconds.map_or(DAEMON_WAIT, Duration::from_secs),
            prev_result: wire.prev_result,
        })
    }
}

/// Names of networks and IDs of containers: a letter or digit, then also `_`, `.` and `-`.
pub fn is_identifier(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    text.bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Code {
        Config::parse(text.as_bytes()).unwrap_err().code
    }

    #[test]
    fn the_installed_configuration_parses() {
        let text = r#"{"cniVersion":"0.3.1","name":"hybridnet","type":"hybridnet",
            "server_socket":"/run/cni/hybridnet.sock","runtimeConfig":{"bandwidth":{}}}"#;

        let config = Config::parse(text.as_bytes()).unwrap();

        assert_eq!(config.version, Version::V031);
        assert_eq!(config.server_socket, PathBuf::from("/run/cni/hybridnet.sock"));
        assert_eq!(config.daemon_wait, DAEMON_WAIT);
    }

    #[test]
    fn each_fault_has_its_code() {
        assert_eq!(code("{"), Code::Undecodable);
        assert_eq!(code("5"), Code::Undecodable);
        assert_eq!(code(r#"{"name":5}"#), Code::Undecodable);
        assert_eq!(
            code(r#"{"cniVersion":"9.0.0","name":"a","server_socket":"/s"}"#),
            Code::IncompatibleVersion
        );
        assert_eq!(code(r#"{"server_socket":"/s"}"#), Code::InvalidConfig);
        assert_eq!(
            code(r#"{"name":"a b","server_socket":"/s"}"#),
            Code::InvalidConfig
        );
        assert_eq!(code(r#"{"name":"a"}"#), Code::InvalidConfig);
    }

    #[test]
    fn a_failure_answers_in_the_configurations_version() {
        let failure = Config::parse(br#"{"cniVersion":"0.4.0","name":"a"}"#).unwrap_err();

        assert_eq!(failure.cni_version, "0.4.0");
        assert!(
            failure
                .message
                .starts_with("server_socket is required in cni.conf")
        );
    }

    #[test]
    fn the_asked_version_is_read_from_anything() {
        assert_eq!(version_asked(br#"{"cniVersion":"1.0.0"}"#), "1.0.0");
        assert_eq!(version_asked(b""), "");
        assert_eq!(version_asked(b"garbage"), "");
    }
}
