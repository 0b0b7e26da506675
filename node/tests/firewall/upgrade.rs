//! The Go daemon's rules and sets go, those of others stay.

use hybridnet_node::firewall::{converge, legacy};

use crate::everything;
use crate::net::Netns;

/// Sets, chains and jumps of release 0.8.9, in one family and one technology of iptables.
fn go_daemon(namespace: &Netns, iptables: &str, prefix: &str, family: &str) {
    let reject = if family == "inet" {
        "icmp-host-unreachable"
    } else {
        "icmp6-addr-unreachable"
    };
    namespace.sh(&format!(
        "for set in OVERLAY-NET ALL LOCAL-UNDERLAY-NET; do ipset create {prefix}HYBR-$set hash:net family {family} timeout 0; done
         for set in NODE-IP LOCAL-POD-IP; do ipset create {prefix}HYBR-$set hash:ip family {family} timeout 0; done
         ipset create {prefix}HYBR-ALL- hash:net family {family} timeout 0
         t() {{ {iptables} -w -t \"$@\"; }}
         t nat -N HYBRIDNET-POSTROUTING
         t nat -A POSTROUTING -m comment --comment 'hybridnet postrouting rules' -j HYBRIDNET-POSTROUTING
         t nat -A HYBRIDNET-POSTROUTING -o hybr+ -j RETURN
         t nat -A HYBRIDNET-POSTROUTING ! -o eth0.vxlan4 -m set --match-set {prefix}HYBR-OVERLAY-NET src -j MASQUERADE
         t filter -N HYBRIDNET-FORWARD
         t filter -A FORWARD -m comment --comment 'hybridnet forward rules' -j HYBRIDNET-FORWARD
         t filter -A HYBRIDNET-FORWARD -o eth0.vxlan4 -m set ! --match-set {prefix}HYBR-ALL dst -m conntrack ! --ctstate RELATED,ESTABLISHED -j REJECT --reject-with {reject}
         t mangle -N HYBRIDNET-PREROUTING; t mangle -N HYBRIDNET-POSTROUTING
         t mangle -N HYBRIDNET-POD-TO-NODE-MARK; t mangle -N HYBRIDNET-FROM-RULE-SKIP
         t mangle -A PREROUTING -m comment --comment 'hybridnet prerouting rules' -j HYBRIDNET-PREROUTING
         t mangle -A POSTROUTING -m comment --comment 'hybridnet postrouting rules' -j HYBRIDNET-POSTROUTING
         t mangle -A HYBRIDNET-PREROUTING -m set --match-set {prefix}HYBR-NODE-IP dst -j HYBRIDNET-POD-TO-NODE-MARK
         t mangle -A HYBRIDNET-PREROUTING -m conntrack --ctstate SNAT -j HYBRIDNET-FROM-RULE-SKIP
         t mangle -A HYBRIDNET-POD-TO-NODE-MARK -j MARK --set-xmark 0x20/0x20"
    ));
}

/// Rules of others in the same tables, among them a chain of a like name.
fn others(namespace: &Netns) {
    for iptables in ["iptables-nft", "ip6tables-nft"] {
        namespace.sh(&format!(
            "{iptables} -t nat -N KUBE-POSTROUTING; {iptables} -t nat -A POSTROUTING -j KUBE-POSTROUTING
             {iptables} -t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
             {iptables} -t filter -N HYBRIDNET-OF-SOMEONE; {iptables} -t filter -A FORWARD -j HYBRIDNET-OF-SOMEONE
             {iptables} -t filter -A FORWARD -m comment --comment HYBRIDNET-FORWARD -j ACCEPT
             {iptables} -t mangle -A PREROUTING -j MARK --set-xmark 0x1000/0x1000"
        ));
    }
    namespace.sh("ipset create KUBE-SET hash:ip; ipset create HYBR-OTHER hash:ip");
}

#[test]
fn what_the_go_daemon_left_goes_and_what_others_have_stays() {
    let namespace = Netns::new("upgrade");
    others(&namespace);
    let (rules, sets) = (namespace.rules_with_handles(), namespace.sh("ipset list -n"));
    go_daemon(&namespace, "iptables-nft", "", "inet");
    go_daemon(&namespace, "ip6tables-nft", "inet6:", "inet6");
    namespace.within(|| converge(&everything())).unwrap();

    let removed = namespace.within(legacy::remove).unwrap();
    let again = namespace.within(legacy::remove).unwrap();

    assert_eq!(
        (removed.chains.len(), removed.sets.len()),
        (12, 12),
        "{removed:?}"
    );
    assert!(
        removed
            .chains
            .contains(&"ip6 mangle HYBRIDNET-FROM-RULE-SKIP".to_owned()),
        "{removed:?}"
    );
    assert_eq!(removed.advice(), None);
    assert_eq!(again, legacy::Removed::default());
    assert_eq!(namespace.sh("ipset list -n"), sets);
    namespace.sh("nft delete table inet hybridnet");
    assert_eq!(
        without_empty_chains(&namespace.rules_with_handles()),
        without_empty_chains(&rules)
    );
}

/// `iptables` adds its own chains when it first needs them, and they stay.
fn without_empty_chains(rules: &str) -> Vec<&str> {
    rules
        .lines()
        .filter(|line| line.contains("counter") || line.contains("jump"))
        .collect()
}

#[test]
fn a_machine_that_never_had_it_is_left_alone() {
    let namespace = Netns::new("fresh");

    assert_eq!(
        namespace.within(legacy::remove).unwrap(),
        legacy::Removed::default()
    );
    assert_eq!(namespace.sh("nft list ruleset"), "");
}

#[test]
fn rules_in_the_old_technology_are_reported() {
    let namespace = Netns::new("xtables");
    go_daemon(&namespace, "iptables-legacy", "", "inet");

    let removed = namespace.within(legacy::remove).unwrap();

    assert_eq!(removed.in_use, ["HYBR-OVERLAY-NET", "HYBR-ALL", "HYBR-NODE-IP"]);
    assert_eq!(
        removed.sets,
        ["HYBR-ALL-", "HYBR-LOCAL-POD-IP", "HYBR-LOCAL-UNDERLAY-NET"]
    );
    assert!(removed.advice().is_some());
}
