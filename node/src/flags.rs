//! The command line and environment of the daemon. Every flag of the Go project is accepted with the same
//! spelling, because people keep them in patched manifests (datapath spec 3.1).

mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser};
use hybridnet_api::feature_gates::FeatureGates;
use hybridnet_api::network::UnknownWord;
use hybridnet_api::settings;
use hybridnet_service::logs::LogFlags;
use hybridnet_service::ports::Listen;

use crate::plan::TableNumbers;
use crate::view::Settings;
pub use values::{Cidrs, FlagError, List};
use values::{cidrs, go_bool, go_duration};

/// What the daemon is told when it starts.
#[derive(Args, Clone, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub struct Flags {
    /// Name of this node.
    #[arg(
        long = "node-name",
        env = "KUBE_NODE_NAME",
        default_value = "",
        hide_env_values = true
    )]
    pub node: String,

    /// Socket on which the CNI plugin asks.
    #[arg(long, default_value = "/var/run/hybridnet.sock")]
    pub bind_socket: PathBuf,

    /// Where sysctls are written: in a container without full privileges `/proc/sys` is read-only.
    #[arg(long, default_value = "/proc/sys")]
    pub proc_sys: PathBuf,

    /// Deprecated, the same as --prefer-vlan-interfaces.
    #[arg(long, default_value = "", hide = true)]
    pub prefer_interfaces: List,

    /// Links for VLAN networks; the first that exists is used, none means that of the default route.
    #[arg(long, default_value = "")]
    pub prefer_vlan_interfaces: List,

    /// Links that may carry the tunnel; the first that exists is used, none means that of the default route.
    #[arg(long, default_value = "")]
    pub prefer_vxlan_interfaces: List,

    /// Links for BGP networks; the first that exists is used, none means that of the default route.
    #[arg(long = "prefer-bgp-interfaces", default_value = "")]
    pub prefer_bgp_interfaces: List,

    /// Address of `/live` and `/ready`; 0 means none.
    #[arg(long, default_value = ":11021")]
    pub health_probe_addr: Listen,

    /// Address of `/metrics`; 0 means none.
    #[arg(long, default_value = ":8091")]
    pub metrics_addr: Listen,

    /// Accepted and not served: this release has no BGP.
    #[arg(long = "bgp-grpc-server-addr", default_value = ":50051", hide = true)]
    pub bgp_grpc_server_addr: String,

    /// Number of the table of this node's pods.
    #[arg(long, default_value_t = TableNumbers::default().local_direct)]
    pub local_direct_table: u32,

    /// Number of the table of overlay subnets.
    #[arg(long, default_value_t = TableNumbers::default().to_overlay)]
    pub to_overlay_table: u32,

    /// Number of the table of replies of overlay pods to nodes.
    #[arg(long, default_value_t = TableNumbers::default().overlay_mark)]
    pub overlay_mark_table: u32,

    /// Accepted and not used: packet filter rules are checked with everything else.
    #[arg(long, default_value = "5s", value_parser = go_duration, hide = true)]
    pub iptables_check_duration: Duration,

    /// Accepted and not used: this release has no VLAN.
    #[arg(long, default_value = "3s", value_parser = go_duration, hide = true)]
    pub vlan_check_timeout: Duration,

    /// UDP port of the tunnel; all nodes must have the same.
    #[arg(long, default_value_t = 8472)]
    pub vxlan_udp_port: u16,

    /// How long a neighbour on the tunnel is taken to be reachable without a sign of life.
    #[arg(long, default_value = "5s", value_parser = go_duration)]
    pub vxlan_base_reachable_time: Duration,

    /// How often neighbours of the tunnel that are of no use any more are forgotten.
    #[arg(long, default_value = "1h", value_parser = go_duration)]
    pub vxlan_expired_neigh_caches_clear_interval: Duration,

    /// Ranges that the tunnel's outer address may be from.
    #[arg(long = "vtep-address-cidrs", default_value = "0.0.0.0/0,::/0", value_parser = cidrs)]
    pub vtep_address_cidrs: Cidrs,

    /// Ranges whose addresses on this machine are the node's, besides those of the Node object.
    #[arg(long = "extra-node-local-vxlan-ip-cidrs", default_value = "", value_parser = cidrs)]
    pub extra_node_local_vxlan_ip_cidrs: Cidrs,

    /// `gc_thresh1` of the neighbour tables, at least.
    #[arg(long = "neigh-gc-thresh1", default_value_t = 1024)]
    pub neigh_gc_thresh1: u64,

    /// `gc_thresh2` of the neighbour tables, at least.
    #[arg(long = "neigh-gc-thresh2", default_value_t = 2048)]
    pub neigh_gc_thresh2: u64,

    /// `gc_thresh3` of the neighbour tables, at least.
    #[arg(long = "neigh-gc-thresh3", default_value_t = 4096)]
    pub neigh_gc_thresh3: u64,

    /// `net.ipv6.route.max_size`, at least.
    #[arg(long = "ipv6-route-cache-max-size", default_value_t = 524_288)]
    pub ipv6_route_cache_max_size: u64,

    /// `net.ipv6.route.gc_thresh`, at least.
    #[arg(long = "ipv6-route-cache-gc-thresh", default_value_t = 65_536)]
    pub ipv6_route_cache_gc_thresh: u64,

    /// Accepted and not used: this release has no VLAN.
    #[arg(long, default_value = "true", num_args = 0..=1, require_equals = true, hide = true,
          default_missing_value = "true", value_parser = go_bool, action = ArgAction::Set)]
    pub enable_vlan_arp_enhancement: bool,

    /// Tell felix the addresses of a pod by an annotation.
    #[arg(long = "patch-calico-pod-ips-annotation", default_value = "true", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = go_bool, action = ArgAction::Set)]
    pub patch_calico_pod_ips_annotation: bool,

    /// Ping a new pod before the runtime is told that its network is ready.
    #[arg(long, default_value = "true", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = go_bool, action = ArgAction::Set)]
    pub check_pod_connectivity_from_host: bool,

    /// Write sandbox and node into the status of a pod's `IPInstance`s.
    #[arg(long, default_value = "true", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = go_bool, action = ArgAction::Set)]
    pub update_ipinstance_status: bool,

    /// Name=bool pairs separated by commas; known: `MultiCluster`, `VMIPRetain`, `AllAlpha`, `AllBeta`.
    #[arg(long, default_value = "")]
    pub feature_gates: FeatureGates,

    /// Whether a stateful pod keeps its addresses when it does not say.
    #[arg(long = "default-ip-retain", default_value = "true", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = go_bool, action = ArgAction::Set)]
    pub default_ip_retain: bool,

    /// Kinds of controllers whose pods are stateful, separated by commas.
    #[arg(long, default_value = "StatefulSet")]
    pub stateful_workload_kinds: List,

    /// Type of network of pods that do not say: Underlay, Overlay or `GlobalBGP`.
    #[arg(long, env = "DEFAULT_NETWORK_TYPE", default_value = "")]
    pub default_network_type: String,

    /// Addresses of pods that do not say: IPv4, IPv6 or `DualStack`.
    #[arg(long = "default-ip-family", env = "DEFAULT_IP_FAMILY", default_value = "")]
    pub default_ip_family: String,

    /// Configuration of a client outside of the cluster.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,

    /// Log flags of the Go project.
    #[command(flatten)]
    pub logs: LogFlags,
}

