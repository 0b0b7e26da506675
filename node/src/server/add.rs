//! ADD, step by step (datapath spec 2.5).

use std::sync::Arc;

use hybridnet_api::cni::{AddResponse, PodRequest};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::endpoint::{self, Wanted};
use super::metrics::{Clock, Phase};
use super::{Cluster, CniServer, PodFacts, Prepared, Refusal, sandbox, turn_of};
use crate::pod::{self, Endpoint, PodNetwork, Sandbox, Timing};

impl<C: Cluster, N: PodNetwork> CniServer<C, N> {
    /// Gives a pod its network and says what it is. Dropped while it waits it leaves nothing; dropped while the
    /// network is made, the network is removed again.
    pub(super) async fn add(self: Arc<Self>, request: PodRequest) -> Result<AddResponse, Refusal> {
        let sandbox = sandbox(&request);
        let outcome = self.clone().add_to(&sandbox, &request).await;
        self.metrics.count("add", outcome.is_ok());
        let Sandbox {
            namespace,
            name: pod,
            container_id: sandbox,
            ..
        } = &sandbox;
        if let Err(error) = &outcome {
            warn!(namespace, pod, sandbox, %error, "pod not added");
        }
        outcome
    }

    async fn add_to(
        self: Arc<Self>,
        sandbox: &Sandbox,
        request: &PodRequest,
    ) -> Result<AddResponse, Refusal> {
        let (deadline, mut clock) = (Instant::now() + self.options.add_limit, self.metrics.start());
        check(request)?;
        // What the runtime got wrong is told at once, not after the wait.
        self.network.verify(sandbox).map_err(Refusal::SetUp)?;

        let PodFacts { uid, family } = self.pod(sandbox, request, deadline).await?;
        clock.ended(Phase::Pod);
        let expected = family.families().len();
        let instances = self.cluster.addresses(sandbox, &uid, expected, deadline).await?;
        clock.ended(Phase::Address);
        let wanted = endpoint::of(&instances)?;
        if self.options.annotate_for_felix {
            self.annotate(sandbox, &uid, &wanted, deadline).await?;
        }
        let prepared = self
            .cluster
            .ready(&wanted.network, &wanted.ips(), deadline)
            .await?;
        clock.ended(Phase::Ready);

        let timing = self.wire(sandbox, &wanted, prepared).await?;
        self.told(sandbox, uid, &wanted, clock, timing);
        Ok(AddResponse {
            address: Some(wanted.to_wire()),
            host_interface: sandbox.host_link.clone(),
            error: String::new(),
        })
    }

    async fn pod(
        &self,
        sandbox: &Sandbox,
        request: &PodRequest,
        deadline: Instant,
    ) -> Result<PodFacts, Refusal> {
        let (namespace, pod) = (sandbox.namespace.clone(), sandbox.name.clone());
        let facts = match self.cluster.pod(&namespace, &pod, deadline).await {
            Ok(facts) => facts,
            Err(source) => {
                return Err(Refusal::Pod {
                    namespace,
                    pod,
                    source,
                });
            }
        };
        if !request.pod_uid.is_empty() && request.pod_uid != facts.uid {
            let (wanted, found) = (request.pod_uid.clone(), facts.uid);
            return Err(Refusal::Replaced {
                namespace,
                pod,
                wanted,
                found,
            });
        }
        Ok(facts)
    }

    async fn annotate(
        &self,
        sandbox: &Sandbox,
        uid: &str,
        wanted: &Wanted,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let addresses: Vec<_> = wanted
            .ips()
            .iter()
            .map(|address| address.ip().to_string())
            .collect();
        let outcome = self
            .cluster
            .annotate(sandbox, uid, &addresses.join(","), deadline)
            .await;
        outcome.map_err(|source| Refusal::Annotate {
            namespace: sandbox.namespace.clone(),
            pod: sandbox.name.clone(),
            source,
        })
    }

    /// The work in the kernel is a task of its own: a request whose plugin was killed is dropped at any point,
    /// the task is not, and ends with a network or without one.
    async fn wire(
        self: &Arc<Self>,
        sandbox: &Sandbox,
        wanted: &Wanted,
        prepared: Prepared,
    ) -> Result<Timing, Refusal> {
        let endpoint = Endpoint {
            mac: wanted.mac,
            mtu: prepared.mtu,
            addresses: wanted.ips(),
            uplink: prepared.uplink,
        };
        let (answer, answered) = oneshot::channel();
        tokio::spawn(self.clone().make(sandbox.clone(), endpoint, answer));
        match answered.await {
            Ok(outcome) => outcome.map_err(Refusal::SetUp),
            Err(_) => Err(Refusal::GoingAway),
        }
    }

    async fn make(
        self: Arc<Self>,
        sandbox: Sandbox,
        endpoint: Endpoint,
        answer: oneshot::Sender<Result<Timing, pod::Error>>,
    ) {
        let _turn = self.busy.turn(turn_of(&sandbox)).await;
        if answer.is_closed() {
            return;
        }
        let outcome = self.network.set_up(&sandbox, &endpoint).await;
        let Err(Ok(_)) = answer.send(outcome) else { return };
        info!(
            namespace = sandbox.namespace,
            pod = sandbox.name,
            "nobody waits for the pod any more, undone"
        );
        if let Err(error) = self.network.take_down(&sandbox).await {
            warn!(link = sandbox.host_link, %error, "link stays until the next attempt");
        }
    }

    /// The status is for people who look; the pod does not wait for it.
    fn told(self: Arc<Self>, sandbox: &Sandbox, uid: String, wanted: &Wanted, clock: Clock, timing: Timing) {
        self.metrics.observe(Phase::Wire, timing.wired.as_secs_f64());
        self.metrics.observe(Phase::Ping, timing.answered.as_secs_f64());
        let seconds = clock.done();
        let addresses: Vec<_> = wanted.ips().iter().map(ToString::to_string).collect();
        let Sandbox {
            namespace, name: pod, ..
        } = sandbox;
        info!(
            namespace,
            pod,
            ?addresses,
            link = sandbox.host_link,
            seconds,
            "pod added"
        );
        if self.options.update_status {
            let sandbox = sandbox.clone();
            tokio::spawn(async move { self.cluster.report(&sandbox, &uid).await });
        }
    }
}

fn check(request: &PodRequest) -> Result<(), Refusal> {
    let fields = [
        ("pod_name", &request.pod_name),
        ("pod_namespace", &request.pod_namespace),
        ("net_ns", &request.net_ns),
    ];
    match fields.iter().find(|(_, value)| value.is_empty()) {
        Some((field, _)) => Err(Refusal::Incomplete(field)),
        None => Ok(()),
    }
}
