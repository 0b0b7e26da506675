//! Two managers at once: only the holder of the Lease writes, and no address is given twice (control-plane spec 4.1).
//! They run under one account, and the audit log tells them apart by a group of the second one's certificate.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use hybridnet_tests::audit::{Mark, Request};
use hybridnet_tests::cluster::Cluster;
use hybridnet_tests::ours::{Manager, SECOND_MANAGER};
use hybridnet_tests::process::tail;
use hybridnet_tests::wait::until;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::fixture::{manager, on_the_fixture};
use crate::objects::{object, own_subnet, pod};
use crate::stage::{Kind, LIMIT, POD, Stage, ip};

const LEASE: Kind = Kind("coordination.k8s.io/v1", "Lease");
const NAME: &str = "hybridnet-manager-election";

/// Two namespaces, in which object names do not clash, on a network of their own.
struct Scene {
    places: [Stage; 2],
    lease: Stage,
    node: String,
}

impl Scene {
    async fn new(cluster: &Cluster, name: &str, net_id: i32) -> Result<Self> {
        let places = [
            Stage::new(cluster, &format!("{name}-1")).await?,
            Stage::new(cluster, &format!("{name}-2")).await?,
        ];
        let range = own_subnet(name, &format!("10.{net_id}.0.0/24"));
        places[0].underlay(net_id, range).await?;
        Ok(Self {
            places,
            lease: Stage::existing(cluster, "kube-system").await?,
            node: name.to_owned(),
        })
    }

    /// Makes pods in both namespaces by turns.
    async fn pods(&self, prefix: &str, count: usize) -> Result<()> {
        for number in 0..count {
            for place in &self.places {
                place
                    .create(pod(&format!("{prefix}-{number}")).on(&self.node))
                    .await?;
            }
        }
        Ok(())
    }

    /// Waits until every one of them has an address; fails when two have the same.
    async fn all_different(&self, prefixes: &[&str], count: usize) -> Result<()> {
        let mut seen = BTreeSet::new();
        for place in &self.places {
            for prefix in prefixes {
                for number in 0..count {
                    let found = place.bound(&format!("{prefix}-{number}"), 1).await?;
                    ensure!(
                        seen.insert(ip(&found[0]).to_owned()),
                        "{} is given twice",
                        ip(&found[0])
                    );
                }
            }
        }
        Ok(())
    }

    async fn end(&self, prefixes: &[&str], count: usize) -> Result<()> {
        for place in &self.places {
            for prefix in prefixes {
                for number in 0..count {
                    place.remove(POD, &format!("{prefix}-{number}")).await?;
                }
            }
        }
        Ok(())
    }

    async fn holder(&self) -> Result<String> {
        let lease = self.lease.get(LEASE, NAME).await?.context("a Lease")?;
        Ok(crate::stage::text(&lease["spec"]["holderIdentity"]).to_owned())
    }
}

/// What the first or the second manager has written since then, events and the Lease included. What the API server
/// has refused is no write.
fn writes(cluster: &Cluster, since: Mark, second: bool) -> Result<Vec<Request>> {
    let is_seconds = |request: &Request| request.groups.iter().any(|group| group == SECOND_MANAGER);
    let all = cluster.audited(since)?.into_iter();
    let written = all.filter(|request| request.verb != "get" && request.code < 400);
    Ok(written.filter(|request| is_seconds(request) == second).collect())
}

async fn ended(manager: &Manager) -> Result<()> {
    until("the loser has ended", LIMIT, async || {
        Ok(if manager.record.alive() {
            Err("it runs".to_owned())
        } else {
            Ok(())
        })
    })
    .await
}

/// Scenario 146: one sleeps past its Lease.
#[test]
fn a_manager_that_wakes_after_its_lease_has_run_out_writes_nothing_and_ends() {
    on_the_fixture("sleeper", async |cluster| {
        let scene = Scene::new(cluster, "sleeper", 20).await?;
        let first = cluster.restart_manager(&manager()).await?;
        let second = cluster.start_manager_as(&manager().account(SECOND_MANAGER))?;

        // It falls asleep in the middle of its work.
        scene.pods("before", 12).await?;
        first.record.signal(Signal::SIGSTOP)?;
        scene.pods("asleep", 6).await?;
        let mark = cluster.audit_mark()?;
        cluster.leads(&second).await?;
        scene.all_different(&["before"], 12).await?;
        scene.all_different(&["asleep"], 6).await?;
        let holder = scene.holder().await?;

        let woken = cluster.audit_mark()?;
        scene.pods("awake", 6).await?;
        first.record.signal(Signal::SIGCONT)?;
        ended(&first).await?;
        scene.pods("after", 6).await?;
        scene.all_different(&["before"], 12).await?;
        scene.all_different(&["asleep", "awake", "after"], 6).await?;

        assert_eq!(writes(cluster, mark, false)?, [], "by the sleeper");
        assert!(writes(cluster, woken, true)?.len() >= 24, "by the other");
        assert_eq!(scene.holder().await?, holder);
        scene.end(&["before"], 12).await?;
        scene.end(&["asleep", "awake", "after"], 6).await?;
        cluster.restart_manager(&manager()).await.map(drop)
    });
}

