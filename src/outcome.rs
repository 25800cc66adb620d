//! The outcomes of a release: the function's result and the final log lines.

use crate::error::Failure;
use crate::not_released::{NotReleased, RejectionKind, SkipReason};
use crate::progress::{JobReport, Progress, Step};
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use tracing::Level;

/// The result of an event: one release for each record.
#[derive(Debug, Serialize)]
pub struct Releases {
    /// In the order of the event.
    pub releases: Vec<Release>,
}

/// The result of one record.
#[derive(Debug)]
pub struct Release {
    /// The upload's bucket, if the record names one.
    pub bucket: Option<String>,
    /// The upload's key, if the record names one.
    pub key: Option<String>,
    /// The upload's version ID, if the record names an upload.
    pub version_id: Option<String>,
    /// The outcome of the upload.
    pub outcome: Outcome,
}

/// The outcome of an upload.
#[derive(Debug)]
pub enum Outcome {
    /// The job is new.
    Created(JobReport),
    /// The job of this version existed already.
    Adopted {
        /// The job.
        job: JobReport,
        /// `true` if the tags have changed since the job was created.
        tags_changed: bool,
    },
    /// No release, by design.
    Skipped {
        /// The reason.
        reason: SkipReason,
        /// The ID of the job, if the reason is that the job was deleted.
        job_id: Option<String>,
    },
    /// The uploader must change the object or its tags.
    Rejected {
        /// The part of the release that is rejected.
        kind: RejectionKind,
        /// Every problem.
        reasons: Vec<String>,
    },
    /// Everything was checked, and nothing was created.
    DryRun {
        /// The job that the release would create.
        job: JobReport,
        /// The requests of the release.
        requests: Box<PlannedRequests>,
        /// The part that is missing from the requests, if they are incomplete.
        note: Option<String>,
    },
    /// Lambda retries; after its last attempt the operator must act.
    Failed {
        /// The failure.
        failure: Failure,
        /// The known facts of the job, which may exist.
        job: JobReport,
    },
}

/// The requests that a release would send, with AWS's member names.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRequests {
    /// StartSigningJob, if Signer is to sign the upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_signing_job: Option<Value>,
    /// StartSigningJob for each file of a manifest that Signer is to sign.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub start_signing_jobs: Vec<Value>,
    /// CreateStream, if devices fetch the image from a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_stream: Option<Value>,
    /// CreateJob.
    pub create_job: Value,
}

/// The result of a record, as it is returned and logged.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<&'a str>,
    #[serde(flatten)]
    job: Cow<'a, JobReport>,
    #[serde(flatten)]
    requests: Option<&'a PlannedRequests>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasons: &'a [String],
}

impl Serialize for Release {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.report().serialize(serializer)
    }
}

impl Outcome {
    /// The outcome of a release that gets no job.
    pub(crate) fn not_released(error: NotReleased, job: JobReport) -> Self {
        match error {
            NotReleased::Skipped(reason) => {
                Self::Skipped { reason, job_id: job.job_id.filter(|_| reason == SkipReason::JobDeleted) }
            }
            NotReleased::Rejected(kind, reasons) => Self::Rejected { kind, reasons },
            NotReleased::Failed(failure) => Self::Failed { failure, job },
        }
    }

