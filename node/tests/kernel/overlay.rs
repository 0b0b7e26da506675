//! Packets between pods of two nodes, over the tunnel that the plans made.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use hybridnet_node::kernel::Kernel;
use hybridnet_node::kernel::pods::NewPod;
use hybridnet_node::mac::Mac;
use hybridnet_node::plan::Plan;

use crate::net::Netns;
use crate::plans::{VX, add_pod, converge, dress, ip, kernel, mac, plan};

const PODS: [[&str; 2]; 2] = [["10.244.0.11", "fd10::11"], ["10.244.0.22", "fd10::22"]];

struct Node {
    namespace: Netns,
    pod: Netns,
    kernel: Kernel,
    plan: Plan,
}

/// Two nodes on one wire, with a pod each.
async fn two_nodes(prepare: impl Fn(Kernel) -> Kernel) -> [Node; 2] {
    let namespaces = [Netns::new("node"), Netns::new("node")];
    let [first, second] = &namespaces;
    first.sh(&format!(
        "ip link add eth0 address {} type veth peer name eth0 address {} netns {}",
        mac(1),
        mac(2),
        second.name()
    ));
    let mut nodes = vec![];
    for (number, namespace) in (1..).zip(namespaces) {
        dress(&namespace, number);
        let kernel = prepare(kernel(&namespace).await);
        nodes.push(with_pod(namespace, kernel, number).await);
    }
    nodes.try_into().unwrap_or_else(|_| unreachable!("two nodes"))
}

async fn with_pod(namespace: Netns, kernel: Kernel, number: u8) -> Node {
    let pod = Netns::new("pod");
    let [v4, v6] = PODS[usize::from(number) - 1];
    let mut plan = plan(number);
    converge(&kernel, &plan).await;
    namespace.sh(&format!(
        "ip link add hybr1 mtu 1450 type veth peer name eth0 mtu 1450 netns {}",
        pod.name()
    ));
    pod.sh(&format!(
        "ip link set eth0 up
         ip address add {v4}/16 dev eth0 noprefixroute
         ip address add {v6}/64 dev eth0 noprefixroute nodad"
    ));
    add_pod(&mut plan, "hybr1", &[v4, v6]);
    let answers_on = [VX.to_owned()];
    let end = &plan.pods["hybr1"];
    kernel
        .add_pod(&NewPod {
            link: "hybr1",
            end,
            answers_on: &answers_on,
            local_direct: 39_999,
        })
        .await
        .unwrap();
    pod.sh("ip route add 169.254.1.1 dev eth0 scope link
         ip route add default via 169.254.1.1
         ip route add default via fe80::ecee:eeff:feee:eeee dev eth0");
    Node {
        namespace,
        pod,
        kernel,
        plan,
    }
}

/// A word from one pod to another and back. How long the first packet took to find its way is the answer.
async fn talk(from: &Node, to: &Node, address: IpAddr) -> Duration {
    let listener = to
        .pod
        .within(|| TcpListener::bind(SocketAddr::new(address, 7)).unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut word = [0; 5];
        stream.read_exact(&mut word).unwrap();
        stream.write_all(&word).unwrap();
    });
    let namespace = from.pod.name().to_owned();
    let started = Instant::now();
    let client = tokio::task::spawn_blocking(move || {
        let stream = enter(&namespace, move || {
            TcpStream::connect_timeout(&SocketAddr::new(address, 7), Duration::from_secs(8)).unwrap()
        });
        let took = started.elapsed();
        exchange(stream);
        took
    });
    let took = client.await.unwrap();
    server.join().unwrap();
    took
}

fn enter<T: Send>(namespace: &str, code: impl FnOnce() -> T + Send) -> T {
    let file = std::fs::File::open(format!("/var/run/netns/{namespace}")).unwrap();
    std::thread::scope(|scope| {
        let inside = scope.spawn(move || {
            nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            code()
        });
        inside.join().unwrap()
    })
}

fn exchange(mut stream: TcpStream) {
    stream.write_all(b"hello").unwrap();
    let mut word = [0; 5];
    stream.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"hello");
}

/// Who is where, as an index would say.
fn everybody() -> BTreeMap<IpAddr, Mac> {
    let mut known = BTreeMap::new();
    for (number, pod) in (1..).zip(PODS) {
        let addresses = pod.map(ip).into_iter();
        let own = [ip(&format!("192.168.0.{number}")), ip(&format!("fd02::{number}"))];
        known.extend(addresses.chain(own).map(|address| (address, mac(number))));
    }
    known
}

async fn answer(node: &Node) -> tokio::task::JoinHandle<()> {
    let responder = node.kernel.responder().await.unwrap();
    let known = everybody();
    tokio::spawn(async move {
        let whereabouts = move |address: IpAddr| known.get(&address).copied();
        responder.run(&whereabouts, Duration::from_hours(1)).await;
    })
}

