//! The watches of a manager: each kind at its own pace, in order, beginning with a list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hybridnet_api::{IpInstance, Network, Subnet};
use kube::runtime::watcher::Event;
use serde_json::Value;

use super::mutation::Mutation;
use super::resource::{Resource, key_of};
use super::server::{News, Server, is_marked};
use crate::world::pod::Pod;
use crate::world::{Kind, Namespace, Node, World};

/// How far one watch has come.
#[derive(Debug)]
enum Feed {
    /// To be listed.
    Unlisted,
    /// The server has answered with these objects, and its news will go on from there.
    Listed(Vec<Arc<Value>>, usize),
    /// So many news have been told.
    Following(usize),
}

/// See the module.
#[derive(Debug)]
pub struct Feeds {
    by_kind: BTreeMap<Resource, Feed>,
    /// Whether everything has been listed once.
    pub started: bool,
    /// What the watches of these leave open is not settled yet.
    doubted: BTreeSet<Resource>,
    mutation: Option<Mutation>,
}

impl Feeds {
    /// Nothing has been heard yet.
    pub fn new(mutation: Option<Mutation>) -> Self {
        Self {
            by_kind: Resource::WATCHED
                .map(|resource| (resource, Feed::Unlisted))
                .into(),
            started: false,
            doubted: BTreeSet::new(),
            mutation,
        }
    }

    /// Kinds of which there are news that have not been heard.
    pub fn unheard(&self, server: &Server) -> Vec<Resource> {
        let unheard = |resource: Resource, feed: &Feed| match feed {
            Feed::Unlisted | Feed::Listed(..) => true,
            Feed::Following(told) => *told < server.news(resource).len(),
        };
        let feeds = self.by_kind.iter();
        feeds
            .filter(|(resource, feed)| unheard(**resource, feed))
            .map(|(resource, _)| *resource)
            .collect()
    }

    /// Tells the next news of a kind. Says what it was.
    pub fn hear(&mut self, resource: Resource, server: &Server, world: &World) -> String {
        let Some(feed) = self.by_kind.get_mut(&resource) else {
            return String::new();
        };
        match feed {
            Feed::Unlisted => {
                tell(world, resource, Event::Init);
                let listed = match self.mutation {
                    Some(Mutation::ListsStale) => stale(server.news(resource)),
                    _ => server.list(resource).cloned().collect(),
                };
                *feed = Feed::Listed(listed, server.news(resource).len());
                "asks for a list".to_owned()
            }
            Feed::Listed(objects, told) => {
                let count = objects.len();
                for object in objects.drain(..) {
                    tell(world, resource, Event::InitApply(object));
                }
                tell(world, resource, Event::InitDone);
                *feed = Feed::Following(*told);
                let mut feeds = self.by_kind.values();
                self.started |= feeds.all(|feed| matches!(feed, Feed::Following(_)));
                format!("list of {count}")
            }
            Feed::Following(told) => {
                let Some(news) = server.news(resource).get(*told) else {
                    return String::new();
                };
                *told += 1;
                let mutation = self.mutation.filter(|_| resource == Resource::IpInstance);
                follow(resource, news, world, mutation)
            }
        }
    }

    /// Time passes: what a watch has left open twice is listed again, as in [`crate::run`].
    pub fn doubt(&mut self, world: &World) {
        for (resource, feed) in &mut self.by_kind {
            let doubted = matches!(feed, Feed::Following(_)) && is_in_doubt(world, *resource);
            if doubted && !self.doubted.insert(*resource) {
                *feed = Feed::Unlisted;
            }
            if !doubted || matches!(feed, Feed::Unlisted) {
                self.doubted.remove(resource);
            }
        }
    }

    /// A watch breaks: everything of the kind is listed again. Says whether there was one.
    pub fn relist(&mut self, resource: Resource) -> bool {
        match self.by_kind.get_mut(&resource) {
            Some(feed @ Feed::Following(_)) => {
                *feed = Feed::Unlisted;
                true
            }
            _ => false,
        }
    }
}

fn follow(resource: Resource, news: &News, world: &World, mutation: Option<Mutation>) -> String {
    let gone = match mutation {
        Some(Mutation::MissesDeletions) if news.gone => return "nothing".to_owned(),
        Some(Mutation::ReleasesOnRequest) => news.gone || is_marked(&news.object),
        _ => news.gone,
    };
    let object = news.object.clone();
    let said = format!("{} {}", if gone { "gone" } else { "now" }, key_of(&object));
    let event = if gone {
        Event::Delete(object)
    } else {
        Event::Apply(object)
    };
    tell(world, resource, event);
    said
}

fn tell(world: &World, resource: Resource, event: Event<Arc<Value>>) {
    match resource {
        Resource::Network => tell_as::<Network>(world, event),
        Resource::Subnet => tell_as::<Subnet>(world, event),
        Resource::IpInstance => tell_as::<IpInstance>(world, event),
        Resource::Node => tell_as::<Node>(world, event),
        Resource::Namespace => tell_as::<Namespace>(world, event),
        Resource::Pod => tell_as::<Pod>(world, event),
        Resource::StatefulSet | Resource::Lease => {}
    }
}

fn is_in_doubt(world: &World, resource: Resource) -> bool {
    match resource {
        Resource::Network => world.is_in_doubt::<Network>(),
        Resource::Subnet => world.is_in_doubt::<Subnet>(),
        Resource::IpInstance => world.is_in_doubt::<IpInstance>(),
        Resource::Node => world.is_in_doubt::<Node>(),
        Resource::Namespace => world.is_in_doubt::<Namespace>(),
        Resource::Pod => world.is_in_doubt::<Pod>(),
        Resource::StatefulSet | Resource::Lease => false,
    }
}

fn tell_as<K: Kind>(world: &World, event: Event<Arc<Value>>) {
    let read = |object: Arc<Value>| K::deserialize(object.as_ref()).expect("an object of its kind");
    world.feed(match event {
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(read(object)),
        Event::InitDone => Event::InitDone,
        Event::Apply(object) => Event::Apply(read(object)),
        Event::Delete(object) => Event::Delete(read(object)),
    });
}

/// The objects as they were some changes ago.
fn stale(news: &[News]) -> Vec<Arc<Value>> {
    let mut objects = BTreeMap::new();
    for news in news.iter().take(news.len().saturating_sub(3)) {
        let key = key_of(&news.object);
        if news.gone {
            objects.remove(&key);
        } else {
            objects.insert(key, news.object.clone());
        }
    }
    objects.into_values().collect()
}
