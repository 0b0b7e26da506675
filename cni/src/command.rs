//! The verbs of the CNI specification.

mod check;

use std::io::ErrorKind;
use std::time::Duration;

use hybridnet_api::cni::{ADD_PATH, AddResponse, DEL_PATH, PodRequest};
use nix::errno::Errno;

use crate::config::{Config, version_asked};
use crate::daemon::{Daemon, Unanswered};
use crate::failure::{Code, Failure};
use crate::http::Response;
use crate::invocation::{POD_LINK, Sandbox, Variables};
use crate::link;
use crate::result;
use crate::version::{self, Version};

/// Runs `verb` and returns what goes to stdout.
pub fn run(verb: &str, config: &[u8], variables: Variables<'_>) -> Result<String, Failure> {
    match verb {
        "VERSION" => Ok(result::to_json(&version::answer(&version_asked(config)))),
        "ADD" => {
            let sandbox = Sandbox::of_running(variables)?;
            with_config(config, verb, |config| {
                add(config, &sandbox, &variables("CNI_ARGS"))
            })
        }
        "DEL" => {
            let sandbox = Sandbox::of_ended(variables)?;
            with_config(config, verb, |config| del(config, &sandbox))
        }
        "CHECK" => {
            let sandbox = Sandbox::of_running(variables)?;
            with_config(config, verb, |config| check::check(config, &sandbox))
        }
        "STATUS" => with_config(config, verb, status),
        // A veth pair goes with the sandbox's namespace, and addresses are the manager's: nothing of ours
        // can outlive a container that the runtime forgot.
        "GC" => with_config(config, verb, |_| Ok(String::new())),
        _ => {
            let text = format!("unknown CNI_COMMAND {verb:?}: not ADD, DEL, CHECK, STATUS, GC or VERSION");
            Err(Failure::new(Code::InvalidEnvironment, text))
        }
    }
}

/// Runs a verb that needs a configuration; its failures answer in the configuration's version.
fn with_config(
    text: &[u8],
    verb: &str,
    run: impl FnOnce(&Config) -> Result<String, Failure>,
) -> Result<String, Failure> {
    let config = Config::parse(text)?;
    let since = match verb {
        "CHECK" => Version::V040,
        "STATUS" | "GC" => Version::V110,
        _ => Version::V010,
    };
    let outcome = if config.version < since {
        let text = format!(
            "config version does not allow {verb}: it is {}, not {since}",
            config.version
        );
        Err(Failure::new(Code::IncompatibleVersion, text))
    } else {
        run(&config)
    };
    outcome.map_err(|failure| failure.in_version(config.version))
}

fn add(config: &Config, sandbox: &Sandbox, args: &str) -> Result<String, Failure> {
    sandbox.check_for_add(args)?;
    let daemon = Daemon {
        socket: &config.server_socket,
        patience: config.daemon_wait,
    };
    let response = daemon.ask(ADD_PATH, &request(sandbox)).map_err(try_again)?;
    let answer = match (
        response.status,
        serde_json::from_slice::<AddResponse>(&response.body),
    ) {
        (200, Ok(answer)) => answer,
        (200, Err(error)) => {
            return Err(Failure::new(
                Code::Undecodable,
                format!("the daemon's answer: {error}"),
            ));
        }
        (status, decoded) => {
            let reason = decoded
                .ok()
                .map(|answer| answer.error)
                .filter(|reason| !reason.is_empty());
            let reason = reason.unwrap_or_else(|| text_of(&response));
            let text = format!("request ip return {status} {reason}");
            return Err(Failure::new(Code::TryAgainLater, text));
        }
    };
    let host_end = link::get(&answer.host_interface)
        .map_err(|error| cannot_look_up(&answer.host_interface, &error.to_string()))?
        .ok_or_else(|| cannot_look_up(&answer.host_interface, "no such link in the host's namespace"))?;
    result::print(&answer, &host_end.mac, sandbox, config.version)
}

/// A pod must be able to end while the daemon is away, or a drained node never empties. All that it has
/// lives and dies with the link in its namespace, so when nobody answers we remove that link ourselves.
/// An error that the daemon answers with stays an error: the kubelet repeats the DEL.
fn del(config: &Config, sandbox: &Sandbox) -> Result<String, Failure> {
    if sandbox.link != POD_LINK {
        // ADD refused that name; `eth0` may be another plugin's.
        return Ok(String::new());
    }
    let daemon = Daemon {
        socket: &config.server_socket,
        patience: Duration::ZERO,
    };
    match daemon.ask(DEL_PATH, &request(sandbox)) {
        Ok(Response { status: 200..300, .. }) => Ok(String::new()),
        Ok(response) => {
            let text = format!("delete ip return {} {}", response.status, text_of(&response));
            Err(Failure::new(Code::TryAgainLater, text))
        }
        Err(unanswered) => remove_link(sandbox, &unanswered).map(|()| String::new()),
    }
}

fn remove_link(sandbox: &Sandbox, unanswered: &Unanswered) -> Result<(), Failure> {
    if sandbox.netns.as_os_str().is_empty() {
        return Ok(());
    }
    match link::enter(&sandbox.netns) {
        Ok(()) => {}
        // A path without a namespace behind it is what a removed one leaves.
        Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let text = format!("netns {}: {error}; and {unanswered}", sandbox.netns.display());
            return Err(Failure::new(Code::Io, text));
        }
    }
    link::delete(POD_LINK).map_err(|error| {
        let text = format!(
            "link {POD_LINK} in {}: {error}; and {unanswered}",
            sandbox.netns.display()
        );
        Failure::new(Code::Io, text)
    })
}

/// No pod can be added while the daemon is away.
fn status(config: &Config) -> Result<String, Failure> {
    let daemon = Daemon {
        socket: &config.server_socket,
        patience: Duration::ZERO,
    };
    match daemon.reach() {
        Ok(()) => Ok(String::new()),
        Err(away) => Err(Failure::new(Code::NotAvailable, away.to_string())),
    }
}

fn request(sandbox: &Sandbox) -> PodRequest {
    PodRequest {
        pod_name: sandbox.pod.name.clone(),
        pod_namespace: sandbox.pod.namespace.clone(),
        container_id: sandbox.container_id.clone(),
        net_ns: sandbox.netns.to_string_lossy().into_owned(),
        pod_uid: sandbox.pod.uid.clone(),
    }
}

fn try_again(unanswered: Unanswered) -> Failure {
    Failure::new(Code::TryAgainLater, unanswered.to_string())
}

fn cannot_look_up(link: &str, reason: &str) -> Failure {
    Failure::new(
        Code::Io,
        format!("generate cni result failed: link {link}: {reason}"),
    )
}

/// The body of a refusal, which goes into an event: bounded, and one line.
fn text_of(response: &Response) -> String {
    let text = String::from_utf8_lossy(&response.body);
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(1000)
        .collect()
}
