//! The serving certificate changes under a running server.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use actix_web::{App, HttpResponse, HttpServer, web};
use hybridnet_webhook::certificate::issue::{new_authority, new_leaf};
use hybridnet_webhook::certificate::serving::{Serving, server_config};
use hybridnet_webhook::certificate::{Material, Names, bundle};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

const NAME: &str = "hybridnet-webhook.kube-system.svc";

fn material(old: Option<&Material>) -> Material {
    new_authority(UnixTime::now(), &Names::of_service("kube-system"), old).expect("a certificate")
}

fn leaf(material: &Material) -> CertificateDer<'static> {
    bundle::certificates(material.leaf.as_bytes()).remove(0)
}

/// What a client that trusts `authorities` is shown, or why it hangs up.
async fn shown(address: SocketAddr, authorities: &str) -> Result<CertificateDer<'static>, String> {
    let authorities = authorities.to_owned();
    let handshake = move || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(bundle::certificates(authorities.as_bytes()));
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(NAME).expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut socket = TcpStream::connect(address).expect("the server listens");
        while client.is_handshaking() {
            client
                .complete_io(&mut socket)
                .map_err(|error| error.to_string())?;
        }
        let chain = client.peer_certificates().expect("a chain");
        Ok(chain.first().expect("a certificate").clone().into_owned())
    };
    tokio::task::spawn_blocking(handshake).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_shown_to_the_next_client_without_a_restart() {
    let serving = Arc::new(Serving::default());
    let tls = server_config(serving.clone()).expect("a configuration");
    let server = HttpServer::new(|| App::new().route("/", web::get().to(HttpResponse::Ok)))
        .workers(1)
        .disable_signals()
        .bind_rustls_0_23(("127.0.0.1", 0), tls)
        .expect("a port");
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let running = tokio::spawn(server);

    let first = material(None);
    assert!(
        shown(address, &first.authorities).await.is_err(),
        "nothing is served before the first certificate"
    );
    serving.install(&first).expect("a good certificate");
    assert_eq!(shown(address, &first.authorities).await, Ok(leaf(&first)));

    let renewed =
        new_leaf(UnixTime::now(), &Names::of_service("kube-system"), &first).expect("a certificate");
    serving.install(&renewed).expect("a good certificate");
    assert_eq!(shown(address, &first.authorities).await, Ok(leaf(&renewed)));

    let second = material(Some(&first));
    assert_eq!(
        shown(address, &second.authorities).await,
        Ok(leaf(&renewed)),
        "the new bundle still trusts the old certificate"
    );
    serving.install(&second).expect("a good certificate");
    assert_eq!(shown(address, &second.authorities).await, Ok(leaf(&second)));
    assert!(
        shown(address, &first.authorities).await.is_err(),
        "the old bundle alone does not trust the new one"
    );

    assert!(
        serving
            .install(&Material {
                leaf_key: first.leaf_key.clone(),
                ..second.clone()
            })
            .is_err()
    );
    assert_eq!(
        shown(address, &second.authorities).await,
        Ok(leaf(&second)),
        "a broken one is not installed"
    );

    handle.stop(false).await;
    running.await.expect("no panic").expect("a clean end");
}
