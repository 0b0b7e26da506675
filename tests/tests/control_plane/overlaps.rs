//! Of two Subnets that overlap only one can be used, however they come about.

use std::time::Duration;

use anyhow::Result;
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::wait::until;

use crate::{OVERLAY, on_the_control_plane, past_the_validating_webhook, subnet};

#[test]
fn a_subnet_that_overlaps_another_is_refused_with_both_names() {
    on_the_control_plane("overlap", async |cluster| {
        cluster.apply(OVERLAY).await?;
        cluster.apply(&subnet("wide-v4", "4", "10.10.0.0/20")).await?;
        cluster.apply(&subnet("wide-v6", "6", "fd00:10::/112")).await?;

        for (name, other, version, cidr) in [
            ("narrow-v4", "wide-v4", "4", "10.10.8.0/24"),
            ("wider-v4", "wide-v4", "4", "10.10.0.0/18"),
            ("same-v4", "wide-v4", "4", "10.10.0.0/20"),
            ("narrow-v6", "wide-v6", "6", "fd00:10::/120"),
            ("same-v6", "wide-v6", "6", "fd00:10:0::/112"),
        ] {
            let refusal = cluster.apply(&subnet(name, version, cidr)).await.expect_err(name);
            let text = format!("{refusal:#}");
            assert!(text.contains(name) && text.contains(other), "{text}");
        }
        Ok(())
    });
}

async fn condition(cluster: &Cluster, subnet: &str) -> Result<String> {
    let path = "-o=jsonpath={range .status.conditions[*]}{.type}={.status} {.message};{end}";
    cluster.kubectl(["get", "subnet", subnet, path]).await
}

/// Two Subnets are created by two requests in the same moment: the webhook may let both pass, as each looks before
/// the other is there. Then exactly one is used, and the other says why not.
async fn at_the_same_moment(
    cluster: &Cluster,
    round: usize,
    version: &str,
    first: &str,
    second: &str,
) -> Result<bool> {
    let (one, two) = (format!("race-{round}-a"), format!("race-{round}-b"));
    let (first, second) = (subnet(&one, version, first), subnet(&two, version, second));
    let outcomes = tokio::join!(cluster.apply(&first), cluster.apply(&second));
    let passed: Vec<&str> = [(&one, outcomes.0.is_ok()), (&two, outcomes.1.is_ok())]
        .iter()
        .filter(|(_, ok)| *ok)
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(
        !passed.is_empty(),
        "round {round}: both were refused: {outcomes:?}"
    );
    let both = passed.len() == 2;
    if both {
        one_is_marked(cluster, &one, &two).await?;
    }
    cluster
        .kubectl(["delete", "subnet", &one, &two, "--ignore-not-found"])
        .await?;
    Ok(both)
}

async fn one_is_marked(cluster: &Cluster, one: &str, two: &str) -> Result<()> {
    let (loser, winner) = until("one Subnet marked", Duration::from_secs(20), async || {
        let (first, second) = (condition(cluster, one).await?, condition(cluster, two).await?);
        Ok(
            match (first.contains("Conflict=True"), second.contains("Conflict=True")) {
                (true, false) => Ok((one, two)),
                (false, true) => Ok((two, one)),
                _ => Err(format!("{one}: {first}; {two}: {second}")),
            },
        )
    })
    .await?;
    let text = condition(cluster, loser).await?;
    assert!(text.contains(winner), "{loser}: {text}");
    until("an event on the loser", Duration::from_secs(20), async || {
        let filter = format!("--field-selector=involvedObject.kind=Subnet,involvedObject.name={loser}");
        let events = cluster
            .kubectl(["get", "events", "-A", &filter, "-o=jsonpath={.items[*].message}"])
            .await?;
        Ok(if events.contains(winner) {
            Ok(())
        } else {
            Err(format!("events of {loser}: {events:?}"))
        })
    })
    .await
}

#[test]
fn of_two_overlapping_subnets_made_at_the_same_moment_only_one_is_used() {
    on_the_control_plane("race", async |cluster| {
        cluster.apply(OVERLAY).await?;
        let mut both_passed = 0;
        for round in 0..4 {
            let (version, first, second) = match round % 2 {
                0 => ("4", "10.20.0.0/24", "10.20.0.128/25"),
                _ => ("6", "fd00:20::/112", "fd00:20::/120"),
            };
            both_passed += usize::from(at_the_same_moment(cluster, round, version, first, second).await?);
        }
        println!("in {both_passed} of 4 rounds both passed the webhook");
        Ok(())
    });
}

#[test]
fn of_two_overlapping_subnets_that_slipped_past_the_webhook_one_says_why_it_is_not_used() {
    on_the_control_plane("slipped", async |cluster| {
        cluster.apply(OVERLAY).await?;
        past_the_validating_webhook(cluster, async || {
            for (name, version, first, second) in [
                ("four", "4", "10.30.0.0/24", "10.30.0.128/25"),
                ("six", "6", "fd00:30::/112", "fd00:30::/120"),
            ] {
                let (one, two) = (format!("{name}-a"), format!("{name}-b"));
                until("both made", Duration::from_secs(20), async || {
                    cluster.apply(&subnet(&one, version, first)).await?;
                    cluster.apply(&subnet(&two, version, second)).await?;
                    Ok(Ok(()))
                })
                .await?;
                one_is_marked(cluster, &one, &two).await?;
                cluster.kubectl(["delete", "subnet", &one, &two]).await?;
            }
            Ok(())
        })
        .await
    });
}
