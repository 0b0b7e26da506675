//! HTTPS for the API server, and plain HTTP for the kubelet and the metrics collector.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use hybridnet_service::ports::{self, Listen};
use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use tracing::{debug, info};

use crate::admission::Admission;
use crate::certificate::serving::Serving;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::review::{Answer, Review, Unreadable};

/// Two objects of the largest size that the API server takes.
const BODY_LIMIT: usize = 6 << 20;
/// Below the shortest `timeoutSeconds` that the chart sets: then the failure policy decides, with a reason.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
const DRAIN_SECONDS: u64 = 10;
const WORKERS: usize = 2;

/// What requests need.
pub struct State {
    /// The rules.
    pub admission: Admission,
    /// Counters.
    pub metrics: Metrics,
    /// Whether answers can be trusted.
    pub readiness: Readiness,
    /// The certificate, for its expiry.
    pub serving: Arc<Serving>,
}

#[derive(Clone, Copy)]
enum Path {
    Mutate,
    Validate,
}

/// The server of the API server's questions, over TLS.
pub fn admission(state: web::Data<State>, listener: TcpListener, tls: ServerConfig) -> io::Result<Server> {
    let server = HttpServer::new(move || App::new().configure(|app| admission_routes(app, &state)))
        .workers(WORKERS)
        .disable_signals()
        .shutdown_timeout(DRAIN_SECONDS)
        .listen_rustls_0_23(listener, tls)?;
    Ok(server.run())
}

/// The server of `/healthz` and `/readyz`, if it is wanted.
pub fn health(state: web::Data<State>, listen: &Listen) -> io::Result<Option<Server>> {
    ports::serve([listen], move |app| {
        app.app_data(state.clone())
            .route("/healthz", web::get().to(async || HttpResponse::Ok().body("ok")))
            .route("/readyz", web::get().to(readyz));
    })
}

/// The server of `/metrics`, if it is wanted.
pub fn metrics(state: web::Data<State>, listen: &Listen) -> io::Result<Option<Server>> {
    ports::serve([listen], move |app| {
        app.app_data(state.clone())
            .route("/metrics", web::get().to(metrics_text));
    })
}

/// The routes of [`admission`].
pub fn admission_routes(app: &mut web::ServiceConfig, state: &web::Data<State>) {
    app.app_data(state.clone())
        .app_data(web::PayloadConfig::new(BODY_LIMIT))
        .route(
            "/mutate",
            web::post().to(async |body, state| answer(Path::Mutate, body, state).await),
        )
        .route(
            "/validate",
            web::post().to(async |body, state| answer(Path::Validate, body, state).await),
        )
        .route("/readyz", web::get().to(readyz));
}

async fn answer(path: Path, body: web::Bytes, state: web::Data<State>) -> HttpResponse {
    let review = match Review::read(&body) {
        Ok(review) => review,
        Err(Unreadable::Answerable(answer)) => return HttpResponse::Ok().json(answer),
        Err(error @ Unreadable::Anonymous(_)) => return HttpResponse::BadRequest().body(error.to_string()),
    };
    if !state.readiness.caches() {
        return HttpResponse::ServiceUnavailable().body("caches are not filled yet");
    }
    let start = Instant::now();
    let judged = tokio::time::timeout(ANSWER_WITHIN, judge(path, &review, &state)).await;
    let Ok(answer) = judged else {
        let text = format!("no answer within {} s", ANSWER_WITHIN.as_secs());
        return HttpResponse::GatewayTimeout().body(text);
    };
    account(path, &review, &answer, start.elapsed(), &state.metrics);
    HttpResponse::Ok().json(review.answer(&answer))
}

async fn judge(path: Path, review: &Review, state: &State) -> Answer {
    match path {
        Path::Mutate => state.admission.mutate(&review.request).await,
        Path::Validate => state.admission.validate(&review.request).await,
    }
}

