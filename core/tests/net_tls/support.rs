//! What tests of TLS need: certificates, the other side's configurations, and that side itself on blocking sockets.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};

/// The other side as a client.
pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;
/// The other side as a server.
pub(crate) type Server = StreamOwned<ServerConnection, TcpStream>;

/// Both versions.
pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] =
    [&rustls::version::TLS12, &rustls::version::TLS13];

/// A file of the folder of certificates.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

pub(crate) fn server_config(version: &'static SupportedProtocolVersion) -> ServerConfig {
    let chain = vec![CertificateDer::from_pem_file(path("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(path("server.key")).unwrap();
    ServerConfig::builder_with_protocol_versions(&[version])
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

pub(crate) fn client_config(version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(path("ca.pem")).unwrap()).unwrap();
    ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(crate) fn name() -> ServerName<'static> {
    ServerName::try_from("shop.example").unwrap()
}

pub(crate) fn client(stream: TcpStream, config: ClientConfig) -> Client {
    StreamOwned::new(ClientConnection::new(Arc::new(config), name()).unwrap(), stream)
}

pub(crate) fn server(stream: TcpStream, config: ServerConfig) -> Server {
    StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream)
}
