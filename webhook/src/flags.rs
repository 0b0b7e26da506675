//! The command line and the environment: those of the original, and ours beside them (control-plane 2.5).

use std::path::PathBuf;

use clap::{ArgAction, Parser, value_parser};
use hybridnet_api::feature_gates::FeatureGates;
use hybridnet_api::network::UnknownWord;
use hybridnet_api::pod::go_bool;
use hybridnet_api::settings::{self, Settings};
use hybridnet_service::logs::LogFlags;
use hybridnet_service::ports::Listen;

/// Admission of networks, subnets and pods.
#[derive(Parser, Clone, Debug)]
#[command(name = "hybridnet-webhook", version)]
pub struct Flags {
    /// Port of HTTPS.
    #[arg(long, default_value_t = 9898, value_parser = value_parser!(u16).range(1..))]
    pub port: u16,
    /// Port of plain HTTP for /healthz and /readyz; 0 is off.
    #[arg(long, default_value_t = 9897)]
    pub health_port: u16,
    /// Address of plain HTTP for /metrics, such as ":9900"; 0 is off.
    #[arg(long, default_value = "0")]
    pub metrics_bind_address: Listen,
    /// Whether stateful pods keep their addresses when the pod does not say.
    #[arg(long, num_args = 0..=1, require_equals = true, action = ArgAction::Set,
          default_value = "true", default_missing_value = "true", value_parser = switch)]
    default_ip_retain: bool,
    /// Kinds of controllers whose pods are stateful.
    #[arg(long, value_delimiter = ',', default_value = "StatefulSet")]
    stateful_workload_kinds: Vec<String>,
    /// Name=bool pairs: `MultiCluster`, `VMIPRetain`, `AllAlpha`, `AllBeta`.
    #[arg(long, default_value = "")]
    feature_gates: FeatureGates,
    /// Client configuration outside of a cluster; `KUBECONFIG` does the same.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Logging.
    #[command(flatten)]
    pub logs: LogFlags,
    /// Type of network for pods that ask for none: Underlay (also when empty), Overlay or `GlobalBGP`.
    #[arg(long, env = "DEFAULT_NETWORK_TYPE", default_value = "", hide = true)]
    default_network_type: String,
    /// Address family for pods that ask for none: `IPv4Only` (also when empty), `IPv6Only` or `DualStack`.
    #[arg(long, env = "DEFAULT_IP_FAMILY", default_value = "", hide = true)]
    default_ip_family: String,
    /// Namespace of the service, the Secret and this pod.
    #[arg(long, env = "NAMESPACE", default_value = "kube-system", hide = true)]
    pub namespace: String,
}

/// A default that is no known word.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// `DEFAULT_NETWORK_TYPE`.
    #[error("DEFAULT_NETWORK_TYPE: {0}")]
    NetworkType(UnknownWord),
    /// `DEFAULT_IP_FAMILY`.
    #[error("DEFAULT_IP_FAMILY: {0}")]
    Family(UnknownWord),
}

impl Flags {
    /// What pods are judged by.
    pub fn settings(&self) -> Result<Settings, FlagError> {
        Ok(Settings {
            default_network_type: settings::default_network_type(&self.default_network_type)
                .map_err(FlagError::NetworkType)?,
            default_ip_family: settings::default_ip_family(&self.default_ip_family)
                .map_err(FlagError::Family)?,
            default_ip_retain: self.default_ip_retain,
            stateful_workload_kinds: self.stateful_workload_kinds.clone(),
            gates: self.feature_gates,
        })
    }
}

fn switch(text: &str) -> Result<bool, String> {
    go_bool(text).ok_or_else(|| format!("{text:?} is neither true nor false"))
}

#[cfg(test)]
mod tests {
    use hybridnet_api::NetworkType;
    use hybridnet_api::selection::PodFamily;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(std::iter::once(&"hybridnet-webhook").chain(arguments))
    }

    #[test]
    fn defaults_are_those_of_the_original() {
        let flags = parse(&[]).expect("no flag is needed");
        assert_eq!((flags.port, flags.health_port), (9898, 9897));
        assert_eq!(flags.namespace, "kube-system");
        assert_eq!(flags.metrics_bind_address, Listen::default());
        assert_eq!(flags.settings().expect("good defaults"), Settings::default());
    }

    #[test]
    fn a_manifest_of_the_chart_or_of_the_original_is_understood() {
        let flags = parse(&[
            "--port=9898",
            "--metrics-bind-address=:9900",
            "--default-ip-retain=false",
            "--stateful-workload-kinds=StatefulSet,CloneSet",
            "--feature-gates=MultiCluster=false,VMIPRetain=true",
            "--zap-encoder=json",
            "--zap-log-level=info",
            "--default-network-type=overlay",
            "--default-ip-family=IPv4",
        ])
        .expect("flags of the chart");
        let settings = flags.settings().expect("good words");
        assert_eq!(settings.default_network_type, NetworkType::Overlay);
        assert_eq!(settings.default_ip_family, PodFamily::Ipv4Only);
        assert!(!settings.default_ip_retain && settings.gates.vm_ip_retain);
        assert_eq!(settings.stateful_workload_kinds, ["StatefulSet", "CloneSet"]);
        assert_eq!(flags.metrics_bind_address, Listen::on_port(9900));
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (argument, said) in [
            ("--port=0", "--port"),
            ("--default-ip-retain=perhaps", "perhaps"),
            ("--metrics-bind-address=here", "here"),
            ("--feature-gates=Nonsense=true", "Nonsense"),
        ] {
            let error = parse(&[argument]).expect_err(argument).to_string();
            assert!(error.contains(said), "{error}");
        }
        let settings = parse(&["--default-network-type=Mesh"])
            .expect("any word")
            .settings();
        let error = settings.expect_err("an unknown type").to_string();
        assert!(
            error.contains("DEFAULT_NETWORK_TYPE") && error.contains("Mesh"),
            "{error}"
        );
    }
}
