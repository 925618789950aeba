//! Certificates that are trusted: those of the system and of a file, of authorities and of single
//! servers.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage, Other};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError as Cause, ClientConfig, DigitallySignedStruct, OtherError,
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

/// Trusts the system, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name, and `named`; or any server.
pub(super) fn client_config(
    named: Certificates,
    skip_verify: bool,
) -> Result<ClientConfig, RegistryError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier {
        provider: Arc::clone(&provider),
        skip_verify,
        named,
        known: OnceLock::new(),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(no_tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn no_tls(error: impl std::fmt::Display) -> RegistryError {
    RegistryError::input(format!("TLS cannot be set up: {error}"))
}

/// Accepts a server that an authority vouches for, or whose own certificate a person has named;
/// any server when told to.
///
/// Many registries show a certificate that signs itself and says that it is an authority, as
/// `openssl req -x509` makes it. No authority may be a server by the rules; but if exactly this
/// certificate was named, there is nothing left to find out by them.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    skip_verify: bool,
    named: Certificates,
    /// Read with the first handshake: reading the system's takes a while, and plain HTTP needs
    /// none.
    known: OnceLock<Result<Known, RegistryError>>,
}

#[derive(Debug)]
struct Known {
    authorities: Arc<WebPkiServerVerifier>,
    certificates: Certificates,
}

impl Verifier {
    fn known(&self) -> Result<&Known, rustls::Error> {
        let known = self.known.get_or_init(|| self.read());
        known
            .as_ref()
            .map_err(|error| Other(OtherError(Arc::new(error.clone()))))
    }

    fn read(&self) -> Result<Known, RegistryError> {
        let system = rustls_native_certs::load_native_certs();
        let mut certificates = self.named.clone();
        certificates.extend(system.certs);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        if roots.is_empty() {
            let why = system.errors.first().map(|error| format!(": {error}"));
            return Err(RegistryError::input(format!(
                "found no certificates to trust{}; name a file of them, or install the system's",
                why.unwrap_or_default()
            )));
        }
        let provider = Arc::clone(&self.provider);
        let authorities =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Known {
            authorities: authorities.map_err(no_tls)?,
            certificates,
        })
    }

    fn verify_signature(
        &self,
        verify: impl FnOnce(&WebPkiServerVerifier) -> Result<HandshakeSignatureValid, rustls::Error>,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.skip_verify {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify(&self.known()?.authorities)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.skip_verify {
            return Ok(ServerCertVerified::assertion());
        }
        let known = self.known()?;
        let verified = (known.authorities).verify_server_cert(
            end_entity,
            intermediates,
            name,
            ocsp_response,
            now,
        );
        match verified {
            // Told only after the dates were found to be right.
            Err(error)
                if is_authority_as_server(&error) && known.certificates.contains(end_entity) =>
            {
                let certificate = rustls::server::ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&certificate, name)?;
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
        self.verify_signature(|known| known.verify_tls12_signature(message, cert, dss))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_signature(|known| known.verify_tls13_signature(message, cert, dss))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        (self.provider.signature_verification_algorithms).supported_schemes()
    }
}

fn is_authority_as_server(error: &rustls::Error) -> bool {
    matches!(
        error,
        InvalidCertificate(Cause::Other(OtherError(error)))
            if matches!(error.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
    )
}

/// Why no server can be verified, if that is why there is no secure connection.
pub(super) fn no_verifier(error: &rustls::Error) -> Option<RegistryError> {
    match error {
        Other(OtherError(error)) => error.downcast_ref().cloned(),
        _ => None,
    }
}

/// Why there is no secure connection, in words.
pub(super) fn describe(error: &rustls::Error) -> String {
    match error {
        InvalidMessage(_) => "it does not speak TLS",
        AlertReceived(AlertDescription::ProtocolVersion) => {
            "it only supports insecure versions of TLS; TLS 1.2 or 1.3 is required"
        }
        AlertReceived(AlertDescription::HandshakeFailure) => {
            "it supports none of the secure TLS cipher suites"
        }
        AlertReceived(AlertDescription::CertificateRequired) => {
            "it requires a client certificate, which is not supported"
        }
        InvalidCertificate(Cause::Expired | Cause::ExpiredContext { .. }) => {
            "its certificate has expired"
        }
        InvalidCertificate(Cause::NotValidYet | Cause::NotValidYetContext { .. }) => {
            "its certificate is not valid yet"
        }
        InvalidCertificate(Cause::NotValidForName | Cause::NotValidForNameContext { .. }) => {
            "its certificate is for another name"
        }
        InvalidCertificate(Cause::UnknownIssuer) => {
            "its certificate is signed by an unknown authority; if you trust it, name a file with \
             the certificate of that authority"
        }
        InvalidCertificate(Cause::Revoked) => "its certificate has been revoked",
        _ if is_authority_as_server(error) => {
            "its certificate is self-signed; if you trust it, name a file with it"
        }
        _ => return error.to_string(),
    }
    .to_owned()
}
