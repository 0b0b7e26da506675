//! The latest known state of all objects of one kind, fed by one watch and by our own writes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use kube::Resource;
use kube::runtime::watcher::Event;

/// Namespace (empty for cluster-wide kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Empty for kinds without namespaces.
    pub namespace: String,
    /// Of the object.
    pub name: String,
}

impl Key {
    /// Of an object.
    pub fn of(object: &impl Resource) -> Self {
        let meta = object.meta();
        Self {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }

    /// Of an object of a kind without namespaces.
    pub fn cluster(name: &str) -> Self {
        Self {
            namespace: String::new(),
            name: name.to_owned(),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// What became of one object: at least one side is there.
#[derive(Debug)]
pub struct Change<K> {
    /// Before, unless the object is new.
    pub old: Option<Arc<K>>,
    /// After, unless the object is gone.
    pub new: Option<Arc<K>>,
}

impl<K> Change<K> {
    /// The object as it is, or as it was last.
    pub fn latest(&self) -> Option<&Arc<K>> {
        self.new.as_ref().or(self.old.as_ref())
    }
}

/// All objects of one kind.
///
/// A write of ours is [learnt](Self::learn) at once, so that we never act on what we know to be past.
/// Versions say which of two states is newer; the API server makes them comparable within a kind. Objects come
/// by their names, so that the same news have the same consequences each time.
#[derive(Debug)]
pub struct Store<K> {
    objects: BTreeMap<Key, Arc<K>>,
    /// Objects of a list under way.
    listed: Option<BTreeMap<Key, Arc<K>>>,
    /// The newest version that the watch has shown.
    watched: u64,
    /// Writes of ours that the watch has not shown yet.
    unseen: BTreeMap<Key, Unseen>,
    synced: bool,
}

/// The answer to a write of ours may be of an object that was gone before we began to list, of which no watch
/// will ever tell.
#[derive(Clone, Copy, Debug)]
struct Unseen {
    version: u64,
    /// Whether a list did not have it. Asked for earlier than the write, it need not.
    unlisted: bool,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            listed: None,
            watched: 0,
            unseen: BTreeMap::new(),
            synced: false,
        }
    }
}

impl<K: Resource> Store<K> {
    /// Takes in one event of the watch and says what changed.
    pub fn apply(&mut self, event: Event<K>) -> Vec<Change<K>> {
        match event {
            Event::Init => {
                self.listed = Some(BTreeMap::new());
                vec![]
            }
            Event::InitApply(object) => {
                self.watched = self.watched.max(version(&object));
                self.listed
                    .get_or_insert_default()
                    .insert(Key::of(&object), Arc::new(object));
                vec![]
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                self.synced = true;
                self.replace(listed)
            }
            Event::Apply(object) => {
                self.saw(&object);
                let change = self.put(object);
                change.into_iter().chain(self.passed()).collect()
            }
            Event::Delete(object) => {
                self.saw(&object);
                let change = self.remove(&object);
                change.into_iter().chain(self.passed()).collect()
            }
        }
    }

    /// Takes in the answer to a write of ours, which the watch may show later.
    pub fn learn(&mut self, object: K) -> Option<Change<K>> {
        // What the watch has already passed may be gone again by now: the watch knows better.
        if version(&object) <= self.watched {
            return None;
        }
        let (key, version) = (Key::of(&object), version(&object));
        let change = self.put(object)?;
        let unseen = Unseen {
            version,
            unlisted: false,
        };
        self.unseen.insert(key, unseen);
        Some(change)
    }

    /// Whether something may be gone of which the watch will tell only when it has other news, or after
    /// another list.
    pub fn is_in_doubt(&self) -> bool {
        self.unseen.values().any(|unseen| unseen.unlisted)
    }

    /// Whether the first list is complete.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Arc<K>> {
        self.objects.get(key)
    }

    /// All objects, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<K>> {
        self.objects.values()
    }

