//! Every way in which a release stops short of a job, worded, and who must act on it.

use std::{borrow::Cow, error::Error, fmt, iter};

/// What was expected in place of a value that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected(pub Cow<'static, str>);

/// Why an upload came to no job.
#[derive(Debug)]
pub enum Stop {
    /// By design: nobody has to act.
    Skipped(Skip),
    /// The uploader must act: every problem found, each a sentence. A retry cannot help.
    Rejected(Kind, Vec<String>),
    /// Time or the operator must help: Lambda retries, then the event goes to the failure queue.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What both come to, with the reasons of both where both are rejected.
pub(crate) fn both<A, B>(one: Result<A, Stop>, other: Result<B, Stop>) -> Result<(A, B), Stop> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(Stop::Rejected(kind, one)), Err(Stop::Rejected(_, other))) => {
            Err(Stop::Rejected(kind, [one, other].concat()))
        }
        // What can be mended by time alone is told once the uploader has done the rest.
        (Err(Stop::Rejected(kind, reasons)), _) | (_, Err(Stop::Rejected(kind, reasons))) => {
            Err(Stop::Rejected(kind, reasons))
        }
        (Err(stop), _) | (_, Err(stop)) => Err(stop),
    }
}

/// What all come to, with all the reasons for which any is rejected.
pub(crate) fn all<T>(each: impl IntoIterator<Item = Result<T, Stop>>) -> Result<Vec<T>, Stop> {
    let mut all = Ok(Vec::new());
    for one in each {
        all = both(all, one).map(|(mut all, one)| {
            all.push(one);
            all
        });
    }
    all
}

/// What of a release is rejected: where the uploader has to mend it. Of several, the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bucket, key or version of the upload.
    Place,
    /// What its tags say.
    Tags,
    /// What the manifest says.
    Manifest,
    /// The image itself.
    Object,
    /// The signature that it brings.
    Signature,
    /// What the job template says, or that it is not there.
    JobTemplate,
    /// A thing group or thing that does not exist.
    Target,
    /// A package version that does not exist.
    PackageVersion,
    /// The job ID that it asks for, which another job has.
    JobId,
    /// Start, end or window, which came too near while the image was signed.
    TooLate,
}

impl Kind {
    /// The kind's word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::Tags => "tags",
            Self::Manifest => "manifest",
            Self::Object => "object",
            Self::Signature => "signature",
            Self::JobTemplate => "job-template",
            Self::Target => "target",
            Self::PackageVersion => "package-version",
            Self::JobId => "job-id",
            Self::TooLate => "too-late",
        }
    }
}

/// Why an upload was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// The object carries no `ota:` tag: it is not a release.
    NoTags,
    /// The object is the empty marker of a folder.
    Folder,
    /// The object lies below the signed prefix: the function's own work.
    SignedPrefix,
    /// The event is not about an upload below the upload prefix.
    OtherEvent,
    /// A newer version of the object is current.
    Superseded,
    /// The object or this version of it was deleted.
    Withdrawn,
    /// An operator deleted the job of this version: it is never made again.
    JobDeleted,
    /// The object was copied onto itself: key, bytes and tags are those of the previous version, which has its job.
    Unchanged,
}

impl Skip {
    /// The reason's word in results and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoTags => "no-tags",
            Self::Folder => "folder",
            Self::SignedPrefix => "signed-prefix",
            Self::OtherEvent => "other-event",
            Self::Superseded => "superseded",
            Self::Withdrawn => "withdrawn",
            Self::JobDeleted => "job-deleted",
            Self::Unchanged => "unchanged",
        }
    }
}

/// A step of a release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Step {
    /// What S3 knows of the upload.
    #[default]
    Inspect,
    /// What the release needs, and whether its job is there already.
    Preflight,
    /// The signature, and whether it verifies.
    Sign,
    /// The raw copy.
    Copy,
    /// What devices fetch the image from.
    Stream,
    /// The job, and its receipt.
    Job,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [Self::Inspect, Self::Preflight, Self::Sign, Self::Copy, Self::Stream, Self::Job];

    /// The step's word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Preflight => "preflight",
            Self::Sign => "sign",
            Self::Copy => "copy",
            Self::Stream => "stream",
            Self::Job => "job",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inspect => "inspecting the upload",
            Self::Preflight => "looking up targets and job",
            Self::Sign => "signing",
            Self::Copy => "copying the image",
            Self::Stream => "creating the stream",
            Self::Job => "creating the job",
        })
    }
}

