//! Certificates that are trusted: those of the system and of a file, of authorities and of single
//! servers.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, OtherError,
    RootCertStore, SignatureScheme,
};

use crate::bounded;
use crate::error::RegistryError;

/// All authorities of a system fit in a megabyte.
const MAX_CA_FILE_LEN: u64 = 8 << 20;

type Certificates = Vec<CertificateDer<'static>>;

/// The certificates of a PEM file.
pub(super) fn read_ca_file(path: &Path) -> Result<Certificates, RegistryError> {
    let cannot = |why: String| {
        RegistryError::input(format!(
            "cannot use the certificates in `{}`: {why}",
            path.display()
        ))
    };
    let pem = bounded::read(path, MAX_CA_FILE_LEN).map_err(|error| cannot(error.to_string()))?;
    let certificates: Result<Certificates, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(cannot("it holds no PEM certificate".to_owned())),
        Err(_) => Err(cannot("it is not a valid PEM file".to_owned())),
    }
}

/// Trusts the system, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name, and `named`.
pub(super) fn client_config(
    named: &Certificates,
    skip_verify: bool,
) -> Result<ClientConfig, RegistryError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = if skip_verify {
        Arc::new(AnyServer(Arc::clone(&provider)))
    } else {
        Arc::new(KnownServer::new(named, &provider)?)
    };
    config(provider, verifier)
}

/// For connections without TLS: trusts nobody.
pub(super) fn no_config() -> Result<ClientConfig, RegistryError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let nobody = RootCertStore::empty();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(no_tls)?;
    Ok(config.with_root_certificates(nobody).with_no_client_auth())
}

fn config(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, RegistryError> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(no_tls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn no_tls(error: impl std::fmt::Display) -> RegistryError {
    RegistryError::input(format!("TLS cannot be set up: {error}"))
}

/// A server that an authority vouches for, or whose own certificate a person has named.
///
/// Many registries show a certificate that signs itself and says that it is an authority, as
/// `openssl req -x509` makes it. No authority may be a server by the rules; but if exactly this
/// certificate was named, there is nothing left to find out by them.
#[derive(Debug)]
struct KnownServer {
    authorities: Arc<WebPkiServerVerifier>,
    trusted: Certificates,
}

impl KnownServer {
    fn new(named: &Certificates, provider: &Arc<CryptoProvider>) -> Result<Self, RegistryError> {
        let system = rustls_native_certs::load_native_certs();
        let mut trusted = named.clone();
        trusted.extend(system.certs);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        if roots.is_empty() {
            let why = system.errors.first().map(|error| format!(": {error}"));
            return Err(RegistryError::input(format!(
                "found no certificates to trust{}; name a file of them, or install the system's",
                why.unwrap_or_default()
            )));
        }
        let authorities =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(no_tls)?;
        Ok(Self {
            authorities,
            trusted,
        })
    }
}

impl ServerCertVerifier for KnownServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.authorities.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // Told only after the dates were found to be right.
            Err(error) if is_authority_as_server(&error) && self.trusted.contains(end_entity) => {
                let certificate = rustls::server::ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&certificate, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

fn is_authority_as_server(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(error))) = error
    else {
        return false;
    };
    matches!(error.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Why there is no secure connection, in words.
pub(super) fn describe(error: &rustls::Error) -> String {
    use CertificateError as Cause;
    let rustls::Error::InvalidCertificate(cause) = error else {
        return match error {
            rustls::Error::InvalidMessage(_) => "it does not speak TLS",
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
                "it only supports insecure versions of TLS; TLS 1.2 or 1.3 is required"
            }
            rustls::Error::AlertReceived(AlertDescription::HandshakeFailure) => {
                "it supports none of the secure TLS cipher suites"
            }
            rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
                "it requires a client certificate, which is not supported"
            }
            other => return other.to_string(),
        }
        .to_owned();
    };
    match cause {
        Cause::Expired | Cause::ExpiredContext { .. } => "its certificate has expired",
        Cause::NotValidYet | Cause::NotValidYetContext { .. } => "its certificate is not valid yet",
        Cause::NotValidForName | Cause::NotValidForNameContext { .. } => {
            "its certificate is for another name"
        }
        Cause::UnknownIssuer => {
            "its certificate is signed by an unknown authority; if you trust it, name a file with \
             the certificate of that authority"
        }
        Cause::Revoked => "its certificate has been revoked",
        _ if is_authority_as_server(error) => {
            "its certificate is self-signed; if you trust it, name a file with it"
        }
        _ => return error.to_string(),
    }
    .to_owned()
}

/// Whatever server there is.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        (self.0.signature_verification_algorithms).supported_schemes()
    }
}
