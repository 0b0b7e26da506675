//! Choices of one kind that were made and not taken back.

/// The latest choice comes last. Those without a reservation stand.
#[derive(Clone, Debug)]
pub struct History<T>(Vec<(Option<usize>, T)>);

impl<T> Default for History<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> History<T> {
    pub fn push(&mut self, reservation: usize, choice: T) {
        self.0.push((Some(reservation), choice));
    }

    pub fn last(&self) -> Option<&T> {
        self.0.last().map(|(_, choice)| choice)
    }

    pub fn any(&self, is_it: impl Fn(&T) -> bool) -> bool {
        self.0.iter().any(|(_, choice)| is_it(choice))
    }

    pub fn retain(&mut self, exists: impl Fn(&T) -> bool) {
        self.0.retain(|(_, choice)| exists(choice));
    }

    /// Nothing can be taken back behind a choice that stands.
    pub fn stands(&mut self, reservation: usize) {
        if let Some(at) = self.0.iter().rposition(|(of, _)| *of == Some(reservation)) {
            self.0.drain(..at);
            self.0[0].0 = None;
        }
    }

    pub fn take_back(&mut self, reservation: usize) {
        self.0.retain(|(of, _)| *of != Some(reservation));
    }

    pub fn only_the_last_stands(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(1));
        self.0.iter_mut().for_each(|(of, _)| *of = None);
    }
}
