//! What the chart renders of which values, without a cluster: `helm template` and `helm lint`.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a field that an object lacks is null, and a test may fail by a panic"
)]

mod rendered;
mod security;
mod values;

use rendered::{Rendered, refusal, render};

/// Every object of a first installation, and no other.
#[test]
fn a_first_installation_has_these_objects() {
    assert_eq!(
        render(&[]).names(),
        [
            "ClusterRole hybridnet-daemon",
            "ClusterRole hybridnet-manager",
            "ClusterRole hybridnet-webhook",
            "ClusterRoleBinding hybridnet-daemon",
            "ClusterRoleBinding hybridnet-manager",
            "ClusterRoleBinding hybridnet-webhook",
            "ConfigMap hybridnet-cni-conf",
            "DaemonSet hybridnet-daemon",
            "Deployment hybridnet-manager",
            "Deployment hybridnet-webhook",
            "MutatingWebhookConfiguration hybridnet-mutating-webhook",
            "Network init",
            "PodDisruptionBudget hybridnet-manager",
            "PodDisruptionBudget hybridnet-webhook",
            "Role hybridnet-manager",
            "Role hybridnet-webhook",
            "RoleBinding hybridnet-manager",
            "RoleBinding hybridnet-webhook",
            "Service hybridnet-webhook",
            "ServiceAccount hybridnet-daemon",
            "ServiceAccount hybridnet-manager",
            "ServiceAccount hybridnet-webhook",
            "Subnet init",
            "ValidatingWebhookConfiguration hybridnet-validating-webhook",
        ]
    );
}

#[test]
fn helm_finds_nothing_to_complain_about() {
    rendered::lint();
}

#[test]
fn an_old_api_server_gets_what_it_knows() {
    let old = Rendered::of("1.20.0", &[]);

    assert_eq!(
        old.object("PodDisruptionBudget", "hybridnet-webhook")["apiVersion"],
        "policy/v1beta1"
    );
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        for webhook in old
            .of_kind(kind)
            .filter_map(|object| object["webhooks"].as_array())
            .flatten()
        {
            assert!(webhook.get("matchConditions").is_none(), "{webhook}");
        }
    }
    let daemon = old.object("DaemonSet", "hybridnet-daemon");
    let annotations = &daemon["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(
        annotations["container.apparmor.security.beta.kubernetes.io/cni-daemon"],
        "unconfined"
    );
}

#[test]
fn no_new_revision_makes_the_first_network_again() {
    let upgraded = Rendered::upgraded(&[]);

    assert_eq!(upgraded.of_kind("Network").count(), 0);
    assert_eq!(upgraded.of_kind("Subnet").count(), 0);
}

#[test]
fn what_cannot_work_is_refused_with_the_way_out() {
    for (values, words) in [
        (
            ["defualtIPRetain=false", ""],
            ["defualtIPRetain", "defaultIPRetain"],
        ),
        (
            ["defualtNetworkType=Underlay", ""],
            ["defualtNetworkType", "defaultNetworkType"],
        ),
        (
            ["init.cidr=fd00::/112", "init.ipVersion=4"],
            ["init.cidr=fd00::/112", "set init.ipVersion to 6"],
        ),
        (["init.cidr=10.0.0.0", ""], ["init", "cidr"]),
        (["init.vxlanID=16777216", ""], ["vxlanID", "maximum"]),
        (
            ["defaultNetworkType=Sideways", ""],
            ["defaultNetworkType", "Underlay"],
        ),
        (["manager.replicas=-1", ""], ["replicas", "0"]),
        (["manager.collector.grace=soon", ""], ["grace", "pattern"]),
    ] {
        let values: Vec<&str> = values.into_iter().filter(|value| !value.is_empty()).collect();

        let refusal = refusal(&values);

        for word in words {
            assert!(refusal.contains(word), "{values:?}: no {word:?} in: {refusal}");
        }
    }
}