/// Counts what comes out of the tunnel, by inner destination.
fn count(node: &Node) {
    node.namespace.sh(&format!(
        "nft -f - <<END
         table netdev counts {{
             chain in {{
                 type filter hook ingress device \"{VX}\" priority 0;
                 ether daddr ff:ff:ff:ff:ff:f1 counter comment \"replicated\"
                 ether daddr ff:ff:ff:ff:ff:ff counter comment \"broadcast\"
                 ether daddr & ff:ff:00:00:00:00 == 33:33:00:00:00:00 counter comment \"multicast\"
             }}
         }}\nEND"
    ));
}

fn counted(node: &Node, comment: &str) -> u64 {
    let listing = node.namespace.sh("nft list table netdev counts");
    let line = listing.lines().find(|line| line.contains(comment)).unwrap();
    let packets = line.split("packets ").nth(1).unwrap();
    packets.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_responder_neighbours_are_known_at_once_and_nothing_is_broadcast() {
    let nodes = two_nodes(|kernel| kernel).await;
    let [first, second] = &nodes;
    let answering = [answer(first).await, answer(second).await];
    count(second);

    for address in PODS[1].map(ip) {
        let took = talk(first, second, address).await;
        assert!(took < Duration::from_millis(700), "{address}: {took:?}");
    }

    // Nobody on the wire had to be asked: what is replicated is what a link says when it comes up.
    let neighbours = first.namespace.sh(&format!("ip neigh show dev {VX}"));
    for address in PODS[1] {
        assert!(
            neighbours.contains(&format!("{address} lladdr 02:00:00:00:00:02")),
            "{neighbours}"
        );
    }
    assert_eq!(counted(second, "broadcast"), 0);
    answering.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_responder_the_wire_is_asked_by_the_replication_address() {
    let nodes = two_nodes(|kernel| kernel).await;
    let [first, second] = &nodes;
    count(second);

    for address in PODS[1].map(ip) {
        talk(first, second, address).await;
    }

    assert!(
        counted(second, "replicated") >= 2,
        "ARP and neighbour solicitation"
    );
    assert_eq!(
        (counted(second, "broadcast"), counted(second, "multicast")),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_filter_default_entries_carry_broadcasts_and_multicasts() {
    let nodes = two_nodes(Kernel::without_filter).await;
    let [first, second] = &nodes;
    count(second);

    for address in PODS[1].map(ip) {
        talk(first, second, address).await;
    }

    assert!(counted(second, "broadcast") >= 1 && counted(second, "multicast") >= 1);
    let entries = first.namespace.sh(&format!("bridge fdb show dev {VX}"));
    assert!(entries.contains("00:00:00:00:00:00 dst 192.168.0.2"), "{entries}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_moved_is_corrected_and_old_ones_are_forgotten() {
    let [first, _second] = two_nodes(|kernel| kernel).await;
    first.namespace.sh(&format!(
        "ip neigh add 10.244.0.22 lladdr 02:00:00:00:00:08 dev {VX} nud reachable
         ip neigh add 10.244.0.33 lladdr 02:00:00:00:00:08 dev {VX} nud stale
         ip neigh add 10.244.0.33 lladdr 02:00:00:00:00:08 dev eth0 nud stale"
    ));

    first
        .kernel
        .neighbours_moved(&[(ip("10.244.0.22"), mac(2))].into())
        .await
        .unwrap();
    first
        .kernel
        .neighbours_moved(&[(ip("10.244.0.44"), mac(2))].into())
        .await
        .unwrap();
    let purged = first.kernel.purge_neighbours().await.unwrap();

    assert_eq!(purged, 1);
    let neighbours = first.namespace.sh(&format!("ip neigh show dev {VX} nud all"));
    assert!(
        neighbours.contains("10.244.0.22 lladdr 02:00:00:00:00:02 REACHABLE"),
        "{neighbours}"
    );
    assert!(
        !neighbours.contains("10.244.0.33") && !neighbours.contains("10.244.0.44"),
        "{neighbours}"
    );
    assert!(
        first
            .namespace
            .sh("ip neigh show dev eth0")
            .contains("10.244.0.33")
    );
    assert_eq!(
        crate::plans::words(&converge(&first.kernel, &first.plan).await),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_reaches_the_other_node_and_is_answered() {
    let nodes = two_nodes(|kernel| kernel).await;
    let [first, second] = &nodes;
    let answering = [answer(first).await, answer(second).await];

    // The node's own word to a remote pod: its source is an address of the tunnel's link.
    let listener = second.pod.within(|| TcpListener::bind("10.244.0.22:9").unwrap());
    let server = std::thread::spawn(move || listener.accept().unwrap().1);
    let namespace = first.namespace.name().to_owned();
    let client = tokio::task::spawn_blocking(move || {
        enter(&namespace, || {
            TcpStream::connect_timeout(&"10.244.0.22:9".parse().unwrap(), Duration::from_secs(8))
        })
    });
    // Without the firewall's mark the answer takes the way of pods to nodes, which is the subnet's table here.
    client.await.unwrap().unwrap();
    let peer = server.join().unwrap();

    assert_eq!(peer.ip(), ip("192.168.0.1"));
    answering.iter().for_each(tokio::task::JoinHandle::abort);
}
