//! Sysctls of host ends that need not be read again: ten files a pod, of which nobody tells when they change. They
//! are read when a pod is new or another, after they were written, and once in a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::change::Change;
use super::state::{Kind, State};
use crate::plan::{HostEnd, Plan};

/// How long a reading counts: a little less than the pause between passes that nothing caused.
const AGE: Duration = Duration::from_secs(25);

/// Host ends whose sysctls were right when they were read.
#[derive(Debug, Default)]
pub(super) struct Proven {
    ends: BTreeMap<String, Proof>,
    since: Option<Instant>,
}

/// What they were right for: number of the link, and the pod's addresses.
type Proof = (u32, HostEnd);

/// Host ends whose sysctls must be read.
pub(super) type Doubtful<'a> = BTreeMap<&'a str, Proof>;

impl Proven {
    /// The pods of the plan that are here and whose sysctls must be read.
    pub(super) fn doubtful<'a>(&mut self, plan: &'a Plan, state: &State, now: Instant) -> Doubtful<'a> {
        if self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= AGE)
        {
            (self.ends, self.since) = (BTreeMap::new(), Some(now));
        }
        let here = plan.pods.iter().filter_map(|(name, end)| {
            let link = state.links.get(name).filter(|link| link.kind == Kind::Veth)?;
            Some((name.as_str(), (link.index, end.clone())))
        });
        let here: BTreeMap<_, _> = here.collect();
        self.ends.retain(|name, _| here.contains_key(name.as_str()));
        here.into_iter()
            .filter(|(name, proof)| self.ends.get(*name) != Some(proof))
            .collect()
    }

    /// Those that were read and need no step are proven.
    pub(super) fn learn(&mut self, read: Doubtful<'_>, steps: &[Change]) {
        let wrong: BTreeSet<&str> = steps.iter().flat_map(named).collect();
        let right = read.into_iter().filter(|(name, _)| !wrong.contains(name));
        self.ends
            .extend(right.map(|(name, proof)| (name.to_owned(), proof)));
    }
}

/// The parts of a sysctl's path, of which one is the name of its link.
fn named(step: &Change) -> impl Iterator<Item = &str> {
    let path = match step {
        Change::Sysctl { path, .. } => path.as_str(),
        _ => "",
    };
    path.split('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::state::Link;

    fn plan(ends: &[(&str, &[&str])]) -> Plan {
        let end = |addresses: &[&str]| HostEnd {
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        };
        Plan {
            pods: ends
                .iter()
                .map(|(name, addresses)| ((*name).to_owned(), end(addresses)))
                .collect(),
            ..Plan::default()
        }
    }

    fn state(links: &[(&str, u32)]) -> State {
        let veth = |index| Link {
            index,
            kind: Kind::Veth,
            ..Link::default()
        };
        State {
            links: links
                .iter()
                .map(|(name, index)| ((*name).to_owned(), veth(*index)))
                .collect(),
            ..State::default()
        }
    }

    /// Reads what is in doubt, finds it right, and says what was read.
    fn pass(proven: &mut Proven, plan: &Plan, state: &State, now: Instant) -> Vec<String> {
        let doubtful = proven.doubtful(plan, state, now);
        let names = doubtful.keys().map(ToString::to_string).collect();
        proven.learn(doubtful, &[]);
        names
    }

    #[test]
    fn what_was_right_is_read_again_only_after_a_while() {
        let (mut proven, start) = (Proven::default(), Instant::now());
        let (plan, state) = (plan(&[("hybr1", &["10.0.0.5"])]), state(&[("hybr1", 7)]));

        assert_eq!(pass(&mut proven, &plan, &state, start), ["hybr1"]);
        assert_eq!(
            pass(&mut proven, &plan, &state, start + Duration::from_secs(24)).len(),
            0
        );
        assert_eq!(pass(&mut proven, &plan, &state, start + AGE), ["hybr1"]);
    }

    #[test]
    fn a_new_pod_another_link_of_the_name_and_another_address_are_read() {
        let (mut proven, now) = (Proven::default(), Instant::now());
        let one = plan(&[("hybr1", &["10.0.0.5"])]);
        pass(&mut proven, &one, &state(&[("hybr1", 7)]), now);

        let two = plan(&[("hybr1", &["10.0.0.5"]), ("hybr2", &["10.0.0.6"])]);
        let links = state(&[("hybr1", 7), ("hybr2", 8)]);
        assert_eq!(pass(&mut proven, &two, &links, now), ["hybr2"]);

        let again = state(&[("hybr1", 9), ("hybr2", 8)]);
        assert_eq!(pass(&mut proven, &two, &again, now), ["hybr1"]);

        let dual = plan(&[("hybr1", &["10.0.0.5", "fd00::5"]), ("hybr2", &["10.0.0.6"])]);
        assert_eq!(pass(&mut proven, &dual, &again, now), ["hybr1"]);
    }

    #[test]
    fn a_pod_without_its_link_is_not_read_and_read_when_it_has_one() {
        let (mut proven, now) = (Proven::default(), Instant::now());
        let plan = plan(&[("hybr1", &["10.0.0.5"])]);

        assert_eq!(pass(&mut proven, &plan, &state(&[]), now).len(), 0);
        assert_eq!(pass(&mut proven, &plan, &state(&[("hybr1", 7)]), now), ["hybr1"]);
    }

    #[test]
    fn what_was_wrong_is_read_after_it_was_written() {
        let (mut proven, now) = (Proven::default(), Instant::now());
        let (plan, state) = (
            plan(&[("hybr1", &["10.0.0.5"]), ("hybr2", &["10.0.0.6"])]),
            state(&[("hybr1", 7), ("hybr2", 8)]),
        );
        let step = Change::Sysctl {
            path: "net/ipv4/conf/hybr1/proxy_arp".into(),
            value: "1".into(),
        };

        let doubtful = proven.doubtful(&plan, &state, now);
        proven.learn(doubtful, &[step]);

        assert_eq!(pass(&mut proven, &plan, &state, now), ["hybr1"]);
    }
}
