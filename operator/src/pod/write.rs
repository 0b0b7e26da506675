//! Writing the objects of a reservation: one request an address, and certainty about each.

use std::net::IpAddr;

use futures::future::join_all;
use hybridnet_api::IpInstance;
use hybridnet_ipam::Reservation;
use kube::api::PostParams;
use kube::{Resource, ResourceExt};

use crate::context::{Context, WriteError};
use crate::world::store::Key;

/// Addresses that are held for a pod, and the objects that shall record them. It is kept until it is
/// known of each object whether it exists: an address that may have an object is not free.
#[derive(Debug)]
pub struct Plan {
    /// UID of the pod.
    pub uid: String,
    /// Holds the addresses.
    pub reservation: Reservation,
    /// In the order of the reservation's addresses.
    pub objects: Vec<Planned>,
}

/// One object of a [`Plan`].
#[derive(Debug)]
pub struct Planned {
    /// What is to be written.
    pub object: IpInstance,
    /// What has become of it.
    pub fate: Fate,
}

/// What became of an attempt to create an object.
#[derive(Debug)]
pub enum Fate {
    /// Not attempted, or no clear answer yet.
    Open,
    /// It exists, for this pod.
    Written,
    /// Another pod has the object of the name, or there is none and will be none.
    NotOurs,
    /// The server will not have it.
    Refused(WriteError),
}

impl Plan {
    /// Nothing is written yet.
    pub fn new(uid: &str, reservation: Reservation, objects: Vec<IpInstance>) -> Self {
        let objects = objects.into_iter().map(|object| Planned {
            object,
            fate: Fate::Open,
        });
        Self {
            uid: uid.to_owned(),
            reservation,
            objects: objects.collect(),
        }
    }

    /// Where the addresses come from.
    pub fn network(&self) -> String {
        let first = self.reservation.addresses().first();
        first.map(|address| address.network.clone()).unwrap_or_default()
    }

    /// The addresses, without prefix lengths.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.reservation
            .addresses()
            .iter()
            .map(|address| address.ip)
            .collect()
    }

    /// The addresses that have an object now.
    pub fn written(&self) -> Vec<IpAddr> {
        let pairs = self.addresses().into_iter().zip(&self.objects);
        pairs
            .filter(|(_, planned)| matches!(planned.fate, Fate::Written))
            .map(|(ip, _)| ip)
            .collect()
    }

    /// Names of the objects that exist now.
    pub fn written_keys(&self) -> Vec<Key> {
        let written = self
            .objects
            .iter()
            .filter(|planned| matches!(planned.fate, Fate::Written));
        written.map(|planned| Key::of(&planned.object)).collect()
    }

    /// Creates what is not yet known to exist, all at once. An error means that something stays open.
    pub async fn write(&mut self, context: &Context) -> Result<(), WriteError> {
        self.settle_each(context, create).await
    }

    /// Finds out what exists, and creates nothing: the pod is gone.
    pub async fn find(&mut self, context: &Context) -> Result<(), WriteError> {
        self.settle_each(context, |context, object| async move {
            Ok(look(context, object).await?.unwrap_or(Fate::NotOurs))
        })
        .await
    }

    async fn settle_each<'a, F, Fut>(&'a mut self, context: &'a Context, attempt: F) -> Result<(), WriteError>
    where
        F: Fn(&'a Context, &'a IpInstance) -> Fut,
        Fut: Future<Output = Result<Fate, WriteError>>,
    {
        let open = self
            .objects
            .iter_mut()
            .filter(|planned| matches!(planned.fate, Fate::Open));
        let attempts = open.map(|Planned { object, fate }| {
            let attempt = attempt(context, object);
            async move {
                *fate = attempt.await?;
                Ok(())
            }
        });
        join_all(attempts).await.into_iter().collect()
    }
}

async fn create(context: &Context, object: &IpInstance) -> Result<Fate, WriteError> {
    let key = Key::of(object);
    let api = context.in_namespace::<IpInstance>(&key.namespace);
    match api.create(&PostParams::default(), object).await {
        Ok(created) => {
            context.world.learn(created);
            Ok(Fate::Written)
        }
        Err(error) if code(&error) == Some(409) => match look(context, object).await? {
            Some(fate) => Ok(fate),
            // It has just gone: the next attempt will do.
            None => Err(WriteError::new::<IpInstance>("create", &key, error)),
        },
        Err(error) => {
            let refused =
                code(&error).is_some_and(|code| (400..500).contains(&code) && !matches!(code, 408 | 429));
            let error = WriteError::new::<IpInstance>("create", &key, error);
            // Anything else may have been carried out for all we know.
            if refused {
                Ok(Fate::Refused(error))
            } else {
                Err(error)
            }
        }
    }
}

/// Whose the object of a name is; nothing when there is none.
async fn look(context: &Context, object: &IpInstance) -> Result<Option<Fate>, WriteError> {
    let key = Key::of(object);
    let api = context.in_namespace::<IpInstance>(&key.namespace);
    let found = api.get_opt(&key.name).await;
    let found = found.map_err(|error| WriteError::new::<IpInstance>("get", &key, error))?;
    Ok(found.map(|found| {
        let uid = |object: &IpInstance| {
            object
                .spec
                .binding
                .as_ref()
                .map(|binding| binding.pod_uid.clone())
        };
        let ours = uid(&found) == uid(object) && found.meta().deletion_timestamp.is_none();
        let fate = if ours { Fate::Written } else { Fate::NotOurs };
        tracing::debug!(object = found.name_any(), ours, "the name was taken");
        context.world.learn(found);
        fate
    }))
}

fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts: Vec<_> = self.addresses().iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(", "))
    }
}
