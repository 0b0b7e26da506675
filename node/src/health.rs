//! The ports that Kubernetes and Prometheus ask: `/live`, `/ready`, `/metrics`.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::flags::Listen;
use crate::metrics::{self, Metrics};

/// The reconciler comes round at least once a minute, whether the API server answers or not. If it has not for
/// this long, the process hangs.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// What the ports tell.
#[derive(Clone, Debug)]
pub struct Health {
    /// When the reconciler last came round.
    pub pulse: watch::Receiver<Instant>,
    /// What pods still wait for; nothing when they can be set up.
    pub waiting_for: watch::Receiver<Option<&'static str>>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Serves `/live` and `/ready` on `probes`, and `/metrics` on `metrics`.
pub fn serve(health: Health, probes: &Listen, metrics: &Listen) -> io::Result<Vec<Server>> {
    let mut servers = vec![];
    if let Some(listener) = listen(probes)? {
        let health = web::Data::new(health.clone());
        let app = move || {
            App::new()
                .app_data(health.clone())
                .route("/live", web::get().to(live))
                .route("/ready", web::get().to(ready))
        };
        servers.push(
            HttpServer::new(app)
                .workers(1)
                .disable_signals()
                .listen(listener)?
                .run(),
        );
    }
    if let Some(listener) = listen(metrics)? {
        let health = web::Data::new(health);
        let app = move || {
            App::new()
                .app_data(health.clone())
                .route("/metrics", web::get().to(page))
        };
        servers.push(
            HttpServer::new(app)
                .workers(1)
                .disable_signals()
                .listen(listener)?
                .run(),
        );
    }
    Ok(servers)
}

/// Listens on the first address that can be had: a machine without IPv6 has no `::`.
fn listen(addresses: &Listen) -> io::Result<Option<TcpListener>> {
    let mut refused = None;
    for address in &addresses.0 {
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

async fn live(health: web::Data<Health>) -> HttpResponse {
    let pause = health.pulse.borrow().elapsed();
    if pause > LONGEST_PAUSE {
        return HttpResponse::InternalServerError().body(format!("no sign of life for {pause:?}"));
    }
    HttpResponse::Ok().json(serde_json::json!({}))
}

async fn ready(health: web::Data<Health>) -> HttpResponse {
    match *health.waiting_for.borrow() {
        None => HttpResponse::Ok().json(serde_json::json!({})),
        Some(what) => HttpResponse::ServiceUnavailable().body(format!("waiting for {what}")),
    }
}

async fn page(health: web::Data<Health>) -> HttpResponse {
    match health.metrics.encode() {
        Ok(page) => HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(page),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::http::StatusCode;

    use super::*;

    struct Fixture {
        health: web::Data<Health>,
        pulse: watch::Sender<Instant>,
        waiting_for: watch::Sender<Option<&'static str>>,
    }

    fn fixture() -> Fixture {
        let (pulse, waiting_for) = (
            watch::Sender::new(Instant::now()),
            watch::Sender::new(Some("caches")),
        );
        let health = Health {
            pulse: pulse.subscribe(),
            waiting_for: waiting_for.subscribe(),
            metrics: Arc::default(),
        };
        Fixture {
            health: web::Data::new(health),
            pulse,
            waiting_for,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_whose_reconciler_stands_still_is_not_alive() {
        let fixture = fixture();
        let status = || async { live(fixture.health.clone()).await.status() };
        assert_eq!(status().await, StatusCode::OK);

        tokio::time::advance(Duration::from_secs(301)).await;
        assert_eq!(status().await, StatusCode::INTERNAL_SERVER_ERROR);

        fixture.pulse.send_replace(Instant::now());
        assert_eq!(status().await, StatusCode::OK);
    }

    #[tokio::test]
    async fn what_is_waited_for_is_said_until_nothing_is() {
        let fixture = fixture();

        let before = ready(fixture.health.clone()).await;
        fixture.waiting_for.send_replace(None);
        let after = ready(fixture.health.clone()).await;

        assert_eq!(
            (before.status(), after.status()),
            (StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK)
        );
        assert_eq!(to_bytes(before.into_body()).await.unwrap(), "waiting for caches");
    }

    #[tokio::test]
    async fn metrics_are_served_as_openmetrics() {
        let answer = page(fixture().health).await;

        assert_eq!(
            answer.headers().get("content-type").unwrap(),
            metrics::CONTENT_TYPE
        );
        let body = to_bytes(answer.into_body()).await.unwrap();
        assert!(body.ends_with(b"# EOF\n"));
    }

    #[test]
    fn a_port_that_is_taken_is_named_in_the_error() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();

        let error = listen(&Listen(vec![address])).unwrap_err();

        assert!(
            error.to_string().starts_with(&format!("listen on {address}: ")),
            "{error}"
        );
        assert!(listen(&Listen::default()).unwrap().is_none());
    }
}
