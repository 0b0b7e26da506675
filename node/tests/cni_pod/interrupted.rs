//! ADDs that were repeated, interrupted, or fail: one working pod, or nothing.

use crate::world::{LINK, Space, add, dual_stack, host, is_clean, web};

#[test]
fn a_repeated_add_leaves_one_working_pod() {
    let (host, pod) = (host(), Space::new("pod"));

    for _ in 0..3 {
        add(&host, &web(&pod, "c1"), &dual_stack()).unwrap();
    }

    pod.answers_to(&host, "10.14.0.5");
    assert_eq!(
        host.list("link")
            .iter()
            .filter(|link| link["ifname"] == LINK)
            .count(),
        1
    );
    let addresses = pod.list("addr show dev eth0")[0]["addr_info"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(
        addresses
            .iter()
            .filter(|address| address["scope"] == "global")
            .count(),
        2
    );
}

#[test]
fn what_an_interrupted_add_left_is_replaced() {
    let whole = |host: &Space, pod: &Space| {
        host.ip(&format!(
            "link add {LINK} type veth peer name eth0 netns {}",
            name(pod)
        ));
    };
    let half_up = |host: &Space, pod: &Space| {
        host.ip(&format!(
            "link add {LINK} type veth peer name eth0 netns {}",
            name(pod)
        ));
        pod.ip("link set eth0 up");
        pod.ip("addr add 10.14.0.5/16 dev eth0 noprefixroute");
    };
    // The Go release makes both ends inside and then moves one.
    let inside = |_: &Space, pod: &Space| {
        pod.ip(&format!("link add {LINK} type veth peer name eth0"));
    };
    let states: [fn(&Space, &Space); 3] = [whole, half_up, inside];
    for state in states {
        let (host, pod) = (host(), Space::new("pod"));
        state(&host, &pod);

        add(&host, &web(&pod, "c1"), &dual_stack()).unwrap();

        pod.answers_to(&host, "fd00::5");
        assert!(pod.link(LINK).is_none());
    }
}

#[test]
fn a_link_of_an_earlier_sandbox_of_the_pod_is_replaced() {
    let (host, old, new) = (host(), Space::new("old"), Space::new("new"));
    add(&host, &web(&old, "c1"), &dual_stack()).unwrap();

    add(&host, &web(&new, "c2"), &dual_stack()).unwrap();

    new.answers_to(&host, "10.14.0.5");
    assert!(old.link("eth0").is_none());
}

#[test]
fn a_link_of_another_pod_or_kind_is_not_replaced() {
    let (host, pod) = (host(), Space::new("pod"));
    host.ip(&format!("link add {LINK} type veth peer name other"));
    host.ip(&format!("link set {LINK} alias default/else-7"));
    let error = add(&host, &web(&pod, "c1"), &dual_stack()).unwrap_err();
    assert!(error.contains("belongs to default/else-7"), "{error}");
    assert!(host.link("other").is_some());

    host.ip(&format!("link del {LINK}"));
    host.ip(&format!("link add {LINK} type bridge"));
    let error = add(&host, &web(&pod, "c1"), &dual_stack()).unwrap_err();
    assert!(error.contains("not a veth"), "{error}");
    assert!(host.link(LINK).is_some());
}

#[test]
fn an_eth0_that_the_pod_has_already_is_left_alone() {
    let (host, pod) = (host(), Space::new("pod"));
    pod.ip("link add eth0 type bridge");

    let error = add(&host, &web(&pod, "c1"), &dual_stack()).unwrap_err();

    assert!(error.contains("has a link eth0 already"), "{error}");
    assert!(pod.link("eth0").is_some() && is_clean(&host));
}

#[test]
fn a_failure_on_the_way_leaves_nothing() {
    let (host, pod) = (host(), Space::new("pod"));
    let mut endpoint = dual_stack();
    endpoint.uplink = "nowhere".into();

    let error = add(&host, &web(&pod, "c1"), &endpoint).unwrap_err();

    assert!(error.contains("nowhere"), "{error}");
    assert!(is_clean(&host) && pod.link("eth0").is_none());
}

#[test]
fn a_pod_that_does_not_answer_is_not_added() {
    let (host, pod) = (host(), Space::new("pod"));
    pod.sh("sysctl -qw net.ipv4.icmp_echo_ignore_all=1");

    let error = add(&host, &web(&pod, "c1"), &dual_stack()).unwrap_err();

    assert!(
        error.starts_with("pod network not ready after ") && error.contains("ping 10.14.0.5"),
        "{error}"
    );
    assert!(is_clean(&host) && pod.link("eth0").is_none());
}

#[test]
fn a_namespace_that_does_not_exist_is_named() {
    let (host, pod) = (host(), Space::new("pod"));
    let mut sandbox = web(&pod, "c1");
    sandbox.netns = "/run/netns/hyt-nowhere".into();

    let error = add(&host, &sandbox, &dual_stack()).unwrap_err();

    assert!(
        error.starts_with("network namespace /run/netns/hyt-nowhere: "),
        "{error}"
    );
    assert!(is_clean(&host));
}

fn name(space: &Space) -> String {
    space.path().file_name().unwrap().to_str().unwrap().to_owned()
}
