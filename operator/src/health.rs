//! The ports that Kubernetes and Prometheus ask: `/healthz`, `/readyz`, `/metrics`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{HttpResponse, web};
use hybridnet_service::ports::{self, Listen};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::metrics::Metrics;

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
    let listen: Vec<_> = ports.iter().copied().map(Listen::on_port).collect();
    let health = web::Data::new(health);
    ports::serve(&listen, move |app| {
        app.app_data(health.clone())
            .route("/healthz", web::get().to(alive))
            .route("/readyz", web::get().to(ready))
            .route("/metrics", web::get().to(page));
    })
}

async fn alive(health: web::Data<Health>) -> HttpResponse {
    ports::hangs(&health.pulse, LONGEST_PAUSE).unwrap_or_else(|| HttpResponse::Ok().body("ok"))
}

async fn ready(health: web::Data<Health>) -> HttpResponse {
    if *health.ready.borrow() {
        return HttpResponse::Ok().body("ok");
    }
    HttpResponse::ServiceUnavailable().body("the API server has not answered yet")
}

async fn page(health: web::Data<Health>) -> HttpResponse {
    ports::page(health.metrics.encode())
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
        assert_eq!(content, ports::CONTENT_TYPE);
        let body = to_bytes(answer.into_body()).await.unwrap();
        assert!(body.ends_with(b"# EOF\n"));
    }
}