/// The whole command line: the daemon, unless another command is named.
#[derive(Parser, Clone, Debug)]
#[command(
    name = "hybridnet-daemon",
    version,
    about = "Programs the kernel of one node and serves the CNI plugin",
    args_conflicts_with_subcommands = true
)]
pub struct CommandLine {
    /// What to do instead.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Of the daemon.
    #[command(flatten)]
    pub flags: Flags,
}

/// Other things than being the daemon.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Command {
    /// Installs the CNI plugin and its configuration on the node, and ends.
    InstallCni,
}

impl Flags {
    /// Checks what flags say together, and gives what decisions depend on.
    pub fn settings(&self) -> Result<Settings, FlagError> {
        if self.node.is_empty() {
            return Err(FlagError::NoNode);
        }
        if self.vxlan_base_reachable_time.is_zero() {
            return Err(FlagError::Zero("vxlan-base-reachable-time"));
        }
        if self.vxlan_expired_neigh_caches_clear_interval.is_zero() {
            return Err(FlagError::Zero("vxlan-expired-neigh-caches-clear-interval"));
        }
        let (a, b, c) = (
            self.local_direct_table,
            self.to_overlay_table,
            self.overlay_mark_table,
        );
        // The numbers that the kernel gives to its own tables, and to none at all.
        let of_kernel = [0, 253, 254, 255];
        if a == b || b == c || a == c || [a, b, c].iter().any(|number| of_kernel.contains(number)) {
            return Err(FlagError::Tables(a, b, c));
        }
        Ok(Settings {
            prefer_vxlan: self.prefer_vxlan_interfaces.0.clone(),
            prefer_vlan: self.vlan_interfaces().to_vec(),
            lend_addresses: self.enable_vlan_arp_enhancement,
            vtep_cidrs: self.vtep_address_cidrs.0.clone(),
            extra_local_cidrs: self.extra_node_local_vxlan_ip_cidrs.0.clone(),
            tables: TableNumbers {
                local_direct: a,
                to_overlay: b,
                overlay_mark: c,
            },
            vxlan_port: self.vxlan_udp_port,
            base_reachable_time: self.vxlan_base_reachable_time,
            neighbour_thresholds: [
                self.neigh_gc_thresh1,
                self.neigh_gc_thresh2,
                self.neigh_gc_thresh3,
            ],
            ipv6_route_max_size: self.ipv6_route_cache_max_size,
            ipv6_route_gc_thresh: self.ipv6_route_cache_gc_thresh,
        })
    }