    /// The outcome's name in results and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Created(_) => "created",
            Self::Adopted { .. } => "adopted",
            Self::Skipped { .. } => "skipped",
            Self::Rejected { .. } => "rejected",
            Self::DryRun { .. } => "dry-run",
            Self::Failed { .. } => "failed",
        }
    }

    fn reason(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Adopted { tags_changed: true, .. } => Some(
                "the tags have changed since the job was created; to release with these, cancel the job and upload \
                 again"
                    .into(),
            ),
            Self::Skipped { reason, .. } => Some(reason.as_str().into()),
            Self::DryRun { note: Some(note), .. } => Some(note.into()),
            Self::Failed { failure, .. } => Some(failure.chain().into()),
            _ => None,
        }
    }

    /// The known facts of the job. Empty if the release has no job.
    fn job(&self) -> Cow<'_, JobReport> {
        match self {
            Self::Created(job) | Self::Adopted { job, .. } | Self::DryRun { job, .. } | Self::Failed { job, .. } => {
                Cow::Borrowed(job)
            }
            Self::Skipped { job_id, .. } => Cow::Owned(JobReport { job_id: job_id.clone(), ..JobReport::default() }),
            Self::Rejected { .. } => Cow::default(),
        }
    }

    /// Returns whether the signature that the job offers to devices was verified. `None` if that is unknown.
    pub(crate) fn verified(&self) -> Option<bool> {
        self.job().verified
    }

    /// The log level of the outcome.
    pub(crate) fn level(&self) -> Level {
        match self {
            Self::Rejected { .. } | Self::Failed { .. } => Level::ERROR,
            Self::Adopted { tags_changed: true, .. }
            | Self::Skipped {
                reason: SkipReason::Superseded | SkipReason::Withdrawn | SkipReason::JobDeleted, ..
            } => Level::WARN,
            Self::Created(_) | Self::Adopted { .. } | Self::DryRun { .. } | Self::Skipped { .. } => Level::INFO,
        }
    }
}

