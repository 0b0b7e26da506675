//! What the command line says about pods.

use hybridnet_api::network::UnknownWord;
use hybridnet_api::settings::{Settings as Reading, default_ip_family, default_network_type};
use kube::core::Selector;

use crate::flags::Flags;
use crate::flags::selector::{self, SelectorError};

/// See the module.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How pods are read, the same as in the webhook and the daemon.
    pub reading: Reading,
    /// Pods that are ours.
    pub selector: Selector,
}

/// A setting that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// `DEFAULT_NETWORK_TYPE` or `DEFAULT_IP_FAMILY`.
    #[error("defaults of pods: {0}")]
    Word(#[from] UnknownWord),
    /// `--pod-label-selector`.
    #[error("--pod-label-selector: {0}")]
    Selector(#[from] SelectorError),
}

impl Settings {
    /// Of a command line.
    pub fn new(flags: &Flags) -> Result<Self, SettingsError> {
        let reading = Reading {
            default_network_type: default_network_type(&flags.default_network_type)?,
            default_ip_family: default_ip_family(&flags.default_ip_family)?,
            default_ip_retain: flags.default_ip_retain,
            stateful_workload_kinds: flags.stateful_workload_kinds.clone(),
            gates: flags.feature_gates,
        };
        Ok(Self {
            reading,
            selector: selector::parse(&flags.pod_label_selector)?,
        })
    }
}
