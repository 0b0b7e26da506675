//! How many addresses each namespace holds.

use std::collections::{HashMap, HashSet};

use hybridnet_api::IpInstance;

use super::identity;

/// Names of `IPInstance`s by namespace; those that are being deleted are on their way out and do not count.
#[derive(Debug, Default)]
pub struct Tally(HashMap<Box<str>, HashSet<Box<str>>>);

impl Tally {
    /// How many the namespace has.
    pub fn of(&self, namespace: &str) -> u64 {
        self.0.get(namespace).map_or(0, |names| names.len() as u64)
    }

    /// Counts an object, once however often it comes.
    pub fn put(&mut self, instance: &IpInstance) {
        if instance.metadata.deletion_timestamp.is_some() {
            return self.forget(instance);
        }
        let (namespace, name) = identity(instance);
        self.0.entry(namespace).or_default().insert(name);
    }

    /// Does not count an object any more.
    pub fn forget(&mut self, instance: &IpInstance) {
        let (namespace, name) = identity(instance);
        let Some(names) = self.0.get_mut(&namespace) else {
            return;
        };
        names.remove(&name);
        if names.is_empty() {
            self.0.remove(&namespace);
        }
    }
}

#[cfg(test)]
mod tests {
    use hybridnet_api::IpInstanceSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn instance(namespace: &str, name: &str) -> IpInstance {
        let mut instance = IpInstance::new(name, IpInstanceSpec::default());
        instance.metadata.namespace = Some(namespace.to_owned());
        instance
    }

    #[test]
    fn each_address_counts_once_and_in_its_own_namespace() {
        let mut tally = Tally::default();
        for (namespace, name) in [("a", "1"), ("a", "1"), ("a", "2"), ("b", "1")] {
            tally.put(&instance(namespace, name));
        }
        assert_eq!((tally.of("a"), tally.of("b"), tally.of("c")), (2, 1, 0));
    }

    #[test]
    fn an_address_that_goes_does_not_count_and_leaves_nothing_behind() {
        let mut tally = Tally::default();
        let mut going = instance("a", "1");
        tally.put(&going);
        going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        tally.put(&going);
        assert_eq!(tally.of("a"), 0);
        tally.forget(&going);
        tally.forget(&instance("b", "1"));
        assert!(tally.0.is_empty());
    }
}
