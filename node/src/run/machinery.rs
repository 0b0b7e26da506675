//! The kernel of this node as the reconciler uses it: links, routes and neighbours by [`crate::kernel`], packet
//! filters by [`crate::firewall`].

use tracing::{debug, info};

use crate::firewall;
use crate::kernel::Kernel;
use crate::kernel::apply::{Failure, Report};
use crate::kernel::change::Change;
use crate::kernel::diff::Removals;
use crate::kernel::dump::DumpError;
use crate::kernel::state::State;
use crate::plan::{Plan, Problem};
use crate::view::Machine;

use super::reconcile::{KERNEL, Machinery, Outcome};

impl Machinery for Kernel {
    type Error = DumpError;
    type Sight = State;

    async fn observe(&self) -> Result<(Machine, State), DumpError> {
        self.newcomers().settle().await;
        self.look().await
    }

    async fn converge(&self, plan: &Plan, seen: State) -> Outcome {
        // They do not need each other: names of links in filters are only texts. The reconciler makes no plan
        // before its caches know everything, so removals are allowed.
        let (links, filters) = tokio::join!(
            self.converge_from(seen, plan, Removals::Allowed),
            firewall::converge_aside(plan.firewall.clone(), self.newcomers().clone()),
        );
        let mut outcome = Outcome::default();
        outcome.add_links(links);
        outcome.add_filters(filters);
        outcome
    }
}

impl Outcome {
    fn add_links(&mut self, done: Result<Report, DumpError>) {
        match done {
            Ok(report) => {
                self.changes += report.changes.len();
                self.failures.extend(report.errors.iter().map(problem));
            }
            Err(error) => self.failures.push(Problem {
                about: KERNEL.into(),
                reason: "KernelNotRead",
                message: error.to_string(),
            }),
        }
    }

    fn add_filters(&mut self, done: Result<firewall::Outcome, firewall::Error>) {
        match done {
            Ok(firewall::Outcome::Unchanged) => {}
            Ok(firewall::Outcome::Elements { added, removed }) => {
                debug!(added, removed, "elements of packet filters changed");
                self.changes += added + removed;
            }
            Ok(firewall::Outcome::Replaced { because }) => {
                info!(because, "packet filters written anew");
                self.changes += 1;
            }
            Err(error) => self.failures.push(Problem {
                about: "packet filter".into(),
                reason: "FilterRefused",
                message: error.to_string(),
            }),
        }
    }
}

fn problem(failure: &Failure) -> Problem {
    Problem {
        about: about(&failure.change),
        reason: "KernelRefused",
        message: failure.to_string(),
    }
}

/// The object of a step: pods wait for the tunnel's link and for their subnet's rule by these names.
fn about(change: &Change) -> String {
    match change {
        Change::AddTunnel(new) => format!("link {}", new.name),
        Change::AddVlan(new) => format!("link {}", new.name),
        Change::SetLink(change) => format!("link {}", change.name),
        Change::DeleteLink { name } => format!("leftover link {name}"),
        Change::SetLocal { name, .. } => format!("link {name}"),
        Change::InstallFilter { link } => format!("replication filter of {link}"),
        Change::AddAddress { link, ip }
        | Change::LendAddress { link, ip }
        | Change::DisownAddress { link, ip }
        | Change::DeleteAddress { link, ip } => {
            format!("address {ip} of {link}")
        }
        Change::ReplaceForward(entry) | Change::AppendForward(entry) | Change::DeleteForward(entry) => {
            format!("forwarding entry {entry}")
        }
        Change::AddProxy { link, ip } | Change::DeleteProxy { link, ip } => {
            format!("proxy neighbour {ip} of {link}")
        }
        Change::ReplaceRoute(route) | Change::DeleteRoute(route) => format!("route {route}"),
        Change::AddRule(rule) | Change::DeleteRule(rule) => match rule.source {
            Some(source) => format!("rule from {source}"),
            None => format!("rule {rule}"),
        },
        Change::Sysctl { path, .. } => format!("sysctl {path}"),
    }
}
