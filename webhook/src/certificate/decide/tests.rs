use std::time::Duration;

use super::super::issue::{AUTHORITY_LIFE, LEAF_LIFE, new_authority, new_leaf};
use super::*;

const DAY: u64 = 24 * 3600;

fn at(day: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs((20_000 + day) * DAY))
}

fn names() -> Names {
    Names::of_service("kube-system")
}

fn made(day: u64) -> Material {
    new_authority(at(day), &names(), None).expect("a certificate")
}

fn decided(day: u64, material: &Material) -> Decision {
    decide(at(day), &names(), Some(material))
}

#[test]
fn what_was_just_made_is_kept_until_two_thirds_of_its_life() {
    let material = made(0);
    assert!(matches!(decided(0, &material), Decision::Keep));
    assert!(matches!(decided(59, &material), Decision::Keep));
    assert!(matches!(decided(61, &material), Decision::RenewLeaf(Reason::Due)));
    assert_eq!(LEAF_LIFE.as_secs(), 90 * DAY);
}

#[test]
fn a_renewed_leaf_is_kept_and_its_authority_too() {
    let old = made(0);
    let new = new_leaf(at(61), &names(), &old).expect("a certificate");
    assert!(matches!(decided(61, &new), Decision::Keep));
    assert_eq!(old.authorities, new.authorities);
    assert_ne!(old.leaf_key, new.leaf_key);
}

#[test]
fn an_authority_is_replaced_at_two_thirds_of_its_life_and_stays_behind_the_new_one() {
    let due = AUTHORITY_LIFE.as_secs() / DAY * 2 / 3 + 1;
    let old = new_leaf(at(due), &names(), &made(0)).expect("a certificate");
    assert!(matches!(decided(due, &old), Decision::NewAuthority(Reason::Due)));
    let new = new_authority(at(due), &names(), Some(&old)).expect("a certificate");
    assert!(matches!(decided(due, &new), Decision::Keep));
    assert_eq!(
        crate::certificate::bundle::certificates(new.authorities.as_bytes()).len(),
        2
    );
    let later = new_authority(at(370), &names(), Some(&new)).expect("a certificate");
    assert_eq!(
        crate::certificate::bundle::certificates(later.authorities.as_bytes()).len(),
        2
    );
}

#[test]
fn without_a_secret_everything_is_made() {
    assert!(matches!(
        decide(at(0), &names(), None),
        Decision::NewAuthority(Reason::Absent)
    ));
}

#[test]
fn a_broken_authority_is_replaced() {
    let good = made(0);
    let other = made(0);
    let cases = [
        (
            "empty",
            Material {
                authorities: String::new(),
                ..good.clone()
            },
        ),
        (
            "garbage",
            Material {
                authorities: "garbage".to_owned(),
                ..good.clone()
            },
        ),
        (
            "not a certificate",
            Material {
                authorities: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
                ..good.clone()
            },
        ),
        (
            "no key",
            Material {
                authority_key: String::new(),
                ..good.clone()
            },
        ),
        (
            "other key",
            Material {
                authority_key: other.authority_key.clone(),
                ..good.clone()
            },
        ),
        (
            "a leaf as authority",
            Material {
                authorities: good.leaf.clone(),
                authority_key: good.leaf_key.clone(),
                ..good.clone()
            },
        ),
    ];
    for (case, material) in cases {
        let decision = decided(0, &material);
        assert!(
            matches!(decision, Decision::NewAuthority(Reason::Broken(_))),
            "{case}: {decision:?}"
        );
    }
}

#[test]
fn an_authority_outside_of_its_validity_is_replaced() {
    for day in [0, 1000] {
        let decision = decided(day, &made(400));
        assert!(
            matches!(
                decision,
                Decision::NewAuthority(Reason::Broken(Fault::Validity(_)))
            ),
            "{decision:?}"
        );
    }
}

#[test]
fn a_broken_leaf_is_signed_again_by_the_same_authority() {
    let good = made(0);
    let other = made(0);
    let elsewhere =
        new_leaf(at(0), &Names::of_service("elsewhere"), &good).expect("a certificate of other names");
    let cases = [
        (
            "garbage",
            Material {
                leaf: "garbage".to_owned(),
                ..good.clone()
            },
        ),
        (
            "garbage key",
            Material {
                leaf_key: "garbage".to_owned(),
                ..good.clone()
            },
        ),
        (
            "other key",
            Material {
                leaf_key: other.leaf_key.clone(),
                ..good.clone()
            },
        ),
        (
            "signed by somebody else",
            Material {
                leaf: other.leaf.clone(),
                leaf_key: other.leaf_key.clone(),
                ..good.clone()
            },
        ),
        ("other names", elsewhere),
    ];
    for (case, material) in cases {
        let decision = decided(0, &material);
        assert!(
            matches!(decision, Decision::RenewLeaf(Reason::Broken(_))),
            "{case}: {decision:?}"
        );
        let renewed = new_leaf(at(0), &names(), &material).expect("a certificate");
        assert!(matches!(decided(0, &renewed), Decision::Keep), "{case}");
    }
    let ended = decided(100, &good);
    assert!(
        matches!(ended, Decision::RenewLeaf(Reason::Broken(Fault::Refused { .. }))),
        "{ended:?}"
    );
}

#[test]
fn the_reason_says_which_entry_is_wrong_and_why() {
    let good = made(0);
    let material = Material {
        leaf_key: made(0).leaf_key,
        ..good
    };
    let Decision::RenewLeaf(reason) = decided(0, &material) else {
        panic!("kept")
    };
    assert!(
        reason.to_string().starts_with("serving certificate: "),
        "{reason}"
    );
}
