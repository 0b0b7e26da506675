//! Command lines, and what they come to.

use super::*;

fn parse(arguments: &[&str]) -> Result<Flags, clap::Error> {
    let name = if arguments.iter().any(|given| given.starts_with("--node-name")) {
        &[][..]
    } else {
        &["--node-name=node1"]
    };
    let arguments = ["hybridnet-daemon"].iter().chain(name).chain(arguments);
    CommandLine::try_parse_from(arguments).map(|line| line.flags)
}

#[test]
fn defaults_are_those_of_the_original() {
    let flags = parse(&[]).unwrap();

    assert_eq!(flags.settings().unwrap(), Settings::default());
    assert_eq!(flags.without_effect(), [] as [&str; 0]);
    assert_eq!(
        flags.health_probe_addr.0,
        ["[::]:11021".parse().unwrap(), "0.0.0.0:11021".parse().unwrap()]
    );
    let booleans = [
        flags.enable_vlan_arp_enhancement,
        flags.patch_calico_pod_ips_annotation,
        flags.check_pod_connectivity_from_host,
        flags.update_ipinstance_status,
    ];
    assert_eq!(booleans, [true; 4]);
}

#[test]
fn a_manifest_of_the_original_is_understood() {
    let flags = parse(&[
        "--bind-socket=/run/cni/hybridnet.sock",
        "--prefer-interfaces=eth2",
        "--prefer-vlan-interfaces=eth2",
        "--prefer-vxlan-interfaces= eth1, eth0,",
        "--prefer-bgp-interfaces=eth3",
        "--health-probe-addr=127.0.0.1:11021",
        "--metrics-addr=0",
        "--bgp-grpc-server-addr=:50052",
        "--local-direct-table=39998",
        "--to-overlay-table",
        "40002",
        "--overlay-mark-table=40003",
        "--iptables-check-duration=10s",
        "--vlan-check-timeout=1s",
        "--vxlan-udp-port=4789",
        "--vxlan-base-reachable-time=1m30s",
        "--vxlan-expired-neigh-caches-clear-interval=0.5h",
        "--vtep-address-cidrs=10.2.0.0/16,fd00::/64",
        "--extra-node-local-vxlan-ip-cidrs=10.9.0.0/16",
        "--neigh-gc-thresh1=1",
        "--neigh-gc-thresh2=2",
        "--neigh-gc-thresh3=3",
        "--ipv6-route-cache-max-size=4",
        "--ipv6-route-cache-gc-thresh=5",
        "--enable-vlan-arp-enhancement=false",
        "--patch-calico-pod-ips-annotation=false",
        "--check-pod-connectivity-from-host=0",
        "--update-ipinstance-status",
        "--feature-gates=MultiCluster=true,VMIPRetain=false",
        "--default-ip-retain=true",
        "--stateful-workload-kinds=StatefulSet",
        "--zap-log-level=2",
    ])
    .unwrap();

    let settings = flags.settings().unwrap();
    assert_eq!(settings.prefer_vxlan, ["eth1", "eth0"]);
    assert_eq!(settings.prefer_vlan, ["eth2"]);
    assert_eq!(
        settings.vtep_cidrs,
        ["10.2.0.0/16".parse().unwrap(), "fd00::/64".parse().unwrap()]
    );
    assert_eq!(settings.base_reachable_time, Duration::from_secs(90));
    assert_eq!(settings.neighbour_thresholds, [1, 2, 3]);
    assert_eq!(settings.tables.to_overlay, 40_002);
    assert_eq!(
        flags.vxlan_expired_neigh_caches_clear_interval,
        Duration::from_mins(30)
    );
    assert!(flags.metrics_addr.0.is_empty());
    assert!(flags.feature_gates.multi_cluster);
    assert!(flags.update_ipinstance_status && !flags.check_pod_connectivity_from_host);
    assert!(flags.without_effect().contains(&"--prefer-bgp-interfaces"));
}

#[test]
fn the_older_flag_names_the_links_of_underlay_networks_where_the_newer_is_silent() {
    let chosen = |arguments: &[&str]| parse(arguments).unwrap().settings().unwrap().prefer_vlan;

    assert_eq!(chosen(&["--prefer-interfaces=eth1"]), ["eth1"]);
    assert_eq!(
        chosen(&["--prefer-interfaces=eth1", "--prefer-vlan-interfaces=eth2"]),
        ["eth2"]
    );
}

#[test]
fn the_arguments_of_the_chart_are_understood() {
    let flags = parse(&["--proc-sys=/host/proc/sys"]).unwrap();

    assert_eq!(flags.proc_sys, PathBuf::from("/host/proc/sys"));
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_value() {
    for (argument, said) in [
        ("--vtep-address-cidrs=10.2.0.0/16,fish", "fish"),
        ("--vxlan-base-reachable-time=5", "300ms"),
        ("--vxlan-base-reachable-time=", "300ms"),
        ("--vxlan-base-reachable-time=-5s", "300ms"),
        ("--health-probe-addr=here", "127.0.0.1:8091"),
        ("--feature-gates=Nonsense=true", "Nonsense"),
        ("--feature-gates=MultiCluster=perhaps", "perhaps"),
        ("--update-ipinstance-status=perhaps", "perhaps"),
        ("--vxlan-udp-port=70000", "70000"),
        ("--no-such-flag", "no-such-flag"),
    ] {
        let error = parse(&[argument]).unwrap_err().to_string();
        assert!(error.contains(said), "{argument}: {error}");
    }
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let refusal = |arguments: &[&str]| parse(arguments).unwrap().settings().unwrap_err();

    assert_eq!(
        refusal(&["--to-overlay-table=39999"]),
        FlagError::Tables(39_999, 39_999, 40_001)
    );
    assert_eq!(
        refusal(&["--to-overlay-table=254"]),
        FlagError::Tables(39_999, 254, 40_001)
    );
    assert_eq!(
        refusal(&["--vxlan-base-reachable-time=0s"]),
        FlagError::Zero("vxlan-base-reachable-time")
    );
    assert_eq!(refusal(&["--node-name="]), FlagError::NoNode);
}

#[test]
fn defaults_for_pods_are_read_as_the_manager_does_and_unknown_words_are_named() {
    let pods = |arguments: &[&str]| parse(arguments).unwrap().pod_settings();

    let chosen = pods(&["--default-ip-family=dualstack", "--default-network-type=overlay"]).unwrap();
    assert_eq!(
        chosen.default_ip_family,
        hybridnet_api::selection::PodFamily::DualStack
    );
    assert_eq!(chosen.default_network_type, hybridnet_api::NetworkType::Overlay);
    assert!(!pods(&["--default-ip-retain=false"]).unwrap().default_ip_retain);
    let refused = pods(&["--default-ip-family=IPv5"]).unwrap_err().to_string();
    assert!(
        refused.contains("DEFAULT_IP_FAMILY") && refused.contains("IPv5"),
        "{refused}"
    );
}

#[test]
fn installing_is_a_command_of_its_own() {
    let line = CommandLine::try_parse_from(["hybridnet-daemon", "install-cni"]).unwrap();

    assert!(matches!(line.command, Some(Command::InstallCni)));
}
