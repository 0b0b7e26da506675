//! What the command line and the environment say about pods. Manager, webhook and daemon must be given the
//! same, so that they read a pod alike (control-plane spec 2.5).

use crate::feature_gates::FeatureGates;
use crate::network::{NetworkType, UnknownWord};
use crate::selection::PodFamily;

/// How pods are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Type of network of pods that ask for none.
    pub default_network_type: NetworkType,
    /// Addresses of pods that do not say.
    pub default_ip_family: PodFamily,
    /// Whether stateful pods keep their addresses when they do not say.
    pub default_ip_retain: bool,
    /// Kinds of controllers whose pods are stateful.
    pub stateful_workload_kinds: Vec<String>,
    /// Optional features.
    pub gates: FeatureGates,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_network_type: NetworkType::Underlay,
            default_ip_family: PodFamily::Ipv4Only,
            default_ip_retain: true,
            stateful_workload_kinds: vec!["StatefulSet".to_owned()],
            gates: FeatureGates::default(),
        }
    }
}

/// Reads `DEFAULT_NETWORK_TYPE`: in any case; empty means Underlay. Never apply it to a Network object.
pub fn default_network_type(word: &str) -> Result<NetworkType, UnknownWord> {
    match word {
        "" => Ok(NetworkType::Underlay),
        word => NetworkType::parse_ignoring_case(word),
    }
}

/// Reads `DEFAULT_IP_FAMILY`: in any case; empty means IPv4.
pub fn default_ip_family(word: &str) -> Result<PodFamily, UnknownWord> {
    match word {
        "" => Ok(PodFamily::Ipv4Only),
        word => PodFamily::parse_ignoring_case(word).ok_or_else(|| UnknownWord {
            field: "ip family",
            value: word.to_owned(),
            expected: PodFamily::WORDS,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_words_are_the_defaults_of_the_original() {
        assert_eq!(default_network_type(""), Ok(NetworkType::Underlay));
        assert_eq!(default_ip_family(""), Ok(PodFamily::Ipv4Only));
    }

    #[test]
    fn words_are_read_in_any_case_and_unknown_ones_are_named() {
        assert_eq!(default_network_type("globalbgp"), Ok(NetworkType::GlobalBgp));
        assert_eq!(default_ip_family("dualstack"), Ok(PodFamily::DualStack));
        let error = default_ip_family("IPv5").unwrap_err().to_string();
        assert!(error.contains("IPv5") && error.contains("DualStack"), "{error}");
        assert!(default_network_type("other").is_err());
    }
}
