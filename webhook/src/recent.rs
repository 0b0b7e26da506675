//! Objects that were allowed a moment ago and that a list may not show yet: without them two requests
//! that come together would not see each other.

use std::time::{Duration, Instant};

use kube::core::object::HasSpec;
use kube::{Resource, ResourceExt};

/// Longer than the API server takes from our answer to the stored object. Not much longer: what is refused by
/// others after us, or deleted through another replica, would stand in the way of its successor.
const MEMORY: Duration = Duration::from_secs(3);

/// Objects of one kind.
#[derive(Debug)]
pub struct Recent<K>(Vec<(Instant, K)>);

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K> Recent<K>
where
    K: Resource + HasSpec + Clone,
    K::Spec: PartialEq,
{
    /// Remembers an object that was allowed at `now`, to come in or to become so.
    pub fn allow(&mut self, now: Instant, object: &K) {
        self.0.retain(|(_, known)| known.name_any() != object.name_any());
        self.0.push((now, object.clone()));
    }

    /// Forgets an object that may be gone in a moment.
    pub fn forget(&mut self, name: &str) {
        self.0.retain(|(_, known)| known.name_any() != name);
    }

    /// `listed`, and what was allowed a moment before `now` but is not so in it; never what is named `except`.
    /// An object that is changing is there twice: nobody knows yet which of the two it will be.
    pub fn beside(&mut self, now: Instant, listed: Vec<K>, except: &str) -> Vec<K> {
        self.0.retain(|(at, known)| {
            let is_known =
                |object: &K| object.name_any() == known.name_any() && object.spec() == known.spec();
            now.saturating_duration_since(*at) < MEMORY && !listed.iter().any(is_known)
        });
        let mut all = listed;
        all.extend(self.0.iter().map(|(_, known)| known.clone()));
        all.retain(|object| object.name_any() != except);
        all
    }
}

#[cfg(test)]
mod tests {
    use hybridnet_api::{Subnet, SubnetSpec};

    use super::*;

    fn subnet(name: &str) -> Subnet {
        Subnet::new(name, SubnetSpec::default())
    }

    fn names(subnets: &[Subnet]) -> Vec<String> {
        subnets.iter().map(ResourceExt::name_any).collect()
    }

    #[test]
    fn what_was_allowed_a_moment_ago_counts_as_existing() {
        let now = Instant::now();
        let mut recent = Recent::default();
        recent.allow(now, &subnet("a"));
        let all = recent.beside(now, vec![subnet("z")], "b");
        assert_eq!(names(&all), ["z", "a"]);
    }

    #[test]
    fn an_object_is_never_beside_itself() {
        let now = Instant::now();
        let mut recent = Recent::default();
        recent.allow(now, &subnet("a"));
        assert!(
            recent
                .beside(now, vec![subnet("b")], "b")
                .iter()
                .all(|s| s.name_any() == "a")
        );
        assert!(recent.beside(now, vec![], "a").is_empty());
    }

    #[test]
    fn an_object_that_changes_counts_as_it_is_and_as_it_will_be() {
        let now = Instant::now();
        let mut recent = Recent::default();
        let mut grown = subnet("a");
        grown.spec.range.end = Some("10.0.0.99".to_owned());
        recent.allow(now, &grown);
        let both = recent.beside(now, vec![subnet("a")], "b");
        assert_eq!(both, [subnet("a"), grown.clone()]);
        assert_eq!(recent.beside(now, vec![grown.clone()], "b"), [grown]);
    }

    #[test]
    fn once_listed_or_old_it_is_forgotten() {
        let now = Instant::now();
        let mut recent = Recent::default();
        recent.allow(now, &subnet("a"));
        assert_eq!(names(&recent.beside(now, vec![subnet("a")], "b")), ["a"]);
        assert!(recent.beside(now, vec![], "b").is_empty());
        recent.allow(now, &subnet("a"));
        assert!(recent.beside(now + MEMORY, vec![], "b").is_empty());
        recent.allow(now, &subnet("a"));
        recent.forget("a");
        assert!(recent.beside(now, vec![], "b").is_empty());
    }
}
