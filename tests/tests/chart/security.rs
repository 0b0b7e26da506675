//! What our pods may do to their node and to the cluster.

use serde_json::{Value, json};

use crate::rendered::render;

#[test]
fn manager_and_webhook_have_no_privilege_on_their_node() {
    let chart = render(&[]);

    for component in ["manager", "webhook"] {
        let security = &chart.container(component)["securityContext"];
        assert_eq!(security["runAsNonRoot"], true, "{component}");
        assert_eq!(security["allowPrivilegeEscalation"], false, "{component}");
        assert_eq!(security["readOnlyRootFilesystem"], true, "{component}");
        assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}), "{component}");
        let pod = &chart.workload(component)["spec"]["template"]["spec"];
        assert_eq!(host_paths(pod), [""; 0], "{component}");
    }
}

#[test]
fn the_daemon_has_three_capabilities_and_five_places_of_its_node() {
    let chart = render(&[]);

    let container = chart.container("daemon");
    let pod = &chart.workload("daemon")["spec"]["template"]["spec"];

    let security = &container["securityContext"];
    assert_eq!(security["privileged"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(
        security["capabilities"],
        json!({"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"]})
    );
    assert!(pod.get("hostPID").is_none());
    assert_eq!(
        host_paths(pod),
        [
            "/etc/cni/net.d",
            "/opt/cni/bin",
            "/proc/sys/net",
            "/run/cni",
            "/var/run/netns"
        ]
    );
    assert_eq!(
        mounts(container),
        ["/host/proc/sys/net", "/run/cni", "/run/netns", "/var/run/netns"]
    );
}

#[test]
fn full_privileges_are_there_only_when_asked_for() {
    let chart = render(&["daemon.privileged=true"]);

    assert_eq!(chart.container("daemon")["securityContext"]["privileged"], true);
}

#[test]
fn each_component_has_an_account_of_its_own_and_no_role_has_a_wildcard() {
    let chart = render(&[]);

    for component in ["manager", "webhook", "daemon"] {
        let pod = &chart.workload(component)["spec"]["template"]["spec"];
        assert_eq!(pod["serviceAccountName"], format!("hybridnet-{component}"));
    }
    for kind in ["ClusterRole", "Role"] {
        for role in chart.of_kind(kind) {
            assert!(!role["rules"].to_string().contains('*'), "{role}");
        }
    }
}

fn host_paths(pod: &Value) -> Vec<&str> {
    let volumes = pod["volumes"].as_array().into_iter().flatten();
    let mut paths: Vec<_> = volumes
        .filter_map(|volume| volume["hostPath"]["path"].as_str())
        .collect();
    paths.sort_unstable();
    paths
}

fn mounts(container: &Value) -> Vec<&str> {
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    let mut paths: Vec<_> = mounts.filter_map(|mount| mount["mountPath"].as_str()).collect();
    paths.sort_unstable();
    paths
}