/// Scenario 146: the Lease is emptied by hand.
#[test]
fn a_lease_that_is_emptied_by_hand_goes_to_the_other_manager_and_no_address_is_given_twice() {
    on_the_fixture("emptied", async |cluster| {
        moved_by_hand(cluster, &Scene::new(cluster, "emptied", 21).await?, "").await
    });
}

/// Scenario 146: the Lease is moved to another name by hand.
#[test]
fn a_lease_that_is_moved_by_hand_to_nobody_is_waited_out_and_no_address_is_given_twice() {
    on_the_fixture("moved", async |cluster| {
        let scene = Scene::new(cluster, "moved", 26).await?;
        moved_by_hand(cluster, &scene, "hybridnet-manager-0_nobody").await
    });
}

async fn moved_by_hand(cluster: &Cluster, scene: &Scene, holder: &str) -> Result<()> {
    let first = cluster.restart_manager(&manager()).await?;
    let second = cluster.start_manager_as(&manager().account(SECOND_MANAGER))?;
    stands_by(cluster, &scene.holder().await?).await?;
    scene.pods("before", 6).await?;

    let patch = json!({"spec": {"holderIdentity": holder}});
    scene.lease.change(LEASE, NAME, patch).await?;
    scene.pods("between", 12).await?;
    ended(&first).await?;
    let over = cluster.audit_mark()?;
    scene.pods("after", 6).await?;
    cluster.leads(&second).await?;

    scene.all_different(&["before", "after"], 6).await?;
    scene.all_different(&["between"], 12).await?;
    assert_eq!(writes(cluster, over, false)?, [], "by the one that has lost");
    scene.end(&["before", "after"], 6).await?;
    scene.end(&["between"], 12).await?;
    cluster.restart_manager(&manager()).await.map(drop)
}

/// Waits until a manager has said that another leads.
async fn stands_by(cluster: &Cluster, holder: &str) -> Result<()> {
    until("a manager stands by", LIMIT, async || {
        let said = tail(&cluster.state().log("hybridnet-manager"), 400);
        let stands = said
            .lines()
            .any(|line| line.contains("standing by") && line.contains(holder));
        Ok(if stands { Ok(()) } else { Err(said) })
    })
    .await
}

/// Scenario 146: a manager of the original holds the Lease.
/// Scenario 140: the new one leads when the old one has given it up.
#[test]
fn while_a_manager_of_the_original_holds_the_lease_ours_writes_nothing() {
    on_the_fixture("original", async |cluster| {
        let stage = Stage::new(cluster, "original").await?;
        let lease = Stage::existing(cluster, "kube-system").await?;
        cluster.end_programs("hybridnet-manager").await?;
        let holder = "hybridnet-manager-7c9_5d1f";
        let renewed = |time: &str| {
            json!({"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 4,
                   "acquireTime": "2024-07-01T00:00:00.000000Z", "renewTime": time})
        };
        lease.delete(LEASE, NAME).await?;
        let spec: Value = renewed("2024-07-01T00:00:00.000000Z");
        lease
            .create(object(LEASE.0, LEASE.1, NAME).with("spec", spec))
            .await?;
        let mark = cluster.audit_mark()?;

        let ours = cluster.start_manager_as(&manager())?;
        stage.create(pod("p").on("node1")).await?;
        stands_by(cluster, holder).await?;
        // Its clock is years behind; that it renews is what counts.
        let renew = json!({"spec": renewed("2024-07-01T00:00:02.000000Z")});
        lease.change(LEASE, NAME, renew).await?;
        let asked = cluster.audited(mark)?.len();
        until("ours has asked again", LIMIT, async || {
            let now = cluster.audited(mark)?;
            Ok(if now.len() > asked + 1 {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            })
        })
        .await?;
        assert!(cluster.audited(mark)?.iter().all(|request| request.verb == "get"));
        assert!(stage.held("p").await?.is_empty());

        // As the original's library gives it up.
        let released = json!({"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}});
        lease.change(LEASE, NAME, released).await?;
        cluster.leads(&ours).await?;
        stage.bound("p", 1).await?;
        stage.clear(&["p"]).await
    });
}
