//! Which manager may write: the election on one Lease, shared with managers of the Go project.
//!
//! [`Election`] is owned by the task that holds the lease; everybody else gets a [`Leadership`], which
//! says by our own clock whether a write may still be sent. Times of other hosts are never compared:
//! a holder counts as gone when its Lease has not changed for the lease's duration while we watched. A Lease
//! that was emptied, renamed to us or deleted by hand has a former holder too, who hears of it only at its
//! next attempt: it is waited for likewise.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

/// How long another candidate waits before it takes over from a silent holder.
const DURATION: Duration = Duration::from_secs(15);
/// How long we believe in our own lease after the last success. What is left of [`DURATION`] is for
/// writes under way.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// The duration in the record of a lease that its holder gave away; the Go project's library writes the same.
const RELEASED: Duration = Duration::from_secs(1);
/// Between two attempts.
const RETRY: Duration = Duration::from_secs(2);
/// One attempt is given up after this.
const ATTEMPT: Duration = Duration::from_secs(4);

/// Whether this process leads, as far as its own clock can tell.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Option<Instant>>);

impl Leadership {
    /// Whether a write may be sent now.
    pub fn is_valid(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// A leadership that lasts, for tests of what needs one.
    #[cfg(test)]
    pub(crate) fn for_ever() -> Self {
        // The value outlives its sender.
        Self(watch::channel(Some(Instant::now() + Duration::from_secs(1 << 30))).1)
    }

    /// No leadership at all.
    #[cfg(test)]
    pub(crate) fn never() -> Self {
        Self(watch::channel(None).1)
    }
}

/// What came of one try to get or keep the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// We hold it.
    Won,
    /// Somebody else holds it.
    HeldBy(String),
    /// Nobody holds it, or we without having asked: whoever held it may not know that yet.
    InDoubt,
    /// Somebody wrote in between: try again.
    Conflict,
}

/// Our side of the election.
#[derive(Debug)]
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    /// Version of the Lease that we saw last (nothing when it was gone), and when we first saw it so.
    seen: Option<(Option<String>, Instant)>,
    /// Whether we have ever seen a Lease.
    existed: bool,
    /// Whether we have asked for the Lease: only then a record with our name is ours.
    asked: bool,
    until: watch::Sender<Option<Instant>>,
    pulse: watch::Sender<Instant>,
}

impl Election {
    /// `identity` must be new for each process.
    pub fn new(api: Api<Lease>, name: &str, identity: String) -> Self {
        Self {
            api,
            name: name.to_owned(),
            identity,
            seen: None,
            existed: false,
            asked: false,
            until: watch::Sender::new(None),
            pulse: watch::Sender::new(Instant::now()),
        }
    }

    /// For those who write.
    pub fn leadership(&self) -> Leadership {
        Leadership(self.until.subscribe())
    }

    /// When the election last turned round, leading or not.
    pub fn pulse(&self) -> watch::Receiver<Instant> {
        self.pulse.subscribe()
    }

    /// Waits until we lead.
    pub async fn win(&mut self) {
        let mut holder = String::new();
        loop {
            self.pulse.send_replace(Instant::now());
            match timeout(ATTEMPT, self.attempt()).await {
                Ok(Ok(Attempt::Won)) => {
                    info!(lease = self.name, identity = self.identity, "leading");
                    return;
                }
                Ok(Ok(Attempt::HeldBy(other))) if other != holder => {
                    info!(lease = self.name, holder = other, "standing by");
                    holder = other;
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => warn!(lease = self.name, %error, "election attempt"),
                Err(_) => warn!(lease = self.name, "election attempt: no answer in time"),
            }
            sleep(RETRY).await;
        }
    }

    /// Keeps the lease; returns when it is lost.
    pub async fn hold(&mut self) {
        loop {
            sleep(RETRY).await;
            self.pulse.send_replace(Instant::now());
            let Some(until) = *self.until.borrow() else {
                return;
            };
            match timeout_at(until.min(Instant::now() + ATTEMPT), self.attempt()).await {
                Ok(Ok(Attempt::Won)) => {}
                Ok(Ok(Attempt::HeldBy(other))) => {
                    warn!(lease = self.name, holder = other, "lease taken by another");
                    break;
                }
                Ok(Ok(Attempt::InDoubt)) => {
                    warn!(lease = self.name, "lease taken away");
                    break;
                }
                Ok(Ok(Attempt::Conflict)) => debug!(lease = self.name, "lease written by another"),
                Ok(Err(error)) => warn!(lease = self.name, %error, "lease not renewed"),
                Err(_) => warn!(lease = self.name, "lease not renewed: no answer in time"),
            }
            if Instant::now() >= self.until.borrow().unwrap_or(until) {
                warn!(lease = self.name, "lease ran out");
                break;
            }
        }
        self.until.send_replace(None);
    }

    /// Gives the lease away, so that the next one leads at once. Our own writes end here.
    pub async fn release(&mut self) -> Result<(), kube::Error> {
        self.until.send_replace(None);
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            return Ok(());
        };
        if holder(lease.spec.as_ref()) != self.identity {
            return Ok(());
        }
        let spec = Some(released(lease.spec.clone().unwrap_or_default(), Timestamp::now()));
        self.api
            .replace(&self.name, &PostParams::default(), &Lease { spec, ..lease })
            .await?;
        info!(lease = self.name, "lease released");
        Ok(())
    }

