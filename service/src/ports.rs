//! Plain HTTP for the kubelet and the metrics collector: where to listen, and what all programs answer alike.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::str::FromStr;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use tokio::sync::watch;
use tokio::time::Instant;

/// Content type of [`page`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where to listen: each address in turn until one can be had; none means not at all. As a flag it is written
/// as Go does: `:8091`, `127.0.0.1:8091`, or 0 for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen(pub Vec<SocketAddr>);

/// Not an address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address to listen on: write :8091, 127.0.0.1:8091, or 0 for none")]
pub struct ListenError(String);

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let wrong = || ListenError(text.to_owned());
        if matches!(text, "" | "0") {
            return Ok(Self::default());
        }
        match text.strip_prefix(':') {
            Some(port) => Ok(Self::everywhere(port.parse().map_err(|_| wrong())?)),
            None => Ok(Self(vec![text.parse().map_err(|_| wrong())?])),
        }
    }
}

impl Listen {
    /// A port on all addresses; 0 means none.
    pub fn on_port(port: u16) -> Self {
        if port == 0 {
            return Self::default();
        }
        Self::everywhere(port)
    }

    /// Of both families where the machine has both.
    fn everywhere(port: u16) -> Self {
        Self(vec![
            (Ipv6Addr::UNSPECIFIED, port).into(),
            (Ipv4Addr::UNSPECIFIED, port).into(),
        ])
    }

    /// Listens on the first address that can be had: a machine without IPv6 has no `::`.
    pub fn bind(&self) -> io::Result<Option<TcpListener>> {
        let mut refused = None;
        for address in &self.0 {
            match TcpListener::bind(address) {
                Ok(listener) => return Ok(Some(listener)),
                Err(error) => {
                    refused = Some(io::Error::new(
                        error.kind(),
                        format!("listen on {address}: {error}"),
                    ));
                }
            }
        }
        refused.map_or(Ok(None), Err)
    }
}

/// Serves `routes` wherever `listen` says; nothing when it says nowhere. Signals are left to the program.
pub fn serve<'a>(
    listen: impl IntoIterator<Item = &'a Listen>,
    routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
) -> io::Result<Option<Server>> {
    let mut server = HttpServer::new(move || App::new().configure(routes.clone()))
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1);
    for listen in listen {
        if let Some(listener) = listen.bind()? {
            server = server.listen(listener)?;
        }
    }
    let somewhere = !server.addrs().is_empty();
    Ok(somewhere.then(|| server.run()))
}

/// The answer of a program that hangs: its main part last turned round at `pulse`, longer ago than ever
/// happens. `None` when all is well.
pub fn hangs(pulse: &watch::Receiver<Instant>, longest_pause: Duration) -> Option<HttpResponse> {
    let pause = pulse.borrow().elapsed();
    let hangs = pause > longest_pause;
    hangs.then(|| HttpResponse::InternalServerError().body(format!("no sign of life for {pause:?}")))
}

/// The answer to `/metrics`.
pub fn page(encoded: Result<String, fmt::Error>) -> HttpResponse {
    match encoded {
        Ok(page) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(page),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn addresses_are_written_as_go_does() {
        for (text, addresses) in [
            (":8091", &["[::]:8091", "0.0.0.0:8091"][..]),
            ("127.0.0.1:8091", &["127.0.0.1:8091"]),
            ("[::1]:8091", &["[::1]:8091"]),
            ("0", &[]),
            ("", &[]),
        ] {
            let listen: Listen = text.parse().unwrap();

            let written: Vec<_> = listen.0.iter().map(ToString::to_string).collect();
            assert_eq!(written, addresses, "{text:?}");
        }
        for text in ["here", "8091", ":", ":70000", "127.0.0.1"] {
            assert_eq!(text.parse::<Listen>(), Err(ListenError(text.into())));
        }
    }

    #[test]
    fn port_0_is_no_port() {
        assert_eq!(Listen::on_port(0), Listen::default());
        assert_eq!(Listen::on_port(9899), ":9899".parse().unwrap());
    }

    #[test]
    fn a_port_that_is_taken_is_named_in_the_error() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();

        let error = Listen(vec![address]).bind().unwrap_err();

        assert!(
            error.to_string().starts_with(&format!("listen on {address}: ")),
            "{error}"
        );
        assert!(Listen::default().bind().unwrap().is_none());
    }

    #[test]
    fn an_address_that_cannot_be_had_is_passed_over() {
        let absent = "192.0.2.1:0".parse().unwrap();
        let listen = Listen(vec![absent, "127.0.0.1:0".parse().unwrap()]);

        let listener = listen.bind().unwrap().unwrap();

        assert!(listener.local_addr().unwrap().ip().is_loopback());
    }

    #[tokio::test]
    async fn routes_are_served_where_it_is_said_and_nowhere_else() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let routes = |app: &mut web::ServiceConfig| {
            app.route("/metrics", web::get().to(async || page(Ok("# EOF\n".into()))));
        };
        assert!(serve(&[Listen::default()], routes).unwrap().is_none());

        let server = serve(&[Listen(vec![address]), Listen::default()], routes)
            .unwrap()
            .unwrap();
        let handle = server.handle();
        let running = tokio::spawn(server);
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        socket.write_all(request).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();

        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains(&format!("content-type: {CONTENT_TYPE}\r\n")),
            "{answer}"
        );
        assert!(answer.ends_with("# EOF\n"), "{answer}");
        handle.stop(true).await;
        running.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_stands_still_hangs_until_it_moves_again() {
        let longest = Duration::from_secs(30);
        let pulse = watch::Sender::new(Instant::now());
        let watched = pulse.subscribe();
        let status = || hangs(&watched, longest).map(|answer| answer.status());
        assert_eq!(status(), None);

        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(status(), Some(StatusCode::INTERNAL_SERVER_ERROR));

        pulse.send_replace(Instant::now());
        assert_eq!(status(), None);
    }
}
