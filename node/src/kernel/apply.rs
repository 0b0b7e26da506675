//! Takes steps: one netlink request each, or one write.

mod requests;

pub(super) use requests::{delete_neighbour, set_neighbour};

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use rtnetlink::Handle;

use super::change::{Change, NewTunnel, NewVlan};
use super::netns::Netns;
use super::state::{Kind, State};
use super::{replicate, sysctl};
use crate::newcomers::Newcomers;

/// A step that could not be taken. The steps that do not need it were taken all the same.
#[derive(Debug, thiserror::Error)]
#[error("{change}: {source}")]
pub struct Failure {
    /// The step.
    pub change: Change,
    /// What was wrong.
    pub source: StepError,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The link does not exist.
    #[error("there is no link {0}")]
    NoLink(String),
    /// Another link is in the way of the overlay's.
    #[error(
        "link {0} already uses this identifier and port, and it is not ours: remove it, or give the Network \
         another netID or the daemon another --vxlan-udp-port"
    )]
    Occupied(String),
    /// A link of another kind has the name.
    #[error("a link of that name exists and is not a VXLAN link: rename or remove it")]
    NameTaken,
    /// The kernel has no 802.1Q.
    #[error("this kernel has no 802.1Q: load the module 8021q, or give the Subnet the netID 0")]
    NoVlans,
    /// The kernel refused.
    #[error(transparent)]
    Refused(#[from] io::Error),
}

/// What has been done.
#[derive(Debug, Default)]
pub struct Report {
    /// Steps that were taken, in order.
    pub changes: Vec<Change>,
    /// Steps that failed.
    pub errors: Vec<Failure>,
    /// Sysctls that this kernel does not have in this namespace.
    pub absent_sysctls: BTreeSet<String>,
}

