//! Events on this node's Node object about what the node cannot do: seen where an operator looks first
//! (`kubectl describe node`). Said when it comes up and when it is solved, not again with each pass.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::reconcile::Converged;
use crate::node_info::NodeFacts;
use crate::plan::Problem;

const REPORTER: &str = "hybridnet-daemon";
const SOLVED: &str = "ProblemSolved";
/// What is over by then, such as a link that is made anew, is not worth an event.
const SETTLED: Duration = Duration::from_secs(2);
/// The same text is not said again for this long.
const QUIET: Duration = Duration::from_mins(5);
/// Events at one go; the `NodeInfo` has them all.
const MOST: usize = 16;
/// The API server refuses longer notes.
const LONGEST_NOTE: usize = 1000;
/// The client itself waits for an answer for minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Announces every change of the problems, and never ends.
pub async fn follow(
    client: Client,
    facts: watch::Receiver<Option<NodeFacts>>,
    mut converged: watch::Receiver<Option<Converged>>,
) {
    let mut said = Said::default();
    loop {
        // An error means that the reconciler is gone, and with it the process.
        if converged.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        sleep(SETTLED).await;
        let problems = converged
            .borrow_and_update()
            .as_ref()
            .map(Converged::problems)
            .unwrap_or_default();
        let Some(about) = facts.borrow().as_ref().and_then(reference) else {
            continue;
        };
        for event in said.news(&problems, Instant::now()) {
            // A recorder folds events that differ only in their notes into the first one, whose note stays.
            let recorder = Recorder::new(client.clone(), Reporter::from(REPORTER));
            match timeout(LONGEST_WAIT, recorder.publish(&event, &about)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(reason = event.reason, %error, "event not published"),
                Err(_) => debug!(reason = event.reason, "event not published: no answer"),
            }
        }
    }
}

/// Nothing while there is no such object.
fn reference(node: &NodeFacts) -> Option<ObjectReference> {
    (!node.uid.is_empty()).then(|| ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Node".into()),
        name: Some(node.name.clone()),
        uid: Some(node.uid.clone()),
        ..ObjectReference::default()
    })
}

