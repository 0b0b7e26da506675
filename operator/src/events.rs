//! What users read in `kubectl describe`: events, published beside the work and never in its way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::metrics::Metrics;

/// Events that wait to be published; more are dropped and counted.
const BACKLOG: usize = 4096;
/// The same text about the same object is not said again for this long.
const QUIET: Duration = Duration::from_mins(5);
/// The API server refuses longer notes.
const LONGEST_NOTE: usize = 1000;

/// Names of the reporters, those of the Go project.
pub mod source {
    /// Of the pod controller.
    pub const POD: &str = "PodController";
    /// Of the Network controller.
    pub const NETWORK: &str = "NetworkStatusController";
    /// Of the Subnet controller.
    pub const SUBNET: &str = "SubnetStatusController";
    /// Of the `IPInstance` controller.
    pub const IP_INSTANCE: &str = "IPInstanceController";
    /// Of the collector of leaks.
    pub const COLLECTOR: &str = "LeakCollector";
}

/// One thing to say.
#[derive(Clone, Debug)]
struct Announcement {
    source: &'static str,
    about: ObjectReference,
    severity: EventType,
    reason: &'static str,
    note: String,
}

/// A handle to say things by.
#[derive(Clone, Debug)]
pub struct Announcer {
    source: &'static str,
    sender: mpsc::Sender<Announcement>,
    metrics: Arc<Metrics>,
}

/// The other end, which publishes; see [`Publisher::run`].
pub struct Publisher {
    client: Client,
    receiver: mpsc::Receiver<Announcement>,
    said: Said,
    metrics: Arc<Metrics>,
    /// Whether the last one was refused: that is said once.
    refused: bool,
}

/// An announcer (of the pod controller, see [`Announcer::of`]) and its publisher.
pub fn channel(client: Client, metrics: Arc<Metrics>) -> (Announcer, Publisher) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    let announcer = Announcer {
        source: source::POD,
        sender,
        metrics: metrics.clone(),
    };
    let publisher = Publisher {
        client,
        receiver,
        said: Said::default(),
        metrics,
        refused: false,
    };
    (announcer, publisher)
}

impl Announcer {
    /// For another controller.
    #[must_use]
    pub fn of(&self, source: &'static str) -> Self {
        Self {
            source,
            ..self.clone()
        }
    }

    /// Says something good about an object.
    pub fn normal<K: Resource<DynamicType = ()>>(&self, about: &K, reason: &'static str, note: String) {
        self.normal_about(about.object_ref(&()), reason, note);
    }

    /// Says something good about an object of which no more is known than its name.
    pub fn normal_about(&self, about: ObjectReference, reason: &'static str, note: String) {
        self.announce(about, EventType::Normal, reason, note);
    }

    /// Says what a user has to look at.
    pub fn warning<K: Resource<DynamicType = ()>>(&self, about: &K, reason: &'static str, note: String) {
        self.warning_about(about.object_ref(&()), reason, note);
    }

    /// Says what a user has to look at, about an object of which no more is known than its name.
    pub fn warning_about(&self, about: ObjectReference, reason: &'static str, note: String) {
        self.announce(about, EventType::Warning, reason, note);
    }

    fn announce(&self, about: ObjectReference, severity: EventType, reason: &'static str, note: String) {
        // Without the version: the object changes, what is said about it stays the same.
        let about = ObjectReference {
            resource_version: None,
            ..about
        };
        let announcement = Announcement {
            source: self.source,
            about,
            severity,
            reason,
            note,
        };
        if self.sender.try_send(announcement).is_err() {
            self.metrics.event_dropped();
        }
    }
}

impl Publisher {
    /// Publishes until the last [`Announcer`] is gone and everything that waits has been said.
    pub async fn run(mut self) {
        while let Some(announcement) = self.receiver.recv().await {
            if self.said.is_news(&announcement, Instant::now()) {
                self.publish(announcement).await;
            }
        }
    }

