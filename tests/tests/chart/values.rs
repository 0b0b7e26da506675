//! Where a value ends up.

use crate::rendered::{Rendered, render};

const ALL: [&str; 3] = ["manager", "webhook", "daemon"];

#[test]
fn all_three_programs_read_pods_alike() {
    let chart = render(&[
        "defaultIPRetain=false",
        "statefulWorkloadKinds=StatefulSet\\,CloneSet",
        "manager.statefulWorkloads[0].apiGroup=apps.kruise.io",
        "manager.statefulWorkloads[0].resource=advancedsets",
        "manager.statefulWorkloads[0].kind=AdvancedSet",
        "defaultNetworkType=Underlay",
        "defaultIPFamily=DualStack",
        "vmIPRetain=true",
    ]);

    for component in ALL {
        let arguments = chart.arguments(component);
        for wanted in [
            "--default-ip-retain=false",
            "--stateful-workload-kinds=StatefulSet,CloneSet,AdvancedSet",
            "--feature-gates=MultiCluster=false,VMIPRetain=true",
        ] {
            assert!(arguments.contains(&wanted), "{component}: {arguments:?}");
        }
        assert_eq!(variable(&chart, component, "DEFAULT_NETWORK_TYPE"), "Underlay");
        assert_eq!(variable(&chart, component, "DEFAULT_IP_FAMILY"), "DualStack");
    }
    let rules = chart.object("ClusterRole", "hybridnet-manager")["rules"].to_string();
    assert!(
        rules.contains("advancedsets") && rules.contains("apps.kruise.io"),
        "{rules}"
    );
}

#[test]
fn one_image_serves_all_and_a_tag_of_the_go_project_is_not_kept() {
    for (values, image) in [
        (
            vec!["images.hybridnet.tag=v9"],
            "docker.io/hybridnetdev/hybridnet:v9",
        ),
        (
            vec![
                "images.registryURL=registry.example.com",
                "images.hybridnet.tag=v0.8.9",
            ],
            "registry.example.com/hybridnetdev/hybridnet:v0.9.0",
        ),
        (vec!["images.hybridnet.image=a/b"], "docker.io/a/b:v0.9.0"),
    ] {
        let chart = render(&values);

        for component in ALL {
            let pod = &chart.workload(component)["spec"]["template"]["spec"];
            for kind in ["containers", "initContainers"] {
                for container in pod[kind].as_array().into_iter().flatten() {
                    assert_eq!(container["image"], image, "{component}");
                }
            }
        }
    }
}

#[test]
fn the_daemon_is_told_which_interfaces_to_use() {
    let chart = render(&[
        "daemon.preferVxlanInterfaces=eth1",
        "daemon.preferVlanInterfaces=bond0\\,eth2",
        "daemon.preferBGPInterfaces=eth3",
        "daemon.vtepAddressCIDRs=10.0.0.0/8",
        "daemon.enableVlanARPEnhancement=false",
        "daemon.checkPodConnectivityFromHost=false",
        "daemon.updateIPInstanceStatus=false",
        "daemon.enableFelixPolicy=true",
    ]);

    let arguments = chart.arguments("daemon");

    for wanted in [
        "--prefer-vxlan-interfaces=eth1",
        "--prefer-vlan-interfaces=bond0,eth2",
        "--prefer-bgp-interfaces=eth3",
        "--vtep-address-cidrs=10.0.0.0/8",
        "--enable-vlan-arp-enhancement=false",
        "--check-pod-connectivity-from-host=false",
        "--update-ipinstance-status=false",
        "--patch-calico-pod-ips-annotation=true",
    ] {
        assert!(arguments.contains(&wanted), "{wanted}: {arguments:?}");
    }
}

