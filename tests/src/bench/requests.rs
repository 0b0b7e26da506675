//! Requests of the manager over pods' lives, as the API server counts them and as the manager does.

use std::fmt::Write as _;

use anyhow::Result;
use kube::Client;

use super::counters::Counters;
use super::scene::Scene;
use super::stats::each;
use super::table::Table;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    server: Counters,
    manager: Counters,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// An address: part of a pod's life.
    Life,
    /// An event.
    Event,
    /// Numbers of networks and subnets, labels of nodes: so many a second at most, however many pods.
    Status,
}

impl Purpose {
    /// Of a verb and a resource; nothing for what only reads, and for what is not the manager's. In a [`Scene`] nobody
    /// else sends any of these.
    fn of(key: &str) -> Option<Self> {
        let (verb, resource) = key.split_once(' ')?;
        match (verb, resource) {
            ("GET" | "LIST" | "WATCH", _) => None,
            (_, "ipinstances" | "ipinstances/status") | ("PATCH" | "PUT" | "APPLY", "pods") => {
                Some(Self::Life)
            }
            (_, "events") => Some(Self::Event),
            (_, "networks/status" | "subnets/status" | "nodes") => Some(Self::Status),
            _ => None,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Life => "the address",
            Self::Event => "events",
            Self::Status => "statuses and labels, at their pace",
        }
    }
}

impl Requests {
    /// From the start of the API server and of the manager until now.
    pub async fn so_far(scene: &Scene, client: &Client) -> Result<Self> {
        let (server, manager) = scene.requests(client).await?;
        Ok(Self { server, manager })
    }

    /// What came since then.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            server: self.server.since(&before.server),
            manager: self.manager.since(&before.manager),
        }
    }

    /// Requests a pod that serve its addresses.
    pub fn of_life(&self, pods: usize) -> f64 {
        let life = self.server.sum(|key| Purpose::of(key) == Some(Purpose::Life));
        each(life, pods)
    }

    /// By verb and resource, shared among so many pods, with the manager's own count below.
    pub fn table(&self, pods: usize) -> String {
        let shared = |count: u64| format!("{:.3}", each(count, pods));
        let mut table = Table::new(["request", "for", "per pod"]);
        for (key, count) in self.server.iter() {
            if let Some(purpose) = Purpose::of(key) {
                table.row([key.to_owned(), purpose.text().to_owned(), shared(count)]);
            }
        }
        let all = self.server.sum(|key| Purpose::of(key).is_some());
        let sent = self.manager.sum(|verb| verb != "GET");
        table.row(["all writes".to_owned(), String::new(), shared(all)]);
        table.row([
            "writes that the manager counted".to_owned(),
            String::new(),
            shared(sent),
        ]);
        let mut text = format!(
            "From the creation of {pods} pods until the last address was gone, as the API server counts:\n\n{table}\n"
        );
        let (life, reads) = (self.of_life(pods), self.manager.get("GET"));
        let _ = writeln!(
            text,
            "{life:.2} requests for a pod's address; {reads} reads and watches in all."
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_something_for_an_address_is_part_of_a_life() {
        let of = |key| Purpose::of(key);

        for key in [
            "POST ipinstances",
            "DELETE ipinstances",
            "PATCH ipinstances",
            "PATCH pods",
        ] {
            assert_eq!(of(key), Some(Purpose::Life), "{key}");
        }
        assert_eq!(of("POST events"), Some(Purpose::Event));
        assert_eq!(of("PATCH networks/status"), Some(Purpose::Status));
        for key in [
            "POST pods",
            "POST pods/binding",
            "DELETE pods",
            "LIST ipinstances",
            "PUT leases",
        ] {
            assert_eq!(of(key), None, "{key}");
        }
    }
}
