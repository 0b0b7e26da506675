//! `RemoteSubnet`s: judged by the rules of `api::validation` against live lists (control-plane 5.6), and beside
//! every Subnet once clusters are connected.

use std::time::Instant;

use hybridnet_api::multicluster::RemoteSubnet;
use hybridnet_api::validation::remote_subnet as rules;
use kube::ResourceExt;

use crate::admission::Admission;
use crate::live::{list, list_if_served};
use crate::review::{Allowed, Answer, Operation, Refusal, Request};

/// Whether a remote subnet may come in, or become another.
pub async fn check(admission: &Admission, request: &Request) -> Answer {
    let subnet: RemoteSubnet = request.object()?;
    if request.operation == Operation::Update && !rules::changes_addresses(&request.old_object()?, &subnet) {
        return Ok(Allowed::default());
    }
    // From the lists to the decision nobody else decides, about Subnets neither.
    let mut recent = admission.subnets.lock().await;
    let mut recent_remote = admission.remote_subnets.lock().await;
    let (now, name) = (Instant::now(), subnet.name_any());
    let local = recent.beside(now, list(&admission.client).await?, "");
    let remote = recent_remote.beside(now, list_if_served(&admission.client).await?, &name);
    rules::create(&subnet, &local, &remote)
        .map_err(|fault| Refusal::denied(format!("remote subnet {name:?}: {fault}")))?;
    if request.counts() {
        recent_remote.allow(now, &subnet);
    }
    Ok(Allowed::default())
}

/// A remote subnet may always go.
pub async fn delete(admission: &Admission, request: &Request) -> Answer {
    if request.counts() {
        admission.remote_subnets.lock().await.forget(&request.name);
    }
    Ok(Allowed::default())
}

/// All of them; none while clusters are not connected. Who asks holds the lock of the subnets.
pub async fn beside_subnets(admission: &Admission) -> Result<Vec<RemoteSubnet>, Refusal> {
    if !admission.settings.gates.multi_cluster {
        return Ok(Vec::new());
    }
    let listed = list_if_served(&admission.client).await?;
    let mut recent = admission.remote_subnets.lock().await;
    Ok(recent.beside(Instant::now(), listed, ""))
}

#[cfg(test)]
mod tests {
    use hybridnet_api::settings::Settings;
    use serde_json::{Value, json};

    use crate::fixtures::{World, network, one_denied, remote, subnet};

    fn part(start: u8, end: u8) -> Value {
        let at = |last: u8| format!("10.0.0.{last}");
        json!({"version": "4", "cidr": "10.0.0.0/24", "start": at(start), "end": at(end)})
    }

    fn theirs(name: &str, range: Value) -> Value {
        remote(
            "RemoteSubnet",
            name,
            json!({"range": range, "networkType": "Overlay", "clusterName": "east"}),
        )
    }

    fn ours(name: &str, range: Value) -> Value {
        subnet(name, json!({"network": "o", "range": range}))
    }

    fn overlay() -> Value {
        network("o", json!({"type": "Overlay", "netID": 4}))
    }

    fn connected() -> Settings {
        let mut settings = Settings::default();
        settings.gates.multi_cluster = true;
        settings
    }

    /// Scenario 138: an address of both clusters.
    #[tokio::test]
    async fn addresses_of_this_cluster_or_a_third_one_are_denied_with_both_names() {
        let world = World::of(
            &[
                overlay(),
                ours("here", part(60, 70)),
                theirs("west.s", part(80, 90)),
            ],
            Settings::default(),
        );
        let text = world.denied(&theirs("east.s", part(50, 60))).await;
        assert!(
            text.contains("\"east.s\"")
                && text.contains("\"here\"")
                && text.contains("10.0.0.60: change spec.range"),
            "{text}"
        );
        let text = world.denied(&theirs("east.s", part(71, 80))).await;
        assert!(
            text.contains("\"west.s\"") && text.contains("10.0.0.80"),
            "{text}"
        );
        assert!(world.create(&theirs("east.s", part(71, 79))).await.is_ok());
    }

    #[tokio::test]
    async fn of_two_at_the_same_moment_one_is_denied() {
        let world = World::of(&[overlay()], connected());
        let (remote, local) = (theirs("east.s", part(50, 60)), ours("here", part(55, 65)));
        let answers = tokio::join!(world.create(&remote), world.create(&local));
        let text = one_denied(answers);
        assert!(text.contains("\"east.s\"") && text.contains("\"here\""), "{text}");
    }

    #[tokio::test]
    async fn a_range_that_changes_is_judged_and_nothing_else_is() {
        let world = World::of(
            &[
                overlay(),
                ours("here", part(60, 70)),
                theirs("east.s", part(50, 59)),
            ],
            Settings::default(),
        );
        let old = theirs("east.s", part(50, 59));
        let text = world.denied_change(&old, &theirs("east.s", part(50, 60))).await;
        assert!(text.contains("\"here\""), "{text}");
        assert!(world.update(&old, &theirs("east.s", part(40, 59))).await.is_ok());

        let overlapping = theirs("east.s", part(50, 65));
        let mut labelled = overlapping.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        labelled["spec"]["networkType"] = json!("Underlay");
        assert!(world.update(&overlapping, &labelled).await.is_ok());
        assert!(world.delete(&overlapping).await.is_ok());
    }

    #[tokio::test]
    async fn a_subnet_keeps_apart_from_those_of_connected_clusters() {
        let objects = [
            overlay(),
            ours("here", part(10, 20)),
            theirs("east.s", part(50, 60)),
        ];
        let world = World::of(&objects, connected());
        let text = world.denied(&ours("new", part(60, 70))).await;
        assert!(
            text.contains("subnet \"new\"")
                && text.contains("remote subnet \"east.s\" of cluster \"east\" both have 10.0.0.60"),
            "{text}"
        );
        let text = world
            .denied_change(&objects[1], &ours("here", part(10, 50)))
            .await;
        assert!(
            text.contains("\"east.s\"") && text.contains("10.0.0.50"),
            "{text}"
        );
        assert!(
            world
                .update(&objects[1], &ours("here", part(10, 49)))
                .await
                .is_ok()
        );

        let alone = World::of(&objects, Settings::default());
        assert!(
            alone.create(&ours("new", part(60, 70))).await.is_ok(),
            "the gate is off"
        );
        let without = World::of(&[overlay()], connected());
        assert!(
            without.create(&ours("new", part(60, 70))).await.is_ok(),
            "the kind is not served"
        );
    }

    #[tokio::test]
    async fn one_that_is_deleted_makes_room_at_once() {
        let world = World::of(&[overlay()], connected());
        let remote = theirs("east.s", part(50, 60));
        assert!(world.create(&remote).await.is_ok());
        assert!(world.create(&ours("here", part(50, 60))).await.is_err());
        assert!(world.delete(&remote).await.is_ok());
        assert!(world.create(&ours("here", part(50, 60))).await.is_ok());
    }
}
