use super::*;
use crate::fixtures::{instance, pod};

fn choice(families: Families, subnets: &[&str]) -> Choice {
    Choice {
        network: "net".to_owned(),
        families,
        subnets: subnets.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn holdings(bound: &[&Arc<IpInstance>], kept: &[&Arc<IpInstance>]) -> Holdings {
    let owned = |all: &[&Arc<IpInstance>]| all.iter().map(|one| Arc::clone(one)).collect();
    Holdings {
        bound: owned(bound),
        kept: owned(kept),
    }
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn bound(ip: &str) -> Arc<IpInstance> {
    instance("ns", ip).pod("web-0").shared()
}

fn kept(ip: &str) -> Arc<IpInstance> {
    instance("ns", ip).shared()
}

/// Scenario 72: the same pool again.
#[test]
fn an_address_that_the_pool_names_again_stays_however_it_is_written() {
    let (v4, v6) = (kept("10.0.0.7"), kept("fd00::7"));
    let dual = choice(Families::DualStack, &[]);

    let wanted = Wanted::named(
        &ips(&["10.0.0.7", "FD00:0::7"]),
        &dual,
        &holdings(&[], &[&v6, &v4]),
    );

    let expected = Wanted {
        stay: vec![v4, v6],
        ..Wanted::default()
    };
    assert_eq!(wanted, Ok(expected));
}

/// Scenario 71: the pool names another address.
/// Scenario 144: a left-over, with a pool.
#[test]
fn only_what_the_pool_does_not_name_any_more_is_left() {
    let (named, stale, older) = (kept("10.0.0.8"), bound("10.0.0.7"), kept("10.0.0.6"));
    let v4 = choice(Families::Ipv4Only, &[]);

    let with_named = Wanted::named(&ips(&["10.0.0.8"]), &v4, &holdings(&[], &[&named, &older]));
    let without = Wanted::named(&ips(&["10.0.0.8"]), &v4, &holdings(&[&stale], &[&older]));

    let expected = Wanted {
        stay: vec![named],
        left: vec![older.clone()],
        ..Wanted::default()
    };
    assert_eq!(with_named, Ok(expected));
    let expected = Wanted {
        named: ips(&["10.0.0.8"]),
        left: vec![stale, older],
        ..Wanted::default()
    };
    assert_eq!(without, Ok(expected));
}

#[test]
fn an_address_of_another_network_is_not_the_one_that_the_pool_names() {
    let elsewhere = instance("ns", "10.0.0.7").in_subnet("x", "other").shared();

    let wanted = Wanted::named(
        &ips(&["10.0.0.7"]),
        &choice(Families::Ipv4Only, &[]),
        &holdings(&[], &[&elsewhere]),
    )
    .unwrap();

    assert_eq!((wanted.named, wanted.left), (ips(&["10.0.0.7"]), vec![elsewhere]));
}

/// Scenario 74: a pool against the families of the pod.
#[test]
fn a_pool_and_the_families_of_the_pod_must_agree() {
    let error = |pool: &[&str], families| {
        let wanted = Wanted::named(&ips(pool), &choice(families, &[]), &Holdings::default());
        wanted.unwrap_err().to_string()
    };

    assert!(error(&["10.0.0.7"], Families::DualStack).contains("1 addresses to assign for DualStack"));
    assert!(error(&["10.0.0.7", "fd00::7"], Families::Ipv4Only).contains("2 addresses to assign"));
    assert!(error(&["fd00::7"], Families::Ipv4Only).contains("not an IPv4 address"));
}

/// Scenario 144: a left-over, without a pool.
#[test]
fn of_two_addresses_of_a_family_the_bound_one_stays() {
    let (was_bound, left_over) = (bound("10.0.0.7"), kept("10.0.0.8"));
    let v4 = choice(Families::Ipv4Only, &[]);

    let wanted = Wanted::kept(&v4, &holdings(&[], &[&left_over, &was_bound])).unwrap();

    assert_eq!((wanted.stay, wanted.left), (vec![was_bound], vec![left_over]));
}

#[test]
fn a_pod_that_was_cut_between_its_addresses_gets_the_other_one() {
    let (v4, v6) = (bound("10.0.0.7"), kept("fd00::7"));
    let dual = choice(Families::DualStack, &["a", "b"]);

    let created = Wanted::kept(&dual, &holdings(&[&v4], &[])).unwrap();
    let rebound = Wanted::kept(&dual, &holdings(&[&v4], &[&v6])).unwrap();

    assert_eq!(created.any, [Family::V6]);
    assert_eq!(created.subnets(&dual), ["b"]);
    assert_eq!((rebound.stay, rebound.any), (vec![v4, v6], vec![]));
}

#[test]
fn kept_addresses_decide_about_the_families() {
    let v4 = kept("10.0.0.7");

    let apart = Wanted::kept(&choice(Families::Ipv6Only, &[]), &holdings(&[], &[&v4])).unwrap();

    assert_eq!((apart.stay, apart.any), (vec![v4], vec![]));
}

#[test]
fn addresses_of_two_networks_are_not_taken_up_together() {
    let (here, there) = (
        kept("10.0.0.7"),
        instance("ns", "fd00::7").in_subnet("x", "other").shared(),
    );

    let error = Wanted::kept(
        &choice(Families::DualStack, &[]),
        &holdings(&[], &[&here, &there]),
    );

    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("\"net\"") && error.contains("\"other\""),
        "{error}"
    );
}

#[test]
fn a_plain_pod_lacks_what_it_asks_for_and_has_not() {
    let dual = choice(Families::DualStack, &["a", "b"]);

    let new = Wanted::plain(&dual, &vec![]);
    let cut = Wanted::plain(&dual, &vec![bound("fd00::7")]);

    assert_eq!(
        (new.subnets(&dual), new.any),
        (dual.subnets.clone(), vec![Family::V4, Family::V6])
    );
    assert_eq!(
        (cut.subnets(&dual), cut.any),
        (vec!["a".to_owned()], vec![Family::V4])
    );
}

/// Scenario 73: sections that are missing, empty or wrong.
#[test]
fn a_pool_without_an_entry_for_the_pod_is_an_error_that_names_it() {
    let of = |name: &str, key: &str, pool: &str| {
        let mut made = pod(name).build();
        let annotations = made.metadata.annotations.get_or_insert_default();
        annotations.insert(key.to_owned(), pool.to_owned());
        Pools::of(&made)
    };

    for (name, key, pool, said) in [
        ("web-2", IP_POOL, "10.0.0.1,10.0.0.2", "no section 2"),
        (
            "web-1",
            IP_POOL,
            "10.0.0.1,,10.0.0.2",
            "section 1 of the pool is empty",
        ),
        ("web-0", IP_POOL, "abc", "\"abc\""),
        ("web", IP_POOL, "10.0.0.1", "no section"),
        ("web-0", IP_POOL, "fd00::1/10.0.0.1", "an IPv4, a slash"),
        ("web-1", MAC_POOL, "00:16:ea:ae:3c:40", "no section 1"),
        ("web-0", MAC_POOL, "zz", "not a MAC"),
    ] {
        let error = of(name, key, pool).unwrap_err().to_string();
        assert!(
            error.contains(said) && error.contains(key),
            "{name} {pool}: {error}"
        );
    }
    let macs = of("web-1", MAC_POOL, "zz,00-16-EA-AE-3C-40").unwrap();
    assert_eq!(macs.mac.as_deref(), Some("00:16:ea:ae:3c:40"));
}

#[test]
fn families_are_counted_once() {
    assert_eq!(together([]), None);
    assert_eq!(together([Family::V6, Family::V6]), Some(Families::Ipv6Only));
    assert_eq!(together([Family::V6, Family::V4]), Some(Families::DualStack));
}
