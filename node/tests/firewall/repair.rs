//! Damage to our table is undone, and tables of others are left as they are.

use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt as _;
use futures::executor::block_on;
use hybridnet_node::firewall::{
    Error, Outcome, Ruleset, add_local_pod, converge, converge_beside, events, remove_local_pod,
};
use hybridnet_node::newcomers::Newcomers;

use crate::everything;
use crate::net::Netns;

fn loaded() -> Netns {
    let namespace = Netns::new("repair");
    namespace.within(|| converge(&everything())).unwrap();
    namespace
}

#[test]
fn doing_it_twice_writes_nothing_the_second_time() {
    let namespace = loaded();
    let before = namespace.rules_with_handles();

    let outcome = namespace.within(|| converge(&everything())).unwrap();

    assert_eq!(outcome, Outcome::Unchanged);
    assert_eq!(namespace.rules_with_handles(), before);
}

#[test]
fn whatever_is_done_to_the_rules_is_undone_by_writing_them_anew() {
    let namespace = loaded();
    let healthy = namespace.sh("nft -s list ruleset");
    let rule = "$(nft -a list chain inet hybridnet forward | sed -n 's/.*# handle //p' | tail -1)";
    for damage in [
        "nft delete table inet hybridnet",
        "nft flush ruleset",
        "nft flush chain inet hybridnet prerouting",
        "nft flush table inet hybridnet",
        &format!("nft delete rule inet hybridnet forward handle {rule}"),
        &format!("nft replace rule inet hybridnet forward handle {rule} drop"),
        "nft insert rule inet hybridnet forward accept",
        "nft add rule inet hybridnet forward counter",
        "nft add chain inet hybridnet mine",
        "nft add set inet hybridnet mine '{ type mark; }'",
        "nft add table inet hybridnet '{ flags dormant; }'",
        "nft add chain inet hybridnet forward '{ policy drop; }'",
        "nft delete rule inet hybridnet postrouting_nat handle \
         $(nft -a list chain inet hybridnet postrouting_nat | sed -n 's/.*# handle //p' | tail -1)",
    ] {
        namespace.sh(damage);
        assert_ne!(namespace.sh("nft -s list ruleset"), healthy, "{damage}");

        let outcome = namespace.within(|| converge(&everything())).unwrap();

        assert!(
            matches!(outcome, Outcome::Replaced { .. }),
            "{damage}: {outcome:?}"
        );
        assert_eq!(namespace.sh("nft -s list ruleset"), healthy, "{damage}");
        assert_eq!(
            namespace.within(|| converge(&everything())).unwrap(),
            Outcome::Unchanged,
            "{damage}"
        );
    }
}

#[test]
fn elements_that_others_change_are_put_right_one_by_one() {
    let namespace = loaded();
    let healthy = namespace.sh("nft -s list ruleset");
    for (damage, added, removed) in [
        ("nft delete element inet hybridnet nodes4 '{ 192.0.2.2 }'", 1, 0),
        ("nft add element inet hybridnet nodes6 '{ 2001:db8::99 }'", 0, 1),
        ("nft flush set inet hybridnet overlay4", 1, 0),
        (
            "nft add element inet hybridnet overlay4 '{ 203.0.113.0/24 }'",
            0,
            1,
        ),
        ("nft add element inet hybridnet overlay4 '{ 0.0.0.0/24 }'", 0, 1),
        (
            "nft delete element inet hybridnet subnets4 '{ 255.255.255.0/24 }'",
            1,
            0,
        ),
        (
            "nft add element inet hybridnet local_underlay4 '{ \"eth9\" . 203.0.113.0/24 }'",
            0,
            1,
        ),
    ] {
        namespace.sh(damage);

        let outcome = namespace.within(|| converge(&everything())).unwrap();

        assert_eq!(outcome, Outcome::Elements { added, removed }, "{damage}");
        assert_eq!(namespace.sh("nft -s list ruleset"), healthy, "{damage}");
    }
}

