//! The controller of `IPInstance`s: lets go of those that nobody needs (control-plane spec 4.6).
//!
//! An address is free when its object is gone from the API, and the allocator learns that from the watch,
//! not from here. What is done here is to take the finalizer away once the object is being deleted, and
//! to delete the object of a pod that is gone.
//!
//! The garbage collector deletes the latter too, but it is slow when many pods end. It is safe not to
//! wait for it: objects are made for pods that we see only, so a pod that we do not see any more, by its
//! UID, is gone from the API, and the kubelet lets a pod go only when its sandbox is no more. The UID of
//! the object is a precondition of the deletion.

use std::sync::{Arc, Mutex, PoisonError};

use hybridnet_api::IpInstance;
use hybridnet_api::names::{finalizer, reason};
use kube::Resource;
use kube::api::{DeleteParams, Preconditions};
use tracing::{info, warn};

use crate::context::{Context, WriteError, is_not_found, without_finalizer};
use crate::events::source;
use crate::ip_instance::trouble::{Said, Trouble, trouble};
use crate::queue::Outcome;
use crate::world::State;
use crate::world::pod::Pod;
use crate::world::store::Key;

pub mod trouble;

/// What is to be done about one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Delete,
    LetGo,
}

/// The controller.
#[derive(Debug)]
pub struct IpInstances {
    context: Context,
    said: Mutex<Said>,
}

impl IpInstances {
    /// For this manager.
    pub fn new(context: &Context) -> Self {
        Self {
            context: Context {
                announcer: context.announcer.of(source::IP_INSTANCE),
                ..context.clone()
            },
            said: Mutex::default(),
        }
    }

    /// Looks at one object.
    pub async fn reconcile(self: Arc<Self>, key: Key) -> Result<Outcome, WriteError> {
        let seen = self.context.world.with(|state| {
            let instance = state.ip_instances.get(&key)?.clone();
            let step = step(&instance, pod_of(state, &key, &instance).as_deref());
            Some((step, trouble(state, &instance), instance))
        });
        let Some((step, trouble, instance)) = seen else {
            self.news(&key, None);
            return Ok(Outcome::Done);
        };
        if let Some(trouble) = self.news(&key, trouble.as_ref()) {
            warn!(object = %key, %trouble, "out of order");
            self.context
                .announcer
                .warning(instance.as_ref(), reason::INVALID_SPEC, trouble.to_string());
        }
        match step {
            Step::Nothing => {}
            Step::Delete => delete(&self.context, &instance).await?,
            Step::LetGo => let_go(&self.context, &key, &instance).await?,
        }
        Ok(Outcome::Done)
    }

    fn news<'a>(&self, key: &Key, trouble: Option<&'a Trouble>) -> Option<&'a Trouble> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let news = said.take(key, trouble);
        self.context
            .metrics
            .objects
            .set_invalid("IPInstance", said.count());
        news
    }
}

/// Deletes an object; if it is gone already, or another one has its name by now, that is well.
pub async fn delete(context: &Context, instance: &Arc<IpInstance>) -> Result<(), WriteError> {
    let conditions = Preconditions {
        uid: instance.metadata.uid.clone(),
        resource_version: None,
    };
    delete_if(context, instance, conditions).await.map(|_| ())
}

/// Deletes an object if nobody has changed it meanwhile. Says whether it did.
pub async fn delete_unchanged(context: &Context, instance: &IpInstance) -> Result<bool, WriteError> {
    let conditions = Preconditions {
        uid: instance.metadata.uid.clone(),
        resource_version: instance.metadata.resource_version.clone(),
    };
    delete_if(context, instance, conditions).await
}

async fn delete_if(
    context: &Context,
    instance: &IpInstance,
    conditions: Preconditions,
) -> Result<bool, WriteError> {
    let key = Key::of(instance);
    info!(object = %key, ip = instance.spec.address.ip, "deleting");
    let options = DeleteParams {
        preconditions: Some(conditions),
        ..DeleteParams::default()
    };
    let api = context.in_namespace::<IpInstance>(&key.namespace);
    match api.delete(&key.name, &options).await {
        Ok(answer) => {
            if let Some(object) = answer.left() {
                context.world.learn(object);
            }
            Ok(true)
        }
        Err(error) if is_not_found(&error) || is_conflict(&error) => Ok(false),
        Err(error) => Err(WriteError::new::<IpInstance>("delete", &key, error)),
    }
}

