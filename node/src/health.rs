//! The ports that Kubernetes and Prometheus ask: `/live`, `/ready`, `/metrics`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{HttpResponse, web};
use hybridnet_service::ports::{self, Listen};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::metrics::Metrics;

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
    let health = web::Data::new(health);
    let counted = health.clone();
    let probes = ports::serve([probes], move |app| {
        app.app_data(health.clone())
            .route("/live", web::get().to(live))
            .route("/ready", web::get().to(ready));
    })?;
    let metrics = ports::serve([metrics], move |app| {
        app.app_data(counted.clone())
            .route("/metrics", web::get().to(page));
    })?;
    Ok(probes.into_iter().chain(metrics).collect())
}

async fn live(health: web::Data<Health>) -> HttpResponse {
    ports::hangs(&health.pulse, LONGEST_PAUSE)
        .unwrap_or_else(|| HttpResponse::Ok().json(serde_json::json!({})))
}

async fn ready(health: web::Data<Health>) -> HttpResponse {
    match *health.waiting_for.borrow() {
        None => HttpResponse::Ok().json(serde_json::json!({})),
        Some(what) => HttpResponse::ServiceUnavailable().body(format!("waiting for {what}")),
    }
}

async fn page(health: web::Data<Health>) -> HttpResponse {
    ports::page(health.metrics.encode())
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

        assert_eq!(answer.headers().get("content-type").unwrap(), ports::CONTENT_TYPE);
        let body = to_bytes(answer.into_body()).await.unwrap();
        assert!(body.ends_with(b"# EOF\n"));
    }
}
