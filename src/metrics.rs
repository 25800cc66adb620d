//! Writes the metrics for CloudWatch to the log.
//!
//! The metrics have the embedded metric format
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>),
//! one line for each record.

use crate::error::Failure;
use crate::not_released::RejectionKind;
use crate::outcome::{Outcome, Release};
use crate::progress::{Progress, Step};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::io;
use std::io::Write;
use tracing::Level;

/// The namespace of all metrics. The dimension `FunctionName` distinguishes deployments, as in Lambda's own metrics.
pub const NAMESPACE: &str = "ota-on-upload";

/// A metric of one record. Dimensions have few, fixed values, because CloudWatch bills each combination as a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Metric {
    /// The outcome of the record.
    Outcome(&'static str),
    /// `Rejected`, by the part that is rejected.
    RejectedBy(RejectionKind),
    /// `Failed`, by the step that was under way.
    FailedBy(Step),
    /// 1 if the signature that the job offers was verified, else 0.
    Verified(bool),
    /// A signature does not verify.
    SignatureRefused,
    /// The duration of a step.
    Seconds(Step, f64),
    /// The number of the account's streams.
    Streams(usize),
    /// 1 if the bucket lacks configuration that the stack depends on, else 0.
    BucketUnguarded(bool),
    /// A message was removed from the failure queue because the function cannot read it.
    Unreadable,
}

impl Metric {
    fn name(self) -> &'static str {
        match self {
            Self::Outcome(name) => name,
            Self::RejectedBy(_) => "Rejected",
            Self::FailedBy(_) => "Failed",
            Self::Verified(_) => "Verified",
            Self::SignatureRefused => "SignatureRefused",
            Self::Seconds(Step::Inspect, _) => "InspectSeconds",
            Self::Seconds(Step::Preflight, _) => "PreflightSeconds",
            Self::Seconds(Step::Sign, _) => "SigningSeconds",
            Self::Seconds(Step::Copy, _) => "CopySeconds",
            Self::Seconds(Step::Stream, _) => "StreamSeconds",
            Self::Seconds(Step::Job, _) => "JobSeconds",
            Self::Streams(_) => "Streams",
            Self::BucketUnguarded(_) => "BucketUnguarded",
            Self::Unreadable => "Unreadable",
        }
    }

    fn unit(self) -> &'static str {
        if matches!(self, Self::Seconds(..)) { "Seconds" } else { "Count" }
    }

    fn value(self) -> Value {
        match self {
            Self::Verified(value) | Self::BucketUnguarded(value) => u8::from(value).into(),
            Self::Seconds(_, seconds) => seconds.into(),
            Self::Streams(count) => count.into(),
            _ => 1.into(),
        }
    }

    /// The dimension in addition to the function's name.
    fn dimension(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::RejectedBy(kind) => Some(("Kind", kind.as_str())),
            Self::FailedBy(step) => Some(("Step", step.as_str())),
            _ => None,
        }
    }
}

/// Writes metrics to standard output, under the function's name.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub function_name: String,
}

impl Metrics {
    /// Reports the outcome of a record, and the duration of its steps.
    pub fn report(&self, release: &Release, progress: &Progress, now: Timestamp) {
        self.write(release.outcome.level(), &metrics_of(release, progress), now);
    }

    /// Reports the number of the account's streams.
    pub fn report_streams(&self, count: usize, now: Timestamp) {
        // The alarm needs this metric at every log level.
        self.write(Level::ERROR, &[Metric::Streams(count)], now);
    }

    /// Reports whether the bucket lacks configuration that the stack depends on.
    pub fn report_bucket(&self, is_unguarded: bool, now: Timestamp) {
        self.write(Level::ERROR, &[Metric::BucketUnguarded(is_unguarded)], now);
    }

    /// Counts a message that was removed from the failure queue because the function cannot read it.
    pub fn report_unreadable(&self, now: Timestamp) {
        self.write(Level::ERROR, &[Metric::Unreadable], now);
    }

    fn write(&self, level: Level, metrics: &[Metric], now: Timestamp) {
        // If standard output is gone, there is nowhere to report that.
        let _ = writeln!(io::stdout().lock(), "{}", self.line(level, metrics, now));
    }

