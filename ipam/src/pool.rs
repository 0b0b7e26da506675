//! The free addresses of one subnet and which of them comes next (control-plane spec 3.4).

use crate::cursor::Cursor;
use crate::intervals::Intervals;

/// `free` is always a part of `allocatable`; what is missing is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    allocatable: Intervals,
    free: Intervals,
    pub(crate) cursor: Cursor<u128>,
}

impl Pool {
    /// A pool without the addresses that are in use, going on after `cursor`.
    pub(crate) fn new(
        allocatable: Intervals,
        in_use: impl Iterator<Item = u128>,
        cursor: Cursor<u128>,
    ) -> Self {
        let mut free = allocatable.clone();
        for number in in_use {
            free.remove(number);
        }
        Self {
            allocatable,
            free,
            cursor,
        }
    }

    /// The next free address: ascending from the last one, then from the start. So an address that came
    /// back is not used again before all others were.
    pub(crate) fn next(&self) -> Option<u128> {
        let after = self.cursor.get().and_then(|last| self.free.first_after(*last));
        after.or_else(|| self.free.first())
    }

    /// Takes an address out, if it is one of this pool.
    pub(crate) fn take(&mut self, number: u128) {
        self.free.remove(number);
    }

    /// Puts an address back, if it is one of this pool.
    pub(crate) fn put_back(&mut self, number: u128) {
        if self.allocatable.contains(number) {
            self.free.insert(number);
        }
    }

    pub(crate) fn total(&self) -> u128 {
        self.allocatable.count()
    }

    pub(crate) fn available(&self) -> u128 {
        self.free.count()
    }
}
