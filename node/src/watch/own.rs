//! The addresses of this node's pods, and waiting for them: an ADD that comes before its addresses sleeps here
//! and is woken by the watch (design: one pod's way).

use std::sync::Arc;

use hybridnet_api::IpInstance;
use hybridnet_api::names::label;
use kube::ResourceExt;
use tokio::time::{Instant, timeout_at};

use super::cache::{Cache, Store};

/// The `IPInstance`s that are labelled with this node. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct OwnInstances(Cache<IpInstance>);

/// A pod's addresses did not appear in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to wait for pod {namespace}/{pod} to be coupled with ip, expect {expected} and get {got}: \
     look for events of the pod and whether hybridnet-manager runs"
)]
pub struct WaitError {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// How many addresses the pod needs.
    pub expected: usize,
    /// How many it has.
    pub got: usize,
}

impl OwnInstances {
    /// The copy itself.
    pub fn cache(&self) -> &Cache<IpInstance> {
        &self.0
    }

    /// The live addresses that are bound to the pod with that UID, IPv4 first.
    pub fn of_pod(&self, namespace: &str, uid: &str) -> Vec<Arc<IpInstance>> {
        of_pod(&self.0.subscribe().borrow(), namespace, uid)
    }

    /// Waits until the pod has `expected` addresses, at most until `deadline`.
    pub async fn wait_for(
        &self,
        namespace: &str,
        pod: &str,
        uid: &str,
        expected: usize,
        deadline: Instant,
    ) -> Result<Vec<Arc<IpInstance>>, WaitError> {
        let mut store = self.0.subscribe();
        let complete = store.wait_for(|store| of_pod(store, namespace, uid).len() >= expected);
        // Both errors mean that it is not there: the time is over, or the feed has gone.
        let _ = timeout_at(deadline, complete).await;
        let found = self.of_pod(namespace, uid);
        if found.len() < expected {
            let (namespace, pod) = (namespace.to_owned(), pod.to_owned());
            return Err(WaitError {
                namespace,
                pod,
                expected,
                got: found.len(),
            });
        }
        Ok(found)
    }
}

fn of_pod(store: &Store<IpInstance>, namespace: &str, uid: &str) -> Vec<Arc<IpInstance>> {
    let mut found: Vec<_> = store
        .of_namespace(namespace)
        .filter(|instance| instance.metadata.deletion_timestamp.is_none())
        .filter(|instance| instance.labels().get(label::POD_UID).is_some_and(|of| of == uid))
        .cloned()
        .collect();
    found.sort_by_key(|instance| instance.spec.ip().is_none_or(|ip| ip.is_ipv6()));
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use kube::runtime::watcher::Event;

    use super::*;

    fn instance(name: &str, ip: &str, uid: &str) -> IpInstance {
        let mut instance = IpInstance::new(name, hybridnet_api::IpInstanceSpec::default());
        instance.metadata.namespace = Some("default".into());
        instance.labels_mut().insert(label::POD_UID.into(), uid.into());
        instance.spec.address.ip = ip.into();
        instance
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test(start_paused = true)]
    async fn an_add_that_comes_first_is_woken_by_the_watch() {
        let own = OwnInstances::default();
        let waiting = tokio::spawn({
            let own = own.clone();
            async move {
                (
                    own.wait_for("default", "web-0", "u1", 2, soon()).await,
                    Instant::now(),
                )
            }
        });
        let before = Instant::now();
        tokio::task::yield_now().await;

        own.cache().apply(Event::Apply(instance("b", "fd00::5/64", "u1")));
        tokio::task::yield_now().await;
        own.cache()
            .apply(Event::Apply(instance("a", "10.0.0.5/24", "u1")));

        let (found, at) = waiting.await.unwrap();
        let ips: Vec<_> = found
            .unwrap()
            .iter()
            .map(|instance| instance.spec.address.ip.clone())
            .collect();
        assert_eq!(ips, ["10.0.0.5/24", "fd00::5/64"]);
        assert_eq!(at, before, "no timer had to fire");
    }

    #[tokio::test(start_paused = true)]
    async fn other_pods_other_namespaces_and_dying_objects_do_not_count() {
        let own = OwnInstances::default();
        let mut dying = instance("a", "10.0.0.5/24", "u1");
        dying.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        let mut elsewhere = instance("b", "10.0.0.6/24", "u1");
        elsewhere.metadata.namespace = Some("default2".into());
        for object in [dying, elsewhere, instance("c", "10.0.0.7/24", "u2")] {
            own.cache().apply(Event::Apply(object));
        }

        let error = own
            .wait_for("default", "web-0", "u1", 1, soon())
            .await
            .unwrap_err();

        let said = "failed to wait for pod default/web-0 to be coupled with ip, expect 1 and get 0";
        assert!(error.to_string().starts_with(said), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_dual_stack_pod_is_not_enough() {
        let own = OwnInstances::default();
        own.cache()
            .apply(Event::Apply(instance("a", "10.0.0.5/24", "u1")));

        let error = own
            .wait_for("default", "web-0", "u1", 2, soon())
            .await
            .unwrap_err();

        assert_eq!((error.expected, error.got), (2, 1));
    }
}
