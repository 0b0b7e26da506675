//! Writes that the API server refuses: nothing stays half done, and no address is lost or given twice (control-plane
//! spec 6.3). An admission policy of the test's own refuses them.

use anyhow::Result;
use serde_json::{Value, json};

use crate::fixture::on_the_fixture;
use crate::objects::{object, own_subnet, pod, stateful_set};
use crate::stage::{IP_INSTANCE, Kind, POD, STATEFUL_SET, Stage, ip, uid};

const POLICY: Kind = Kind("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy");
const BINDING: Kind = Kind(
    "admissionregistration.k8s.io/v1",
    "ValidatingAdmissionPolicyBinding",
);

/// Refuses `IPInstances` of a namespace unless a CEL expression holds, as soon as this returns: `probe` is one that it
/// must refuse.
async fn refuse_unless(stage: &Stage, rule: &str, probe: Value) -> Result<()> {
    let rules = json!([{"apiGroups": ["networking.alibaba.com"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                        "resources": ["ipinstances"]}]);
    let policy = object(POLICY.0, POLICY.1, stage.name())
        .with("spec.failurePolicy", "Fail")
        .with("spec.matchConstraints.resourceRules", rules)
        .with(
            "spec.validations",
            json!([{"expression": rule, "message": "refused by the test"}]),
        );
    stage.create(policy).await?;
    let here = json!({"matchLabels": {"kubernetes.io/metadata.name": stage.name()}});
    let binding = object(BINDING.0, BINDING.1, stage.name())
        .with("spec.policyName", stage.name())
        .with("spec.validationActions", json!(["Deny"]))
        .with("spec.matchResources.namespaceSelector", here);
    stage.create(binding).await?;
    stage
        .until("the policy is in force", async || {
            let refused = stage.refused(probe.clone(), &["refused by the test"]).await;
            Ok(refused.map_err(|error| format!("{error:#}")))
        })
        .await
}

async fn allow_again(stage: &Stage) -> Result<()> {
    stage.delete(BINDING, stage.name()).await?;
    stage.delete(POLICY, stage.name()).await
}

fn instance(version: &str, address: &str, pod_uid: &str) -> Value {
    let name = "10-0-0-99";
    object(IP_INSTANCE.0, IP_INSTANCE.1, name)
        .with("spec.network", "none")
        .with("spec.subnet", "none")
        .with(
            "spec.address",
            json!({"version": version, "ip": address, "mac": "02:12:34:00:00:01"}),
        )
        .with("spec.binding.podUID", pod_uid)
        .into()
}

/// Scenario 87: the IPv6 half is refused.
#[test]
fn nothing_stays_of_a_dual_stack_allocation_whose_second_half_is_refused() {
    on_the_fixture("half", async |cluster| {
        let stage = Stage::new(cluster, "half").await?;
        refuse_unless(
            &stage,
            "object.spec.address.version != '6'",
            instance("6", "fe80::99/120", ""),
        )
        .await?;

        let asked = pod("p")
            .on("node3")
            .says("network-type", "Overlay")
            .says("ip-family", "DualStack");
        stage.create(asked).await?;
        stage
            .told("p", &["IPAllocationFail", "refused by the test"])
            .await?;
        stage.freed("p").await?;
        allow_again(&stage).await?;

        stage.bound("p", 2).await?;
        stage.clear(&["p"]).await
    });
}

/// Scenario 88: a retained address whose binding is refused.
#[test]
fn a_retained_address_stays_its_own_while_it_cannot_be_bound() {
    on_the_fixture("unbound", async |cluster| {
        let stage = Stage::new(cluster, "unbound").await?;
        let other = Stage::new(cluster, "unbound-other").await?;
        let range = own_subnet("unbound", "10.46.0.0/29").with("spec.range.end", "10.46.0.3");
        stage.underlay(46, range).await?;
        let set = stage.create(stateful_set("web", 1)).await?;
        let before = stage.start(pod("web-0").on("unbound").of(&set), 1).await?;
        stage.remove(POD, "web-0").await?;
        stage.reserved("web-0", 1).await?;
        let rule = "!has(object.spec.binding) || !has(object.spec.binding.podUID) || object.spec.binding.podUID == ''";
        refuse_unless(&stage, rule, instance("4", "10.0.0.99/24", "7")).await?;

        stage.create(pod("web-0").on("unbound").of(&set)).await?;
        stage
            .told("web-0", &["IPAllocationFail", "refused by the test"])
            .await?;
        let theirs = other.start(pod("p").on("unbound"), 1).await?;
        assert_ne!(ip(&theirs[0]), ip(&before[0]));
        other.create(pod("none-left").on("unbound")).await?;
        other.told("none-left", &["IPAllocationFail"]).await?;
        allow_again(&stage).await?;

        let after = stage.bound("web-0", 1).await?;
        assert_eq!((uid(&after[0]), ip(&after[0])), (uid(&before[0]), ip(&before[0])));
        other.clear(&["none-left", "p"]).await?;
        stage.end_workload(STATEFUL_SET, "web").await
    });
}
