//! The state of the board that survives a restart: its files, the image under test, and the version of the firmware.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use rustot::ota::pal::PalImageState;
use serde_json::{Value, json};
use webpki::EndEntityCert;

use crate::AnyError;

/// The state of the board. The agent's storage and the program share it.
pub struct Board {
    folder: PathBuf,
    /// The signature of the job document: the name of its member, and its value in base64.
    pub signature: Option<(&'static str, String)>,
    pub download: Option<File>,
    pub image_state: PalImageState,
    pub is_restarting: bool,
    /// The number of blocks and bytes that were written, since the file was created.
    pub blocks: usize,
    pub bytes: usize,
    /// The number of installed updates.
    pub updates: u8,
    started: Option<Instant>,
    millis: u128,
    verification: Option<Result<String, String>>,
}

impl Board {
    /// A board whose files are in a folder.
    pub fn new(folder: PathBuf) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            folder,
            signature: None,
            download: None,
            image_state: PalImageState::Valid,
            is_restarting: false,
            blocks: 0,
            bytes: 0,
            updates: 0,
            started: None,
            millis: 0,
            verification: None,
        }))
    }

    /// Returns the path of a file on the board.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name.trim_start_matches('/'))
    }

    /// Returns the version of the running firmware.
    pub fn version(&self) -> String {
        format!("1.0.{}", self.updates)
    }

    /// Creates the file for the image.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be created.
    pub fn start_download(&mut self) -> Result<(), AnyError> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(self.path("download"))?;
        (self.download, self.blocks, self.bytes) = (Some(file), 0, 0);
        self.started = Some(Instant::now());
        Ok(())
    }

    /// Verifies the signature over the downloaded image with a certificate on the board, and stores the image.
    ///
    /// # Errors
    ///
    /// Fails if the certificate is missing or has a key of another type, or the signature does not verify.
    pub fn close(&mut self, certificate: &str, image: &str) -> Result<(), AnyError> {
        self.millis = self.started.map(|started| started.elapsed().as_millis()).unwrap_or_default();
        self.download = None;
        let verified = self.verify(certificate);
        self.verification =
            Some(verified.as_ref().map(|algorithm| (*algorithm).to_owned()).map_err(ToString::to_string));
        verified?;
        let path = self.path(image);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        Ok(fs::rename(self.path("download"), path)?)
    }

    fn verify(&self, certificate: &str) -> Result<&'static str, AnyError> {
        let (name, signature) = self.signature.as_ref().ok_or("the job document has no signature")?;
        let signature = STANDARD.decode(signature)?;
        let image = fs::read(self.path("download"))?;
        let pem = fs::read(self.path(certificate))
            .map_err(|error| format!("the board has no certificate {certificate}: {error}"))?;
        let certificate = CertificateDer::from_pem_slice(&pem)?;
        let certificate = EndEntityCert::try_from(&certificate)?;
        let is_valid = |algorithm| certificate.verify_signature(algorithm, &image, &signature).is_ok();
        let verified = algorithms(name).into_iter().find(|(_, algorithm)| is_valid(*algorithm));
        verified.map(|(name, _)| name).ok_or_else(|| "the signature does not verify".into())
    }

    /// Returns the facts of the download and the verification.
    pub fn report(&self, status: &str) -> Value {
        let (algorithm, problem) = match &self.verification {
            Some(Ok(algorithm)) => (Some(algorithm), None),
            Some(Err(problem)) => (None, Some(problem)),
            None => (None, None),
        };
        json!({
            "status": status,
            "version": self.version(),
            "blocks": self.blocks,
            "bytes": self.bytes,
            "milliseconds": self.millis,
            "verified": algorithm,
            "problem": problem,
        })
    }
}

/// Returns the algorithms of a signature in a job document. The key of the certificate decides which one applies.
fn algorithms(name: &str) -> Vec<(&'static str, &'static dyn SignatureVerificationAlgorithm)> {
    use webpki::aws_lc_rs::{ECDSA_P256_SHA256, ECDSA_P384_SHA256, RSA_PKCS1_2048_8192_SHA256};
    match name {
        "sig-sha256-ecdsa" => vec![("ECDSA P-256", ECDSA_P256_SHA256), ("ECDSA P-384", ECDSA_P384_SHA256)],
        "sig-sha256-rsa" => vec![("RSA", RSA_PKCS1_2048_8192_SHA256)],
        _ => vec![],
    }
}
