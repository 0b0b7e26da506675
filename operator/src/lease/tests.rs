use http::Method;
use hybridnet_service::testing::{Answer, FakeApi, Seen};
use serde_json::{Value, json};

use super::*;

const NAME: &str = "hybridnet-manager-election";
const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";

fn election(api: &FakeApi, identity: &str) -> Election {
    Election::new(
        Api::namespaced(api.client(), "kube-system"),
        NAME,
        identity.to_owned(),
    )
}

fn lease(holder: &str, version: &str) -> Value {
    json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": NAME, "resourceVersion": version},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3}})
}

fn given_away() -> Value {
    let mut lease = lease("", "7");
    lease["spec"]["leaseDurationSeconds"] = json!(1);
    lease
}

fn echo_or(found: Answer) -> impl Fn(&Seen) -> Answer + Send + Sync + 'static {
    move |seen| match seen.method {
        Method::GET => found.clone(),
        _ => Answer::ok(seen.body.clone()),
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_candidate_creates_the_lease_and_leads() {
    let api = FakeApi::new(echo_or(Answer::not_found()));
    let mut election = election(&api, "a");
    let leadership = election.leadership();
    assert!(!leadership.is_valid());

    election.win().await;

    assert!(leadership.is_valid());
    assert_eq!(
        api.requests(),
        [format!("GET {PATH}/{NAME}"), format!("POST {PATH}")]
    );
    assert_eq!(api.seen()[1].body["spec"]["holderIdentity"], "a");
    assert_eq!(api.seen()[1].body["spec"]["leaseDurationSeconds"], 15);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_its_holder_gave_away_is_taken_at_once() {
    let api = FakeApi::new(echo_or(Answer::ok(given_away())));
    let started = Instant::now();

    election(&api, "a").win().await;

    assert_eq!(started.elapsed(), Duration::ZERO);
    let written = &api.seen()[1];
    assert_eq!(written.method, Method::PUT);
    assert_eq!(written.body["metadata"]["resourceVersion"], "7");
    assert_eq!(written.body["spec"]["leaseTransitions"], 4);
}

#[tokio::test(start_paused = true)]
async fn a_silent_holder_is_replaced_only_after_the_whole_duration() {
    let api = FakeApi::new(echo_or(Answer::ok(lease("b", "7"))));
    let started = Instant::now();

    election(&api, "a").win().await;

    assert!(
        started.elapsed() > Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

/// Scenario 146: a Lease changed by hand has a former holder.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_emptied_or_renamed_by_hand_is_taken_when_its_former_holder_must_know() {
    for holder in ["", "a"] {
        let api = FakeApi::new(echo_or(Answer::ok(lease(holder, "7"))));
        let started = Instant::now();

        election(&api, "a").win().await;

        let took = started.elapsed();
        assert!(
            took > RENEW_DEADLINE && took < Duration::from_secs(20),
            "{holder:?}: {took:?}"
        );
    }
}

/// Scenario 146: a Lease deleted by hand has a former holder.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_deleted_under_another_holder_is_taken_when_that_one_must_know() {
    let looks = std::sync::atomic::AtomicU64::new(0);
    let api = FakeApi::new(move |seen| match seen.method {
        Method::GET if looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 => {
            Answer::ok(lease("b", "7"))
        }
        Method::GET => Answer::not_found(),
        _ => Answer::ok(seen.body.clone()),
    });
    let started = Instant::now();

    election(&api, "a").win().await;

    assert!(started.elapsed() > RENEW_DEADLINE, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_was_emptied_by_hand_leads_no_more() {
    let emptied = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let state = emptied.clone();
    let api = FakeApi::new(move |seen| {
        let taken = state.load(std::sync::atomic::Ordering::Relaxed);
        echo_or(Answer::ok(if taken { lease("", "8") } else { given_away() }))(seen)
    });
    let mut election = election(&api, "a");
    let leadership = election.leadership();
    election.win().await;
    emptied.store(true, std::sync::atomic::Ordering::Relaxed);

    election.hold().await;

    assert!(!leadership.is_valid());
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_renews_is_never_replaced() {
    let version = std::sync::atomic::AtomicU64::new(0);
    let api = FakeApi::new(move |_| {
        let version = version.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Answer::ok(lease("b", &version.to_string()))
    });

    let won = timeout(Duration::from_mins(5), election(&api, "a").win()).await;

    assert!(won.is_err());
    assert!(api.seen().iter().all(|seen| seen.method == Method::GET));
}

#[tokio::test(start_paused = true)]
async fn leadership_ends_before_another_may_take_the_lease() {
    let healthy = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let state = healthy.clone();
    let api = FakeApi::new(move |seen| {
        if !state.load(std::sync::atomic::Ordering::Relaxed) {
            return Answer::status(500, "InternalError");
        }
        echo_or(Answer::ok(given_away()))(seen)
    });
    let mut election = election(&api, "a");
    let leadership = election.leadership();
    election.win().await;
    let won = Instant::now();
    healthy.store(false, std::sync::atomic::Ordering::Relaxed);

    election.hold().await;

    assert!(!leadership.is_valid());
    assert!(won.elapsed() <= Duration::from_secs(11), "{:?}", won.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_not_the_loss_of_the_lease() {
    let writes = std::sync::atomic::AtomicU64::new(0);
    let api = FakeApi::new(move |seen| match seen.method {
        Method::GET => Answer::ok(lease("a", "7")),
        _ if writes.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2 == 1 => {
            Answer::status(409, "Conflict")
        }
        _ => Answer::ok(seen.body.clone()),
    });
    let mut election = election(&api, "a");
    let leadership = election.leadership();
    election.win().await;

    assert!(timeout(Duration::from_mins(1), election.hold()).await.is_err());

    assert!(leadership.is_valid());
}

#[tokio::test(start_paused = true)]
async fn release_empties_the_holder_and_ends_the_leadership() {
    let api = FakeApi::new(echo_or(Answer::ok(lease("a", "7"))));
    let mut election = election(&api, "a");
    let leadership = election.leadership();
    election.win().await;

    election.release().await.unwrap();

    assert!(!leadership.is_valid());
    let last = api.seen().pop().unwrap();
    assert_eq!(
        (last.method, &last.body["spec"]["holderIdentity"]),
        (Method::PUT, &json!(""))
    );
}

#[tokio::test(start_paused = true)]
async fn release_leaves_a_lease_of_another_alone() {
    let api = FakeApi::new(echo_or(Answer::ok(lease("b", "7"))));

    election(&api, "a").release().await.unwrap();

    assert_eq!(api.requests(), [format!("GET {PATH}/{NAME}")]);
}
