//! The behavior of the fake, which tests can change.

use super::now;
use serde_json::Value;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Behavior {
    /// The time before every response.
    pub latency: Duration,
    /// The maximum of a random time added to the latency; 0 for none.
    pub jitter_ms: u64,
    /// The time in which a signing job is in progress.
    pub signing_time: Duration,
    /// The reason for which signing jobs fail.
    pub signing_failure: Option<&'static str>,
    /// The time at which a signing job completes, in seconds since the epoch.
    pub signing_completed_at: i64,
    /// The place of the payload in the signed object, if Signer embeds the payload.
    pub embedded: Embedded,
    /// The certificate of the profiles, as ACM returns it.
    pub certificate: &'static str,
    /// The checksum that CopyObject returns instead of the copy's own.
    pub copied_checksum: Option<&'static str>,
    /// The state of the profiles.
    pub profile_status: &'static str,
    /// The platform of the profiles.
    pub platform: &'static str,
    /// The signing parameter of the profiles.
    pub certname: Option<&'static str>,
    /// Changes a signed object before it is written.
    pub corrupt_signed_object: fn(&mut Value),
    /// Changes the response of DescribeSigningJob.
    pub corrupt_signing_job: fn(&mut Value),
    /// Changes the response of GetSigningProfile.
    pub corrupt_signing_profile: fn(&mut Value),
    /// The maximum number of versions on a page of ListObjectVersions.
    pub page: usize,
    /// True if CopyObject reports another version than the requested one.
    pub copies_another_version: bool,
    /// The clock for the rules of CreateJob.
    pub clock: fn() -> jiff::Timestamp,
    /// The responses about the configuration of the bucket, by operation.
    pub bucket_configuration: Vec<(&'static str, String)>,
    /// The things and thing groups that exist.
    pub targets: Vec<&'static str>,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            jitter_ms: 0,
            signing_time: Duration::ZERO,
            signing_failure: None,
            signing_completed_at: now().as_second(),
            embedded: Embedded::No,
            certificate: include_str!("../../../certificates/p256.pem"),
            copied_checksum: None,
            profile_status: "Active",
            platform: "AWSIoTDeviceManagement-SHA256-ECDSA",
            certname: Some("/certs/ota.pem"),
            corrupt_signed_object: |_| {},
            corrupt_signing_job: |_| {},
            corrupt_signing_profile: |_| {},
            page: 1000,
            copies_another_version: false,
            clock: now,
            bucket_configuration: Vec::new(),
            targets: vec!["thinggroup/lab", "thinggroup/eu-west", "thing/bench-1"],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embedded {
    No,
    PayloadFirst,
    PayloadLast,
}

/// The storage of an object version, as S3 reports it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Storage {
    /// `x-amz-storage-class`.
    pub class: Option<&'static str>,
    /// `x-amz-archive-status`.
    pub archive_status: Option<&'static str>,
    /// `x-amz-restore`.
    pub restore: Option<&'static str>,
    /// True if a customer-provided key encrypts the object version (SSE-C).
    pub has_customer_key: bool,
}

impl Storage {
    /// The error of GetObject and of every other request that reads the bytes; `None` if they can be read.
    pub fn read_error(self) -> Option<(u16, &'static str)> {
        let is_archived = matches!(self.class, Some("GLACIER" | "DEEP_ARCHIVE")) || self.archive_status.is_some();
        let is_restored = self.restore.is_some_and(|restore| restore.contains("ongoing-request=\"false\""));
        match self {
            _ if self.has_customer_key => Some((400, "InvalidRequest")),
            _ if is_archived && !is_restored => Some((403, "InvalidObjectState")),
            _ => None,
        }
    }
}
