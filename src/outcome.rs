//! What an upload came to: the function's result, and the final log line.

use crate::{
    error::Failure,
    job::existing::Job,
    not_released::{NotReleased, RejectionKind, SkipReason},
    progress::{Step, Steps},
};
use serde::Serialize;
use serde_json::Value;
use tracing::Level;

/// What an event came to: one release a record.
#[derive(Debug, Serialize)]
pub struct Releases {
    /// In the order of the event.
    pub releases: Vec<Release>,
}

/// What one record came to.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// What the upload came to.
    pub outcome: Outcome,
    /// Why, where that needs a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The upload's bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// The upload's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The upload's version ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The job's ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// The job's ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_arn: Option<String>,
    /// The stream's ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<String>,
    /// Whether the signature that the job offers to devices was verified, where that is known; for the log.
    #[serde(skip)]
    pub verified: Option<bool>,
    /// The job's start in UTC, where it does not start at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    /// The job's end in UTC, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    /// In a dry run: StartSigningJob, as it would be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_signing_job: Option<Value>,
    /// In a dry run of a manifest: the same for each file that Signer is to sign.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub start_signing_jobs: Vec<Value>,
    /// In a dry run: CreateStream, as it would be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_stream: Option<Value>,
    /// In a dry run: CreateJob, as it would be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_job: Option<Value>,
    /// Every problem of a release that is rejected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What of a release is rejected; for metrics.
    #[serde(skip)]
    pub kind: Option<RejectionKind>,
    /// Whether it failed as a signature does not verify; for metrics.
    #[serde(skip)]
    pub signature_refused: bool,
}

/// What an upload can come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The job is new.
    Created,
    /// The job of this version was there already.
    Adopted,
    /// No release, by design.
    Skipped,
    /// The uploader must change the object or its tags.
    Rejected,
    /// Everything is checked, and nothing was created.
    DryRun,
    /// Time or the operator must help; Lambda tries again.
    #[default]
    Failed,
}

impl Release {
    /// Tells of the job.
    pub(crate) fn tell(&mut self, job: &Job) {
        self.job_arn = Some(job.arn.clone());
        self.stream_id.clone_from(&job.stream_id);
        self.start_time.clone_from(&job.start_time);
        self.end_time.clone_from(&job.end_time);
    }

    /// The error message of a release that failed.
    pub(crate) fn failure(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or_default();
        self.key.as_ref().map_or_else(|| reason.to_owned(), |key| format!("`{key}`: {reason}"))
    }

    pub(crate) fn conclude(&mut self, outcome: Result<Outcome, NotReleased>) {
        self.outcome = match outcome {
            Ok(outcome) => outcome,
            Err(NotReleased::Skipped(skip)) => {
                self.reason = Some(skip.as_str().to_owned());
                if skip != SkipReason::JobDeleted {
                    self.forget_ids();
                }
                Outcome::Skipped
            }
            Err(NotReleased::Rejected(kind, reasons)) => {
                (self.kind, self.reasons) = (Some(kind), reasons);
                self.forget_ids();
                Outcome::Rejected
            }
            Err(NotReleased::Failed(failure)) => {
                self.signature_refused = matches!(failure, Failure::Signature { .. });
                self.reason = Some(failure.chain());
                Outcome::Failed
            }
        };
    }

    /// There is no job of this upload, whatever its ID would have been.
    fn forget_ids(&mut self) {
        (self.job_id, self.stream_id) = (None, None);
    }

    /// The final log line: one a record, with all that is known of it.
    pub(crate) fn log(&self, steps: &Steps) {
        let ms = |step| steps.taken(step).and_then(|taken| u64::try_from(taken.as_millis()).ok());
        let reasons = (!self.reasons.is_empty()).then(|| self.reasons.join("; "));
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    outcome = self.outcome.as_str(),
                    reason = self.reason,
                    bucket = self.bucket,
                    key = self.key,
                    versionId = self.version_id,
                    jobId = self.job_id,
                    jobArn = self.job_arn,
                    streamId = self.stream_id,
                    verified = self.verified,
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
        match self.level() {
            Level::ERROR => line!(error),
            Level::WARN => line!(warn),
            _ => line!(info),
        }
    }

    /// How much it matters to whoever reads the log.
    pub(crate) fn level(&self) -> Level {
        match self.outcome {
            Outcome::Rejected | Outcome::Failed => Level::ERROR,
            // A job whose tags have changed, a version that is not current any more: somebody may wonder.
            Outcome::Adopted if self.reason.is_some() => Level::WARN,
            Outcome::Skipped if matches!(self.reason.as_deref(), Some("superseded" | "withdrawn" | "job-deleted")) => {
                Level::WARN
            }
            Outcome::Created | Outcome::Adopted | Outcome::DryRun | Outcome::Skipped => Level::INFO,
        }
    }
}

impl Outcome {
    /// The outcome's word in results and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Adopted => "adopted",
            Self::Skipped => "skipped",
            Self::Rejected => "rejected",
            Self::DryRun => "dry-run",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;
    use serde_json::json;
    use std::time::Duration;
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    fn release() -> Release {
        let some = |text: &str| Some(text.to_owned());
        Release {
            key: some("firmware/a.bin"),
            job_id: some("AFR_OTA-a"),
            stream_id: some("AFR_OTA-b"),
            ..Release::default()
        }
    }