    /// Links for underlay networks; the older flag counts where the newer one is silent.
    fn vlan_interfaces(&self) -> &[String] {
        if self.prefer_vlan_interfaces.0.is_empty() {
            &self.prefer_interfaces.0
        } else {
            &self.prefer_vlan_interfaces.0
        }
    }

    /// How pods are read; the manager and the webhook are told the same.
    pub fn pod_settings(&self) -> Result<settings::Settings, FlagError> {
        let wrong = |name, error: UnknownWord| FlagError::Word { name, error };
        Ok(settings::Settings {
            default_network_type: settings::default_network_type(&self.default_network_type)
                .map_err(|error| wrong("--default-network-type (env DEFAULT_NETWORK_TYPE)", error))?,
            default_ip_family: settings::default_ip_family(&self.default_ip_family)
                .map_err(|error| wrong("--default-ip-family (env DEFAULT_IP_FAMILY)", error))?,
            default_ip_retain: self.default_ip_retain,
            stateful_workload_kinds: self.stateful_workload_kinds.0.clone(),
            gates: self.feature_gates,
        })
    }

    /// Flags that were given and do nothing in this release, for one line in the log.
    pub fn without_effect(&self) -> Vec<&'static str> {
        [
            (
                "--prefer-bgp-interfaces",
                !self.prefer_bgp_interfaces.0.is_empty(),
            ),
            ("--bgp-grpc-server-addr", self.bgp_grpc_server_addr != ":50051"),
            (
                "--iptables-check-duration",
                self.iptables_check_duration != Duration::from_secs(5),
            ),
            (
                "--vlan-check-timeout",
                self.vlan_check_timeout != Duration::from_secs(3),
            ),
            ("--feature-gates=MultiCluster", self.feature_gates.multi_cluster),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect()
    }
}

#[cfg(test)]
mod tests;
