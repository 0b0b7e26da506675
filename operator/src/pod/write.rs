//! Writing the addresses of a pod: one request an object, and certainty about each.
//!
//! A new address is an object that is created; one that was kept is an object that is bound to the pod. In
//! either way it is known afterwards whether the pod has the object, or the write stays open until it is.

use std::net::IpAddr;
use std::sync::Arc;

use futures::future::join_all;
use hybridnet_api::IpInstance;
use hybridnet_ipam::Reservation;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};

use crate::context::{Context, WriteError};
use crate::pod::object;
use crate::pod::step::Instances;
use crate::world::store::Key;

/// The addresses that a pod is to have, and the objects that shall record them. It is kept until it is
/// known of each object what it says: an address that may have an object is not free.
#[derive(Debug)]
pub struct Plan {
    /// UID of the pod.
    pub uid: String,
    /// How the pod comes to its addresses, in one word.
    pub word: &'static str,
    /// Where the addresses are.
    pub network: String,
    /// Holds those that the pod does not own yet.
    pub reservation: Option<Reservation>,
    /// What is to be written, IPv4 first.
    pub pieces: Vec<Piece>,
    /// What the pod has and does not want: it goes when all is written.
    pub left: Instances,
}

/// One object of a [`Plan`].
#[derive(Debug)]
pub struct Piece {
    /// The address.
    pub ip: IpAddr,
    /// What is to be written.
    pub object: IpInstance,
    /// What is there; nothing for an object that is to be created.
    pub from: Option<Arc<IpInstance>>,
    /// What has become of it.
    pub fate: Fate,
}

/// What became of an attempt to write an object.
#[derive(Debug)]
pub enum Fate {
    /// Not attempted, or no clear answer yet.
    Open,
    /// It is there, for this pod.
    Written,
    /// Another pod has the object of the name, or there is none and will be none.
    NotOurs,
    /// What was there is not what we thought.
    Changed(WriteError),
    /// The server will not have it.
    Refused(WriteError),
}

impl Piece {
    /// Nothing is written yet.
    pub fn new(ip: IpAddr, object: IpInstance, from: Option<Arc<IpInstance>>) -> Self {
        Self {
            ip,
            object,
            from,
            fate: Fate::Open,
        }
    }

    /// Whether the pod has the object now.
    pub fn is_written(&self) -> bool {
        matches!(self.fate, Fate::Written)
    }
}

impl Plan {
    /// The addresses that have an object of the pod's now.
    pub fn written(&self) -> Vec<IpAddr> {
        let written = self.pieces.iter().filter(|piece| piece.is_written());
        written.map(|piece| piece.ip).collect()
    }

    /// Writes what is not yet known to be there, all at once. An error means that something stays open.
    pub async fn write(&mut self, context: &Context) -> Result<(), WriteError> {
        self.settle_each(context, |context, object, from| async move {
            match from {
                None => create(context, object).await,
                Some(from) => bind(context, from, object).await,
            }
        })
        .await
    }

    /// Finds out what is there, and writes nothing: the pod is gone.
    pub async fn find(&mut self, context: &Context) -> Result<(), WriteError> {
        self.settle_each(context, |context, object, _| async move {
            Ok(look(context, object).await?.unwrap_or(Fate::NotOurs))
        })
        .await
    }

    async fn settle_each<'a, F, Fut>(&'a mut self, context: &'a Context, attempt: F) -> Result<(), WriteError>
    where
        F: Fn(&'a Context, &'a IpInstance, Option<&'a IpInstance>) -> Fut,
        Fut: Future<Output = Result<Fate, WriteError>>,
    {
        let open = self
            .pieces
            .iter_mut()
            .filter(|piece| matches!(piece.fate, Fate::Open));
        let attempts = open.map(|piece| {
            let Piece {
                object, from, fate, ..
            } = piece;
            let attempt = attempt(context, object, from.as_deref());
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
            let error = WriteError::new::<IpInstance>("create", &key, error);
            settled(context, object, error).await
        }
    }
}

/// The patch carries the version that was seen: an object that is being deleted by now is not bound, and
/// neither is one that another pod has got.
async fn bind(context: &Context, from: &IpInstance, object: &IpInstance) -> Result<Fate, WriteError> {
    let Some(patch) = object::change(from, object) else {
        return Ok(Fate::Written);
    };
    let key = Key::of(object);
    let api = context.in_namespace::<IpInstance>(&key.namespace);
    let answer = api
        .patch(&key.name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    let error = match answer {
        Ok(bound) => {
            context.world.learn(bound);
            return Ok(Fate::Written);
        }
        Err(error) => error,
    };
    let conflict = code(&error) == Some(409);
    let gone = code(&error) == Some(404);
    let error = WriteError::new::<IpInstance>("bind", &key, error);
    if gone {
        return Ok(Fate::Changed(error));
    }
    if !conflict {
        return settled(context, object, error).await;
    }
    // Perhaps it was changed by an attempt of ours that was not answered.
    match look(context, object).await? {
        Some(Fate::Written) => Ok(Fate::Written),
        _ => Ok(Fate::Changed(error)),
    }
}

/// A refusal is certain of this attempt, and an earlier one may have been carried out without an answer. Anything
/// else may have been carried out for all we know.
async fn settled(context: &Context, object: &IpInstance, error: WriteError) -> Result<Fate, WriteError> {
    let refused =
        code(&error.source).is_some_and(|code| (400..500).contains(&code) && !matches!(code, 408 | 429));
    if !refused {
        return Err(error);
    }
    match look(context, object).await? {
        Some(Fate::Written) => Ok(Fate::Written),
        _ => Ok(Fate::Refused(error)),
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
        tracing::debug!(object = found.name_any(), ours, "looked for");
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
    /// The addresses, without prefix lengths.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts: Vec<_> = self.pieces.iter().map(|piece| piece.ip.to_string()).collect();
        f.write_str(&texts.join(", "))
    }
}
