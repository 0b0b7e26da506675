//! Whether this replica should be asked: caches filled, certificate valid, not on its way out.

use std::sync::atomic::{AtomicBool, Ordering};

use rustls::pki_types::UnixTime;

use crate::certificate::serving::Serving;

/// Facts that only ever change once.
#[derive(Debug, Default)]
pub struct Readiness {
    caches: AtomicBool,
    leaving: AtomicBool,
}

impl Readiness {
    /// All caches hold what the API server has.
    pub fn caches_filled(&self) {
        self.caches.store(true, Ordering::Release);
    }

    /// The process is about to end: send nobody here any more.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Whether answers rest on filled caches.
    pub fn caches(&self) -> bool {
        self.caches.load(Ordering::Acquire)
    }

    /// What stands in the way of being asked, or nothing.
    pub fn missing(&self, serving: &Serving, now: UnixTime) -> Option<&'static str> {
        if self.leaving.load(Ordering::Acquire) {
            return Some("shutting down");
        }
        if !self.caches() {
            return Some("caches are not filled yet");
        }
        (!serving.is_ready(now)).then_some("no valid certificate yet")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::certificate::Names;
    use crate::certificate::issue::new_authority;

    #[test]
    fn each_condition_is_needed() {
        let now = UnixTime::now();
        let (readiness, serving) = (Readiness::default(), Serving::default());
        assert_eq!(
            readiness.missing(&serving, now),
            Some("caches are not filled yet")
        );
        readiness.caches_filled();
        assert_eq!(readiness.missing(&serving, now), Some("no valid certificate yet"));
        let material = new_authority(now, &Names::of_service("a"), None).expect("a certificate");
        serving.install(&material).expect("a good certificate");
        assert_eq!(readiness.missing(&serving, now), None);
        let later =
            UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + Duration::from_hours(24 * 91));
        assert_eq!(
            readiness.missing(&serving, later),
            Some("no valid certificate yet")
        );
        readiness.leave();
        assert_eq!(readiness.missing(&serving, now), Some("shutting down"));
    }
}