async fn let_go(context: &Context, key: &Key, instance: &IpInstance) -> Result<(), WriteError> {
    let Some(patch) = without_finalizer(instance, finalizer::IP_ALLOCATED) else {
        return Ok(());
    };
    let api = context.in_namespace::<IpInstance>(&key.namespace);
    context.patch(&api, key, &patch).await
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

/// The pod that the object is bound to, if it is still there.
fn pod_of(state: &State, key: &Key, instance: &IpInstance) -> Option<Arc<Pod>> {
    let binding = instance.spec.binding.as_ref()?;
    let pod = state.pod(&Key {
        namespace: key.namespace.clone(),
        name: binding.pod_name.clone(),
    });
    pod.filter(|pod| pod.uid() == binding.pod_uid)
}

/// `pod` is the one that the object is bound to.
fn step(instance: &IpInstance, pod: Option<&Pod>) -> Step {
    if instance.meta().deletion_timestamp.is_some() {
        // Deleted together with its pod, or by the garbage collector with its workload, or by hand, it may be
        // marked long before the pod has ended: another pod must not get the address while this one runs.
        let needed = pod.is_some_and(|pod| runs_with(pod, instance));
        let held = instance
            .meta()
            .finalizers
            .iter()
            .flatten()
            .any(|one| one == finalizer::IP_ALLOCATED);
        return if held && !needed {
            Step::LetGo
        } else {
            Step::Nothing
        };
    }
    let Some(binding) = &instance.spec.binding else {
        return Step::Nothing;
    };
    let plain = binding.referred_object.kind == "Pod" && !binding.pod_uid.is_empty();
    if plain && pod.is_none() {
        Step::Delete
    } else {
        Step::Nothing
    }
}

/// Whether the pod's network has been made with the address, and is still there.
fn runs_with(pod: &Pod, instance: &IpInstance) -> bool {
    let status = instance.status.as_ref();
    let made = !pod.status.pod_ip.is_empty() || status.is_some_and(|status| !status.sandbox_id.is_empty());
    pod.runs() || made && !pod.is_terminating() && !pod.has_ended()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{instance, pod};

    #[test]
    fn the_object_of_a_plain_pod_that_is_gone_is_deleted() {
        let bound = instance("ns", "10.0.0.2").pod("p").build();

        assert_eq!(step(&bound, None), Step::Delete);
        assert_eq!(step(&bound, Some(&pod("p").build())), Step::Nothing);
    }

    #[test]
    fn the_object_of_a_workload_and_one_that_nobody_has_stay() {
        let mut stateful = instance("ns", "10.0.0.2").pod("p").build();
        stateful.spec.binding.as_mut().unwrap().referred_object.kind = "StatefulSet".to_owned();

        assert_eq!(step(&stateful, None), Step::Nothing);
        assert_eq!(step(&instance("ns", "10.0.0.2").build(), None), Step::Nothing);
    }

    #[test]
    fn an_object_that_is_being_deleted_is_let_go_when_its_pod_has_ended() {
        let dying = instance("ns", "10.0.0.2").pod("p").terminating().build();
        let ending = pod("p").on("n").terminating();

        assert_eq!(
            step(&dying, Some(&ending.clone().container(true).build())),
            Step::Nothing
        );
        assert_eq!(step(&dying, Some(&ending.container(false).build())), Step::LetGo);
        assert_eq!(step(&dying, None), Step::LetGo);
    }

    #[test]
    fn an_object_that_is_deleted_under_a_running_pod_is_held_until_that_has_ended() {
        let dying = instance("ns", "10.0.0.2").pod("p").terminating().build();
        let begun = pod("p").on("n");
        let crashing = begun.clone().with_address("10.0.0.2").container(false);

        assert_eq!(step(&dying, Some(&begun.clone().build())), Step::LetGo);
        assert_eq!(step(&dying, Some(&begun.container(true).build())), Step::Nothing);
        assert_eq!(step(&dying, Some(&crashing.clone().build())), Step::Nothing);
        assert_eq!(
            step(&dying, Some(&crashing.clone().phase("Failed", "Error").build())),
            Step::LetGo
        );
        assert_eq!(step(&dying, Some(&crashing.terminating().build())), Step::LetGo);
    }

    #[test]
    fn an_object_without_our_finalizer_is_not_ours_to_let_go() {
        let mut dying = instance("ns", "10.0.0.2").pod("p").terminating().build();
        dying.metadata.finalizers = Some(vec!["theirs".to_owned()]);

        assert_eq!(step(&dying, None), Step::Nothing);
    }
}
