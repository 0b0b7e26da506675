//! The plugin as the runtime sees it: a process with an environment, stdin, stdout and a status. The daemon
//! is a scripted server on a unix socket.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

#[path = "plugin/scripted.rs"]
mod scripted;

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use scripted::Scripted;
use serde_json::{Value, json};

const ADDED: &str = r#"{"address":[{"ip":"10.0.0.5/24","mac":"00:16:ea:00:00:01","gateway":"10.0.0.1","protocol":"4"}],
    "host_interface":"lo","error":""}"#;
const ARGS: &str = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_UID=u1";

/// One invocation, complete unless a test takes something away.
struct Invocation {
    variables: Vec<(&'static str, String)>,
    config: Vec<u8>,
}

impl Invocation {
    fn new(verb: &str, version: &str, socket: &Path) -> Self {
        let config = json!({"cniVersion": version, "name": "hybridnet", "type": "hybridnet",
            "server_socket": socket, "daemon_wait_seconds": 0});
        let variables = vec![
            ("CNI_COMMAND", verb.to_owned()),
            ("CNI_CONTAINERID", "c1".to_owned()),
            ("CNI_NETNS", "/proc/self/ns/net".to_owned()),
            ("CNI_IFNAME", "eth0".to_owned()),
            ("CNI_ARGS", ARGS.to_owned()),
            ("CNI_PATH", "/opt/cni/bin".to_owned()),
        ];
        Self {
            variables,
            config: config.to_string().into_bytes(),
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.retain(|(other, _)| *other != name);
        self.variables.push((name, value.to_owned()));
        self
    }

    fn configured(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let mut config = serde_json::from_slice(&self.config).unwrap();
        change(&mut config);
        self.config = config.to_string().into_bytes();
        self
    }

    fn stdin(mut self, text: &[u8]) -> Self {
        self.config = text.to_vec();
        self
    }

    fn run(&self) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hybridnet"))
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A plugin that has read enough closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(&self.config);
        child.wait_with_output().unwrap()
    }

    fn succeeds(&self) -> String {
        let output = self.run();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        text
    }

    /// The code and text of the failure, whose form is checked.
    fn fails(&self) -> (u64, String) {
        let output = self.run();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        let failure: Value = serde_json::from_str(&text).unwrap();
        assert!(failure["cniVersion"].is_string(), "{text}");
        (
            failure["code"].as_u64().unwrap(),
            failure["msg"].as_str().unwrap().to_owned(),
        )
    }
}

#[test]
fn add_asks_the_daemon_for_the_pod_and_prints_the_result_of_every_version() {
    for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let daemon = Scripted::answering(200, ADDED);

        let text = Invocation::new("ADD", version, daemon.socket()).succeeds();

        let result: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(result["cniVersion"], version);
        assert_eq!(
            result["interfaces"][0],
            json!({"name": "lo", "mac": "00:00:00:00:00:00"})
        );
        assert_eq!(
            result["interfaces"][1],
            json!({"name": "eth0", "mac": "00:16:ea:00:00:01", "sandbox": "/proc/self/ns/net"})
        );
        assert_eq!(result["ips"][0]["address"], "10.0.0.5/24");
        assert_eq!(
            result["ips"][0]["version"],
            if version < "1" { json!("4") } else { Value::Null }
        );
        assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0", "gw": "10.0.0.1"}]));
        let [request] = &daemon.requests()[..] else {
            panic!("one request")
        };
        assert!(request.starts_with("POST /api/v1/add HTTP/1.1\r\n"), "{request}");
        assert!(
            request.contains("Content-Type: application/json\r\n"),
            "{request}"
        );
        assert!(!request.contains("Accept-Encoding"), "{request}");
        let body: Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!(
            body,
            json!({"pod_name": "web-0", "pod_namespace": "default", "container_id": "c1",
                "net_ns": "/proc/self/ns/net", "pod_uid": "u1"})
        );
    }
}

