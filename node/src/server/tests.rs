//! The server over its socket, with a make-believe cluster and kernel.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hybridnet_api::IpInstance;
use hybridnet_api::selection::PodFamily;
use ipnetwork::IpNetwork;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::*;
use crate::pod::{self, Endpoint, Timing};
use crate::testing::instance;
use crate::watch::WaitError;

const MAC: &str = "00:16:ea:00:00:01";
const LINK: &str = "hybr0d7763386da";

/// What the fakes do and what they were asked; shared with the test.
struct Script {
    family: PodFamily,
    instances: watch::Sender<Vec<Arc<IpInstance>>>,
    not_ready: Option<NotReady>,
    annotation_fails: bool,
    set_up_fails: bool,
    /// Whether a set-up may end.
    gate: watch::Sender<bool>,
    log: Mutex<Vec<String>>,
    waiting: AtomicUsize,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            family: PodFamily::Ipv4Only,
            instances: watch::Sender::new(vec![address("10.14.0.5/16")]),
            not_ready: None,
            annotation_fails: false,
            set_up_fails: false,
            gate: watch::Sender::new(true),
            log: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Script {
    fn say(&self, line: impl Into<String>) {
        self.log.lock().unwrap().push(line.into());
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

fn address(ip: &str) -> Arc<IpInstance> {
    let mut instance = instance("web-0", ip);
    instance.spec.address.mac = MAC.into();
    instance.spec.address.gateway = (!ip.contains(':')).then(|| "10.14.0.1".into());
    instance.spec.network = "overlay".into();
    Arc::new(instance)
}

#[derive(Clone)]
struct Fake(Arc<Script>);

/// Counts those who wait, also when they are dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Cluster for Fake {
    async fn pod(&self, namespace: &str, name: &str, _: Instant) -> Result<PodFacts, PodError> {
        if name != "web-0" || namespace != "default" {
            return Err(ApiError::Silent.into());
        }
        Ok(PodFacts {
            uid: "u1".into(),
            family: self.0.family,
        })
    }

    async fn addresses(
        &self,
        sandbox: &Sandbox,
        _: &str,
        expected: usize,
        deadline: Instant,
    ) -> Result<Vec<Arc<IpInstance>>, WaitError> {
        let _waiting = Waiting::new(&self.0.waiting);
        let mut instances = self.0.instances.subscribe();
        let _ = timeout_at(deadline, instances.wait_for(|found| found.len() >= expected)).await;
        let found = instances.borrow().clone();
        if found.len() < expected {
            let (namespace, pod) = (sandbox.namespace.clone(), sandbox.name.clone());
            return Err(WaitError {
                namespace,
                pod,
                expected,
                got: found.len(),
            });
        }
        Ok(found)
    }

    async fn ready(&self, _: &str, _: &[IpNetwork], _: Instant) -> Result<Prepared, NotReady> {
        match &self.0.not_ready {
            Some(reason) => Err(reason.clone()),
            None => Ok(Prepared {
                uplink: "eth0.vxlan4".into(),
                mtu: 1450,
            }),
        }
    }

    async fn annotate(&self, _: &Sandbox, uid: &str, addresses: &str, _: Instant) -> Result<(), ApiError> {
        self.0.say(format!("annotate {uid} {addresses}"));
        if self.0.annotation_fails {
            Err(ApiError::Silent)
        } else {
            Ok(())
        }
    }

    async fn report(&self, sandbox: &Sandbox, uid: &str) {
        self.0.say(format!("report {uid} {}", sandbox.container_id));
    }
}

impl PodNetwork for Fake {
    fn verify(&self, sandbox: &Sandbox) -> Result<(), pod::Error> {
        if sandbox.netns.ends_with("gone") {
            Err(no_namespace(sandbox))
        } else {
            Ok(())
        }
    }

    async fn set_up(&self, sandbox: &Sandbox, endpoint: &Endpoint) -> Result<Timing, pod::Error> {
        let Endpoint {
            mac,
            mtu,
            addresses,
            uplink,
        } = endpoint;
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        self.0.say(format!(
            "set up {} {mac} {mtu} {} {uplink}",
            sandbox.host_link,
            addresses.join(",")
        ));
        let _ = self.0.gate.subscribe().wait_for(|open| *open).await;
        self.0.say("set up ends");
        if self.0.set_up_fails {
            Err(no_namespace(sandbox))
        } else {
            Ok(Timing::default())
        }
    }

    async fn take_down(&self, sandbox: &Sandbox) -> Result<(), pod::Error> {
        self.0.say(format!(
            "take down {} {}",
            sandbox.host_link,
            sandbox.netns.display()
        ));
        if sandbox.netns.ends_with("broken") {
            Err(no_namespace(sandbox))
        } else {
            Ok(())
        }
    }
}

fn no_namespace(sandbox: &Sandbox) -> pod::Error {
    let source = std::io::ErrorKind::NotFound.into();
    pod::Error::Namespace {
        path: sandbox.netns.clone(),
        source,
    }
}

/// A server and its socket, gone with the value.
struct Served {
    script: Arc<Script>,
    socket: PathBuf,
    handle: actix_web::dev::ServerHandle,
    _directory: tempfile::TempDir,
}

impl Served {
    fn new(script: Script) -> Self {
        Self::with(script, |_| {})
    }

    fn with(script: Script, change: impl FnOnce(&mut Options)) -> Self {
        let script = Arc::new(script);
        let mut options = Options {
            annotate_for_felix: false,
            update_status: false,
            add_limit: Duration::from_secs(30),
        };
        change(&mut options);
        let fake = Fake(script.clone());
        let server = CniServer::new(fake.clone(), fake, options, CniMetrics::default());
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("daemon.sock");
        let running = start(&socket, server).unwrap();
        let handle = running.handle();
        tokio::spawn(running);
        Self {
            script,
            socket,
            handle,
            _directory: directory,
        }
    }

    async fn send(&self, head: &str, body: &str) -> UnixStream {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        let request = format!(
            "{head}\r\nHost: dummy\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn post(&self, verb: &str, body: &Value) -> UnixStream {
        let head = format!("POST /api/v1/{verb} HTTP/1.1\r\nContent-Type: application/json");
        self.send(&head, &body.to_string()).await
    }

    async fn ask(&self, verb: &str, body: &Value) -> (u16, Value) {
        answer(self.post(verb, body).await).await
    }

    /// The status and text of a refusal.
    async fn refused(&self, verb: &str, body: &Value) -> (u16, String) {
        let (status, body) = self.ask(verb, body).await;
        assert_eq!(
            (&body["address"], &body["host_interface"]),
            (&Value::Null, &json!("")),
            "{body}"
        );
        (status, body["error"].as_str().unwrap().to_owned())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

async fn answer(mut stream: UnixStream) -> (u16, Value) {
    let mut received = vec![];
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&received).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let status = head[9..12].parse().unwrap();
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let length = length.map_or(0, |length| length.parse().unwrap());
                if body.len() >= length {
                    return (status, serde_json::from_str(body).unwrap_or(Value::Null));
                }
            }
            assert_ne!(
                stream.read_buf(&mut received).await.unwrap(),
                0,
                "closed after {text}"
            );
        }
    };
    timeout(Duration::from_secs(20), read)
        .await
        .expect("an answer in time")
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(20), wait)
        .await
        .unwrap_or_else(|_| panic!("in vain: {what}"));
}

