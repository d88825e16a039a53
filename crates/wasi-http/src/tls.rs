//! TLS: whom a request trusts, and which errors there are.

use crate::types::{ErrorCode, TlsAlertReceivedPayload};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The protocol that the other side chose by ALPN, if it is HTTP/2.
pub(crate) const HTTP_2: &[u8] = b"h2";

/// Certificates that requests trust beside those of Mozilla's list.
#[derive(Clone, Default)]
pub(crate) struct Trust(Option<Arc<ClientConfig>>, Vec<CertificateDer<'static>>);

impl Trust {
    /// Trusts another certificate.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not valid.
    pub(crate) fn add(&mut self, der: &[u8]) -> belljar::Result<()> {
        let mut all = self.1.clone();
        all.push(CertificateDer::from(der.to_vec()));
        let config =
            config(&all).map_err(|error| belljar::Error::new(error).context("the root certificate"))?;
        *self = Self(Some(config), all);
        Ok(())
    }

    /// Opens a connection by TLS on one of TCP.
    pub(crate) async fn connect(self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, ErrorCode> {
        let config = match self.0 {
            Some(config) => config,
            None => default_config().map_err(ErrorCode::internal)?,
        };
        let name = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .map_err(|error| error_code(&error).unwrap_or(ErrorCode::ConnectionTerminated))
    }
}

fn default_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(known) = CONFIG.get() {
        return Ok(known.clone());
    }
    let new = config(&[])?;
    Ok(CONFIG.get_or_init(|| new).clone())
}

fn config(more: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    more.iter().try_for_each(|certificate| roots.add(certificate.clone()))?;
    // Named here, because a process whose other parts use another provider has no default one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP_2.to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Returns the code of an error of TLS; `None` for others.
pub(crate) fn error_code(error: &io::Error) -> Option<ErrorCode> {
    Some(match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            ErrorCode::TlsCertificateError
        }
        rustls::Error::AlertReceived(alert) => ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id: Some((*alert).into()),
            alert_message: Some(format!("{alert:?}")),
        }),
        _ => ErrorCode::TlsProtocolError,
    })
}
