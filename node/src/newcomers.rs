//! Pods that the CNI server brings while a pass over the kernel is under way. A pass acts on what the API said
//! when it began; to it a pod that came since is a leftover, and it would take away what the ADD just made.
//!
//! ```text
//! pass:  settle -> read caches, plan -> dump, diff -> hold: take away what is no newcomer's
//! ADD:             address is in the cache -> admit -> route, proxy neighbours, filter
//! ```
//! Whoever is admitted before `settle` is in the caches that the plan is made from, so the plan decides; whoever
//! is admitted later is on the list, and is looked for under the same lock that would admit it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};

type List = BTreeMap<IpAddr, String>;

/// The pods that came since the latest plan was begun: address and name of the host's end. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Newcomers(Arc<Mutex<List>>);

impl Newcomers {
    /// Lets a pod in, before anything of it is in the kernel and after its addresses are in the caches. Waits
    /// at most for one step of a pass, never for a pass.
    pub async fn admit(&self, link: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        let mut list = self.0.lock().await;
        list.extend(addresses.into_iter().map(|ip| (ip, link.to_owned())));
    }

    /// Begins a pass: what is read of the caches from here on knows everybody who came so far.
    pub async fn settle(&self) {
        self.0.lock().await.clear();
    }

    /// Lets nobody in as long as the result lives: for the time of one step that takes something away.
    pub async fn hold(&self) -> Held<'_> {
        Held(self.0.lock().await)
    }

    /// As [`Self::hold`], on a thread that may block.
    pub fn hold_blocking(&self) -> Held<'_> {
        Held(self.0.blocking_lock())
    }
}

/// Nobody comes while this lives.
#[derive(Debug)]
pub struct Held<'a>(MutexGuard<'a, List>);

impl Held<'_> {
    /// The addresses of all newcomers.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.0.keys().copied()
    }

    /// The host's end of the newcomer that has this address.
    pub fn link_of(&self, ip: IpAddr) -> Option<&str> {
        self.0.get(&ip).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_pod_is_a_newcomer_until_the_next_pass_begins() {
        let newcomers = Newcomers::default();

        newcomers.admit("hybr1", [ip("10.0.0.5"), ip("fd00::5")]).await;

        let held = newcomers.hold().await;
        assert_eq!(held.link_of(ip("fd00::5")), Some("hybr1"));
        assert_eq!(
            held.addresses().collect::<Vec<_>>(),
            [ip("10.0.0.5"), ip("fd00::5")]
        );
        drop(held);

        newcomers.settle().await;
        assert_eq!(newcomers.hold().await.link_of(ip("10.0.0.5")), None);
    }

    #[tokio::test]
    async fn nobody_comes_between_the_look_at_the_list_and_the_step() {
        let newcomers = Newcomers::default();
        let held = newcomers.hold().await;

        assert_eq!(newcomers.admit("hybr1", [ip("10.0.0.5")]).now_or_never(), None);
        drop(held);
        assert_eq!(
            newcomers.admit("hybr1", [ip("10.0.0.5")]).now_or_never(),
            Some(())
        );
    }
}