fn request() -> Value {
    json!({"pod_name": "web-0", "pod_namespace": "default", "container_id": "c1", "net_ns": "/run/netns/a"})
}

fn request_with(key: &str, value: &str) -> Value {
    let mut request = request();
    request[key] = json!(value);
    request
}

#[tokio::test]
async fn an_add_is_answered_with_the_addresses_and_the_link() {
    let script = Script {
        family: PodFamily::DualStack,
        ..Script::default()
    };
    script
        .instances
        .send_replace(vec![address("fd00::5/64"), address("10.14.0.5/16")]);
    let served = Served::new(script);

    let (status, body) = served.ask("add", &request()).await;

    assert_eq!(status, 200);
    let expected = json!({"address": [
        {"ip": "10.14.0.5/16", "mac": MAC, "gateway": "10.14.0.1", "protocol": "4"},
        {"ip": "fd00::5/64", "mac": MAC, "gateway": "", "protocol": "6"}],
        "host_interface": LINK, "error": ""});
    assert_eq!(body, expected);
    let made = format!("set up {LINK} {MAC} 1450 10.14.0.5/16,fd00::5/64 eth0.vxlan4");
    assert_eq!(served.script.log(), [made.as_str(), "set up ends"]);
}

#[tokio::test]
async fn an_add_that_comes_before_its_address_waits_for_it() {
    let script = Script {
        instances: watch::Sender::new(vec![]),
        ..Script::default()
    };
    let served = Served::new(script);
    let stream = served.post("add", &request()).await;
    until("the request waits", || {
        served.script.waiting.load(Ordering::SeqCst) == 1
    })
    .await;

    served
        .script
        .instances
        .send_replace(vec![address("10.14.0.5/16")]);

    assert_eq!(answer(stream).await.0, 200);
}

