//! Requests to rtnetlink, and what its errors mean.

use std::io;

use futures::StreamExt;
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::Handle;

/// The kernel saw a change while it wrote a list: the list may lack something (`NLM_F_DUMP_INTR`).
const INTERRUPTED: u16 = 0x10;
/// How often an interrupted list is asked for again.
const ATTEMPTS: usize = 8;

/// All answers to a request for a list.
pub(super) async fn dump(
    handle: &Handle,
    request: RouteNetlinkMessage,
) -> io::Result<Vec<RouteNetlinkMessage>> {
    for _ in 0..ATTEMPTS {
        if let Some(list) = attempt(handle, request.clone()).await? {
            return Ok(list);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::Interrupted,
        "the kernel's list kept changing while it was read",
    ))
}

/// `None` if the list was interrupted.
async fn attempt(
    handle: &Handle,
    request: RouteNetlinkMessage,
) -> io::Result<Option<Vec<RouteNetlinkMessage>>> {
    let mut request = NetlinkMessage::from(request);
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut answers = handle.clone().request(request).map_err(io_error)?;
    let (mut list, mut interrupted) = (vec![], false);
    while let Some(answer) = answers.next().await {
        interrupted |= answer.header.flags & INTERRUPTED != 0;
        match answer.payload {
            NetlinkPayload::InnerMessage(message) => list.push(message),
            NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
            NetlinkPayload::Overrun(_) => interrupted = true,
            _ => {}
        }
    }
    Ok((!interrupted).then_some(list))
}

/// Sends a request with flags of its own and waits for the kernel's word on it.
pub(super) async fn request(handle: &Handle, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut answers = handle.clone().request(request).map_err(io_error)?;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(error) = answer.payload
            && error.code.is_some()
        {
            return Err(error.to_io());
        }
    }
    Ok(())
}

/// The kernel's error number, or what went wrong before the kernel.
pub(super) fn io_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(error) => error.to_io(),
        other => io::Error::other(other),
    }
}

/// What was to be removed is not there: as good as removed.
pub(super) fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::ENOENT | libc::ESRCH | libc::ENODEV)
            ) =>
        {
            Ok(())
        }
        Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => Ok(()),
        other => other,
    }
}

/// What was to be added is there: as good as added.
pub(super) fn present_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => other,
    }
}