    /// One try to get or keep the lease.
    pub async fn attempt(&mut self) -> Result<Attempt, kube::Error> {
        let asked = Instant::now();
        let found = self.api.get_opt(&self.name).await?;
        let spec = found.as_ref().and_then(|lease| lease.spec.as_ref());
        self.existed |= found.is_some();
        let idle = self.idle(
            found
                .as_ref()
                .and_then(|lease| lease.metadata.resource_version.clone()),
            asked,
        );
        let leads = self.until.borrow().is_some();
        match &found {
            Some(_) if self.may_claim(spec, idle) => {}
            Some(_) => {
                let holder = holder(spec);
                let doubt = holder.is_empty() || holder == self.identity;
                return Ok(if doubt {
                    Attempt::InDoubt
                } else {
                    Attempt::HeldBy(holder.to_owned())
                });
            }
            None if self.existed && !leads && idle <= DURATION => return Ok(Attempt::InDoubt),
            None => {}
        }
        self.asked = true;
        let spec = Some(claimed(spec, &self.identity, Timestamp::now()));
        let options = PostParams::default();
        let written = if let Some(lease) = found {
            // Carries the version that we read: two candidates cannot both succeed.
            self.api
                .replace(&self.name, &options, &Lease { spec, ..lease })
                .await
        } else {
            let metadata = ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            };
            self.api.create(&options, &Lease { metadata, spec }).await
        };
        match written {
            Ok(_) => {
                self.until.send_replace(Some(asked + RENEW_DEADLINE));
                Ok(Attempt::Won)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Attempt::Conflict),
            Err(error) => Err(error),
        }
    }

    fn may_claim(&self, spec: Option<&LeaseSpec>, idle: Duration) -> bool {
        let ours = self.asked && holder(spec) == self.identity;
        ours || given_away(spec) || idle > duration(spec)
    }

    /// For how long the Lease has been at this version, as far as we saw.
    fn idle(&mut self, version: Option<String>, now: Instant) -> Duration {
        match &self.seen {
            Some((seen, since)) if *seen == version => now - *since,
            _ => {
                self.seen = Some((version, now));
                Duration::ZERO
            }
        }
    }
}

fn holder(spec: Option<&LeaseSpec>) -> &str {
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

fn duration(spec: Option<&LeaseSpec>) -> Duration {
    spec.and_then(|spec| spec.lease_duration_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(DURATION, Duration::from_secs)
}

/// Whether the last holder has given the Lease away itself, knowing that it leads no more.
fn given_away(spec: Option<&LeaseSpec>) -> bool {
    holder(spec).is_empty() && duration(spec) == RELEASED
}

/// The record of a holder that has just got or renewed the lease.
fn claimed(before: Option<&LeaseSpec>, identity: &str, now: Timestamp) -> LeaseSpec {
    let before = before.cloned().unwrap_or_default();
    let ours = before.holder_identity.as_deref() == Some(identity);
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(i32::try_from(DURATION.as_secs()).unwrap_or(i32::MAX)),
        acquire_time: if ours {
            before.acquire_time
        } else {
            Some(MicroTime(now))
        },
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(!ours)),
        preferred_holder: before.preferred_holder,
        strategy: before.strategy,
    }
}

/// The record of a lease that nobody holds, in the form that the Go project's library reads.
fn released(before: LeaseSpec, now: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(i32::try_from(RELEASED.as_secs()).unwrap_or(1)),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        ..before
    }
}

#[cfg(test)]
mod tests;
