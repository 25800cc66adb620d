//! TLS with a client certificate, as AWS IoT requires of devices.

use std::error::Error;
use std::sync::Arc;

use rumqttc::{MqttOptions, TlsConfiguration, Transport};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// AWS IoT's limit on the size of a message is 128 KiB. A block of 128 KiB in base64 is larger.
const MAX_PACKET_BYTES: usize = 256 * 1024;

/// Returns the options of a connection to the broker. The certificates and the key are PEM texts.
///
/// # Errors
///
/// Fails if one of the texts is not valid PEM, or the key does not fit the certificate.
pub fn broker_options(
    client_id: &str,
    port: u16,
    (ca, certificate, key): (&[u8], &[u8], &[u8]),
) -> Result<MqttOptions, Box<dyn Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        roots.add(certificate?)?;
    }
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>()?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key)?)?;
    let mut options = MqttOptions::new(client_id, "localhost", port);
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))));
    options.set_max_packet_size(MAX_PACKET_BYTES, MAX_PACKET_BYTES);
    Ok(options)
}
