//! One operation a pod at a time: a late DEL of one sandbox must not meet the ADD of the next half-way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

type Turn = tokio::sync::Mutex<()>;

/// Turns, by key. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<Mutex<HashMap<String, Weak<Turn>>>>);

impl Busy {
    /// Waits for the turn of `key`, which lasts until the guard is dropped.
    pub async fn turn(&self, key: &str) -> OwnedMutexGuard<()> {
        let turn = self.of(key);
        turn.lock_owned().await
    }

    fn of(&self, key: &str) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        // Nobody holds or awaits those any more.
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Turn::default());
        turns.insert(key.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_others_do_not() {
        let busy = Busy::default();
        let first = busy.turn("a").await;

        assert!(busy.turn("a").now_or_never().is_none());
        assert!(busy.turn("b").now_or_never().is_some());
        drop(first);
        assert!(busy.turn("a").now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_nobody_uses_is_forgotten() {
        let busy = Busy::default();
        for number in 0..100 {
            drop(busy.turn(&number.to_string()).await);
        }

        assert_eq!(busy.0.lock().unwrap().len(), 1);
    }
}