#[test]
fn tables_of_others_stay_byte_for_byte() {
    let namespace = Netns::new("foreign");
    namespace.sh_with(
        "nft -f -",
        "table ip hybridnet { set s { type ipv4_addr; elements = { 192.0.2.9 } }; chain c { ip saddr @s counter; }; }
         table inet other { chain forward { type filter hook forward priority 0; policy accept; counter accept; }; }
         table ip6 kube-proxy { chain x { }; }",
    );
    namespace.sh(
        "iptables-nft -t nat -N KUBE-POSTROUTING; iptables-nft -t nat -A POSTROUTING -j KUBE-POSTROUTING",
    );
    let before = namespace.rules_with_handles();

    namespace.within(|| converge(&everything())).unwrap();
    namespace.within(|| converge(&Ruleset::default())).unwrap();
    namespace.within(|| converge(&everything())).unwrap();
    namespace.sh("nft delete table inet hybridnet");

    assert_eq!(namespace.rules_with_handles(), before);
}

#[test]
fn a_pod_that_came_while_the_table_was_compared_stays_until_a_plan_could_know_it() {
    let namespace = loaded();
    let (pod, newcomers) = ("100.64.0.99".parse().unwrap(), Newcomers::default());
    let pass = || {
        namespace
            .within(|| converge_beside(&everything(), &newcomers))
            .unwrap()
    };

    block_on(newcomers.admit("hybr1", [pod]));
    namespace.within(|| add_local_pod(pod)).unwrap();
    assert_eq!(pass(), Outcome::Unchanged);

    namespace.sh("nft delete table inet hybridnet");
    assert!(matches!(pass(), Outcome::Replaced { .. }));
    assert!(
        namespace
            .sh("nft list set inet hybridnet local_pods4")
            .contains("100.64.0.99")
    );

    block_on(newcomers.settle());
    assert_eq!(pass(), Outcome::Elements { added: 0, removed: 1 });
}

#[test]
fn a_pod_is_added_and_removed_alone() {
    let namespace = loaded();
    let pods: [IpAddr; 2] = ["100.64.0.99".parse().unwrap(), "fd00:64::99".parse().unwrap()];
    let mut with_pods = everything();
    with_pods.local_pods.extend(pods);

    for pod in pods {
        namespace.within(|| add_local_pod(pod)).unwrap();
        namespace.within(|| add_local_pod(pod)).unwrap();
    }
    assert_eq!(
        namespace.within(|| converge(&with_pods)).unwrap(),
        Outcome::Unchanged
    );

    for pod in pods {
        namespace.within(|| remove_local_pod(pod)).unwrap();
        namespace.within(|| remove_local_pod(pod)).unwrap();
    }
    assert_eq!(
        namespace.within(|| converge(&everything())).unwrap(),
        Outcome::Unchanged
    );
}

#[test]
fn a_pod_cannot_be_added_before_the_table_is_there() {
    let namespace = Netns::new("empty");
    let pod: IpAddr = "100.64.0.99".parse().unwrap();

    assert!(matches!(
        namespace.within(|| add_local_pod(pod)),
        Err(Error::NotLoaded)
    ));
    assert!(namespace.within(|| remove_local_pod(pod)).is_ok());
}

#[test]
fn a_refusal_names_the_change() {
    let namespace = Netns::new("refused");
    // A name that no link can have: it does not fit its field.
    let mut ruleset = everything();
    ruleset.local_underlay = [(
        "a-name-of-more-than-sixteen-bytes".to_owned(),
        ["10.0.0.0/24".parse().unwrap()].into(),
    )]
    .into();

    let error = namespace.within(|| converge(&ruleset)).unwrap_err().to_string();

    assert!(
        error.contains("add element") && error.contains("local_underlay4"),
        "{error}"
    );
    assert!(
        !namespace.sh("nft list ruleset").contains("hybridnet"),
        "nothing of it was done"
    );
}

#[test]
fn others_changes_of_our_table_are_heard_within_a_second_and_our_own_are_not() {
    let namespace = loaded();
    let other = everything();
    namespace.within(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut events = events().unwrap();
            let mut woken = async |limit| tokio::time::timeout(limit, events.next()).await.is_ok();

            namespace.sh("nft add table inet other; nft add chain inet other c");
            converge(&Ruleset {
                vxlan: Some("eth1.vxlan4".into()),
                ..other.clone()
            })
            .unwrap();
            assert!(
                !woken(Duration::from_millis(300)).await,
                "own and foreign changes"
            );

            for damage in [
                "nft delete element inet hybridnet nodes4 '{ 192.0.2.2 }'",
                "nft flush chain inet hybridnet forward",
                "nft delete table inet hybridnet",
            ] {
                namespace.sh(damage);
                assert!(woken(Duration::from_secs(1)).await, "{damage}");
                converge(&other).unwrap();
                while woken(Duration::from_millis(50)).await {}
            }
        });
    });
}