/// A problem, as it is told from others.
type Key = (String, &'static str, String);

/// What was announced.
#[derive(Debug, Default)]
struct Said {
    /// Problems that have been announced and not been solved.
    open: Vec<Problem>,
    at: BTreeMap<Key, Instant>,
}

impl Said {
    /// The events that tell of the difference to the last time.
    fn news(&mut self, problems: &[Problem], now: Instant) -> Vec<Event> {
        self.at.retain(|_, at| now.saturating_duration_since(*at) < QUIET);
        let is_open = |problem: &&Problem| problems.iter().any(|open| is_same(open, problem));
        let solved = self.open.iter().filter(|problem| !is_open(problem)).map(solved);
        let fresh: Vec<_> = problems
            .iter()
            .filter(|problem| !self.open.contains(problem) && !self.at.contains_key(&key(problem)))
            .take(MOST)
            .collect();
        let events = solved
            .take(MOST)
            .chain(fresh.iter().copied().map(warning))
            .collect();
        self.at
            .extend(fresh.into_iter().map(|problem| (key(problem), now)));
        self.open = problems
            .iter()
            .filter(|problem| self.at.contains_key(&key(problem)) || self.open.contains(problem))
            .cloned()
            .collect();
        events
    }
}

/// Whether they are about the same, however it is worded.
fn is_same(a: &Problem, b: &Problem) -> bool {
    (&a.about, a.reason) == (&b.about, b.reason)
}

fn key(problem: &Problem) -> Key {
    (problem.about.clone(), problem.reason, problem.message.clone())
}

fn warning(problem: &Problem) -> Event {
    event(
        EventType::Warning,
        problem.reason,
        format!("{}: {}", problem.about, problem.message),
    )
}

fn solved(problem: &Problem) -> Event {
    event(
        EventType::Normal,
        SOLVED,
        format!("{}: {} is over", problem.about, problem.reason),
    )
}

fn event(type_: EventType, reason: &str, mut note: String) -> Event {
    if note.len() > LONGEST_NOTE {
        note.truncate(note.floor_char_boundary(LONGEST_NOTE - 3));
        note.push_str("...");
    }
    Event {
        type_,
        reason: reason.into(),
        note: Some(note),
        action: "Converge".into(),
        secondary: None,
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;
    use std::sync::Arc;

    use hybridnet_service::testing::{Answer, FakeApi};

    use super::*;
    use crate::plan::Plan;

    fn problem(about: &str, message: &str) -> Problem {
        Problem {
            about: about.into(),
            reason: "InvalidSubnet",
            message: message.into(),
        }
    }

    fn notes(events: Vec<Event>) -> Vec<String> {
        events.into_iter().filter_map(|event| event.note).collect()
    }

    #[test]
    fn a_problem_is_told_once_when_it_comes_and_once_when_it_is_solved() {
        let (mut said, now) = (Said::default(), Instant::now());
        let (a, b) = (problem("Subnet a", "no good"), problem("Subnet b", "bad"));

        assert_eq!(notes(said.news(from_ref(&a), now)), ["Subnet a: no good"]);
        assert_eq!(notes(said.news(from_ref(&a), now)).len(), 0);
        assert_eq!(notes(said.news(&[a.clone(), b], now)), ["Subnet b: bad"]);
        assert_eq!(notes(said.news(&[a], now)), ["Subnet b: InvalidSubnet is over"]);
        assert_eq!(notes(said.news(&[], now)), ["Subnet a: InvalidSubnet is over"]);
    }

    #[test]
    fn another_wording_is_told_but_is_not_a_solution() {
        let (mut said, now) = (Said::default(), Instant::now());
        said.news(&[problem("Subnet a", "no good")], now);

        assert_eq!(
            notes(said.news(&[problem("Subnet a", "still no good")], now)),
            ["Subnet a: still no good"]
        );
    }

    #[test]
    fn what_comes_and_goes_is_quiet_for_a_while() {
        let (mut said, now) = (Said::default(), Instant::now());
        let a = [problem("Subnet a", "no good")];
        said.news(&a, now);
        said.news(&[], now);

        assert_eq!(said.news(&a, now + Duration::from_secs(10)).len(), 0);
        said.news(&[], now + Duration::from_secs(20));
        assert_eq!(said.news(&a, now + QUIET).len(), 1);
    }

    #[test]
    fn of_very_many_the_first_are_told_and_the_others_with_the_next_passes() {
        let mut said = Said::default();
        let many: Vec<_> = (0..=MOST)
            .map(|number| problem(&format!("Subnet {number}"), "no good"))
            .collect();

        assert_eq!(said.news(&many, Instant::now()).len(), MOST);
        assert_eq!(said.news(&many, Instant::now()).len(), 1);
        assert_eq!(said.news(&many, Instant::now()).len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_lasts_is_written_as_an_event_on_the_node_and_what_does_not_is_not() {
        let api = FakeApi::new(|seen| Answer::ok(seen.body.clone()));
        let node = NodeFacts {
            name: "node1".into(),
            uid: "u1".into(),
            addresses: vec![],
        };
        let (_keep, facts) = watch::channel(Some(node));
        let (converged, results) = watch::channel(None);
        let result = |failures| {
            Some(Converged {
                plan: Arc::new(Plan::default()),
                failures,
            })
        };
        let events = async {
            converged.send_replace(result(vec![problem("link eth0", "flaps")]));
            sleep(SETTLED / 2).await;
            converged.send_replace(result(vec![problem("Subnet a", "no good")]));
            while api.seen().is_empty() {
                sleep(Duration::from_millis(100)).await;
            }
        };

        tokio::select! {
            () = events => {}
            () = follow(api.client(), facts, results) => unreachable!("it never ends"),
        }

        let seen = api.seen();
        let [event] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!(
            event.line(),
            "POST /apis/events.k8s.io/v1/namespaces/default/events"
        );
        assert_eq!(event.body["note"], "Subnet a: no good");
        assert_eq!(event.body["regarding"]["uid"], "u1");
        assert_eq!(
            (event.body["type"].as_str(), event.body["reason"].as_str()),
            (Some("Warning"), Some("InvalidSubnet"))
        );
    }
}