#[test]
fn the_first_versions_of_results_are_printed_too() {
    for version in ["0.1.0", "0.2.0"] {
        let daemon = Scripted::answering(200, ADDED);

        let text = Invocation::new("ADD", version, daemon.socket()).succeeds();

        let result: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(result["ip4"]["ip"], "10.0.0.5/24");
        assert_eq!(result["cniVersion"], version);
    }
}

#[test]
fn an_answer_in_chunks_is_understood() {
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        &ADDED[..16],
        ADDED.len() - 16,
        &ADDED[16..]
    );
    let daemon = Scripted::sending(vec![chunked.into_bytes()]);

    Invocation::new("ADD", "1.0.0", daemon.socket()).succeeds();
}

#[test]
fn an_add_that_the_daemon_refuses_is_to_be_tried_again() {
    for status in [400, 500, 503] {
        let body = r#"{"address":null,"host_interface":"","error":"failed to wait for pod default/web-0"}"#;
        let daemon = Scripted::answering(status, body);

        let (code, text) = Invocation::new("ADD", "1.0.0", daemon.socket()).fails();

        assert_eq!(code, 11);
        assert_eq!(
            text,
            format!("request ip return {status} failed to wait for pod default/web-0")
        );
    }
}

#[test]
fn an_answer_that_is_no_result_fails() {
    for (body, expected) in [("not json", 6), ("{}", 5), (r#"{"host_interface":"lo"}"#, 11)] {
        let daemon = Scripted::answering(200, body);

        let (code, text) = Invocation::new("ADD", "1.0.0", daemon.socket()).fails();

        assert_eq!(code, expected, "{text}");
    }
    let daemon = Scripted::answering(200, &ADDED.replace("\"lo\"", "\"hyt-nowhere\""));
    let (code, text) = Invocation::new("ADD", "1.0.0", daemon.socket()).fails();
    assert_eq!(
        (code, text.contains("link hyt-nowhere: no such link")),
        (5, true),
        "{text}"
    );
}

#[test]
fn a_daemon_that_is_away_is_named_with_its_socket_and_the_way_out() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("none.sock");

    let (code, text) = Invocation::new("ADD", "0.3.1", &socket).fails();

    assert_eq!(code, 11);
    assert!(
        text.contains(socket.to_str().unwrap()) && text.contains("kubectl"),
        "{text}"
    );
}

#[test]
fn what_is_not_the_daemon_is_said_to_be_something_else() {
    let daemon = Scripted::sending(vec![b"220 smtp ready\r\n\r\n".to_vec()]);

    let (code, text) = Invocation::new("ADD", "0.3.1", daemon.socket()).fails();

    assert_eq!(
        (code, text.contains("is not the hybridnet daemon")),
        (11, true),
        "{text}"
    );
}

#[test]
fn an_add_waits_for_a_daemon_that_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("late.sock");
    let old = UnixListener::bind(&socket).unwrap();
    let invocation = Invocation::new("ADD", "1.0.0", &socket)
        .configured(|config| config["daemon_wait_seconds"] = json!(30));
    let plugin = std::thread::spawn(move || invocation.succeeds());

    // The old one takes the request, goes away with its socket, and only then the new one comes.
    let (request, _) = old.accept().unwrap();
    drop(old);
    std::fs::remove_file(&socket).unwrap();
    drop(request);
    let daemon = Scripted::answering_on(&socket, 200, ADDED);

    assert!(plugin.join().unwrap().contains("10.0.0.5/24"));
    assert_eq!(daemon.requests().len(), 1);
}

#[test]
fn an_add_that_a_dying_daemon_left_unanswered_is_asked_again() {
    let whole = scripted::response(200, ADDED);
    let daemon = Scripted::sending(vec![Vec::new(), whole[..40].to_vec(), whole.clone()]);

    let invocation = Invocation::new("ADD", "1.0.0", daemon.socket())
        .configured(|config| config["daemon_wait_seconds"] = json!(30));

    assert!(invocation.succeeds().contains("10.0.0.5/24"));
    assert_eq!(daemon.requests().len(), 3);
}