impl Release {
    fn report(&self) -> Report<'_> {
        let requests = match &self.outcome {
            Outcome::DryRun { requests, .. } => Some(&**requests),
            _ => None,
        };
        let reasons = match &self.outcome {
            Outcome::Rejected { reasons, .. } => reasons.as_slice(),
            _ => &[],
        };
        Report {
            outcome: self.outcome.as_str(),
            reason: self.outcome.reason(),
            bucket: self.bucket.as_deref(),
            key: self.key.as_deref(),
            version_id: self.version_id.as_deref(),
            job: self.outcome.job(),
            requests,
            reasons,
        }
    }

    /// The error message of the invocation, if the release failed.
    pub(crate) fn failure(&self) -> Option<String> {
        let Outcome::Failed { failure, .. } = &self.outcome else { return None };
        let reason = failure.chain();
        Some(self.key.as_ref().map_or_else(|| reason.clone(), |key| format!("`{key}`: {reason}")))
    }

    /// Logs the final line of the record, with all known facts.
    pub(crate) fn log(&self, progress: &Progress) {
        let ms = |step| progress.duration(step).and_then(|duration| u64::try_from(duration.as_millis()).ok());
        let report = self.report();
        let reasons = (!report.reasons.is_empty()).then(|| report.reasons.join("; "));
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    outcome = report.outcome,
                    reason = report.reason.as_deref(),
                    bucket = report.bucket,
                    key = report.key,
                    versionId = report.version_id,
                    jobId = report.job.job_id,
                    jobArn = report.job.job_arn,
                    streamId = report.job.stream_id,
                    verified = report.job.verified,
                    reasons = reasons,
                    inspectMs = ms(Step::Inspect),
                    preflightMs = ms(Step::Preflight),
                    signMs = ms(Step::Sign),
                    copyMs = ms(Step::Copy),
                    streamMs = ms(Step::Stream),
                    jobMs = ms(Step::Job),
                )
            };
        }
        match self.outcome.level() {
            Level::ERROR => line!(error),
            Level::WARN => line!(warn),
            _ => line!(info),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    fn job() -> JobReport {
        let some = |text: &str| Some(text.to_owned());
        JobReport {
            job_id: some("AFR_OTA-a"),
            job_arn: some("arn:aws:iot:job"),
            stream_id: some("AFR_OTA-b"),
            start_time: some("2026-11-23T22:41"),
            ..JobReport::default()
        }
    }

    fn release(outcome: Outcome) -> Release {
        Release { bucket: None, key: Some("firmware/a.bin".to_owned()), version_id: None, outcome }
    }

    fn not_released(error: NotReleased) -> Release {
        release(Outcome::not_released(error, job()))
    }

    fn created() -> Release {
        release(Outcome::Created(job()))
    }

    fn adopted(tags_changed: bool) -> Release {
        release(Outcome::Adopted { job: job(), tags_changed })
    }

    fn dry_run() -> Release {
        release(Outcome::DryRun { job: job(), requests: Box::default(), note: Some("not complete".to_owned()) })
    }

    fn rejected() -> Release {
        not_released(NotReleased::Rejected(RejectionKind::Tags, vec!["a".into(), "b".into()]))
    }

    fn failed() -> Release {
        not_released(Failure::Incomplete { member: "jobArn" }.into())
    }

    fn skipped(reason: SkipReason) -> Release {
        not_released(NotReleased::Skipped(reason))
    }

    #[test]
    fn a_result_has_all_known_members_and_no_others() {
        let ids = json!({"jobId": "AFR_OTA-a", "jobArn": "arn:aws:iot:job", "streamId": "AFR_OTA-b",
            "startTime": "2026-11-23T22:41"});
        let changed = adopted(true).outcome.reason().unwrap().into_owned();
        let deleted = skipped(SkipReason::JobDeleted);
        for (release, has_job, mut expected) in [
            (created(), true, json!({"outcome": "created"})),
            (adopted(false), true, json!({"outcome": "adopted"})),
            (adopted(true), true, json!({"outcome": "adopted", "reason": changed})),
            (dry_run(), true, json!({"outcome": "dry-run", "reason": "not complete", "createJob": null})),
            (failed(), true, json!({"outcome": "failed", "reason": "a response of AWS lacks `jobArn`"})),
            (rejected(), false, json!({"outcome": "rejected", "reasons": ["a", "b"]})),
            (skipped(SkipReason::Superseded), false, json!({"outcome": "skipped", "reason": "superseded"})),
            (deleted, false, json!({"outcome": "skipped", "reason": "job-deleted", "jobId": "AFR_OTA-a"})),
        ] {
            expected["key"] = "firmware/a.bin".into();
            let ids = ids.as_object().filter(|_| has_job).cloned();
            expected.as_object_mut().unwrap().extend(ids.unwrap_or_default());
            assert_eq!(serde_json::to_value(&release).unwrap(), expected);
        }
    }

    #[test]
    fn a_failure_names_the_key() {
        assert_eq!(failed().failure().as_deref(), Some("`firmware/a.bin`: a response of AWS lacks `jobArn`"));
        assert_eq!(rejected().failure(), None);
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(release: &Release) -> Value {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone());
        let mut progress = Progress::default();
        progress.add(Step::Inspect, Duration::from_millis(21));
        tracing::subscriber::with_default(subscriber.finish(), || release.log(&progress));
        let line = serde_json::from_slice(&log.0.lock().unwrap());
        line.unwrap()
    }

    #[test]
    fn the_level_of_a_log_line_shows_whether_action_is_needed() {
        let cases = [
            (created(), "INFO"),
            (dry_run(), "INFO"),
            (adopted(false), "INFO"),
            (adopted(true), "WARN"),
            (skipped(SkipReason::NoTags), "INFO"),
            (skipped(SkipReason::OtherEvent), "INFO"),
            (skipped(SkipReason::Superseded), "WARN"),
            (skipped(SkipReason::Withdrawn), "WARN"),
            (skipped(SkipReason::JobDeleted), "WARN"),
            (rejected(), "ERROR"),
            (failed(), "ERROR"),
        ];
        for (release, level) in cases {
            let line = line(&release);
            assert_eq!((&line["level"], &line["outcome"]), (&json!(level), &json!(release.outcome.as_str())), "{line}");
        }
    }

    #[test]
    fn a_log_line_has_all_known_fields_and_no_others() {
        let rejected = line(&rejected());
        assert_eq!((&rejected["reasons"], &rejected["key"]), (&json!("a; b"), &json!("firmware/a.bin")));
        let created = line(&created());
        assert_eq!((&created["inspectMs"], created.get("signMs"), created.get("reasons")), (&json!(21), None, None));
        assert_eq!(created["jobId"], "AFR_OTA-a");
    }
}
