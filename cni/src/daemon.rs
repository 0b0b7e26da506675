//! The daemon's end of the socket: one connection and one request an attempt.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hybridnet_api::cni::PodRequest;

use crate::http::{self, Malformed, Response};

/// The daemon ends each request before that (it waits at most 110 s for an address). The kubelet gives a
/// sandbox four minutes, so with [`crate::config::Config::daemon_wait`] in front there is time to say why.
const ANSWER_LIMIT: Duration = Duration::from_mins(2);
/// An attempt costs microseconds; a pod starts this much later than its daemon at worst.
const RETRY_PERIOD: Duration = Duration::from_millis(50);
/// No answer of the protocol comes near.
const ANSWER_BYTES: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// Nobody listens, or whoever did went away before answering.
    #[error(
        "the hybridnet daemon does not answer on {}: {source}; check that its pod on this node runs \
         (kubectl -n kube-system get pods -l component=daemon -o wide)",
        socket.display()
    )]
    Away {
        /// Path that was tried.
        socket: PathBuf,
        /// The last attempt's error.
        source: io::Error,
    },
    /// It listens and does not answer.
    #[error(
        "the hybridnet daemon took the request on {} and did not answer within {} s; see its log \
         (kubectl -n kube-system logs -l component=daemon)",
        socket.display(),
        ANSWER_LIMIT.as_secs()
    )]
    Silent {
        /// Path of the socket.
        socket: PathBuf,
    },
    /// Somebody else listens there.
    #[error("what listens on {} is not the hybridnet daemon: {source}", socket.display())]
    Foreign {
        /// Path of the socket.
        socket: PathBuf,
        /// What was wrong with the answer.
        source: Malformed,
    },
}

/// The daemon of this node.
#[derive(Clone, Copy, Debug)]
pub struct Daemon<'a> {
    /// Path of its socket.
    pub socket: &'a Path,
    /// How long to wait for it when it is away. A request that it left unanswered is sent again: both
    /// requests of the protocol may be repeated.
    pub patience: Duration,
}

impl Daemon<'_> {
    /// Whether somebody listens.
    pub fn reach(&self) -> Result<(), Unanswered> {
        match UnixStream::connect(self.socket) {
            Ok(_) => Ok(()),
            Err(source) => Err(self.away(source)),
        }
    }

    /// Sends `request` to `path` and waits for the answer.
    pub fn ask(&self, path: &str, request: &PodRequest) -> Result<Response, Unanswered> {
        let request = http::post(path, &crate::result::to_json(request));
        let mut given_up_at = Instant::now() + self.patience;
        loop {
            let reason = match UnixStream::connect(self.socket) {
                Ok(stream) => {
                    let answer = self.exchange(stream, &request);
                    let Err(Unanswered::Away { source, .. }) = answer else {
                        return answer;
                    };
                    // It was there: what follows is another absence. The limit for repeated deaths is
                    // the runtime's.
                    given_up_at = given_up_at.max(Instant::now() + self.patience / 2);
                    source
                }
                Err(error) => error,
            };
            if !may_come_back(&reason) || Instant::now() >= given_up_at {
                return Err(self.away(reason));
            }
            std::thread::sleep(RETRY_PERIOD);
        }
    }

    fn exchange(&self, mut stream: UnixStream, request: &[u8]) -> Result<Response, Unanswered> {
        let deadline = Instant::now() + ANSWER_LIMIT;
        let silent = || Unanswered::Silent {
            socket: self.socket.to_owned(),
        };
        stream
            .set_write_timeout(Some(ANSWER_LIMIT))
            .map_err(|error| self.away(error))?;
        // One that refuses without reading (too many requests) has answered all the same: read on.
        let sent = stream.write_all(request);

        let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let left = deadline
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero());
            stream
                .set_read_timeout(Some(left.ok_or_else(silent)?))
                .map_err(|error| self.away(error))?;
            let count = match stream.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(silent());
                }
                Err(error) => return Err(self.away(error)),
            };
            received.extend_from_slice(buffer.get(..count).unwrap_or_default());
            match http::parse(&received, count == 0) {
                Ok(Some(response)) => return Ok(response),
                Ok(None) if received.len() <= ANSWER_BYTES => {}
                Ok(None) => return Err(self.foreign(Malformed::Truncated)),
                // The daemon died under the request, or before it took it.
                Err(Malformed::Truncated) => {
                    let ended = || ErrorKind::UnexpectedEof.into();
                    return Err(self.away(sent.err().unwrap_or_else(ended)));
                }
                Err(malformed) => return Err(self.foreign(malformed)),
            }
        }
    }

    fn away(&self, source: io::Error) -> Unanswered {
        Unanswered::Away {
            socket: self.socket.to_owned(),
            source,
        }
    }

    fn foreign(&self, source: Malformed) -> Unanswered {
        Unanswered::Foreign {
            socket: self.socket.to_owned(),
            source,
        }
    }
}

/// A socket that cannot be one (too long a path, no permission) stays so.
fn may_come_back(reason: &io::Error) -> bool {
    matches!(
        reason.kind(),
        ErrorKind::NotFound
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
            | ErrorKind::WouldBlock
    )
}