#[test]
fn faults_of_the_environment_are_found_before_the_daemon_is_asked() {
    let daemon = Scripted::answering(200, ADDED);
    let add = || Invocation::new("ADD", "1.0.0", daemon.socket());
    let cases = [
        (add().with("CNI_CONTAINERID", ""), "CNI_CONTAINERID"),
        (add().with("CNI_CONTAINERID", "../../etc"), "CNI_CONTAINERID"),
        (add().with("CNI_NETNS", ""), "CNI_NETNS"),
        (
            add().with("CNI_NETNS", "/run/netns/hyt-nowhere"),
            "/run/netns/hyt-nowhere",
        ),
        (add().with("CNI_IFNAME", "net1"), "CNI_IFNAME"),
        (add().with("CNI_ARGS", ""), "CNI_ARGS is required"),
        (
            add().with("CNI_ARGS", "K8S_POD_NAMESPACE=default"),
            "K8S_POD_NAME is required in CNI_ARGS",
        ),
        (
            add().with("CNI_ARGS", "K8S_POD_NAME=a"),
            "K8S_POD_NAMESPACE is required in CNI_ARGS",
        ),
        (add().with("CNI_COMMAND", "FROB"), "FROB"),
    ];
    for (invocation, expected) in cases {
        let (code, text) = invocation.fails();

        assert_eq!((code, text.contains(expected)), (4, true), "{text}");
    }
    assert_eq!(daemon.requests().len(), 0);
}

#[test]
fn faults_of_the_configuration_have_their_codes() {
    let socket = Path::new("/hyt-nowhere");
    for verb in ["ADD", "DEL", "CHECK", "STATUS", "GC"] {
        let invocation = || Invocation::new(verb, "1.1.0", socket);

        assert_eq!(invocation().stdin(b"\x00\xffgarbage").fails().0, 6, "{verb}");
        assert_eq!(invocation().stdin(b"").fails().0, 6, "{verb}");
        assert_eq!(invocation().stdin(&vec![b' '; 2 << 20]).fails().0, 6, "{verb}");
        assert_eq!(
            invocation()
                .configured(|c| c["cniVersion"] = json!("3.0.0"))
                .fails()
                .0,
            1,
            "{verb}"
        );
        assert_eq!(
            invocation().configured(|c| c["name"] = json!("")).fails().0,
            7,
            "{verb}"
        );
        let (code, text) = invocation()
            .configured(|c| c["server_socket"] = json!(""))
            .fails();
        assert_eq!(
            (code, text.contains("server_socket is required")),
            (7, true),
            "{text}"
        );
    }
}

#[test]
fn verbs_are_refused_to_versions_that_did_not_have_them() {
    let cases = [
        ("CHECK", "0.3.1"),
        ("STATUS", "1.0.0"),
        ("GC", "1.0.0"),
        ("GC", "0.4.0"),
    ];
    for (verb, version) in cases {
        let (code, text) = Invocation::new(verb, version, Path::new("/hyt-nowhere")).fails();

        assert_eq!(code, 1);
        assert!(
            text.starts_with(&format!("config version does not allow {verb}")),
            "{text}"
        );
    }
}