    /// What waits to be published, for whoever listens in its place: UID, reason and note.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn overheard(&mut self) -> Option<(String, &'static str, String)> {
        let said = self.receiver.try_recv().ok()?;
        Some((said.about.uid.unwrap_or_default(), said.reason, said.note))
    }

    async fn publish(&mut self, announcement: Announcement) {
        let Announcement {
            source,
            about,
            severity,
            reason,
            note,
        } = announcement;
        let event = Event {
            type_: severity,
            reason: reason.to_owned(),
            note: Some(shortened(note)),
            action: reason.to_owned(),
            secondary: None,
        };
        // A recorder folds events that differ only in their note into the first one, whose note stays;
        // a new one each time has nothing to fold into. Repetitions have been dropped above.
        let recorder = Recorder::new(self.client.clone(), Reporter::from(source));
        let Err(error) = recorder.publish(&event, &about).await else {
            self.refused = false;
            return;
        };
        self.metrics.event_dropped();
        if self.refused {
            debug!(name = about.name, reason, %error, "event not published");
        } else {
            warn!(name = about.name, reason, %error, "event not published, nor perhaps those that follow");
        }
        self.refused = true;
    }
}

/// What was said lately.
#[derive(Debug, Default)]
struct Said {
    at: HashMap<(String, &'static str, String), Instant>,
    swept: Option<Instant>,
}

impl Said {
    fn is_news(&mut self, announcement: &Announcement, now: Instant) -> bool {
        if self.swept.is_none_or(|swept| now - swept > QUIET) {
            self.at.retain(|_, at| now - *at <= QUIET);
            self.swept = Some(now);
        }
        let uid = announcement.about.uid.clone().unwrap_or_default();
        let key = (uid, announcement.reason, announcement.note.clone());
        let news = self.at.get(&key).is_none_or(|at| now - *at > QUIET);
        if news {
            self.at.insert(key, now);
        }
        news
    }
}

fn shortened(mut note: String) -> String {
    if note.len() > LONGEST_NOTE {
        let end = note.floor_char_boundary(LONGEST_NOTE - 3);
        note.truncate(end);
        note.push_str("...");
    }
    note
}

#[cfg(test)]
mod tests {
    use hybridnet_api::names::reason;
    use hybridnet_service::testing::{Answer, FakeApi};
    use k8s_openapi::api::core::v1::Pod;
    use kube::api::ObjectMeta;

    use super::*;

    fn pod() -> Pod {
        let metadata = ObjectMeta {
            namespace: Some("ns".to_owned()),
            name: Some("p".to_owned()),
            uid: Some("u".to_owned()),
            resource_version: Some("7".to_owned()),
            ..ObjectMeta::default()
        };
        Pod {
            metadata,
            ..Pod::default()
        }
    }

    #[tokio::test]
    async fn a_repeated_failure_is_said_once_and_another_cause_is_news() {
        let api = FakeApi::new(|seen| Answer::ok(seen.body.clone()));
        let (announcer, publisher) = channel(api.client(), Arc::default());
        for note in ["no address", "no address", "no network"] {
            announcer.warning(&pod(), reason::IP_ALLOCATION_FAIL, note.to_owned());
        }
        drop(announcer);

        publisher.run().await;

        let notes: Vec<_> = api.seen().iter().map(|seen| seen.body["note"].clone()).collect();
        assert_eq!(notes, ["no address", "no network"]);
        assert_eq!(
            api.requests()[0],
            "POST /apis/events.k8s.io/v1/namespaces/ns/events"
        );
        let first = &api.seen()[0].body;
        assert_eq!(first["reportingController"], "PodController");
        assert_eq!(
            (&first["type"], &first["reason"]),
            (&"Warning".into(), &"IPAllocationFail".into())
        );
        assert_eq!(first["regarding"]["uid"], "u");
    }

    #[tokio::test]
    async fn a_note_that_is_too_long_is_cut() {
        let note = shortened("ä".repeat(2000));

        assert!(
            note.len() <= LONGEST_NOTE && note.ends_with("ä..."),
            "{}",
            note.len()
        );
    }
}
