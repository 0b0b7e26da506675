//! The webhook configurations with the chart's default values (control-plane spec 5.0), for clusters without
//! Helm. The webhook itself puts its CA bundle in.

use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
    ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::api::ObjectMeta;

use crate::names::{GROUP, VERSION, label};

const NAMESPACE: &str = "kube-system";
const SERVICE: &str = "hybridnet-webhook";
const MULTI_CLUSTER_GROUP: &str = "multicluster.alibaba.com";

/// Labels and finalizers may change with the webhook away, and an object that must go may go.
const SPEC_CHANGES: &str = "request.operation != 'UPDATE' || \
     (object.spec != oldObject.spec && !has(object.metadata.deletionTimestamp))";
/// The webhook never stands in its own way, nor in the manager's or the daemon's.
const NOT_OUR_OWN: &str = "!(request.namespace == 'kube-system' && has(object.metadata.labels) && \
     'app' in object.metadata.labels && object.metadata.labels['app'] == 'hybridnet')";
const NOT_HOST_NETWORK: &str = "!has(object.spec.hostNetwork) || !object.spec.hostNetwork";

/// What fills in a pod's network.
pub fn mutating() -> MutatingWebhookConfiguration {
    MutatingWebhookConfiguration {
        metadata: metadata("hybridnet-mutating-webhook"),
        webhooks: Some(vec![MutatingWebhook {
            name: "core-v1.mutating.hybridnet".to_owned(),
            admission_review_versions: versions(),
            client_config: client("/mutate"),
            failure_policy: Some("Ignore".to_owned()),
            match_policy: Some("Equivalent".to_owned()),
            reinvocation_policy: Some("Never".to_owned()),
            side_effects: "None".to_owned(),
            timeout_seconds: Some(5),
            object_selector: Some(pods_that_do_not_opt_out()),
            match_conditions: Some(vec![condition("not-our-own", NOT_OUR_OWN)]),
            rules: Some(vec![created_pods()]),
            ..MutatingWebhook::default()
        }]),
    }
}

/// What refuses Networks, Subnets and pods that cannot work.
pub fn validating() -> ValidatingWebhookConfiguration {
    ValidatingWebhookConfiguration {
        metadata: metadata("hybridnet-validating-webhook"),
        webhooks: Some(vec![of_our_kinds(), of_pods()]),
    }
}

fn of_our_kinds() -> ValidatingWebhook {
    ValidatingWebhook {
        name: "hybridnet-v1.validating.hybridnet".to_owned(),
        // Overlapping Subnets break a cluster, so no answer means no.
        failure_policy: Some("Fail".to_owned()),
        timeout_seconds: Some(10),
        match_conditions: Some(vec![condition("spec-changes", SPEC_CHANGES)]),
        rules: Some(vec![
            rule(GROUP, &["CREATE", "UPDATE", "DELETE"], &["networks", "subnets"]),
            rule(
                MULTI_CLUSTER_GROUP,
                &["CREATE", "UPDATE", "DELETE"],
                &["remoteclusters", "remotesubnets"],
            ),
        ]),
        ..validating_webhook()
    }
}

fn of_pods() -> ValidatingWebhook {
    ValidatingWebhook {
        name: "core-v1.validating.hybridnet".to_owned(),
        failure_policy: Some("Ignore".to_owned()),
        timeout_seconds: Some(5),
        object_selector: Some(pods_that_do_not_opt_out()),
        match_conditions: Some(vec![
            condition("not-our-own", NOT_OUR_OWN),
            condition("not-host-network", NOT_HOST_NETWORK),
        ]),
        rules: Some(vec![created_pods()]),
        ..validating_webhook()
    }
}

fn validating_webhook() -> ValidatingWebhook {
    ValidatingWebhook {
        admission_review_versions: versions(),
        client_config: client("/validate"),
        match_policy: Some("Equivalent".to_owned()),
        side_effects: "None".to_owned(),
        ..ValidatingWebhook::default()
    }
}

fn metadata(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn versions() -> Vec<String> {
    ["v1", "v1beta1"].map(str::to_owned).to_vec()
}

fn client(path: &str) -> WebhookClientConfig {
    WebhookClientConfig {
        service: Some(ServiceReference {
            name: SERVICE.to_owned(),
            namespace: NAMESPACE.to_owned(),
            path: Some(path.to_owned()),
            port: Some(443),
        }),
        ..WebhookClientConfig::default()
    }
}

fn condition(name: &str, expression: &str) -> MatchCondition {
    MatchCondition {
        name: name.to_owned(),
        expression: expression.to_owned(),
    }
}

fn created_pods() -> RuleWithOperations {
    rule("", &["CREATE"], &["pods"])
}

fn rule(group: &str, operations: &[&str], resources: &[&str]) -> RuleWithOperations {
    let owned = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
    RuleWithOperations {
        api_groups: owned(&[group]),
        api_versions: owned(&[VERSION]),
        operations: owned(operations),
        resources: owned(resources),
        scope: Some("*".to_owned()),
    }
}

fn pods_that_do_not_opt_out() -> LabelSelector {
    let not_in = |key: &str, values: &[&str]| LabelSelectorRequirement {
        key: key.to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(values.iter().map(|&value| value.to_owned()).collect()),
    };
    LabelSelector {
        match_expressions: Some(vec![
            not_in(label::WEBHOOK_IGNORE, &["TRUE", "true"]),
            not_in("app", &["kube-proxy"]),
        ]),
        ..LabelSelector::default()
    }
}
