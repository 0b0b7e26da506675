//! The harness itself: clusters run pods, live beside each other, and leave nothing, however they end.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::node::Plugin;
use hybridnet_tests::prepare::images::PEER;
use hybridnet_tests::state::State;
use hybridnet_tests::testing::runtime;
use hybridnet_tests::wait::until_blocking;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A cluster of this run: another run of the tests may be under way.
fn cluster_of_this_run(what: &str) -> Result<State> {
    State::of(&format!("hyt-{what}-{}", std::process::id()))
}

/// A process that holds a cluster of one node.
fn hold(prefix: &str) -> Result<Child> {
    // A shell starts what runs in its background with SIGINT ignored, and that is inherited.
    let mut child = Command::new("env")
        .args([
            "--default-signal=INT",
            env!("CARGO_BIN_EXE_lab"),
            "--name",
            prefix,
            "hold",
        ])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("output")?).read_line(&mut line)?;
    ensure!(line.trim() == "held", "the holder said {line:?}");
    Ok(child)
}

fn end(holder: &mut Child, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(i32::try_from(holder.id())?), signal)?;
    holder.wait()?;
    Ok(())
}

fn gone(state: &State) -> Result<()> {
    until_blocking("every trace gone", Duration::from_secs(30), || {
        let traces = state.traces();
        if traces.is_empty() {
            Ok(())
        } else {
            Err(traces.join(", "))
        }
    })
}

#[test]
fn pods_of_a_cluster_with_the_plain_plugins_reach_each_other_in_both_families() -> Result<()> {
    runtime().block_on(async {
        let prefix = format!("hyt-pods-{}", std::process::id());
        let cluster = Cluster::builder()
            .prefix(prefix)
            .nodes(2)
            .plugin(Plugin::Ptp)
            .start()
            .await?;
        let pod = |n| {
            format!(
                "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{n}, labels: {{app: p}}}}\nspec: \
                 {{nodeName: node-{n}, containers: [{{name: c, image: '{PEER}'}}]}}\n"
            )
        };
        let pods = pod(1) + &pod(2);

        cluster.apply(&pods).await?;
        let ready = cluster
            .pods_ready("default", "app=p", 2, Duration::from_mins(1))
            .await?;

        let second = ready
            .iter()
            .find(|pod| pod.metadata.name.as_deref() == Some("p2"))
            .context("p2")?;
        let addresses = second
            .status
            .as_ref()
            .and_then(|status| status.pod_ips.clone())
            .context("addresses")?;
        assert_eq!(addresses.len(), 2, "{addresses:?}");
        for address in addresses {
            let ip: std::net::IpAddr = address.ip.parse()?;
            let url = format!("tcp://{}", std::net::SocketAddr::new(ip, 8080));
            let answer = cluster
                .kubectl(["exec", "p1", "--", "peer", "probe", &url])
                .await?;
            assert!(answer.contains(" ok p2 "), "{answer}");
        }
        let state = cluster.state().clone();
        cluster.end()?;
        gone(&state)
    })
}

#[test]
fn clusters_beside_each_other_end_with_their_owners_and_leave_nothing() -> Result<()> {
    let (interrupted, killed) = (cluster_of_this_run("int")?, cluster_of_this_run("kill")?);
    let mut first = hold(interrupted.prefix())?;
    let mut second = hold(killed.prefix())?;

    end(&mut first, Signal::SIGINT)?;

    gone(&interrupted)?;
    assert!(!killed.traces().is_empty(), "the other cluster goes on");
    end(&mut second, Signal::SIGKILL)?;
    gone(&killed)
}

#[test]
fn a_cluster_that_lost_its_owner_and_its_keeper_is_ended_by_down() -> Result<()> {
    let state = cluster_of_this_run("down")?;
    let mut holder = hold(state.prefix())?;
    let keeper = state.processes("keeper").pop().context("a keeper")?;
    keeper.end()?;
    end(&mut holder, Signal::SIGKILL)?;
    assert!(!state.traces().is_empty(), "nobody is left to end it");

    let down = || {
        Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(["--name", state.prefix(), "down"])
            .status()
    };

    assert!(down()?.success());
    gone(&state)?;
    assert!(down()?.success(), "ending it twice is as good as once");
    Ok(())
}

#[test]
fn a_test_that_panics_leaves_nothing() -> Result<()> {
    let state = cluster_of_this_run("panic")?;
    let name = state.prefix().to_owned();

    let panicked = std::thread::spawn(move || {
        runtime().block_on(async {
            let _cluster = Cluster::builder()
                .prefix(name)
                .api_only()
                .start()
                .await
                .expect("a cluster");
            panic!("as a failed assertion does");
        });
    })
    .join();

    assert!(panicked.is_err());
    gone(&state)
}
