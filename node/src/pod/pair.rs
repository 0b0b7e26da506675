//! The veth pair, from the host's side.

use futures::TryStreamExt;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::namespace::Namespace;
use super::obstacle::{Found, to_remove};
use super::{Endpoint, Error, POD_LINK, Sandbox, inside, label};
use crate::kernel::names::HOST_END;

/// A pair that we made.
#[derive(Debug)]
pub(super) struct Pair {
    handle: Handle,
    name: String,
    index: u32,
}

/// Makes the pair, its one end inside. Nothing is up yet. What an earlier attempt or an earlier sandbox of the
/// pod left in the way is removed; it is looked for only when it is in the way.
pub(super) async fn create(
    sandbox: &Sandbox,
    endpoint: &Endpoint,
    namespace: &Namespace,
) -> Result<Pair, Error> {
    let handle = open()?;
    let mut added = add(&handle, sandbox, endpoint, namespace).await;
    if matches!(&added, Err(error) if errno(error) == libc::EEXIST) {
        clear_the_way(&handle, sandbox, namespace).await?;
        added = add(&handle, sandbox, endpoint, namespace).await;
    }
    let name = sandbox.host_link.clone();
    added.map_err(Error::netlink(format!(
        "add link {name} with peer {POD_LINK} in the pod"
    )))?;
    let lookup = Error::netlink(format!("look up link {name}"));
    match find(&handle, &name).await.map_err(lookup)? {
        Some(found) => Ok(Pair {
            handle,
            name,
            index: found.index,
        }),
        None => Err(Error::LinkGone(name)),
    }
}

impl Pair {
    /// Writes on the host's end whose it is.
    pub async fn label(&self, text: &str) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(self.index)
            .append_extra_attribute(LinkAttribute::IfAlias(text.to_owned()))
            .build();
        let failed = Error::netlink(format!("set alias of link {}", self.name));
        self.handle.link().set(message).execute().await.map_err(failed)
    }

    /// Removes both ends.
    pub async fn remove(&self) -> Result<(), Error> {
        delete(&self.handle, &self.name, self.index).await
    }
}

/// Removes the host's end if it is of this very sandbox. One without a label may already be the successor's.
pub(super) async fn remove_of(sandbox: &Sandbox) -> Result<(), Error> {
    let (handle, name) = (open()?, &sandbox.host_link);
    let found = find(&handle, name)
        .await
        .map_err(Error::netlink(format!("look up link {name}")))?;
    let own = found.filter(|found| {
        found.veth
            && found
                .label
                .as_ref()
                .is_some_and(|label| label::is_of_sandbox(label, sandbox))
    });
    match own {
        Some(found) => delete(&handle, name, found.index).await,
        None => Ok(()),
    }
}

async fn clear_the_way(handle: &Handle, sandbox: &Sandbox, namespace: &Namespace) -> Result<(), Error> {
    let name = &sandbox.host_link;
    let inside = inside::find_link(namespace, name).await?;
    let host = find(handle, name)
        .await
        .map_err(Error::netlink(format!("look up link {name}")))?;
    match to_remove(sandbox, host.as_ref(), inside.as_ref())? {
        Some(index) => delete(handle, name, index).await,
        None => Ok(()),
    }
}

/// One message for both ends: the pair is there with its MACs and MTUs and the one end inside, or not at all.
async fn add(
    handle: &Handle,
    sandbox: &Sandbox,
    endpoint: &Endpoint,
    namespace: &Namespace,
) -> Result<(), rtnetlink::Error> {
    let pod_end = LinkMessageBuilder::<LinkUnspec>::new()
        .name(POD_LINK)
        .mtu(endpoint.mtu)
        .address(endpoint.mac.0.to_vec())
        .setns_by_fd(namespace.fd())
        .build();
    let pair = LinkMessageBuilder::<LinkVeth>::new(&sandbox.host_link, POD_LINK)
        .mtu(endpoint.mtu)
        .address(HOST_END.0.to_vec())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(pod_end)))
        .build();
    handle.link().add(pair).execute().await
}

/// The link called `name` in the namespace of `handle`.
pub(super) async fn find(handle: &Handle, name: &str) -> Result<Option<Found>, rtnetlink::Error> {
    match handle.link().get().match_name(name).execute().try_next().await {
        Ok(link) => Ok(link.as_ref().map(found)),
        Err(error) if errno(&error) == libc::ENODEV => Ok(None),
        Err(error) => Err(error),
    }
}

fn found(link: &LinkMessage) -> Found {
    let mut found = Found {
        index: link.header.index,
        ..Found::default()
    };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Link(peer) => found.peer = *peer,
            LinkAttribute::IfAlias(text) => found.label = Some(text.trim_end_matches('\0').to_owned()),
            LinkAttribute::LinkInfo(infos) => {
                found.veth = infos
                    .iter()
                    .any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth)));
            }
            _ => {}
        }
    }
    found
}

pub(super) async fn delete(handle: &Handle, name: &str, index: u32) -> Result<(), Error> {
    match handle.link().del(index).execute().await {
        Err(error) if errno(&error) != libc::ENODEV => {
            Err(Error::netlink(format!("delete link {name}"))(error))
        }
        _ => Ok(()),
    }
}

pub(super) fn open() -> Result<Handle, Error> {
    let failed = |source| Error::Io {
        what: "netlink socket",
        source,
    };
    let (connection, handle, _) = rtnetlink::new_connection().map_err(failed)?;
    tokio::spawn(connection);
    Ok(handle)
}

/// The kernel's error number, 0 for other errors.
pub(super) fn errno(error: &rtnetlink::Error) -> i32 {
    match error {
        rtnetlink::Error::NetlinkError(message) => -message.raw_code(),
        _ => 0,
    }
}