    /// The names of all objects, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.objects.keys()
    }

    fn saw(&mut self, object: &K) {
        let version = version(object);
        self.watched = self.watched.max(version);
        let key = Key::of(object);
        if self
            .unseen
            .get(&key)
            .is_some_and(|unseen| unseen.version <= version)
        {
            self.unseen.remove(&key);
        }
    }

    /// Takes away what the watch has passed without showing it: it is gone.
    fn passed(&mut self) -> Vec<Change<K>> {
        let watched = self.watched;
        let passed = self.unseen.extract_if(.., |_, unseen| unseen.version < watched);
        let passed: Vec<_> = passed.collect();
        let gone = passed.into_iter().filter_map(|(key, unseen)| {
            let known = self.objects.get(&key)?;
            (version(known.as_ref()) == unseen.version).then(|| self.objects.remove(&key))
        });
        gone.map(|old| Change { old, new: None }).collect()
    }

    fn put(&mut self, object: K) -> Option<Change<K>> {
        let new = Arc::new(object);
        match self.objects.entry(Key::of(new.as_ref())) {
            Entry::Occupied(known) if version(known.get().as_ref()) >= version(new.as_ref()) => None,
            Entry::Occupied(mut known) => {
                let old = Some(known.insert(new.clone()));
                Some(Change { old, new: Some(new) })
            }
            Entry::Vacant(place) => {
                place.insert(new.clone());
                Some(Change {
                    old: None,
                    new: Some(new),
                })
            }
        }
    }

    fn remove(&mut self, object: &K) -> Option<Change<K>> {
        let key = Key::of(object);
        // A newer object of the name that we created ourselves outlives the news of the old one's end.
        if version(self.objects.get(&key)?.as_ref()) > version(object) {
            return None;
        }
        let old = self.objects.remove(&key);
        Some(Change { old, new: None })
    }

    fn replace(&mut self, listed: BTreeMap<Key, Arc<K>>) -> Vec<Change<K>> {
        let mut changes = vec![];
        let watched = self.watched;
        let unseen = &mut self.unseen;
        self.objects.retain(|key, old| {
            // A write of ours can be newer than the list, but not than a second one.
            let newer = version(old.as_ref()) > watched;
            let twice = unseen.get(key).is_some_and(|unseen| unseen.unlisted);
            let keep = listed.contains_key(key) || newer && !twice;
            if !keep {
                changes.push(Change {
                    old: Some(old.clone()),
                    new: None,
                });
            }
            keep
        });
        unseen.retain(|key, unseen| {
            unseen.unlisted = true;
            unseen.version > watched && !listed.contains_key(key) && self.objects.contains_key(key)
        });
        for (key, new) in listed {
            let old = self.objects.get(&key).cloned();
            if old
                .as_ref()
                .is_none_or(|old| version(old.as_ref()) < version(new.as_ref()))
            {
                self.objects.insert(key, new.clone());
                changes.push(Change { old, new: Some(new) });
            }
        }
        changes
    }
}

