//! Who reaches whom: every cell is asked over TCP and UDP, in IPv4 and IPv6, and who asks is checked too.

pub mod scene;
mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;

use crate::cluster::Cluster;
use crate::machine::Machine;
use scene::Scene;

/// Both families, in the order of every list here.
pub const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];

/// Somebody who asks.
pub struct Source {
    /// Its name in the table.
    pub name: String,
    /// How to run a program there.
    pub place: Place,
    /// Whom it asks.
    pub targets: Vec<Target>,
}

/// Where a program runs.
pub enum Place {
    /// In a pod of this name.
    Pod(String),
    /// On a machine.
    Machine(Machine),
}

/// Somebody who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name in the table.
    pub name: String,
    /// Where it answers.
    pub address: IpAddr,
    /// The port, for TCP and UDP.
    pub port: u16,
    /// The source address that it must see, where that is a promise.
    pub sees: Option<IpAddr>,
}

/// All answers.
pub struct Matrix {
    cells: Vec<Cell>,
}

/// One answer, over both protocols.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    family: &'static str,
    source: String,
    target: String,
    wrong: Option<String>,
}

impl Matrix {
    /// Asks everybody until all is well, or the limit is over: rules of a new Service take a moment to spread.
    pub async fn settle(cluster: &Cluster, scene: &Scene, limit: Duration) -> Result<Self> {
        let start = Instant::now();
        loop {
            let matrix = Self::ask(cluster, scene).await?;
            if matrix.wrong().is_empty() || start.elapsed() > limit {
                return Ok(matrix);
            }
        }
    }

    /// Asks everybody once.
    pub async fn ask(cluster: &Cluster, scene: &Scene) -> Result<Self> {
        let asked = scene.sources(cluster).into_iter().map(|source| async move {
            let output = source.probe(cluster).await?;
            Ok::<_, anyhow::Error>(source.cells(&output))
        });
        let cells = try_join_all(asked).await?.into_iter().flatten().collect();
        Ok(Self { cells })
    }

    /// What is wrong, a line each; empty when all is well.
    pub fn wrong(&self) -> Vec<String> {
        let lines = self.cells.iter().filter_map(|cell| {
            let wrong = cell.wrong.as_ref()?;
            Some(format!(
                "{} {} → {}: {wrong}",
                cell.family, cell.source, cell.target
            ))
        });
        lines.collect()
    }

    /// How many cells there are.
    pub fn size(&self) -> usize {
        self.cells.len()
    }
}

impl Source {
    async fn probe(&self, cluster: &Cluster) -> Result<String> {
        let urls = self.targets.iter().flat_map(Target::urls);
        match &self.place {
            Place::Pod(pod) => {
                // A probe that fails says so in its output, and ends with 1: the shell hides that from kubectl.
                let script = "peer probe \"$@\" || true";
                let exec = ["exec", pod, "--", "sh", "-c", script, "sh"].map(String::from);
                cluster.kubectl(exec.into_iter().chain(urls)).await
            }
            Place::Machine(machine) => {
                let peer = cluster.prepared().peer.display().to_string();
                machine
                    .output([peer, "probe".to_owned()].into_iter().chain(urls))
                    .await
            }
        }
    }

    fn cells(&self, output: &str) -> Vec<Cell> {
        let answers: BTreeMap<&str, &str> = output.lines().filter_map(|line| line.split_once(' ')).collect();
        self.targets
            .iter()
            .map(|target| target.judge(&self.name, &answers))
            .collect()
    }
}

impl Target {
    fn urls(&self) -> [String; 2] {
        let at = std::net::SocketAddr::new(self.address, self.port);
        [format!("tcp://{at}"), format!("udp://{at}")]
    }

    fn judge(&self, source: &str, answers: &BTreeMap<&str, &str>) -> Cell {
        let wrong = self.urls().iter().find_map(|url| {
            let answer = answers.get(url.as_str()).copied().unwrap_or("failed: not asked");
            self.complaint(answer)
                .map(|complaint| format!("{url}: {complaint}"))
        });
        let family = if self.address.is_ipv4() { "IPv4" } else { "IPv6" };
        Cell {
            family,
            source: source.to_owned(),
            target: self.name.clone(),
            wrong,
        }
    }

    /// What is wrong with an answer `ok NAME SEEN` or `failed REASON`.
    fn complaint(&self, answer: &str) -> Option<String> {
        let words: Vec<&str> = answer.split_whitespace().collect();
        let &["ok", _, seen] = words.as_slice() else {
            return Some(answer.to_owned());
        };
        let promised = self.sees?;
        (seen.parse() != Ok(promised)).then(|| format!("sees {seen} as the sender, not {promised}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(sees: Option<&str>) -> Target {
        let sees = sees.map(|address| address.parse().unwrap());
        Target {
            name: "b".into(),
            address: "10.0.0.2".parse().unwrap(),
            port: 8080,
            sees,
        }
    }

    fn source(targets: Vec<Target>) -> Source {
        Source {
            name: "a".into(),
            place: Place::Pod("a".into()),
            targets,
        }
    }

    #[test]
    fn a_cell_is_well_when_both_protocols_answer_and_see_the_promised_sender() {
        let output = "tcp://10.0.0.2:8080 ok b 10.0.0.1\nudp://10.0.0.2:8080 ok b 10.0.0.1\n";

        let cells = source(vec![target(Some("10.0.0.1"))]).cells(output);

        assert_eq!(cells.len(), 1);
        assert_eq!(cells[0].wrong, None);
    }

    #[test]
    fn each_fault_is_told_with_its_url() {
        let cases = [
            (
                "tcp://10.0.0.2:8080 ok b 10.0.0.1\n",
                "udp://10.0.0.2:8080: failed: not asked",
            ),
            (
                "tcp://10.0.0.2:8080 failed timed out\nudp://10.0.0.2:8080 ok b 10.0.0.1\n",
                "tcp://10.0.0.2:8080: failed timed out",
            ),
            (
                "tcp://10.0.0.2:8080 ok b 10.0.0.9\nudp://10.0.0.2:8080 ok b 10.0.0.1\n",
                "tcp://10.0.0.2:8080: sees 10.0.0.9 as the sender, not 10.0.0.1",
            ),
        ];
        for (output, complaint) in cases {
            let cells = source(vec![target(Some("10.0.0.1"))]).cells(output);

            assert_eq!(cells[0].wrong.as_deref(), Some(complaint));
        }
    }

    #[test]
    fn an_ipv6_target_is_written_in_brackets() {
        let target = Target {
            name: "s".into(),
            address: "fd00::1".parse().unwrap(),
            port: 80,
            sees: None,
        };

        assert_eq!(target.urls(), ["tcp://[fd00::1]:80", "udp://[fd00::1]:80"]);
    }
}
