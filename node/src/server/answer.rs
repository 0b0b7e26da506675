//! HTTP: routes, limits and who may ask. Statuses and bodies as datapath spec 2.3 has them.

use std::any::Any;
use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::dev::{Extensions, Server, ServiceRequest, ServiceResponse};
use actix_web::error::{InternalError, JsonPayloadError};
use actix_web::http::StatusCode;
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, HttpResponse, HttpServer, web};
use hybridnet_api::cni::{ADD_PATH, AddResponse, DEL_PATH, PodRequest};
use tracing::warn;

use super::{Cluster, CniServer, Refusal};
use crate::pod::PodNetwork;

/// A request is five short strings.
const BODY_BYTES: usize = 64 << 10;
/// Far more than pods that a node starts at once.
const CONNECTIONS: usize = 1024;
/// For requests that are in the kernel when the daemon ends. One that only waits is cut off: the plugin asks
/// the next daemon.
const SHUTDOWN_SECONDS: u64 = 2;

/// User at the other end of the connection.
#[derive(Clone, Copy, Debug)]
struct Peer(Option<u32>);

/// Serves on `listener` until the returned server is stopped (`Server::handle`).
pub fn serve<C: Cluster, N: PodNetwork>(
    listener: UnixListener,
    server: Arc<CniServer<C, N>>,
) -> io::Result<Server> {
    let data = web::Data::from(server);
    let json = || {
        web::JsonConfig::default()
            .limit(BODY_BYTES)
            .error_handler(|error, request| {
                let status = match &error {
                    JsonPayloadError::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => {
                        StatusCode::PAYLOAD_TOO_LARGE
                    }
                    _ => StatusCode::BAD_REQUEST,
                };
                let verb = if request.path() == DEL_PATH { "del" } else { "add" };
                let response = refused(status, format!("failed to parse {verb} request: {error}"));
                InternalError::from_response(error, response).into()
            })
    };
    let app = move || {
        App::new()
            .app_data(data.clone())
            .app_data(json())
            .wrap(from_fn(only_root))
            .service(web::resource(ADD_PATH).route(web::post().to(add::<C, N>)))
            .service(web::resource(DEL_PATH).route(web::post().to(del::<C, N>)))
    };
    let server = HttpServer::new(app)
        .on_connect(|connection: &dyn Any, extensions: &mut Extensions| {
            let stream = connection.downcast_ref::<actix_web::rt::net::UnixStream>();
            let user = stream
                .and_then(|stream| stream.peer_cred().ok())
                .map(|peer| peer.uid());
            extensions.insert(Peer(user));
        })
        .workers(2)
        .max_connections(CONNECTIONS)
        .client_request_timeout(Duration::from_secs(5))
        // The plugin never closes its half early: a closed half means that nobody waits for the answer.
        .h1_allow_half_closed(false)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .listen_uds(listener)?
        .run();
    Ok(server)
}

async fn add<C: Cluster, N: PodNetwork>(
    server: web::Data<CniServer<C, N>>,
    body: web::Json<PodRequest>,
) -> HttpResponse {
    match server.into_inner().add(body.into_inner()).await {
        Ok(response) => HttpResponse::Ok().json(response),
        Err(refusal) => answer(&refusal),
    }
}

async fn del<C: Cluster, N: PodNetwork>(
    server: web::Data<CniServer<C, N>>,
    body: web::Json<PodRequest>,
) -> HttpResponse {
    match server.del(&body).await {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(refusal) => answer(&refusal),
    }
}

/// The file's mode keeps others out; this holds when somebody changes it.
async fn only_root(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Peer(user) = request.conn_data::<Peer>().copied().unwrap_or(Peer(None));
    if user == Some(0) {
        return next.call(request).await;
    }
    warn!(?user, "request of a user other than root refused");
    let refusal = "only root may ask for networks of pods".to_owned();
    Ok(request.into_response(refused(StatusCode::FORBIDDEN, refusal)))
}

fn answer(refusal: &Refusal) -> HttpResponse {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    refused(status, refusal.to_string())
}

fn refused(status: StatusCode, error: String) -> HttpResponse {
    HttpResponse::build(status).json(AddResponse {
        error,
        ..AddResponse::default()
    })
}