fn version(object: &impl Resource) -> u64 {
    let text = object.meta().resource_version.as_deref();
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::ObjectMeta;

    use super::*;

    fn object(name: &str, version: u64) -> Namespace {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        Namespace {
            metadata,
            ..Namespace::default()
        }
    }

    fn listed(objects: &[(&str, u64)]) -> Store<Namespace> {
        let mut store = Store::default();
        relist(&mut store, objects);
        store
    }

    fn relist(store: &mut Store<Namespace>, objects: &[(&str, u64)]) -> Vec<String> {
        store.apply(Event::Init);
        for (name, version) in objects {
            store.apply(Event::InitApply(object(name, *version)));
        }
        said(store.apply(Event::InitDone))
    }

    fn said(changes: Vec<Change<Namespace>>) -> Vec<String> {
        let side = |side: &Option<Arc<Namespace>>| side.as_ref().map_or(0, |object| version(object.as_ref()));
        let mut said: Vec<_> = changes
            .iter()
            .map(|change| {
                let name = change
                    .latest()
                    .map(|object| Key::of(object.as_ref()).name)
                    .unwrap_or_default();
                format!("{name}: {} -> {}", side(&change.old), side(&change.new))
            })
            .collect();
        said.sort();
        said
    }

    fn present(store: &Store<Namespace>) -> Vec<String> {
        let mut names: Vec<_> = store.keys().map(|key| key.name.clone()).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_changes_before_a_list_is_complete() {
        let mut store = Store::default();
        store.apply(Event::Init);

        assert!(store.apply(Event::InitApply(object("a", 1))).is_empty());

        assert!(!store.is_synced() && present(&store).is_empty());
        assert_eq!(said(store.apply(Event::InitDone)), ["a: 0 -> 1"]);
        assert!(store.is_synced());
    }

    #[test]
    fn a_new_list_reports_only_differences() {
        let mut store = listed(&[("same", 1), ("changed", 2), ("gone", 3)]);

        let changes = relist(&mut store, &[("same", 1), ("changed", 5), ("new", 6)]);

        assert_eq!(changes, ["changed: 2 -> 5", "gone: 3 -> 0", "new: 0 -> 6"]);
    }

    #[test]
    fn our_own_write_is_known_at_once_and_its_echo_is_no_change() {
        let mut store = listed(&[("a", 5)]);

        assert!(store.learn(object("b", 8)).is_some());

        assert_eq!(present(&store), ["a", "b"]);
        assert!(said(store.apply(Event::Apply(object("b", 8)))).is_empty());
    }

    #[test]
    fn an_answer_that_comes_after_its_objects_end_is_not_believed() {
        let mut store = listed(&[("a", 5)]);
        store.apply(Event::Apply(object("b", 8)));
        store.apply(Event::Delete(object("b", 9)));

        assert!(store.learn(object("b", 8)).is_none());

        assert_eq!(present(&store), ["a"]);
    }

    #[test]
    fn late_news_of_an_older_state_is_passed_over() {
        let mut store = listed(&[("a", 5)]);
        store.learn(object("a", 9));

        assert!(store.apply(Event::Apply(object("a", 7))).is_empty());
        assert!(store.apply(Event::Delete(object("a", 8))).is_empty());

        assert_eq!(present(&store), ["a"]);
    }

    #[test]
    fn a_write_of_ours_that_the_watch_passes_without_showing_it_is_gone() {
        let mut store = listed(&[("a", 5)]);
        store.learn(object("b", 8));
        relist(&mut store, &[("a", 5)]);
        assert!(store.is_in_doubt());

        assert_eq!(
            said(store.apply(Event::Apply(object("a", 9)))),
            ["a: 5 -> 9", "b: 8 -> 0"]
        );

        assert!(!store.is_in_doubt());
    }

    #[test]
    fn a_write_of_ours_that_two_lists_do_not_have_is_gone() {
        let mut store = listed(&[("a", 5)]);
        store.learn(object("b", 8));
        relist(&mut store, &[("a", 5)]);

        assert_eq!(relist(&mut store, &[("a", 5)]), ["b: 8 -> 0"]);

        assert!(!store.is_in_doubt());
    }

    #[test]
    fn a_write_of_ours_that_the_watch_shows_after_a_list_without_it_stays() {
        let mut store = listed(&[("a", 5)]);
        store.learn(object("b", 8));
        relist(&mut store, &[("a", 5)]);

        store.apply(Event::Apply(object("b", 8)));
        store.apply(Event::Apply(object("a", 9)));

        assert_eq!(present(&store), ["a", "b"]);
        assert!(!store.is_in_doubt());
    }

    #[test]
    fn a_list_that_is_older_than_our_write_does_not_undo_it() {
        let mut store = listed(&[("a", 5)]);
        store.learn(object("b", 8));

        assert!(relist(&mut store, &[("a", 5)]).is_empty());

        assert_eq!(present(&store), ["a", "b"]);
        assert_eq!(
            relist(&mut store, &[("a", 5), ("c", 9)]),
            ["b: 8 -> 0", "c: 0 -> 9"]
        );
    }
}
