//! Objects that nobody but a hand can have written, and a webhook would have refused: each is told on itself,
//! once, and everything else works on.

use serde_json::json;

use super::status::condition;
use super::*;
use crate::fixtures::{instance, network};

const SUBNETS: &str = "/apis/networking.alibaba.com/v1/subnets";
const NETWORKS: &str = "/apis/networking.alibaba.com/v1/networks";

fn told(cluster: &Cluster) -> Vec<String> {
    let events = cluster.events().into_iter();
    events
        .filter_map(|event| event.strip_prefix("InvalidSpec: ").map(str::to_owned))
        .collect()
}

fn shows(cluster: &Cluster, line: &str) -> bool {
    let page = cluster.context.metrics.encode().unwrap();
    page.lines().any(|found| found == line)
}

async fn a_pod_gets_an_address(server: &Server, cluster: &Cluster) {
    server.put(&overlay_pod("fine", "IPv4"));
    cluster
        .until("an address", |state| {
            let mut objects = state.ip_instances.iter();
            objects.any(|object| {
                object
                    .spec
                    .binding
                    .as_ref()
                    .is_some_and(|binding| binding.pod_name == "fine")
            })
        })
        .await;
}

/// Scenario 48: a /31 beside good subnets.
#[tokio::test(start_paused = true)]
async fn a_subnet_that_makes_no_sense_is_told_and_left_out() {
    for (cidr, start) in [
        ("10.2.0.0/31", None),
        ("10.2.0.0/ab", None),
        ("nonsense", None),
        ("10.2.0.1/24", None),
        ("10.2.0.0/24", Some(("10.3.0.1", "10.3.0.9"))),
        ("10.2.0.0/24", Some(("10.2.0.9", "10.2.0.1"))),
        ("fd01::/127", None),
    ] {
        let server = server();
        let mut bad = subnet("bad", "net", cidr);
        if let Some((first, last)) = start {
            bad = bad.range(first, last);
        }
        server.put(&bad.build());

        let cluster = at_rest(&server).await;

        let ready = condition(&server, &format!("{SUBNETS}/bad"), "Ready");
        assert_eq!(
            (&ready["status"], &ready["reason"]),
            (&json!("False"), &json!("InvalidSpec")),
            "{cidr}"
        );
        let said = told(&cluster);
        assert!(said.len() == 1 && said[0].contains("bad"), "{cidr}: {said:?}");
        assert!(
            shows(&cluster, r#"hybridnet_manager_objects_invalid{kind="Subnet"} 1"#),
            "{cidr}"
        );
        a_pod_gets_an_address(&server, &cluster).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_subnet_of_no_network_is_used_as_soon_as_there_is_one() {
    let server = server();
    server.put(&subnet("early", "late", "10.3.0.0/24").gateway("10.3.0.1").build());
    let cluster = at_rest(&server).await;
    let ready = || condition(&server, &format!("{SUBNETS}/early"), "Ready");
    assert_eq!(ready()["reason"], json!("NetworkNotFound"));
    assert_eq!(told(&cluster).len(), 1);

    server.put(&network("late").selector("rack", "1").build());
    cluster.rest().await;

    assert_eq!(ready()["status"], json!("True"));
    let list = server.get(&format!("{NETWORKS}/late")).unwrap()["status"]["subnetList"].clone();
    assert_eq!(list, json!(["early"]));
    assert!(shows(
        &cluster,
        r#"hybridnet_manager_objects_invalid{kind="Subnet"} 0"#
    ));
}

#[tokio::test(start_paused = true)]
async fn a_network_that_makes_no_sense_is_told_and_the_others_work() {
    let server = server();
    let long = "n".repeat(64);
    server.put(&network("typed").type_("Overlay2").build());
    server.put(&network("selectorless").build());
    server.put(&network("moded").mode("VLAM").selector("rack", "1").build());
    server.put(&network(&long).selector("rack", "2").build());

    let cluster = at_rest(&server).await;
    cluster.rest().await;

    for name in ["typed", "selectorless", "moded", &long] {
        let ready = condition(&server, &format!("{NETWORKS}/{name}"), "Ready");
        assert_eq!(ready["status"], json!("False"), "{name}");
    }
    assert_eq!(told(&cluster).len(), 4, "{:?}", told(&cluster));
    assert!(shows(
        &cluster,
        r#"hybridnet_manager_objects_invalid{kind="Network"} 4"#
    ));
    a_pod_gets_an_address(&server, &cluster).await;
}

#[tokio::test(start_paused = true)]
async fn an_address_object_that_is_out_of_order_is_told_with_the_way_out_and_keeps_its_address() {
    let good = || instance("ns", "10.0.0.1").in_subnet("s4", "net").pod("p");
    let with = |change: fn(&mut IpInstance)| {
        let mut object = good().build();
        change(&mut object);
        object
    };
    for (object, said, keeps) in [
        (
            with(|it| it.spec.address.ip = "nonsense".to_owned()),
            "named after",
            true,
        ),
        (
            with(|it| it.spec.address.ip = "10.0.0.9/24".to_owned()),
            "named after",
            true,
        ),
        (
            with(|it| it.metadata.name = Some("web-ip".to_owned())),
            "named after",
            true,
        ),
        (
            good().in_subnet("s4", "nowhere").build(),
            "spec.network \"nowhere\" does not exist",
            false,
        ),
        (
            good().in_subnet("nowhere", "net").build(),
            "spec.subnet \"nowhere\" does not exist",
            true,
        ),
        (good().in_subnet("s6", "net").build(), "is not in subnet s6", true),
        (with(|it| it.spec.binding = None), "releases before 0.5", true),
        (
            with(|it| it.spec.binding.as_mut().unwrap().referred_object.kind.clear()),
            "releases before 0.5",
            true,
        ),
    ] {
        let server = server();
        server.put(&overlay_pod("p", "IPv4"));
        server.put(&object);

        let cluster = at_rest(&server).await;

        let found = told(&cluster);
        assert!(found.len() == 1 && found[0].contains(said), "{said}: {found:?}");
        assert!(
            shows(
                &cluster,
                r#"hybridnet_manager_objects_invalid{kind="IPInstance"} 1"#
            ),
            "{said}"
        );
        a_pod_gets_an_address(&server, &cluster).await;
        let fine = cluster.world.with(|state| {
            let mut objects = state.ip_instances.iter().cloned();
            let is_its = |object: &Arc<IpInstance>| {
                object
                    .spec
                    .binding
                    .as_ref()
                    .is_some_and(|binding| binding.pod_name == "fine")
            };
            objects.find(is_its)
        });
        let fine = fine.unwrap().spec.address.ip.clone();
        if keeps {
            assert_ne!(fine, "10.0.0.1/24", "{said}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_told_once_for_each_change_and_forgotten_when_it_is_right() {
    let server = server();
    let object = instance("ns", "10.5.0.1")
        .in_subnet("late", "net")
        .pod("p")
        .build();
    server.put(&overlay_pod("p", "IPv4"));
    server.put(&object);
    let cluster = at_rest(&server).await;
    for _ in 0..3 {
        tokio::time::sleep(std::time::Duration::from_mins(6)).await;
        server.put(&object);
    }
    cluster.rest().await;
    assert_eq!(told(&cluster).len(), 1, "{:?}", told(&cluster));

    server.put(&subnet("late", "net", "10.5.0.0/24").build());
    cluster.rest().await;

    assert!(shows(
        &cluster,
        r#"hybridnet_manager_objects_invalid{kind="IPInstance"} 0"#
    ));
    assert_eq!(told(&cluster).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_holder_of_an_address_that_comes_later_is_told_on_both() {
    let server = server();
    server.put(&namespace("other"));
    server.put(&overlay_pod("p", "IPv4"));
    server.put(&instance("ns", "10.0.0.1").in_subnet("s4", "net").pod("p").build());
    let cluster = at_rest(&server).await;
    assert_eq!(told(&cluster), Vec::<String>::new());

    let mut other = overlay_pod("p", "IPv4");
    other.metadata.namespace = Some("other".to_owned());
    server.put(&other);
    server.put(
        &instance("other", "10.0.0.1")
            .in_subnet("s4", "net")
            .pod("p")
            .build(),
    );
    cluster.rest().await;

    let said = told(&cluster);
    assert!(
        said.len() == 2 && said.iter().all(|said| said.contains("has address 10.0.0.1")),
        "{said:?}"
    );
}
