//! Where the last choice was made, with the way back for choices that are taken back.

use crate::request::Ticket;

/// A position. Steps of reservations that are still in flight lie on top of the settled one, so that any
/// of them can be taken back, in any order, as if it had never been made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor<T> {
    settled: Option<T>,
    steps: Vec<(Ticket, T)>,
}

impl<T> Default for Cursor<T> {
    fn default() -> Self {
        Self {
            settled: None,
            steps: Vec::new(),
        }
    }
}

impl<T> Cursor<T> {
    /// The position of the latest choice that was not taken back.
    pub(crate) fn get(&self) -> Option<&T> {
        self.steps.last().map(|(_, at)| at).or(self.settled.as_ref())
    }

    /// Moves on for a reservation.
    pub(crate) fn step(&mut self, ticket: Ticket, at: T) {
        self.steps.push((ticket, at));
    }

    /// Makes the step of a reservation lasting, and with it all earlier ones: nothing goes back behind it.
    pub(crate) fn settle(&mut self, ticket: Ticket) {
        if let Some(position) = self.steps.iter().rposition(|(step, _)| *step == ticket)
            && let Some((_, at)) = self.steps.drain(..=position).next_back()
        {
            self.settled = Some(at);
        }
    }

    /// Takes back the step of a reservation.
    pub(crate) fn undo(&mut self, ticket: Ticket) {
        self.steps.retain(|(step, _)| *step != ticket);
    }

    /// Drops positions that do not exist any more and starts at `fallback` when none is left.
    pub(crate) fn restrict(&mut self, fallback: Option<T>, exists: impl Fn(&T) -> bool) {
        self.steps.retain(|(_, at)| exists(at));
        self.settled = self.settled.take().filter(&exists);
        if self.get().is_none() {
            self.settled = fallback.filter(exists);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_can_be_taken_back_in_any_order() {
        // Given three choices in flight after a settled one.
        let mut cursor = Cursor::default();
        cursor.step(Ticket(0), 'o');
        cursor.settle(Ticket(0));
        for (ticket, at) in [(1, 'a'), (2, 'b'), (3, 'c')] {
            cursor.step(Ticket(ticket), at);
        }

        // When the middle one, then the last, then the first is taken back, then each leaves the
        // position of the latest that stands.
        for (ticket, left) in [(2, 'c'), (3, 'a'), (1, 'o')] {
            cursor.undo(Ticket(ticket));
            assert_eq!(cursor.get(), Some(&left));
        }
    }

    #[test]
    fn nothing_goes_back_behind_a_settled_step() {
        let mut cursor = Cursor::default();
        cursor.step(Ticket(1), 'a');
        cursor.step(Ticket(2), 'b');
        cursor.step(Ticket(3), 'c');

        cursor.settle(Ticket(2));
        cursor.undo(Ticket(1));
        assert_eq!(cursor.get(), Some(&'c'));
        cursor.undo(Ticket(3));
        assert_eq!(cursor.get(), Some(&'b'));
    }

    #[test]
    fn a_position_that_is_gone_gives_way_to_the_fallback() {
        let mut cursor = Cursor::default();
        cursor.step(Ticket(1), 9);
        cursor.restrict(Some(4), |at| *at < 5);
        assert_eq!(cursor.get(), Some(&4));
        cursor.restrict(Some(7), |at| *at < 3);
        assert_eq!(cursor.get(), None);
    }
}