/// Takes steps in one network namespace.
pub(super) struct Worker<'a> {
    handle: &'a Handle,
    netns: &'a Netns,
    proc_sys: PathBuf,
    /// Numbers of links, as far as they are known.
    indexes: BTreeMap<String, u32>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(handle: &'a Handle, netns: &'a Netns, proc_sys: PathBuf) -> Self {
        Self {
            handle,
            netns,
            proc_sys,
            indexes: BTreeMap::new(),
        }
    }

    /// Takes all steps that can be taken, but none that takes something from a newcomer. A link that could not be
    /// made makes no noise but once.
    pub(super) async fn take_all(
        &mut self,
        changes: Vec<Change>,
        state: &State,
        newcomers: &Newcomers,
    ) -> Report {
        self.indexes = state
            .links
            .iter()
            .map(|(name, link)| (name.clone(), link.index))
            .collect();
        let mut report = Report::default();
        let mut broken = BTreeSet::new();
        let mut changes = changes.into_iter().peekable();
        while let Some(change) = changes.next() {
            if change.needs_link().is_some_and(|link| broken.contains(link)) {
                continue;
            }
            if let Change::Sysctl { .. } = change {
                let mut batch = vec![change];
                while let Some(next) = changes.next_if(|next| matches!(next, Change::Sysctl { .. })) {
                    batch.push(next);
                }
                self.write_sysctls(batch, &mut report).await;
                continue;
            }
            let held = match change.lost_address() {
                Some(_) => Some(newcomers.hold().await),
                None => None,
            };
            if held.as_ref().is_some_and(|held| change.hurts(held)) {
                continue;
            }
            let taken = self.take(&change).await;
            drop(held);
            match taken {
                Ok(()) => report.changes.push(change),
                Err(error) => {
                    let source = explain(&change, error, state);
                    if let Change::AddTunnel(NewTunnel { name, .. }) | Change::AddVlan(NewVlan { name, .. }) =
                        &change
                    {
                        broken.insert(name.clone());
                    }
                    report.errors.push(Failure { change, source });
                }
            }
        }
        report
    }

    /// Writes sysctls on one thread. Those that do not exist are noted and are no failures.
    pub(super) async fn write_sysctls(&self, batch: Vec<Change>, report: &mut Report) {
        let root = self.proc_sys.clone();
        let count = batch.len();
        let write = move || {
            let one = |change: Change| {
                let result = match &change {
                    Change::Sysctl { path, value } => sysctl::write(&root, path, value),
                    _ => Ok(()),
                };
                (change, result)
            };
            batch.into_iter().map(one).collect::<Vec<_>>()
        };
        match self.netns.run(write).await {
            Ok(results) => results
                .into_iter()
                .for_each(|(change, result)| note(change, result, report)),
            Err(error) => tracing::error!(%error, count, "sysctls not written"),
        }
    }

    /// Takes a step other than a sysctl.
    pub(super) async fn take(&mut self, change: &Change) -> Result<(), StepError> {
        let handle = self.handle;
        match change {
            Change::Sysctl { .. } => {}
            Change::AddTunnel(new) => {
                let parent = self.index(&new.parent).await?;
                requests::add_tunnel(handle, new, parent).await?;
            }
            Change::AddVlan(new) => {
                let parent = self.index(&new.parent).await?;
                requests::add_vlan(handle, new, parent).await?;
            }
            Change::DeleteLink { name } => {
                let index = self.index(name).await?;
                self.indexes.remove(name);
                requests::delete_link(handle, index).await?;
            }
            Change::SetLink(change) => {
                requests::set_link(handle, self.index(&change.name).await?, change).await?;
            }
            Change::SetLocal { name, vni, local } => {
                requests::set_local(handle, self.index(name).await?, *vni, *local).await?;
            }
            Change::InstallFilter { link } => {
                let link = link.clone();
                self.netns.run(move || replicate::install(&link)).await??;
            }
            Change::AddAddress { link, ip } => {
                requests::add_address(handle, self.index(link).await?, *ip).await?;
            }
            Change::LendAddress { link, ip } => {
                let index = self.index(link).await?;
                requests::lend_address(handle, index, *ip).await?;
                requests::disown_address(handle, index, *ip).await?;
            }
            Change::DisownAddress { link, ip } => {
                requests::disown_address(handle, self.index(link).await?, *ip).await?;
            }
            Change::DeleteAddress { link, ip } => {
                requests::delete_address(handle, self.index(link).await?, *ip).await?;
            }
            Change::ReplaceForward(entry) => {
                requests::replace_forward(handle, self.index(&entry.link).await?, entry).await?;
            }
            Change::AppendForward(entry) => {
                requests::append_forward(handle, self.index(&entry.link).await?, entry).await?;
            }
            Change::DeleteForward(entry) => {
                requests::delete_forward(handle, self.index(&entry.link).await?, entry).await?;
            }
            Change::AddProxy { link, ip } => {
                requests::add_proxy(handle, self.index(link).await?, *ip).await?;
            }
            Change::DeleteProxy { link, ip } => {
                requests::delete_proxy(handle, self.index(link).await?, *ip).await?;
            }
            Change::ReplaceRoute(route) => {
                let index = match change.needs_link() {
                    Some(link) => Some(self.index(link).await?),
                    None => None,
                };
                requests::replace_route(handle, route, index).await?;
            }
            Change::DeleteRoute(route) => {
                let link = match &route.way {
                    super::state::Way::Link { name, .. } => self.indexes.get(name).copied(),
                    _ => None,
                };
                requests::delete_route(handle, route, link).await?;
            }
            Change::AddRule(rule) => requests::add_rule(handle, rule).await?,
            Change::DeleteRule(rule) => requests::delete_rule(handle, rule).await?,
        }
        Ok(())
    }

    async fn index(&mut self, name: &str) -> Result<u32, StepError> {
        if let Some(index) = self.indexes.get(name) {
            return Ok(*index);
        }
        let found = requests::index(self.handle, name).await?;
        let index = found.ok_or_else(|| StepError::NoLink(name.to_owned()))?;
        self.indexes.insert(name.to_owned(), index);
        Ok(index)
    }
}

fn note(change: Change, result: io::Result<()>, report: &mut Report) {
    match (result, &change) {
        (Ok(()), _) => report.changes.push(change),
        (Err(error), Change::Sysctl { path, .. }) if error.kind() == io::ErrorKind::NotFound => {
            report.absent_sysctls.insert(path.clone());
        }
        (Err(error), _) => report.errors.push(Failure {
            change,
            source: error.into(),
        }),
    }
}

/// The kernel's "file exists" in words that help.
fn explain(change: &Change, error: StepError, state: &State) -> StepError {
    let new = match (change, &error) {
        (Change::AddTunnel(new), _) => new,
        (Change::AddVlan(_), StepError::Refused(refused)) => {
            return match refused.raw_os_error() {
                Some(libc::EOPNOTSUPP) => StepError::NoVlans,
                _ => error,
            };
        }
        _ => return error,
    };
    match error {
        StepError::Refused(error) if error.raw_os_error() == Some(libc::EEXIST) => {
            let clash = state.links.iter().find(|(_, link)| match &link.kind {
                Kind::Vxlan(tunnel) => tunnel.vni == new.vni && tunnel.port == new.port,
                _ => false,
            });
            match clash {
                Some((name, _)) => StepError::Occupied(name.clone()),
                None if state.links.contains_key(&new.name) => StepError::NameTaken,
                None => StepError::Refused(error),
            }
        }
        other => other,
    }
}
