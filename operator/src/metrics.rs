//! What an operator counts: the metrics of the Go project under their names, and ours.
//!
//! `ip_allocation_period` stays a summary in nanoseconds, as dashboards expect it; the metrics library
//! has no summaries, so [`summary`] writes it. Everything new is in seconds and begins with
//! `hybridnet_manager_`.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::metrics::labels::{
    AllocationLabels, ControllerLabel, NameLabel, NetworkLabel, NetworkUsageLabels, RequestLabels,
    SubnetUsageLabels,
};
use crate::metrics::leaks::Leaks;
use crate::metrics::objects::Objects;
use crate::metrics::summary::Summary;

mod labels;
pub mod leaks;
pub mod objects;
pub mod process;
pub mod summary;

/// What kind of allocation was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocateType {
    /// New addresses.
    Normal,
    /// Addresses that were kept for the pod.
    Stateful,
}

impl AllocateType {
    const ALL: [Self; 2] = [Self::Normal, Self::Stateful];

    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Stateful => "stateful",
        }
    }
}

/// Numbers of addresses, as the usage metrics show them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Addresses that may be handed out.
    pub total: i64,
    /// Addresses in use.
    pub used: i64,
    /// What is left.
    pub available: i64,
}

impl Usage {
    fn parts(self) -> [(&'static str, i64); 3] {
        [
            ("total", self.total),
            ("used", self.used),
            ("available", self.available),
        ]
    }
}

/// All metrics of the manager.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    network_usage: Family<NetworkUsageLabels, Gauge>,
    subnet_usage: Family<SubnetUsageLabels, Gauge>,
    allocations: Mutex<[[Summary; 2]; 2]>,
    allocation_seconds: Family<AllocationLabels, Histogram>,
    exhausted: Family<NetworkLabel, Counter>,
    leading: Family<NameLabel, Gauge>,
    requests: Family<RequestLabels, Counter>,
    reconcile_seconds: Family<ControllerLabel, Histogram>,
    reconcile_errors: Family<ControllerLabel, Counter>,
    queue: Family<ControllerLabel, Gauge>,
    events_dropped: Counter,
    set_aside: Gauge,
    conflicts: Gauge,
    /// Of the collector.
    pub leaks: Leaks,
    /// Of the API.
    pub objects: Objects,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            network_usage: Family::default(),
            subnet_usage: Family::default(),
            allocations: Mutex::default(),
            allocation_seconds: Family::new_with_constructor(seconds),
            exhausted: Family::default(),
            leading: Family::default(),
            requests: Family::default(),
            reconcile_seconds: Family::new_with_constructor(seconds),
            reconcile_errors: Family::default(),
            queue: Family::default(),
            events_dropped: Counter::default(),
            set_aside: Gauge::default(),
            conflicts: Gauge::default(),
            leaks: Leaks::default(),
            objects: Objects::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("ip_usage", "Addresses of a Network", self.network_usage.clone());
        r.register(
            "subnet_ip_usage",
            "Addresses of a Subnet",
            self.subnet_usage.clone(),
        );
        r.register(
            "leader_election_master_status",
            "1 while leading",
            self.leading.clone(),
        );
        r.register_collector(Box::new(process::Process));
        let r = r.sub_registry_with_prefix("hybridnet_manager");
        r.register(
            "allocation_seconds",
            "From the decision to the last address in the API",
            self.allocation_seconds.clone(),
        );
        r.register(
            "pool_exhausted",
            "Allocations refused because no address was free",
            self.exhausted.clone(),
        );
        r.register(
            "api_requests",
            "Requests to the API server; code 0 means no answer",
            self.requests.clone(),
        );
        r.register(
            "reconcile_seconds",
            "Time of one reconcile",
            self.reconcile_seconds.clone(),
        );
        r.register(
            "reconcile_errors",
            "Reconciles that will be tried again",
            self.reconcile_errors.clone(),
        );
        r.register(
            "queue_depth",
            "Objects that wait for their controller",
            self.queue.clone(),
        );
        r.register(
            "events_dropped",
            "Events that were not published",
            self.events_dropped.clone(),
        );
        r.register(
            "addresses_set_aside",
            "Records of addresses that are not used because they clash",
            self.set_aside.clone(),
        );
        r.register(
            "subnets_conflicting",
            "Subnets that are not used because they overlap with an older one",
            self.conflicts.clone(),
        );
        self.leaks.register(r);
        self.objects.register(r);
    }

    /// Shows the addresses of a Network; the third number is what both families have free.
    pub fn set_network_usage(&self, network: &str, ipv4: Usage, ipv6: Usage, dual_stack_available: i64) {
        for (family, usage) in [("ipv4", ipv4), ("ipv6", ipv6)] {
            for (kind, number) in usage.parts() {
                self.network_usage
                    .get_or_create(&network_labels(network, family, kind))
                    .set(number);
            }
        }
        let labels = network_labels(network, "dualstack", "available");
        self.network_usage
            .get_or_create(&labels)
            .set(dual_stack_available);
    }

    /// Forgets a deleted Network.
    pub fn remove_network(&self, network: &str) {
        for family in ["ipv4", "ipv6", "dualstack"] {
            for (kind, _) in Usage::default().parts() {
                self.network_usage.remove(&network_labels(network, family, kind));
            }
        }
    }

    /// Shows the addresses of a Subnet.
    pub fn set_subnet_usage(&self, network: &str, subnet: &str, usage: Usage) {
        for (kind, number) in usage.parts() {
            self.subnet_usage
                .get_or_create(&subnet_labels(network, subnet, kind))
                .set(number);
        }
    }

    /// Forgets a deleted Subnet.
    pub fn remove_subnet(&self, network: &str, subnet: &str) {
        for (kind, _) in Usage::default().parts() {
            self.subnet_usage.remove(&subnet_labels(network, subnet, kind));
        }
    }

    /// Counts one allocation for a pod.
    pub fn allocation(&self, kind: AllocateType, success: bool, took: Duration) {
        let mut summaries = self.allocations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(summary) = summaries
            .get_mut(kind as usize)
            .and_then(|row| row.get_mut(usize::from(success)))
        {
            summary.observe(Instant::now(), took);
        }
        let success = if success { "true" } else { "false" };
        let labels = AllocationLabels {
            allocation: kind.as_str(),
            success,
        };
        self.allocation_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// Counts an allocation that found no free address.
    pub fn pool_exhausted(&self, network: &str) {
        self.exhausted
            .get_or_create(&NetworkLabel {
                network: network.to_owned(),
            })
            .inc();
    }

    /// Shows whether we lead by the lease `name`.
    pub fn set_leading(&self, name: &'static str, leading: bool) {
        self.leading
            .get_or_create(&NameLabel { name })
            .set(i64::from(leading));
    }

    /// Counts a request to the API server.
    pub fn api_request(&self, verb: &str, code: u16) {
        let labels = RequestLabels {
            verb: verb.to_owned(),
            code,
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// Counts one reconcile.
    pub fn reconciled(&self, controller: &'static str, took: Duration, failed: bool) {
        let labels = ControllerLabel { controller };
        self.reconcile_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        if failed {
            self.reconcile_errors.get_or_create(&labels).inc();
        }
    }

    /// Shows how many objects wait for a controller.
    pub fn set_queue_depth(&self, controller: &'static str, depth: usize) {
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        self.queue
            .get_or_create(&ControllerLabel { controller })
            .set(depth);
    }

    /// Counts an event that nobody will read.
    pub fn event_dropped(&self) {
        self.events_dropped.inc();
    }

    /// Shows how many records of addresses clash.
    pub fn set_addresses_set_aside(&self, number: usize) {
        self.set_aside.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Shows how many Subnets are not used because of an older one.
    pub fn set_subnets_conflicting(&self, number: usize) {
        self.conflicts.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Everything in the `OpenMetrics` text format.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode_registry(&mut page, &self.registry)?;
        self.encode_allocations(&mut page)?;
        text::encode_eof(&mut page)?;
        Ok(page)
    }

    fn encode_allocations(&self, page: &mut String) -> std::fmt::Result {
        const NAME: &str = "ip_allocation_period";
        writeln!(
            page,
            "# HELP {NAME} Time of an allocation in nanoseconds.\n# TYPE {NAME} summary"
        )?;
        let mut summaries = self.allocations.lock().unwrap_or_else(PoisonError::into_inner);
        for (kind, row) in AllocateType::ALL.into_iter().zip(summaries.iter_mut()) {
            for (success, summary) in ["false", "true"].into_iter().zip(row.iter_mut()) {
                let labels = format!("allocateType=\"{}\",success=\"{success}\"", kind.as_str());
                summary.encode(page, NAME, &labels, Instant::now())?;
            }
        }
        Ok(())
    }
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

fn network_labels(network: &str, family: &'static str, usage: &'static str) -> NetworkUsageLabels {
    NetworkUsageLabels {
        networkName: network.to_owned(),
        ipFamily: family,
        usageType: usage,
    }
}

fn subnet_labels(network: &str, subnet: &str, usage: &'static str) -> SubnetUsageLabels {
    SubnetUsageLabels {
        subnetName: subnet.to_owned(),
        networkName: network.to_owned(),
        usageType: usage,
    }
}

#[cfg(test)]
mod tests;
