//! TLS in front of a plain server, with a certificate of an authority that nobody knows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use weir_base::task::Task;

use super::process::Workdir;

/// The server; it ends when it is dropped.
pub(crate) struct TlsFront {
    uri: String,
    folder: Workdir,
    _task: Task<()>,
}

impl TlsFront {
    /// Starts a server that hands what it decrypts to `target`, an `http://host:port`.
    pub(crate) async fn before(target: &str) -> Self {
        Self::start(target, false).await
    }

    /// The same, for clients that show a certificate of the authority only.
    pub(crate) async fn for_known_clients_before(target: &str) -> Self {
        Self::start(target, true).await
    }

    async fn start(target: &str, asks_clients: bool) -> Self {
        let folder = Workdir::new();
        let acceptor = acceptor(&folder, asks_clients);
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let uri = format!("https://{}", listener.local_addr().unwrap());
        let target = target.trim_start_matches("http://").to_owned();
        let accepting = async move {
            let mut wires = Vec::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (acceptor, target) = (acceptor.clone(), target.clone());
                wires.push(weir_base::task::spawn("tls wire", async move {
                    // Clients that do not know the authority hang up.
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    // Nor is there an answer while nobody listens behind.
                    let Ok(mut server) = TcpStream::connect(&target).await else { return };
                    drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                }));
            }
        };
        Self { uri, folder, _task: weir_base::task::spawn("tls front", accepting) }
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// The certificate of a client with its key, as PEM.
    pub(crate) fn client(&self) -> PathBuf {
        self.folder.path("certificates/client.pem")
    }

    /// The certificate of the authority, as PEM.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path("certificates/ca.pem")
    }
}

fn acceptor(folder: &Workdir, asks_clients: bool) -> TlsAcceptor {
    // The certificates of the test servers, made by their scripts.
    let make = "import pathlib, sys; from weir_servers import certificates; certificates.made_in(pathlib.Path(sys.argv[1]))";
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
    let output = Command::new("python3").args(["-B", "-c", make]).arg(folder.path("certificates")).current_dir(scripts).output().unwrap();
    assert!(output.status.success(), "making certificates: {}", String::from_utf8_lossy(&output.stderr));
    let both = folder.path("certificates/server.pem");
    let (certificate, key) = (CertificateDer::from_pem_file(&both).unwrap(), PrivateKeyDer::from_pem_file(&both).unwrap());
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let config = if asks_clients {
        let mut known = RootCertStore::empty();
        known.add(CertificateDer::from_pem_file(folder.path("certificates/ca.pem")).unwrap()).unwrap();
        config.with_client_cert_verifier(WebPkiClientVerifier::builder_with_provider(Arc::new(known), provider).build().unwrap())
    } else {
        config.with_no_client_auth()
    };
    TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate], key).unwrap()))
}
