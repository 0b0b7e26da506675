//! `allowedNamespaces`, and the limit of a namespace.

use serde_json::{Value, json};

use super::{chart, configured, counted, over, says, sub, under, with};
use crate::fixtures::{World, ip_instance, namespace, pod, stateful};

fn only(object: Value, namespaces: &[&str]) -> Value {
    configured(object, "allowedNamespaces", json!(namespaces))
}

#[tokio::test]
async fn a_network_for_others_is_refused_whoever_names_it() {
    let objects = |of_d: &[(&str, &str)]| vec![only(under("theirs"), &["a", "b"]), namespace(of_d)];
    let words = [
        "pod \"p\": networking.alibaba.com/specified-network: network \"theirs\"",
        "gives no addresses to namespace \"d\": name another one",
        "add the namespace to its spec.config.allowedNamespaces",
    ];
    let key = [("specified-network", "theirs")];
    for (of_pod, of_namespace) in [(&key[..], &[][..]), (&[], &key)] {
        let world = with(&objects(of_namespace), chart());
        let refusal = world.mutate(&pod("p", of_pod)).await.expect_err("for others");
        assert_eq!(refusal.code, 403);
        says(&refusal.message, &words);
    }
    says(
        &with(&objects(&[]), chart()).denied(&pod("p", &key)).await,
        &words,
    );

    for list in [&["d"][..], &["a", "d"], &[]] {
        let world = with(&[only(under("theirs"), list)], chart());
        assert!(world.create(&pod("p", &key)).await.is_ok(), "{list:?}");
    }
}

#[tokio::test]
async fn the_only_network_of_a_type_is_refused_too_when_it_is_for_others() {
    let world = World::of(&[only(over(5), &["a"]), sub("o4", "over", "4")], chart());
    says(
        &world.denied(&pod("p", &[])).await,
        &[
            "pod \"p\": Overlay network \"over\" gives no addresses to namespace \"d\"",
            "ask for another type in networking.alibaba.com/network-type",
            "spec.config.allowedNamespaces",
        ],
    );
}

#[tokio::test]
async fn a_subnet_for_others_is_refused_to_those_who_name_it() {
    let world = with(&[only(sub("theirs", "under", "4"), &["a"])], chart());
    let naming = pod("p", &[("specified-subnet", "theirs")]);
    for answer in [world.mutate(&naming).await, world.create(&naming).await] {
        let refusal = answer.expect_err("for others");
        assert_eq!(refusal.code, 403);
        says(
            &refusal.message,
            &[
                "pod \"p\": networking.alibaba.com/specified-subnet: subnet \"theirs\"",
                "gives no addresses to namespace \"d\": name another one",
                "add the namespace to its spec.config.allowedNamespaces",
            ],
        );
    }
    assert!(
        world
            .create(&pod("p", &[("specified-subnet", "u4")]))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_underlay_network_whose_subnets_are_for_others_is_told() {
    let named = pod("p", &[("specified-network", "theirs")]);
    let theirs = only(sub("t4", "theirs", "4"), &["a"]);
    assert_eq!(
        with(&[counted(under("theirs"), 5), theirs.clone()], chart())
            .warned(&named)
            .await,
        [
            "specified-network: \"theirs\" has no IPv4 Subnet that this namespace may use: the pod gets no address"
        ]
    );
    let open = [counted(under("theirs"), 5), theirs, sub("o", "theirs", "4")];
    assert_eq!(with(&open, chart()).warned(&named).await, [""; 0]);
}

fn holding(count: usize, limit: &str) -> Vec<Value> {
    let held = (0..count).map(|at| ip_instance(&format!("10-0-0-{}", at + 9), "other", ("over", "o4")));
    held.chain([namespace(&[("address-limit", limit)])]).collect()
}

#[tokio::test]
async fn a_namespace_at_its_limit_gets_no_more_addresses() {
    let world = with(&holding(3, "4"), chart());
    assert!(world.create(&pod("p", &[])).await.is_ok());
    let dual = pod("p", &[("ip-family", "DualStack")]);
    says(
        &world.denied(&dual).await,
        &[
            "pod \"p\"",
            "namespace \"d\" holds 3 addresses",
            "networking.alibaba.com/address-limit is 4",
            "needs 2 more",
            "delete pods or retained IPInstances there, or raise the limit",
        ],
    );
    let pooled = [("specified-network", "under"), ("ip-pool", "10.0.0.200")];
    let full = with(&holding(4, "4"), chart());
    says(&full.denied(&stateful("web-0", &pooled)).await, &["needs 1 more"]);

    let mut host = pod("p", &[]);
    host["spec"]["hostNetwork"] = json!(true);
    assert!(full.create(&host).await.is_ok(), "it needs no address");
    says(
        &with(&holding(0, "0"), chart()).denied(&pod("p", &[])).await,
        &["holds 0 addresses", "is 0"],
    );
}

#[tokio::test]
async fn a_limit_that_was_raised_a_moment_ago_holds_nobody_back() {
    let world = with(&holding(3, "3"), chart());
    assert!(world.create(&pod("p", &[])).await.is_err());
    world.store(&namespace(&[("address-limit", "4")]));
    assert!(world.create(&pod("p", &[])).await.is_ok());
}

#[tokio::test]
async fn what_a_pod_keeps_or_gives_up_does_not_count_again() {
    let mut objects = holding(3, "1");
    objects.push(ip_instance("10-0-0-5", "web-0", ("over", "o4")));
    let world = with(&objects, chart());
    assert!(world.create(&stateful("web-0", &[])).await.is_ok());
    let renewed = stateful("web-0", &[("ip-retain", "false")]);
    assert!(world.create(&renewed).await.is_ok());
    says(
        &world.denied(&stateful("web-1", &[])).await,
        &["holds 4 addresses"],
    );
}

#[tokio::test]
async fn addresses_that_are_being_deleted_make_room() {
    let mut objects = holding(2, "2");
    objects[0]["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(with(&objects, chart()).create(&pod("p", &[])).await.is_ok());
}

#[tokio::test]
async fn a_limit_that_is_no_number_is_told_and_limits_nothing() {
    for limit in ["twenty", "-1", "1.5", "99999999999999999999"] {
        assert_eq!(
            with(&holding(3, limit), chart()).warned(&pod("p", &[])).await,
            [format!(
                "namespace \"d\": address-limit {limit:?} is no whole number: no limit holds; write one, such as 20"
            )]
        );
    }
    assert_eq!(
        with(&holding(3, ""), chart()).warned(&pod("p", &[])).await,
        [""; 0]
    );
}
