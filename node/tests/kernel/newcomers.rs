//! Pods that come while a pass is under way.

use hybridnet_node::kernel::pods::NewPod;
use hybridnet_node::plan::HostEnd;

use crate::plans::{VX, add_pod, converge, ip, kernel, node, plan, words};

/// The plan of a pass that began before the pod came lacks it, and has its address at the pod that had it before.
#[tokio::test]
async fn a_pass_that_began_before_a_pod_came_takes_nothing_from_it() {
    let namespace = node(1);
    let kernel = kernel(&namespace).await;
    namespace.sh("for n in 1 2; do ip link add hybr$n type veth peer name pod$n; ip link set pod$n up; done");
    let mut old = plan(1);
    add_pod(&mut old, "hybr1", &["10.244.0.11"]);
    converge(&kernel, &old).await;
    let end = HostEnd {
        addresses: [ip("10.244.0.11"), ip("fd10::11")].into(),
    };
    let pod = NewPod {
        link: "hybr2",
        end: &end,
        answers_on: &[VX.to_owned()],
        local_direct: 39_999,
    };

    kernel.add_pod(&pod).await.unwrap();
    let report = converge(&kernel, &old).await;

    assert_eq!(words(&report), Vec::<String>::new());
    let routes = namespace.sh("ip route show table 39999");
    assert!(routes.contains("10.244.0.11 dev hybr2"), "{routes}");

    // The next pass knows better: whatever its plan says counts.
    kernel.newcomers().settle().await;
    let report = converge(&kernel, &plan(1)).await;
    let gone = [
        "delete proxy neighbour 10.244.0.11 on eth0.vxlan4",
        "delete proxy neighbour fd10::11 on eth0.vxlan4",
    ];
    assert_eq!(words(&report), gone);
}
