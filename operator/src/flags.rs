//! The command line and environment of the manager. Every flag of the Go project is accepted with the
//! same spelling, because people keep them in patched manifests (control-plane spec 2.5).

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Parser};
use hybridnet_api::duration::DurationFault;
use hybridnet_api::feature_gates::FeatureGates;
use hybridnet_api::pod::go_bool;
use hybridnet_service::logs::LogFlags;

pub mod selector;

/// What the manager is told when it starts.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "hybridnet-manager",
    version,
    about = "Allocates addresses to pods and keeps the status of Networks and Subnets"
)]
pub struct Flags {
    /// Whether a stateful pod keeps its addresses when it does not say.
    #[arg(long, default_value = "true", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = switch, action = ArgAction::Set)]
    pub default_ip_retain: bool,

    /// Kinds of controllers whose pods are stateful, separated by commas.
    #[arg(long, default_value = "StatefulSet", value_delimiter = ',')]
    pub stateful_workload_kinds: Vec<String>,

    /// Name=bool pairs separated by commas; known: `MultiCluster`, `VMIPRetain`, `AllAlpha`, `AllBeta`.
    #[arg(long, default_value = "")]
    pub feature_gates: FeatureGates,

    /// Name=int pairs separated by commas: how many objects a controller works on at once (1 to 100).
    #[arg(long, default_value = "")]
    pub controller_concurrency: Concurrency,

    /// Requests a second to the API server in the long run; 0 means no limit but the API server's own
    /// fairness. (The Go project's default is 300, which is less than an API server can take.)
    #[arg(long = "kube-client-qps", default_value_t = 0.0)]
    pub kube_client_qps: f32,

    /// Requests to the API server at once, after a pause, where there is a limit.
    #[arg(long, default_value_t = 600)]
    pub kube_client_burst: u32,

    /// How often to look for addresses that are held for nobody, such as 1m; 0 means never.
    #[arg(long, default_value = "1m", value_parser = duration)]
    pub collector_interval: Duration,

    /// For how long an address must have been held for nobody before it is taken back, such as 10m.
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub collector_grace: Duration,

    /// Port of `/metrics`.
    #[arg(long, default_value_t = 9899)]
    pub metrics_port: u16,

    /// Port of `/healthz` and `/readyz`; 0 means none.
    #[arg(long, default_value_t = 9900)]
    pub health_port: u16,

    /// Label selector of the pods that get addresses; empty means all.
    #[arg(long, default_value = "")]
    pub pod_label_selector: String,

    /// Configuration of a client outside of the cluster.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,

    /// Type of network of pods that do not say: Underlay, Overlay or `GlobalBGP`.
    #[arg(long, env = "DEFAULT_NETWORK_TYPE", default_value = "")]
    pub default_network_type: String,

    /// Addresses of pods that do not say: IPv4, IPv6 or `DualStack`.
    #[arg(long = "default-ip-family", env = "DEFAULT_IP_FAMILY", default_value = "")]
    pub default_ip_family: String,

    /// Namespace of the leader election's Lease; empty means the one that the manager runs in.
    #[arg(long, env = "NAMESPACE", default_value = "")]
    pub namespace: String,

    /// Log flags of the Go project.
    #[command(flatten)]
    pub logs: LogFlags,
}

/// A flag that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// Not one of Go's boolean words.
    #[error("{0:?} is not a boolean: use true or false")]
    Boolean(String),
    /// Not `name=value`.
    #[error("{0:?} is not of the form name=value")]
    Pair(String),
    /// Not a time as Go writes it.
    #[error("{value:?} is {fault}: write numbers with the units h, m and s, such as 30m or 1h30m")]
    Duration {
        /// What was given.
        value: String,
        /// What is wrong with it.
        fault: DurationFault,
    },
    /// Not a number.
    #[error("{name}={value} is not a whole number")]
    Number {
        /// The controller.
        name: String,
        /// What was given.
        value: String,
    },
}

/// How many objects each controller works on at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concurrency(HashMap<String, i64>);

impl Concurrency {
    /// For the controller `name`: what the user wants, between 1 and 100, else `default`.
    pub fn of(&self, name: &str, default: usize) -> usize {
        self.0.get(name).map_or(default, |wanted| {
            usize::try_from((*wanted).clamp(1, 100)).unwrap_or(1)
        })
    }
}