    fn concluded(outcome: Result<Outcome, NotReleased>) -> Release {
        let mut release = release();
        release.conclude(outcome);
        release
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_is_under_way_from_its_beginning_and_its_parts_add_up() {
        let mut steps = Steps::default();
        let mut told = Vec::new();
        for step in Step::ALL.into_iter().chain([Step::Copy]) {
            steps.timed(step, tokio::time::sleep(Duration::from_millis(20))).await;
            told.push(steps.under_way.to_string());
        }
        assert_eq!(
            told,
            [
                "inspecting the upload",
                "looking up targets and job",
                "signing",
                "copying the image",
                "creating the stream",
                "creating the job",
                "copying the image"
            ]
        );
        let taken = Step::ALL.map(|step| steps.taken(step).unwrap().as_millis());
        assert_eq!(taken, [20, 20, 20, 40, 20, 20]);
        drop(steps.timed(Step::Sign, std::future::pending::<()>()));
        assert_eq!((steps.under_way, steps.taken(Step::Sign)), (Step::Sign, Some(Duration::from_millis(20))));
    }

    #[test]
    fn a_release_tells_of_its_job() {
        let some = |text: &str| Some(text.to_owned());
        let (start_time, end_time) = (some("2026-11-23T22:41"), some("2026-11-23T23:41"));
        let mut release = release();
        let stream_id = some("AFR_OTA-c");
        let (arn, status, description) = ("arn:aws:iot:job".to_owned(), None, None);
        release.tell(&Job { arn, status, description, stream_id, start_time, end_time });
        assert_eq!(release.stream_id, some("AFR_OTA-c"));
        assert_eq!(
            (release.job_arn, release.start_time, release.end_time),
            (some("arn:aws:iot:job"), some("2026-11-23T22:41"), some("2026-11-23T23:41"))
        );
    }

    #[test]
    fn what_came_to_no_job_names_none() {
        let created = concluded(Ok(Outcome::Created));
        assert_eq!((created.outcome, created.job_id.as_deref()), (Outcome::Created, Some("AFR_OTA-a")));
        let skipped = concluded(Err(NotReleased::Skipped(SkipReason::Superseded)));
        assert_eq!((skipped.outcome, skipped.reason.as_deref()), (Outcome::Skipped, Some("superseded")));
        assert_eq!((skipped.job_id, skipped.stream_id), (None, None));
        let rejected = concluded(Err(NotReleased::Rejected(RejectionKind::Tags, vec!["a".into(), "b".into()])));
        assert_eq!((rejected.outcome, rejected.reasons.len(), rejected.job_id), (Outcome::Rejected, 2, None));
        // There was one.
        let deleted = concluded(Err(NotReleased::Skipped(SkipReason::JobDeleted)));
        assert_eq!((deleted.reason.as_deref(), deleted.job_id.as_deref()), (Some("job-deleted"), Some("AFR_OTA-a")));
        // There may be one.
        let failed = concluded(Err(Failure::Incomplete { member: "jobArn" }.into()));
        assert_eq!((failed.outcome, failed.job_id.as_deref()), (Outcome::Failed, Some("AFR_OTA-a")));
        assert_eq!(failed.failure(), "`firmware/a.bin`: a response of AWS lacks `jobArn`");
    }

    #[test]
    fn results_and_logs_have_the_same_words() {
        let words = [
            (Outcome::Created, "created"),
            (Outcome::Adopted, "adopted"),
            (Outcome::Skipped, "skipped"),
            (Outcome::Rejected, "rejected"),
            (Outcome::DryRun, "dry-run"),
            (Outcome::Failed, "failed"),
        ];
        for (outcome, word) in words {
            assert_eq!(json!(outcome), word);
            assert_eq!(outcome.as_str(), word);
        }
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
        let mut steps = Steps::default();
        steps.add(Step::Inspect, Duration::from_millis(21));
        tracing::subscriber::with_default(subscriber.finish(), || release.log(&steps));
        let line = serde_json::from_slice(&log.0.lock().unwrap());
        line.unwrap()
    }

    #[test]
    fn the_level_of_a_log_line_says_whether_somebody_must_act() {
        let mut changed = concluded(Ok(Outcome::Adopted));
        changed.reason = Some("the tags have changed".to_owned());
        let cases = [
            (concluded(Ok(Outcome::Created)), "INFO"),
            (concluded(Ok(Outcome::DryRun)), "INFO"),
            (concluded(Ok(Outcome::Adopted)), "INFO"),
            (changed, "WARN"),
            (concluded(Err(NotReleased::Skipped(SkipReason::NoTags))), "INFO"),
            (concluded(Err(NotReleased::Skipped(SkipReason::OtherEvent))), "INFO"),
            (concluded(Err(NotReleased::Skipped(SkipReason::Superseded))), "WARN"),
            (concluded(Err(NotReleased::Skipped(SkipReason::Withdrawn))), "WARN"),
            (concluded(Err(NotReleased::Skipped(SkipReason::JobDeleted))), "WARN"),
            (concluded(Err(NotReleased::Rejected(RejectionKind::Tags, vec!["a".into()]))), "ERROR"),
            (concluded(Err(Failure::Incomplete { member: "jobArn" }.into())), "ERROR"),
        ];
        for (release, level) in cases {
            let line = line(&release);
            assert_eq!((&line["level"], &line["outcome"]), (&json!(level), &json!(release.outcome.as_str())), "{line}");
        }
    }

    #[test]
    fn a_log_line_has_what_is_known_and_no_more() {
        let rejected = line(&concluded(Err(NotReleased::Rejected(RejectionKind::Tags, vec!["a".into(), "b".into()]))));
        assert_eq!((&rejected["reasons"], &rejected["key"]), (&json!("a; b"), &json!("firmware/a.bin")));
        let created = line(&concluded(Ok(Outcome::Created)));
        assert_eq!((&created["inspectMs"], created.get("signMs"), created.get("reasons")), (&json!(21), None, None));
    }
}
