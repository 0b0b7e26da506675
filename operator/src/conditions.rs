//! Conditions of Networks and Subnets: what `kubectl describe` shows beside the numbers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// The object is used.
pub const READY: &str = "Ready";
/// The object clashes with another one.
pub const CONFLICT: &str = "Conflict";
/// No address of the object is left.
pub const EXHAUSTED: &str = "Exhausted";

/// What one condition shall say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// [`READY`], [`CONFLICT`] or [`EXHAUSTED`].
    pub type_: &'static str,
    /// Whether it is so.
    pub holds: bool,
    /// Why, in one word.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

/// `before` with `findings` in it: what still holds keeps its time, and conditions of others stay.
pub fn updated(
    before: &[Condition],
    findings: Vec<Finding>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let mut after: Vec<Condition> = before.to_vec();
    for finding in findings {
        let status = if finding.holds { "True" } else { "False" };
        let known = after.iter().position(|known| known.type_ == finding.type_);
        let since = known
            .and_then(|at| after.get(at))
            .filter(|known| known.status == status)
            .map_or(Time(now), |known| known.last_transition_time.clone());
        let condition = Condition {
            type_: finding.type_.to_owned(),
            status: status.to_owned(),
            reason: finding.reason.to_owned(),
            message: finding.message,
            observed_generation: generation,
            last_transition_time: since,
        };
        match known.and_then(|at| after.get_mut(at)) {
            Some(place) => *place = condition,
            None => after.push(condition),
        }
    }
    after
}

/// The conditions of `after` that say something else than in `before`, where one that was not there said
/// nothing.
pub fn changes<'a>(before: &'a [Condition], after: &'a [Condition]) -> impl Iterator<Item = &'a Condition> {
    let same = |one: &Condition, other: &Condition| {
        one.type_ == other.type_ && one.status == other.status && one.message == other.message
    };
    after
        .iter()
        .filter(move |after| !before.iter().any(|before| same(before, after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(holds: bool, message: &str) -> Finding {
        Finding {
            type_: READY,
            holds,
            reason: "Because",
            message: message.to_owned(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_time_moves_only_when_the_status_does() {
        let first = updated(&[], vec![finding(true, "a")], Some(1), at(1));
        let second = updated(&first, vec![finding(true, "b")], Some(2), at(2));
        let third = updated(&second, vec![finding(false, "c")], Some(2), at(3));

        let times: Vec<_> = [&first, &second, &third]
            .iter()
            .map(|conditions| conditions[0].last_transition_time.0.as_second())
            .collect();
        assert_eq!(times, [1, 1, 3]);
        assert_eq!(
            (second[0].message.as_str(), third[0].status.as_str()),
            ("b", "False")
        );
        assert_eq!(updated(&third, vec![finding(false, "c")], Some(2), at(9)), third);
    }

    #[test]
    fn only_another_status_or_message_is_a_change() {
        let before = updated(&[], vec![finding(true, "a")], Some(1), at(1));
        let same = updated(&before, vec![finding(true, "a")], Some(2), at(2));
        let other = updated(&before, vec![finding(true, "b")], Some(2), at(2));

        assert_eq!(changes(&[], &before).count(), 1);
        assert_eq!(changes(&before, &same).count(), 0);
        assert_eq!(changes(&before, &other).count(), 1);
    }

    #[test]
    fn conditions_of_others_stay() {
        let mut theirs = updated(&[], vec![finding(true, "a")], None, at(1));
        theirs[0].type_ = "Theirs".to_owned();

        let both = updated(&theirs, vec![finding(true, "a")], None, at(2));

        assert_eq!(both.len(), 2);
        assert_eq!(both[0], theirs[0]);
    }
}
