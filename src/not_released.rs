//! The reasons why an upload gets no job: it is skipped, rejected or failed.

use crate::error::Failure;

/// The reason why an upload gets no job.
#[derive(Debug)]
pub enum NotReleased {
    /// By design: no action is needed.
    Skipped(SkipReason),
    /// The uploader must act; a retry cannot help. Holds every problem as a sentence.
    Rejected(RejectionKind, Vec<String>),
    /// Lambda retries; after its last attempt the event goes to the failure queue, and the operator must act.
    Failed(Failure),
}

impl From<Failure> for NotReleased {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Combines two results: both values, or all reasons of both rejections. A rejection takes precedence over a failure:
/// by the time the uploader has acted, the failure may have cleared.
pub(crate) fn combine<A, B>(one: Result<A, NotReleased>, other: Result<B, NotReleased>) -> Result<(A, B), NotReleased> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(NotReleased::Rejected(kind, one)), Err(NotReleased::Rejected(_, other))) => {
            Err(NotReleased::Rejected(kind, [one, other].concat()))
        }
        (Err(NotReleased::Rejected(kind, reasons)), _) | (_, Err(NotReleased::Rejected(kind, reasons))) => {
            Err(NotReleased::Rejected(kind, reasons))
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// Combines any number of results as [`combine`] does.
pub(crate) fn combine_all<T>(results: impl IntoIterator<Item = Result<T, NotReleased>>) -> Result<Vec<T>, NotReleased> {
    let mut all = Ok(Vec::new());
    for one in results {
        all = combine(all, one).map(|(mut all, one)| {
            all.push(one);
            all
        });
    }
    all
}

/// The part of a release that is rejected, or the first of several parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionKind {
    /// The bucket, key or version of the upload.
    Place,
    /// A tag.
    Tags,
    /// The manifest.
    Manifest,
    /// The object itself.
    Object,
    /// The signature that the uploader provides.
    Signature,
    /// The job template, including one that does not exist.
    JobTemplate,
    /// A thing group or thing that does not exist.
    Target,
    /// A package version that does not exist.
    PackageVersion,
    /// The requested job ID, which another job has.
    JobId,
    /// The start, end or window: it came too near or passed while the image was signed.
    TooLate,
}

impl RejectionKind {
    /// The kind's name in metrics.
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

/// The reason why an upload was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// The object has no `ota:` tag: it is not a release.
    NoTags,
    /// The object is the empty marker of a folder.
    Folder,
    /// The object is below the signed prefix: the function wrote it.
    SignedPrefix,
    /// The event is not about an upload below the upload prefix.
    OtherEvent,
    /// A newer version of the object is current.
    Superseded,
    /// The object or this version of it was deleted.
    Withdrawn,
    /// An operator deleted the job of this version. The function never creates it again.
    JobDeleted,
    /// The object was copied onto itself. Its bytes and tags equal those of the previous version, which has a job.
    Unchanged,
}

impl SkipReason {
    /// The reason's name in results and logs.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_skip_reason_has_its_name() {
        let names = [
            (SkipReason::NoTags, "no-tags"),
            (SkipReason::Folder, "folder"),
            (SkipReason::SignedPrefix, "signed-prefix"),
            (SkipReason::OtherEvent, "other-event"),
            (SkipReason::Superseded, "superseded"),
            (SkipReason::Withdrawn, "withdrawn"),
            (SkipReason::JobDeleted, "job-deleted"),
            (SkipReason::Unchanged, "unchanged"),
        ];
        for (reason, name) in names {
            assert_eq!(reason.as_str(), name);
        }
    }

    #[test]
    fn all_reasons_are_combined_and_a_rejection_takes_precedence_over_a_failure() {
        let rejected = |reason: &str| Err(NotReleased::Rejected(RejectionKind::Tags, vec![reason.to_owned()]));
        let failed = || Err(Failure::Incomplete { member: "x" }.into());
        assert_eq!(combine_all([Ok(1), Ok(2)]).unwrap(), [1, 2]);
        let rejections = combine_all::<u8>([rejected("a"), Ok(1), failed(), rejected("b")]);
        assert!(matches!(rejections, Err(NotReleased::Rejected(_, reasons)) if reasons == ["a", "b"]));
        assert!(matches!(combine(Ok(1), combine_all::<u8>([failed()])), Err(NotReleased::Failed(_))));
    }
}
