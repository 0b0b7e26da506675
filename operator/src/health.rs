//! The ports that Kubernetes and Prometheus ask: `/healthz`, `/readyz`, `/metrics`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::metrics::{self, Metrics};

/// The election turns round every two seconds, whether we lead or stand by and whether the API server
/// answers or not. If it has not for this long, the process hangs.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What the ports tell.
#[derive(Clone, Debug)]
pub struct Health {
    /// When the election last turned round.
    pub pulse: watch::Receiver<Instant>,
    /// Whether the process can do its part, as leader or standby.
    pub ready: watch::Receiver<bool>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Serves all paths on each of `ports`; 0 means no port. Ends when the process does.
pub fn serve(health: Health, ports: &[u16]) -> io::Result<Option<Server>> {
    let listeners: Vec<_> = ports
        .iter()
        .filter(|port| **port != 0)
        .map(|port| listen(*port))
        .collect::<io::Result<_>>()?;
    if listeners.is_empty() {
        return Ok(None);
    }
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(health.clone()))
            .route("/healthz", web::get().to(alive))
            .route("/readyz", web::get().to(ready))
            .route("/metrics", web::get().to(page))
    })
    .workers(1)
    .disable_signals();
    for listener in listeners {
        server = server.listen(listener)?;
    }
    Ok(Some(server.run()))
}

/// Both families where the machine has both.
fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
        .or_else(|_| TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))))
        .map_err(|error| io::Error::new(error.kind(), format!("port {port}: {error}")))
}

async fn alive(health: web::Data<Health>) -> HttpResponse {
    let pause = health.pulse.borrow().elapsed();
    if pause > LONGEST_PAUSE {
        return HttpResponse::InternalServerError().body(format!("no sign of life for {pause:?}"));
    }
    HttpResponse::Ok().body("ok")
}

async fn ready(health: web::Data<Health>) -> HttpResponse {
    if *health.ready.borrow() {
        return HttpResponse::Ok().body("ok");
    }
    HttpResponse::ServiceUnavailable().body("the API server has not answered yet")
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

    fn health() -> (Health, watch::Sender<Instant>, watch::Sender<bool>) {
        let (pulse, ready) = (watch::Sender::new(Instant::now()), watch::Sender::new(false));
        let health = Health {
            pulse: pulse.subscribe(),
            ready: ready.subscribe(),
            metrics: Arc::default(),
        };
        (health, pulse, ready)
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_whose_election_stands_still_is_not_alive() {
        let (health, pulse, _ready) = health();
        let health = web::Data::new(health);
        assert_eq!(alive(health.clone()).await.status(), StatusCode::OK);

        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(
            alive(health.clone()).await.status(),
            StatusCode::INTERNAL_SERVER_ERROR
        );

        pulse.send_replace(Instant::now());
        assert_eq!(alive(health).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn readiness_follows_the_first_answer_of_the_api_server() {
        let (health, _pulse, ready_now) = health();
        let health = web::Data::new(health);
        assert_eq!(
            ready(health.clone()).await.status(),
            StatusCode::SERVICE_UNAVAILABLE
        );

        ready_now.send_replace(true);

        assert_eq!(ready(health).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_served_as_openmetrics() {
        let (health, _pulse, _ready) = health();

        let answer = page(web::Data::new(health)).await;

        let content = answer.headers().get("content-type").unwrap();
        assert_eq!(content, metrics::CONTENT_TYPE);
        let body = to_bytes(answer.into_body()).await.unwrap();
        assert!(body.ends_with(b"# EOF\n"));
    }
}