#[test]
fn version_answers_whatever_it_is_asked() {
    let supported = json!(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
    for (stdin, echoed) in [
        (r#"{"cniVersion":"0.4.0"}"#, "0.4.0"),
        ("", "1.1.0"),
        ("garbage", "1.1.0"),
    ] {
        let invocation = Invocation::new("VERSION", "1.1.0", Path::new("/")).stdin(stdin.as_bytes());

        let answer: Value = serde_json::from_str(&invocation.succeeds()).unwrap();

        assert_eq!(
            answer,
            json!({"cniVersion": echoed, "supportedVersions": supported})
        );
    }
}

#[test]
fn without_a_command_it_introduces_itself() {
    let output = Invocation::new("", "1.1.0", Path::new("/")).run();

    assert!(output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("a CNI plugin"));
}

#[test]
fn status_says_whether_somebody_listens() {
    let daemon = Scripted::answering(200, "");
    assert_eq!(Invocation::new("STATUS", "1.1.0", daemon.socket()).succeeds(), "");

    let (code, text) = Invocation::new("STATUS", "1.1.0", Path::new("/run/hyt-nowhere.sock")).fails();

    assert_eq!(
        (code, text.contains("/run/hyt-nowhere.sock")),
        (50, true),
        "{text}"
    );
}

#[test]
fn gc_has_nothing_to_collect() {
    let invocation = Invocation::new("GC", "1.1.0", Path::new("/hyt-nowhere"))
        .configured(|config| config["cni.dev/valid-attachments"] = json!([]));

    assert_eq!(invocation.succeeds(), "");
}

#[test]
fn del_is_done_when_the_daemon_says_so() {
    let daemon = Scripted::sending(vec![b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()]);

    assert_eq!(Invocation::new("DEL", "0.3.1", daemon.socket()).succeeds(), "");

    assert!(daemon.requests()[0].starts_with("POST /api/v1/del HTTP/1.1\r\n"));
}

#[test]
fn a_del_that_the_daemon_cannot_do_is_to_be_tried_again() {
    let daemon = Scripted::answering(500, r#"{"error":"busy"}"#);

    let (code, text) = Invocation::new("DEL", "0.3.1", daemon.socket()).fails();

    assert_eq!(
        (code, text.as_str()),
        (11, r#"delete ip return 500 {"error":"busy"}"#)
    );
}

#[test]
fn del_without_a_daemon_succeeds_on_what_is_gone() {
    let socket = Path::new("/run/hyt-nowhere.sock");
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = file.path().to_str().unwrap();
    for netns in ["", "/run/netns/hyt-nowhere", file, "/proc/self/ns/net"] {
        let invocation = Invocation::new("DEL", "0.3.1", socket)
            .with("CNI_NETNS", netns)
            .with("CNI_ARGS", "");

        assert_eq!(invocation.succeeds(), "", "{netns:?}");
    }
}

#[test]
fn del_of_a_link_that_add_refused_leaves_everything_alone() {
    let daemon = Scripted::answering(500, "");

    assert_eq!(
        Invocation::new("DEL", "0.3.1", daemon.socket())
            .with("CNI_IFNAME", "net1")
            .succeeds(),
        ""
    );

    assert_eq!(daemon.requests().len(), 0);
}

#[test]
fn check_needs_the_result_of_the_add() {
    let (code, text) = Invocation::new("CHECK", "0.4.0", Path::new("/hyt-nowhere")).fails();

    assert_eq!((code, text.contains("prevResult")), (7, true), "{text}");
}

#[test]
fn check_finds_a_host_end_that_is_gone() {
    let result = json!({"interfaces": [{"name": "hybr00000000000", "mac": "ee:ee:ee:ee:ee:ee"}], "ips": []});
    let invocation = Invocation::new("CHECK", "1.0.0", Path::new("/hyt-nowhere"))
        .configured(|config| config["prevResult"] = result);

    let (code, text) = invocation.fails();

    assert_eq!(
        (
            code,
            text.contains("hybr00000000000 in the host's namespace is gone")
        ),
        (100, true),
        "{text}"
    );
}

#[test]
fn the_plugin_starts_in_no_time() {
    let invocation = Invocation::new("VERSION", "1.1.0", Path::new("/")).stdin(b"{}");
    let fastest = (0..20)
        .map(|_| {
            let begin = Instant::now();
            invocation.succeeds();
            begin.elapsed()
        })
        .min()
        .unwrap();

    // Of an unoptimised build on a busy machine; a release build needs about a millisecond.
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}
