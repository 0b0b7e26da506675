//! `--feature-gates` of manager, webhook and daemon (control-plane spec 2.6).

use std::str::FromStr;

use crate::pod::go_bool;

/// Optional features, all off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureGates {
    /// Pods of other clusters are reachable.
    pub multi_cluster: bool,
    /// Pods of `KubeVirt` virtual machines keep their addresses.
    pub vm_ip_retain: bool,
}

/// A list of gates that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Not `name=value`.
    #[error("{0:?} is not of the form name=value")]
    Pair(String),
    /// Not one of Go's boolean words.
    #[error("{name}={value:?} is not a boolean: use true or false")]
    Boolean {
        /// The gate.
        name: String,
        /// What was given.
        value: String,
    },
    /// A gate that nobody knows.
    #[error("unknown feature gate {0:?}: use MultiCluster, VMIPRetain, AllAlpha or AllBeta")]
    Unknown(String),
}

impl FromStr for FeatureGates {
    type Err = GateError;

    /// `A=true,B=false`; empty entries are passed over, and of two entries for one gate the last wins.
    fn from_str(list: &str) -> Result<Self, GateError> {
        let (mut alpha, mut multi_cluster, mut vm_ip_retain) = (None, None, None);
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, word) = entry
                .split_once('=')
                .ok_or_else(|| GateError::Pair(entry.to_owned()))?;
            let (name, word) = (name.trim(), word.trim());
            let value = go_bool(word).ok_or_else(|| GateError::Boolean {
                name: name.to_owned(),
                value: word.to_owned(),
            })?;
            match name {
                "MultiCluster" => multi_cluster = Some(value),
                "VMIPRetain" => vm_ip_retain = Some(value),
                "AllAlpha" => alpha = Some(value),
                "AllBeta" => {}
                other => return Err(GateError::Unknown(other.to_owned())),
            }
        }
        // Both gates are alpha; one that is named wins over the group.
        Ok(Self {
            multi_cluster: multi_cluster.or(alpha).unwrap_or_default(),
            vm_ip_retain: vm_ip_retain.or(alpha).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_gate_wins_over_its_group() {
        let gates: FeatureGates = "AllAlpha=true, VMIPRetain=F,,AllBeta=1".parse().unwrap();
        assert_eq!(
            gates,
            FeatureGates {
                multi_cluster: true,
                vm_ip_retain: false
            }
        );
        assert_eq!("".parse(), Ok(FeatureGates::default()));
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (list, said) in [
            ("Nonsense=true", "Nonsense"),
            ("MultiCluster", "MultiCluster"),
            ("MultiCluster=yes", "yes"),
        ] {
            let error = list.parse::<FeatureGates>().unwrap_err().to_string();
            assert!(error.contains(said), "{list}: {error}");
        }
    }
}