/// The cause of a failure: usually an SDK error.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A fault that time or the operator must mend. [`Failure::chain`] tells all of it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is said by its message")]
pub enum Failure {
    #[error("a record of the event cannot be understood: {problem}")]
    Event { problem: String },
    #[error("reading the tags of `{object}`")]
    GetObjectTagging { object: String, source: Cause },
    // A HEAD has no body that could say more than its status.
    #[error("reading the head of `{object}`: HTTP status {status}")]
    HeadObject { object: String, status: u16, source: Cause },
    #[error("listing the object versions below `{prefix}`")]
    ListObjectVersions { prefix: String, source: Cause },
    #[error("reading the record `{key}`")]
    ReadRecord { key: String, source: Cause },
    #[error("writing the record `{key}`")]
    WriteRecord { key: String, source: Cause },
    #[error("looking up the target `{target}`")]
    DescribeTarget { target: String, source: Cause },
    #[error("looking up the package version `{version}`")]
    GetPackageVersion { version: String, source: Cause },
    #[error("looking up the job template `{template}`")]
    DescribeJobTemplate { template: String, source: Cause },
    #[error("looking up the signing profile `{profile}`")]
    GetSigningProfile { profile: String, source: Cause },
    #[error("the signing profile `{profile}` is of no use: {problem}")]
    SigningProfile { profile: String, problem: String },
    #[error("starting a signing job of `{object}` with the signing profile `{profile}`")]
    StartSigningJob { object: String, profile: String, source: Cause },
    #[error("looking up the signing job `{signing_job}`")]
    DescribeSigningJob { signing_job: String, source: Cause },
    #[error("the signing job `{signing_job}` of `{object}` failed: {reason}")]
    SigningFailed { object: String, signing_job: String, reason: String },
    #[error(
        "the signing job `{signing_job}` is still in progress and the invocation's time is up; the next attempt goes on with it"
    )]
    SigningUnfinished { signing_job: String },
    #[error("the signing job `{signing_job}` is not what was asked for: {problem}")]
    SigningJob { signing_job: String, problem: String },
    #[error("reading the signed object `{key}`")]
    GetSignedObject { key: String, source: Cause },
    #[error("the signed object `{key}` is not one of this upload: {problem}")]
    SignedObject { key: String, problem: String },
    #[error("reading `{object}`")]
    GetObject { object: String, source: Cause },
    #[error("reading the certificate `{certificate}`")]
    GetCertificate { certificate: String, source: Cause },
    #[error(
        "the signature of `{object}` does not verify with the certificate `{certificate}`: {problem}; nothing is offered to devices"
    )]
    Signature { object: String, certificate: String, problem: String },
    #[error("copying `{object}` over the signed object `{key}`")]
    CopyObject { object: String, key: String, source: Cause },
    #[error("creating the stream `{stream_id}`")]
    CreateStream { stream_id: String, source: Cause },
    #[error("counting the streams of the account")]
    ListStreams { source: Cause },
    #[error("looking up the stream `{stream_id}`")]
    DescribeStream { stream_id: String, source: Cause },
    #[error("creating the job `{job_id}`")]
    CreateJob { job_id: String, source: Cause },
    #[error("looking up the job `{job_id}`")]
    DescribeJob { job_id: String, source: Cause },
    #[error("writing the job document")]
    JobDocument(#[from] serde_json::Error),
    #[error("conflict: {what} exists and is not of this upload; nothing was overwritten")]
    Conflict { what: String },
    #[error("an answer of AWS lacks its `{member}`")]
    Incomplete { member: &'static str },
    #[error("the invocation's time was up while {step}; the next attempt goes on from there")]
    OutOfTime { step: Step },
}

impl Failure {
    /// Whether AWS was only called too often: by the account, or just now.
    pub fn is_throttled(&self) -> bool {
        let causes = iter::successors(self.source(), |cause| Error::source(*cause));
        let codes = ["ThrottlingException", "TooManyRequestsException", "SlowDown"];
        causes.map(ToString::to_string).any(|cause| codes.iter().any(|code| cause.contains(code)))
    }

    /// The message and those of all its causes, each once: an SDK error alone prints no more than "service error".
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let message = error.to_string();
            if !text.contains(&message) {
                text = format!("{text}: {message}");
            }
            cause = error.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("service error")]
    struct Service(#[source] std::io::Error);

    #[test]
    fn every_skip_has_its_word() {
        let words = [
            (Skip::NoTags, "no-tags"),
            (Skip::Folder, "folder"),
            (Skip::SignedPrefix, "signed-prefix"),
            (Skip::OtherEvent, "other-event"),
            (Skip::Superseded, "superseded"),
            (Skip::Withdrawn, "withdrawn"),
            (Skip::JobDeleted, "job-deleted"),
            (Skip::Unchanged, "unchanged"),
        ];
        for (skip, word) in words {
            assert_eq!(skip.as_str(), word);
        }
    }

    #[test]
    fn what_is_throttled_is_told_by_the_code_of_its_cause() {
        let failure = |code: &str| Failure::CreateJob {
            job_id: "AFR_OTA-ThrottlingException".into(),
            source: Box::new(Service(std::io::Error::other(format!("{code}: too many")))),
        };
        assert!(failure("ThrottlingException").is_throttled());
        assert!(failure("SlowDown").is_throttled());
        assert!(!failure("LimitExceededException").is_throttled());
    }

    #[test]
    fn a_failure_tells_its_whole_chain() {
        let failure = Failure::CreateJob {
            job_id: "AFR_OTA-1".into(),
            source: Box::new(Service(std::io::Error::other("LimitExceededException: too many"))),
        };
        assert_eq!(failure.chain(), "creating the job `AFR_OTA-1`: service error: LimitExceededException: too many");
    }
}
