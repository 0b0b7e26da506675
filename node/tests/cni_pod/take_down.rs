//! DEL: what is gone is taken down, and nothing of another sandbox is touched.

use std::path::PathBuf;

use crate::world::{LINK, Space, add, del, dual_stack, host, is_clean, web};

#[test]
fn a_pod_is_taken_down_twice() {
    let (host, pod) = (host(), Space::new("pod"));
    add(&host, &web(&pod, "c1"), &dual_stack()).unwrap();

    for _ in 0..2 {
        del(&host, &web(&pod, "c1")).unwrap();

        assert!(is_clean(&host) && pod.link("eth0").is_none());
    }
    assert!(
        host.list("neigh show proxy")
            .iter()
            .all(|entry| entry["dev"] != LINK)
    );
}

#[test]
fn a_pod_that_never_was_is_taken_down() {
    let (host, pod) = (host(), Space::new("pod"));

    del(&host, &web(&pod, "c1")).unwrap();
}

#[test]
fn a_namespace_that_cannot_be_seen_any_more_is_no_obstacle() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let paths = [
        PathBuf::new(),
        "/run/netns/hyt-nowhere".into(),
        file.path().into(),
        "/proc/self/ns/net".into(),
    ];
    for netns in paths {
        let (host, pod) = (host(), Space::new("pod"));
        add(&host, &web(&pod, "c1"), &dual_stack()).unwrap();
        let mut sandbox = web(&pod, "c1");
        sandbox.netns = netns;

        del(&host, &sandbox).unwrap();

        assert!(is_clean(&host), "{:?}", sandbox.netns);
    }
}

#[test]
fn a_late_del_of_an_earlier_sandbox_leaves_the_successor_alone() {
    let (host, old, new) = (host(), Space::new("old"), Space::new("new"));
    add(&host, &web(&old, "c1"), &dual_stack()).unwrap();
    add(&host, &web(&new, "c2"), &dual_stack()).unwrap();
    let mut lost = web(&old, "c1");

    del(&host, &lost).unwrap();
    lost.netns = PathBuf::new();
    del(&host, &lost).unwrap();

    new.answers_to(&host, "10.14.0.5");
}

#[test]
fn a_pod_of_the_go_release_is_taken_down() {
    let (host, pod) = (host(), Space::new("pod"));
    pod.ip(&format!("link add {LINK} type veth peer name eth0"));
    let host_name = host.path().file_name().unwrap().to_str().unwrap().to_owned();
    pod.ip(&format!("link set {LINK} netns {host_name}"));

    del(&host, &web(&pod, "c1")).unwrap();

    assert!(is_clean(&host) && pod.link("eth0").is_none());
}

#[test]
fn without_a_pods_name_the_namespace_is_enough() {
    let (host, pod) = (host(), Space::new("pod"));
    add(&host, &web(&pod, "c1"), &dual_stack()).unwrap();
    let mut sandbox = web(&pod, "c1");
    (sandbox.name, sandbox.namespace, sandbox.host_link) = (String::new(), String::new(), String::new());

    del(&host, &sandbox).unwrap();

    assert!(is_clean(&host));
}