impl FromStr for Concurrency {
    type Err = FlagError;

    fn from_str(value: &str) -> Result<Self, FlagError> {
        let entries = pairs(value)?.into_iter().map(|(name, value)| {
            let number = value.parse().map_err(|_| FlagError::Number {
                name: name.to_owned(),
                value: value.to_owned(),
            })?;
            Ok((name.to_owned(), number))
        });
        entries.collect::<Result<_, _>>().map(Self)
    }
}

/// `a=b,c=d`; empty entries are passed over, as the Go project's parser does.
fn pairs(value: &str) -> Result<Vec<(&str, &str)>, FlagError> {
    value
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let (name, value) = entry
                .split_once('=')
                .ok_or_else(|| FlagError::Pair(entry.to_owned()))?;
            Ok((name.trim(), value.trim()))
        })
        .collect()
}

fn duration(value: &str) -> Result<Duration, FlagError> {
    hybridnet_api::duration::parse(value).map_err(|fault| FlagError::Duration {
        value: value.to_owned(),
        fault,
    })
}

fn switch(value: &str) -> Result<bool, FlagError> {
    go_bool(value).ok_or_else(|| FlagError::Boolean(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Rate;

    fn parse(arguments: &[&str]) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(std::iter::once(&"hybridnet-manager").chain(arguments))
    }

    #[test]
    fn defaults_are_those_of_the_original() {
        let flags = parse(&[]).unwrap();

        assert!(flags.default_ip_retain);
        assert_eq!(flags.stateful_workload_kinds, ["StatefulSet"]);
        assert_eq!(flags.feature_gates, FeatureGates::default());
        assert_eq!((flags.metrics_port, flags.health_port), (9899, 9900));
        assert_eq!(flags.controller_concurrency.of("Pod", 16), 16);
        assert_eq!(
            (flags.collector_interval, flags.collector_grace),
            (Duration::from_mins(1), Duration::from_mins(10))
        );
    }

    #[test]
    fn unless_it_is_told_otherwise_the_api_server_alone_limits_the_rate() {
        let rate = |arguments: &[&str]| {
            let flags = parse(arguments).unwrap();
            Rate::new(flags.kube_client_qps, flags.kube_client_burst)
        };

        assert_eq!(rate(&[]).per_second, None);
        let limited = rate(&["--kube-client-qps=300"]);
        assert_eq!((limited.per_second, limited.burst), (Some(300.0), 600));
    }

    #[test]
    fn a_manifest_of_the_original_is_understood() {
        let flags = parse(&[
            "--default-ip-retain=false",
            "--feature-gates=MultiCluster=false,VMIPRetain=true",
            "--controller-concurrency=Pod=0,IPAM=7,IPInstance=1000",
            "--kube-client-qps=300",
            "--kube-client-burst",
            "600",
            "--metrics-port=9899",
            "--stateful-workload-kinds=StatefulSet,CloneSet",
            "--pod-label-selector=a in (b,c)",
            "--zap-devel",
            "--zap-encoder=json",
            "--zap-log-level=2",
            "--zap-time-encoding=iso8601",
        ])
        .unwrap();

        assert!(!flags.default_ip_retain);
        assert!(flags.feature_gates.vm_ip_retain && !flags.feature_gates.multi_cluster);
        let workers = ["Pod", "IPAM", "IPInstance"].map(|name| flags.controller_concurrency.of(name, 16));
        assert_eq!(workers, [1, 7, 100]);
        assert_eq!(flags.stateful_workload_kinds, ["StatefulSet", "CloneSet"]);
    }

    #[test]
    fn a_bare_boolean_is_true() {
        assert!(parse(&["--default-ip-retain"]).unwrap().default_ip_retain);
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_its_name() {
        for (argument, said) in [
            ("--feature-gates=Nonsense=true", "Nonsense"),
            ("--feature-gates=MultiCluster", "MultiCluster"),
            ("--feature-gates=MultiCluster=yes", "yes"),
            ("--controller-concurrency=Pod=many", "Pod=many"),
            ("--default-ip-retain=perhaps", "perhaps"),
            ("--collector-grace=soon", "soon"),
            ("--collector-interval=-1m", "negative"),
            ("--no-such-flag", "no-such-flag"),
        ] {
            let error = parse(&[argument]).unwrap_err().to_string();
            assert!(error.contains(said), "{argument}: {error}");
        }
    }
}