fn account(path: Path, review: &Review, answer: &Answer, took: Duration, metrics: &Metrics) {
    let request = &review.request;
    let (kind, operation) = (request.kind.kind.as_str(), request.operation.as_str());
    let (namespace, name) = (request.namespace.as_str(), request.name.as_str());
    let path = match path {
        Path::Mutate => "mutate",
        Path::Validate => "validate",
    };
    let result = match answer {
        Ok(allowed) => {
            debug!(path, kind, operation, namespace, name, warnings = ?allowed.warnings, "allowed");
            "allowed"
        }
        Err(refusal) => {
            info!(
                path,
                kind,
                operation,
                namespace,
                name,
                code = refusal.code,
                reason = refusal.message,
                "refused"
            );
            if refusal.code == 403 { "denied" } else { "errored" }
        }
    };
    metrics.answered(path, kind, operation, result, took);
}

async fn readyz(state: web::Data<State>) -> HttpResponse {
    match state.readiness.missing(&state.serving, UnixTime::now()) {
        None => HttpResponse::Ok().body("ok"),
        Some(missing) => HttpResponse::ServiceUnavailable().body(missing),
    }
}

async fn metrics_text(state: web::Data<State>) -> HttpResponse {
    ports::page(state.metrics.text(state.serving.expiry()))
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use hybridnet_api::settings::Settings;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{World, pod};

    fn state(filled: bool) -> web::Data<State> {
        let state = State {
            admission: World::of(&[], Settings::default()).admission,
            metrics: Metrics::default(),
            readiness: Readiness::default(),
            serving: Arc::default(),
        };
        if filled {
            state.readiness.caches_filled();
        }
        web::Data::new(state)
    }

    fn review(version: &str, object: &Value) -> Vec<u8> {
        let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
        let request = json!({"uid": "u", "kind": kind, "operation": "CREATE", "name": "p", "namespace": "d",
            "object": object, "options": {"dryRun": []}, "dryRun": false, "userInfo": {"username": "x"}});
        json!({"apiVersion": version, "kind": "AdmissionReview", "request": request})
            .to_string()
            .into_bytes()
    }

    async fn asked(state: &web::Data<State>, path: &str, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
        let app = init_service(App::new().configure(|app| admission_routes(app, state))).await;
        let request = TestRequest::post().uri(path).set_payload(body).to_request();
        let response = call_service(&app, request).await;
        (response.status(), read_body(response).await.to_vec())
    }

    #[actix_web::test]
    async fn a_pod_is_mutated_in_the_version_that_was_asked_in() {
        for version in ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"] {
            let (status, body) = asked(&state(true), "/mutate", review(version, &pod("p", &[]))).await;
            let answer: Value = serde_json::from_slice(&body).expect("a review");
            assert_eq!(status, StatusCode::OK);
            assert_eq!(answer["apiVersion"], version);
            assert_eq!(answer["response"]["allowed"], true);
            assert_eq!(answer["response"]["patchType"], "JSONPatch");
        }
    }

    #[actix_web::test]
    async fn a_refusal_is_an_answer_and_is_counted() {
        let state = state(true);
        let bad = pod("p", &[("specified-network", "none")]);
        let (status, body) = asked(&state, "/validate", review("admission.k8s.io/v1", &bad)).await;
        let answer: Value = serde_json::from_slice(&body).expect("a review");
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer["response"]["allowed"], false);
        assert_eq!(answer["response"]["status"]["code"], 403);
        let metrics = state.metrics.text(None).expect("metrics");
        assert!(metrics.contains("denied"), "{metrics}");
    }

    #[actix_web::test]
    async fn garbage_is_refused_and_harms_nobody() {
        let state = state(true);
        for body in [
            &b""[..],
            b"{",
            b"[]",
            b"\xff\xfe",
            br#"{"apiVersion":"admission.k8s.io/v1"}"#,
        ] {
            for path in ["/mutate", "/validate"] {
                let (status, _) = asked(&state, path, body.to_vec()).await;
                assert_eq!(status, StatusCode::BAD_REQUEST, "{body:?}");
            }
        }
        let (status, _) = asked(&state, "/validate", vec![b' '; BODY_LIMIT + 1]).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[actix_web::test]
    async fn nothing_is_judged_by_caches_that_are_not_filled() {
        let (status, _) = asked(
            &state(false),
            "/mutate",
            review("admission.k8s.io/v1", &pod("p", &[])),
        )
        .await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