    /// Formats a line with `level` and `timestamp`. Lambda reads a line without them as INFO, and drops it if the log
    /// level is higher (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>).
    fn line(&self, level: Level, metrics: &[Metric], now: Timestamp) -> Value {
        let mut members = Map::new();
        members.insert("timestamp".to_owned(), now.to_string().into());
        members.insert("level".to_owned(), level.as_str().into());
        members.insert("FunctionName".to_owned(), self.function_name.clone().into());
        let mut directives = Vec::new();
        let (plain, dimensioned): (Vec<Metric>, _) = metrics.iter().partition(|metric| metric.dimension().is_none());
        let definition = |metric: &Metric| json!({ "Name": metric.name(), "Unit": metric.unit() });
        let mut add = |dimensions: Value, metrics: &[Metric]| {
            let metrics: Vec<_> = metrics.iter().map(definition).collect();
            directives.push(json!({ "Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics }));
        };
        add(json!(["FunctionName"]), &plain);
        for metric in dimensioned {
            if let Some((dimension, value)) = metric.dimension() {
                add(json!(["FunctionName", dimension]), &[metric]);
                members.insert(dimension.to_owned(), value.into());
            }
        }
        members.extend(metrics.iter().map(|metric| (metric.name().to_owned(), metric.value())));
        let metadata = json!({ "Timestamp": now.as_millisecond(), "CloudWatchMetrics": directives });
        members.insert("_aws".to_owned(), metadata);
        Value::Object(members)
    }
}

fn metrics_of(release: &Release, progress: &Progress) -> Vec<Metric> {
    let outcome = &release.outcome;
    let (name, breakdown, is_signature_refused) = match outcome {
        Outcome::Created(_) => ("Created", None, false),
        Outcome::Adopted { .. } => ("Adopted", None, false),
        Outcome::Skipped { .. } => ("Skipped", None, false),
        Outcome::Rejected { kind, .. } => ("Rejected", Some(Metric::RejectedBy(*kind)), false),
        Outcome::DryRun { .. } => ("DryRun", None, false),
        Outcome::Failed { failure, .. } => {
            ("Failed", Some(Metric::FailedBy(progress.step)), matches!(failure, Failure::Signature { .. }))
        }
    };
    let seconds = |step| Some(Metric::Seconds(step, progress.duration(step)?.as_secs_f64()));
    let signature = is_signature_refused.then_some(Metric::SignatureRefused);
    let optional = [breakdown, outcome.verified().map(Metric::Verified), signature];
    let optional = optional.into_iter().chain(Step::ALL.into_iter().map(seconds)).flatten();
    [Metric::Outcome(name)].into_iter().chain(optional).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::not_released::{NotReleased, SkipReason};
    use crate::progress::JobReport;
    use std::collections::BTreeSet;
    use std::time::Duration;

    const KINDS: [(RejectionKind, &str); 10] = [
        (RejectionKind::Place, "place"),
        (RejectionKind::Tags, "tags"),
        (RejectionKind::Manifest, "manifest"),
        (RejectionKind::Object, "object"),
        (RejectionKind::Signature, "signature"),
        (RejectionKind::JobTemplate, "job-template"),
        (RejectionKind::Target, "target"),
        (RejectionKind::PackageVersion, "package-version"),
        (RejectionKind::JobId, "job-id"),
        (RejectionKind::TooLate, "too-late"),
    ];
    const STEPS: [&str; 6] = ["inspect", "preflight", "sign", "copy", "stream", "job"];

    fn metrics() -> Metrics {
        Metrics { function_name: "firmware".to_owned() }
    }

    fn release(outcome: Outcome) -> Release {
        Release { bucket: None, key: Some("firmware/secret name.bin".to_owned()), version_id: None, outcome }
    }

    fn created(verified: bool) -> Release {
        release(Outcome::Created(JobReport { verified: Some(verified), ..JobReport::default() }))
    }

    fn not_released(error: impl Into<NotReleased>) -> Release {
        release(Outcome::not_released(error.into(), JobReport::default()))
    }

    fn line(release: &Release, progress: &Progress) -> Value {
        let now = "2026-11-23T21:40:00.5Z".parse().unwrap();
        let line = metrics().line(release.outcome.level(), &metrics_of(release, progress), now);
        check(&line);
        line
    }

    /// Checks a line by the rules of the specification, and by this project's rule that dimensions have fixed values.
    fn check(line: &Value) {
        let members = line.as_object().unwrap();
        let metadata = &members["_aws"];
        let names = |object: &Value| object.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&members["_aws"]), ["CloudWatchMetrics", "Timestamp"]);
        assert!(metadata["Timestamp"].is_u64());
        let words: BTreeSet<_> = KINDS.map(|(_, word)| word).into_iter().chain(STEPS).chain(["firmware"]).collect();
        for directive in metadata["CloudWatchMetrics"].as_array().unwrap() {
            assert_eq!(names(directive), ["Dimensions", "Metrics", "Namespace"]);
            assert_eq!(directive["Namespace"], NAMESPACE);
            for set in directive["Dimensions"].as_array().unwrap() {
                let set = set.as_array().unwrap();
                assert!((1..=30).contains(&set.len()), "{line}");
                for dimension in set {
                    let value = members[dimension.as_str().unwrap()].as_str().unwrap();
                    assert!(words.contains(value), "{value}");
                }
            }
            let metrics = directive["Metrics"].as_array().unwrap();
            assert!((1..=100).contains(&metrics.len()), "{line}");
            for metric in metrics {
                assert_eq!(names(metric), ["Name", "Unit"]);
                assert!(members[metric["Name"].as_str().unwrap()].is_number(), "{line}");
                assert!(["Count", "Seconds"].contains(&metric["Unit"].as_str().unwrap()));
            }
        }
    }

    #[test]
    fn a_release_reports_its_outcome_its_verification_and_the_duration_of_each_step() {
        let mut progress = Progress::default();
        progress.add(Step::Inspect, Duration::from_millis(21));
        progress.add(Step::Sign, Duration::from_millis(1500));
        let expected = json!({
            "timestamp": "2026-11-23T21:40:00.5Z", "level": "INFO", "FunctionName": "firmware", "Created": 1, "Verified": 1,
            "InspectSeconds": 0.021, "SigningSeconds": 1.5,
            "_aws": {
                "Timestamp": 1_795_470_000_500_u64,
                "CloudWatchMetrics": [{
                    "Namespace": "ota-on-upload",
                    "Dimensions": [["FunctionName"]],
                    "Metrics": [
                        { "Name": "Created", "Unit": "Count" },
                        { "Name": "Verified", "Unit": "Count" },
                        { "Name": "InspectSeconds", "Unit": "Seconds" },
                        { "Name": "SigningSeconds", "Unit": "Seconds" },
                    ],
                }],
            },
        });
        assert_eq!(line(&created(true), &progress), expected);
        assert_eq!(line(&created(false), &progress)["Verified"], 0);
    }

    #[test]
    fn each_outcome_is_counted_under_its_name() {
        let outcomes = [
            (created(true), "Created"),
            (release(Outcome::Adopted { job: JobReport::default(), tags_changed: false }), "Adopted"),
            (release(Outcome::DryRun { job: JobReport::default(), requests: Box::default(), note: None }), "DryRun"),
            (not_released(NotReleased::Skipped(SkipReason::NoTags)), "Skipped"),
            (not_released(NotReleased::Rejected(RejectionKind::Tags, vec!["a".into()])), "Rejected"),
            (not_released(Failure::Incomplete { member: "jobArn" }), "Failed"),
        ];
        let words = outcomes.each_ref().map(|(_, word)| *word);
        for (release, word) in outcomes {
            let line = line(&release, &Progress::default());
            let counted: Vec<_> = words.into_iter().filter(|word| line.get(word).is_some()).collect();
            let first = &line["_aws"]["CloudWatchMetrics"][0];
            assert_eq!((counted, &first["Metrics"][0]["Name"]), (vec![word], &json!(word)), "{line}");
            assert_eq!(first["Dimensions"], json!([["FunctionName"]]), "alarms are on the function as a whole");
        }
    }

    /// The dimensions and the metric of the second directive.
    fn breakdown(line: &Value) -> Value {
        let second = &line["_aws"]["CloudWatchMetrics"][1];
        json!([second["Dimensions"], second["Metrics"][0]["Name"]])
    }

    #[test]
    fn rejections_are_counted_by_kind_and_failures_by_step() {
        for (kind, word) in KINDS {
            let release = not_released(NotReleased::Rejected(kind, vec!["secret".into()]));
            let rejected = line(&release, &Progress::default());
            assert_eq!(breakdown(&rejected), json!([[["FunctionName", "Kind"]], "Rejected"]));
            assert_eq!((&rejected["Kind"], &rejected["level"]), (&json!(word), &json!("ERROR")));
            assert!(!rejected.to_string().contains("secret"), "{rejected}");
        }
        for (step, word) in Step::ALL.into_iter().zip(STEPS) {
            let mut progress = Progress::default();
            progress.step = step;
            let failed = line(&not_released(Failure::Incomplete { member: "x" }), &progress);
            assert_eq!(breakdown(&failed), json!([[["FunctionName", "Step"]], "Failed"]));
            assert_eq!((&failed["Step"], failed.get("SignatureRefused")), (&json!(word), None));
        }
    }

    #[test]
    fn a_signature_that_does_not_verify_is_counted() {
        let [object, certificate, problem] = ["x"; 3].map(str::to_owned);
        let failure = Failure::Signature { object, certificate, problem };
        let line = line(&not_released(failure), &Progress::default());
        assert_eq!((&line["SignatureRefused"], &line["Failed"]), (&json!(1), &json!(1)));
    }

    #[test]
    fn metrics_outside_of_releases_have_their_names_and_values() {
        for (metric, name, value) in [
            (Metric::Streams(8000), "Streams", 8000),
            (Metric::BucketUnguarded(true), "BucketUnguarded", 1),
            (Metric::BucketUnguarded(false), "BucketUnguarded", 0),
            (Metric::Unreadable, "Unreadable", 1),
        ] {
            let line = metrics().line(Level::ERROR, &[metric], Timestamp::UNIX_EPOCH);
            check(&line);
            assert_eq!(line[name], json!(value));
            assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["FunctionName"]]));
        }
    }
}