#[tokio::test]
async fn half_of_a_dual_stack_pod_is_refused_after_the_wait() {
    let script = Script {
        family: PodFamily::DualStack,
        ..Script::default()
    };
    let served = Served::with(script, |options| options.add_limit = Duration::from_millis(20));

    let (status, text) = served.refused("add", &request()).await;

    assert_eq!(status, 400);
    let expected = "failed to wait for pod default/web-0 to be coupled with ip, expect 2 and get 1";
    assert!(text.starts_with(expected), "{text}");
    assert!(served.script.log().is_empty());
}

#[tokio::test]
async fn what_an_add_lacks_is_told_with_its_status() {
    let not_ready = NotReady::NoNetwork("overlay".into());
    let served = Served::new(Script {
        not_ready: Some(not_ready),
        ..Script::default()
    });
    let cases = [
        (
            request_with("pod_name", ""),
            400,
            "failed to parse add request: pod_name is missing",
        ),
        (request_with("pod_namespace", ""), 400, "pod_namespace is missing"),
        (request_with("net_ns", ""), 400, "net_ns is missing"),
        (
            request_with("net_ns", "/run/netns/gone"),
            500,
            "failed to configure nic: network namespace /run/netns/gone",
        ),
        (
            request_with("pod_name", "other"),
            400,
            "failed to get pod default/other: the API server did not answer",
        ),
        (
            request_with("pod_uid", "u0"),
            400,
            "the pod with UID u0 is gone, the one of that name now has u1",
        ),
        (
            request(),
            500,
            "failed to configure nic: cannot get network overlay",
        ),
    ];
    for (body, status, expected) in cases {
        let (got, text) = served.refused("add", &body).await;

        assert!(got == status && text.contains(expected), "{got} {text}");
    }
    assert!(served.script.log().is_empty());
}

#[tokio::test]
async fn addresses_that_contradict_are_refused() {
    let script = Script {
        family: PodFamily::DualStack,
        ..Script::default()
    };
    script
        .instances
        .send_replace(vec![address("10.14.0.5/16"), address("10.14.0.6/16")]);
    let served = Served::new(script);

    let (status, text) = served.refused("add", &request()).await;

    assert!(
        status == 500 && text.starts_with("only one ipv4 address"),
        "{text}"
    );
}

#[tokio::test]
async fn a_failed_set_up_is_told() {
    let served = Served::new(Script {
        set_up_fails: true,
        ..Script::default()
    });

    let (status, text) = served.refused("add", &request()).await;

    assert!(
        status == 500 && text.starts_with("failed to configure nic: network namespace"),
        "{text}"
    );
}

#[tokio::test]
async fn felix_is_told_before_and_the_status_is_written_after() {
    let served = Served::with(Script::default(), |options| {
        (options.annotate_for_felix, options.update_status) = (true, true);
    });

    assert_eq!(served.ask("add", &request()).await.0, 200);

    until("the status is written", || served.script.log().len() == 4).await;
    let log = served.script.log();
    assert_eq!(
        [log[0].as_str(), log[3].as_str()],
        ["annotate u1 10.14.0.5", "report u1 c1"]
    );
}

#[tokio::test]
async fn a_pod_that_felix_cannot_be_told_of_is_not_made() {
    let script = Script {
        annotation_fails: true,
        ..Script::default()
    };
    let served = Served::with(script, |options| options.annotate_for_felix = true);

    let (status, text) = served.refused("add", &request()).await;

    assert!(
        status == 400 && text.starts_with("failed to patch pod default/web-0"),
        "{text}"
    );
    assert_eq!(served.script.log(), ["annotate u1 10.14.0.5"]);
}