#[test]
fn the_manager_is_told_how_busy_it_may_be() {
    let chart = render(&[
        "manager.controllerConcurrency=Pod=32\\,IPAM=2",
        "manager.kubeClientQPS=50",
        "manager.kubeClientBurst=70",
        "manager.collector.interval=5m",
        "manager.collector.grace=1h",
        "manager.replicas=2",
    ]);

    let arguments = chart.arguments("manager");

    for wanted in [
        "--controller-concurrency=Pod=32,IPAM=2",
        "--kube-client-qps=50",
        "--kube-client-burst=70",
        "--collector-interval=5m",
        "--collector-grace=1h",
    ] {
        assert!(arguments.contains(&wanted), "{wanted}: {arguments:?}");
    }
    assert_eq!(chart.workload("manager")["spec"]["replicas"], 2);
}

#[test]
fn the_first_network_is_as_asked_for() {
    let none = render(&["init=null"]);
    assert_eq!(
        none.of_kind("Network").count() + none.of_kind("Subnet").count(),
        0
    );

    let both = render(&[
        "init.cidr=10.9.0.0/16",
        "init.cidrV6=fd00:9::/112",
        "init.vxlanID=9",
    ]);
    assert_eq!(both.object("Network", "init")["spec"]["netID"], 9);
    for (name, version, cidr) in [("init", "4", "10.9.0.0/16"), ("init-v6", "6", "fd00:9::/112")] {
        let range = &both.object("Subnet", name)["spec"]["range"];
        assert_eq!(
            (&range["version"], &range["cidr"]),
            (&version.into(), &cidr.into())
        );
    }

    let six = render(&["init.cidr=fd00:9::/112", "init.ipVersion=6"]);
    assert_eq!(six.object("Subnet", "init")["spec"]["range"]["version"], "6");
}

/// Every key of the Go project's last chart, with a value that is not its default.
#[test]
fn values_of_the_go_projects_chart_are_accepted() {
    let chart = render(&[
        "images.registryURL=registry.example.com",
        "images.hybridnet.image=hybridnetdev/hybridnet",
        "images.hybridnet.tag=v0.8.9",
        "images.hybridnet.imagePullPolicy=Always",
        "init.cidr=10.9.0.0/16",
        "init.ipVersion=4",
        "init.vxlanID=7",
        "manager.replicas=1",
        "manager.kubeClientQPS=100",
        "manager.kubeClientBurst=200",
        "manager.metricsPort=9999",
        "manager.podAnnotations.a=b",
        "webhook.replicas=1",
        "webhook.podAnnotations.a=b",
        "daemon.enableFelixPolicy=false",
        "daemon.preferVxlanInterfaces=eth0",
        "daemon.vtepAddressCIDRs=0.0.0.0/0",
        "daemon.neededCommunityCNIPlugins=loopback\\,bandwidth\\,portmap",
        "daemon.cniConfName=00-hybridnet.conflist",
        "daemon.podAnnotations.a=b",
        "multiCluster=true",
        "vmIPRetain=true",
        "defaultIPRetain=true",
        "defaultNetworkType=GlobalBGP",
        "typha.replicas=3",
        "typha.serviceEnabled=true",
    ]);

    assert_eq!(chart.container("daemon")["imagePullPolicy"], "Always");
    assert!(chart.arguments("manager").contains(&"--metrics-port=9999"));
    for component in ALL {
        let metadata = &chart.workload(component)["spec"]["template"]["metadata"];
        assert_eq!(metadata["annotations"]["a"], "b", "{component}");
    }
    let conf = &chart.object("ConfigMap", "hybridnet-cni-conf")["data"]["cni-config"];
    assert!(
        conf.as_str().is_some_and(|conf| conf.contains("bandwidth")),
        "{conf}"
    );
}

fn variable(chart: &Rendered, component: &str, name: &str) -> String {
    let variables = chart.container(component)["env"].as_array().into_iter().flatten();
    let mut named = variables.filter(|variable| variable["name"] == name);
    let value = named.next().and_then(|variable| variable["value"].as_str());
    value.unwrap_or_default().to_owned()
}