#[tokio::test]
async fn a_plugin_that_is_killed_while_it_waits_leaves_nothing() {
    let served = Served::new(Script {
        instances: watch::Sender::new(vec![]),
        ..Script::default()
    });
    let stream = served.post("add", &request()).await;
    until("the request waits", || {
        served.script.waiting.load(Ordering::SeqCst) == 1
    })
    .await;

    drop(stream);

    until("nobody waits", || {
        served.script.waiting.load(Ordering::SeqCst) == 0
    })
    .await;
    assert!(served.script.log().is_empty());
}

#[tokio::test]
async fn a_network_that_nobody_waits_for_any_more_is_removed() {
    let served = Served::new(Script {
        gate: watch::Sender::new(false),
        ..Script::default()
    });
    let mut stream = served.post("add", &request()).await;
    until("the network is being made", || served.script.log().len() == 1).await;

    // The server closes its half once it has seen that ours is closed, and drops the request.
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(served.ask("del", &request_with("pod_name", "other")).await.0, 204);
    served.script.gate.send_replace(true);

    until("the network is removed", || served.script.log().len() == 4).await;
    assert_eq!(
        served.script.log()[2..],
        ["set up ends".to_owned(), format!("take down {LINK} /run/netns/a")]
    );
}

#[tokio::test]
async fn a_del_waits_for_the_add_of_the_same_pod_and_not_for_others() {
    let served = Served::new(Script {
        gate: watch::Sender::new(false),
        ..Script::default()
    });
    let add = served.post("add", &request()).await;
    until("the network is being made", || served.script.log().len() == 1).await;
    let del = served.post("del", &request()).await;

    assert_eq!(served.ask("del", &request_with("pod_name", "other")).await.0, 204);
    assert_eq!(served.script.log().len(), 2, "the other's take-down only");
    served.script.gate.send_replace(true);

    assert_eq!((answer(add).await.0, answer(del).await.0), (200, 204));
    let log = served.script.log();
    assert_eq!(
        log[2..],
        ["set up ends".to_owned(), format!("take down {LINK} /run/netns/a")]
    );
}

#[tokio::test]
async fn a_del_needs_no_pod_and_no_namespace() {
    let served = Served::new(Script::default());

    assert_eq!(served.ask("del", &request()).await, (204, Value::Null));
    assert_eq!(served.ask("del", &request_with("pod_name", "")).await.0, 204);
    assert_eq!(served.ask("del", &json!({})).await.0, 204);

    let log = served.script.log();
    assert_eq!(
        log,
        [
            &format!("take down {LINK} /run/netns/a"),
            "take down  /run/netns/a",
            "take down  "
        ]
    );
}

#[tokio::test]
async fn a_del_that_the_kernel_refuses_is_told() {
    let served = Served::new(Script::default());

    let (status, text) = served
        .refused("del", &request_with("net_ns", "/run/netns/broken"))
        .await;

    assert!(
        status == 500 && text.starts_with("failed to del container nic for web-0.default: "),
        "{text}"
    );
}

#[tokio::test]
async fn http_that_is_not_of_the_protocol_is_refused_by_its_status() {
    let served = Served::new(Script::default());
    let json = "Content-Type: application/json";
    let long = format!("{{\"pod_name\":\"{}\"}}", "a".repeat(70_000));
    let cases = [
        (format!("GET /api/v1/add HTTP/1.1\r\n{json}"), "", 405),
        (format!("POST /api/v1/frob HTTP/1.1\r\n{json}"), "{}", 404),
        (
            "POST /api/v1/add HTTP/1.1\r\nContent-Type: text/plain".to_owned(),
            "{}",
            415,
        ),
        (format!("POST /api/v1/add HTTP/1.1\r\n{json}"), "garbage", 400),
        (format!("POST /api/v1/del HTTP/1.1\r\n{json}"), "[", 400),
        (format!("POST /api/v1/add HTTP/1.1\r\n{json}"), long.as_str(), 413),
    ];
    for (head, body, status) in &cases {
        let (got, _) = answer(served.send(head, body).await).await;

        assert_eq!(got, *status, "{head}");
    }
    let known = BTreeMap::from([
        ("add", "failed to parse add request"),
        ("del", "failed to parse del request"),
    ]);
    for (verb, expected) in known {
        let head = format!("POST /api/v1/{verb} HTTP/1.1\r\n{json}");
        let (_, body) = answer(served.send(&head, "garbage").await).await;

        assert!(body["error"].as_str().unwrap().starts_with(expected), "{body}");
    }
}
