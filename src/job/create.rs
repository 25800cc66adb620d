//! The AWS IoT job: its document, and CreateJob, or the job that an earlier attempt created.

use crate::{
    clients::Clients,
    delivery::delivery_::Delivery,
    error::{Cause, Failure, NotReleased, RejectionKind},
    job::existing::{self, Holder, Job},
    request::file::FileRequest,
    request::release_request::ReleaseRequest,
    s3::record::JobRecord,
    schedule::requested::{LeadTime, Part, Schedule},
    settings::Settings,
    signing::sign::SignedImage,
    signing::signed_object::SignatureAlgorithm,
    upload::Upload,
};
use aws_sdk_iot::{
    operation::create_job::{CreateJobError, CreateJobOutput, builders::CreateJobFluentBuilder},
    types::{JobStatus, PresignedUrlConfig},
};
use futures::future::join_all;
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;
use tokio::time::timeout;

/// How many earlier versions of a key are looked at for jobs that still go on.
const EARLIER: usize = 5;

/// How long may be looked for them: what is found is only told.
const PATIENCE: Duration = Duration::from_secs(5);

/// The jobs of earlier versions of the same key that devices have still to see to, each a sentence for the log. What
/// cannot be looked up is left out: a release does not depend on it.
pub(crate) async fn jobs_of_earlier_versions(aws: &Clients, settings: &Settings, upload: &Upload) -> Vec<String> {
    let look = async {
        let earlier = upload.earlier(aws, settings, EARLIER).await.ok()?;
        Some(join_all(earlier.iter().map(|version| unfinished(aws, settings, version))).await)
    };
    let found = timeout(PATIENCE, look).await.ok().flatten().unwrap_or_default();
    let mut jobs: Vec<_> = found.into_iter().flatten().collect();
    // Unchanged copies have the job of the version that they are copies of.
    jobs.dedup();
    jobs
}

async fn unfinished(aws: &Clients, settings: &Settings, version: &Upload) -> Option<String> {
    let record = JobRecord::find(aws, settings, version).await.ok().flatten()?;
    record.job_arn.as_ref()?;
    let status = existing::of_receipt(aws, settings, version, &record).await.ok()??.status?;
    let JobRecord { job_id, version_id, unchanged_since, .. } = record;
    let version_id = unchanged_since.unwrap_or(version_id);
    matches!(status, JobStatus::Scheduled | JobStatus::InProgress).then(|| {
        format!(
            "the job `{job_id}` of the earlier version `{version_id}` is {status}, and goes on beside this one; \
             `aws iot cancel-job --job-id {job_id}` ends it"
        )
    })
}

/// CreateJob of a release at `now`, and the times that the job would have. Its description ends in the mark.
pub(crate) fn request(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    request: &ReleaseRequest,
    (job_id, mark, document): (&str, &str, &str),
    now: Timestamp,
) -> Result<(Schedule, CreateJobFluentBuilder), NotReleased> {
    // The start or end may have come too near since the tags were checked.
    let schedule = request.plan.at(now, LeadTime::WhenCreated).map_err(|broken| {
        let too_late = |(part, problem)| match part {
            Part::Window => format!("the {part} has passed while the image was signed: it is {problem}"),
            _ => format!("the {part} has come too near while the image was signed: it is {problem}"),
        };
        NotReleased::Rejected(RejectionKind::TooLate, broken.into_iter().map(too_late).collect())
    })?;
    if !schedule.opens(&request.config.windows, now) {
        let passed = "the last maintenance window has passed while the image was signed: none opens before the end";
        return Err(NotReleased::Rejected(RejectionKind::TooLate, vec![passed.to_owned()]));
    }
    schedule.log(job_id);
    let retries = request.retries.to_config().map_err(|error| failed(job_id, error.into()))?;
    let config = &request.config;
    let scheduling = schedule.to_config(&config.windows).map_err(|error| failed(job_id, error.into()))?;
    let call = aws
        .iot
        .create_job()
        .job_id(job_id)
        .set_targets(Some(request.targets.iter().map(|target| target.arn(settings)).collect()))
        .document(document)
        .description(request.description.clone().unwrap_or_else(|| upload.description()) + mark)
        .set_presigned_url_config(request.protocols.has_http().then(|| {
            let config = PresignedUrlConfig::builder().role_arn(&settings.ota_role.arn);
            config.expires_in_sec(request.url_expiry.0).build()
        }))
        .target_selection(request.target_selection.0.clone())
        .timeout_config(request.timeout.to_config())
        .job_executions_retry_config(retries)
        .set_scheduling_config(scheduling)
        .set_job_executions_rollout_config(config.rollout.clone())
        .set_abort_config(config.abort.clone())
        .set_destination_package_versions(request.package_arns(settings))
        .set_tags((!request.job_tags.is_empty()).then(|| request.job_tags.clone()));
    Ok((schedule, call))
}

fn failed(job_id: &str, source: Cause) -> Failure {
    Failure::CreateJob { job_id: job_id.to_owned(), source }
}

/// Creates the job (`true`), or adopts the one that an earlier attempt created (`false`): whatever CreateJob answers, a
/// job of this upload that is there is the one that was wanted.
pub(crate) async fn ensure(
    aws: &Clients,
    settings: &Settings,
    upload: &Upload,
    release: &ReleaseRequest,
    (record, document): (&JobRecord, Document),
    now: Timestamp,
) -> Result<(Job, bool), NotReleased> {
    let job_id = record.job_id.as_str();
    let request = request(aws, settings, upload, release, (job_id, &record.mark(), &document.text), now);
    let (schedule, call) = match request {
        Ok(request) => request,
        // Another attempt may have been in time.
        Err(stop) => {
            let job = existing::find_own_job(aws, settings, upload, record).await?;
            return job.map(|job| (job, false)).ok_or(stop);
        }
    };
    let (exists, failure) = match call.send().await {
        Ok(CreateJobOutput { job_arn: Some(arn), .. }) => {
            let (start_time, end_time) = (schedule.start_time(), schedule.end_time());
            let (status, description, stream_id) = (None, None, document.stream_id);
            return Ok((Job { arn, status, description, stream_id, start_time, end_time }, true));
        }
        Ok(_) => (true, Failure::Incomplete { member: "jobArn" }),
        Err(error) => {
            let exists = error.as_service_error().is_some_and(CreateJobError::is_resource_already_exists_exception);
            (exists, failed(job_id, error.into()))
        }
    };
    match existing::holder(aws, settings, upload, record).await {
        Ok(Some(Holder::Own(job))) => Ok((job, false)),
        Ok(Some(Holder::Other(stranger))) => Err(stranger.stop(release)),
        Err(unclear) if exists => Err(unclear.into()),
        _ => Err(failure.into()),
    }
}

/// A job document as it is sent.
#[derive(Debug)]
pub(crate) struct Document {
    pub text: String,
    /// The stream that it names.
    pub stream_id: Option<String>,
}

/// The job document of an OTA update, as CreateOTAUpdate writes it, in the form that every device parser takes: compact,
/// without escapes and nulls, with keys left out where they do not apply.
#[derive(Debug, Serialize)]
struct JobDocument<'a> {
    afr_ota: AfrOta<'a>,
}

#[derive(Debug, Serialize)]
struct AfrOta<'a> {
    protocols: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    streamname: Option<&'a str>,
    files: Vec<File<'a>>,
}

#[derive(Debug, Serialize)]
struct File<'a> {
    filepath: &'a str,
    filesize: u64,
    fileid: u8,
    certfile: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_data_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_scheme: Option<&'static str>,
    #[serde(rename = "fileType")]
    kind: u8,
    #[serde(flatten)]
    signature: Signature<'a>,
}

/// Under the key that devices look for.
#[derive(Debug, Serialize)]
enum Signature<'a> {
    #[serde(rename = "sig-sha256-ecdsa")]
    Sha256Ecdsa(&'a str),
    #[serde(rename = "sig-sha256-rsa")]
    Sha256Rsa(&'a str),
    #[serde(rename = "sig-sha1-ecdsa")]
    Sha1Ecdsa(&'a str),
    #[serde(rename = "sig-sha1-rsa")]
    Sha1Rsa(&'a str),
}

/// The job document that sends devices to where they fetch signed files from, each with its signature.
pub(crate) fn document(
    files: &[(&FileRequest, &SignedImage)],
    delivery: &Delivery,
) -> Result<Document, serde_json::Error> {
    let files = files.iter().enumerate().map(|(at, (file, signed))| {
        let url = delivery.url(at);
        File {
            filepath: &file.path.0,
            filesize: signed.size,
            fileid: file.id,
            certfile: &signed.cert_file,
            update_data_url: url.map(|url| url.0.as_str()),
            auth_scheme: url.map(|_| "aws.s3.presigned"),
            kind: file.kind.0,
            signature: match signed.algorithm {
                SignatureAlgorithm::Sha256WithEcdsa => Signature::Sha256Ecdsa(&signed.signature),
                SignatureAlgorithm::Sha256WithRsa => Signature::Sha256Rsa(&signed.signature),
                SignatureAlgorithm::Sha1WithEcdsa => Signature::Sha1Ecdsa(&signed.signature),
                SignatureAlgorithm::Sha1WithRsa => Signature::Sha1Rsa(&signed.signature),
            },
        }
    });
    let (protocols, streamname) = (delivery.protocols(), delivery.stream().map(|stream| stream.id.as_str()));
    let afr_ota = AfrOta { protocols, streamname, files: files.collect() };
    let text = serde_json::to_string(&JobDocument { afr_ota })?;
    Ok(Document { text, stream_id: streamname.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        delivery::delivery_::PresignedUrl, delivery::stream::Stream, request::release_request::Inputs,
        settings::tests::settings, tags::Tags,
    };
    use proptest::prelude::*;

    fn signed(algorithm: SignatureAlgorithm, signature: &str, cert_file: &str, size: u64) -> SignedImage {
        let (key, signature, cert_file) = (String::new(), signature.to_owned(), cert_file.to_owned());
        SignedImage { key, signature, algorithm, cert_file, size, verified_until: None }
    }

    fn document_of(key: &str, tags: &[(&str, &str)], signed: &SignedImage) -> String {
        let upload = Upload::new("b".into(), key.into(), "v1".into());
        let tags =
            tags.iter().chain(&[("ota:thing-group", "lab")]).map(|(tag, value)| ((*tag).into(), (*value).into()));
        let asked = Inputs { upload: &upload, tags: &Tags(tags.collect()), manifest: None, template: None };
        let request = ReleaseRequest::check(asked, &settings(&[]).unwrap(), Timestamp::UNIX_EPOCH).unwrap();
        let (stream, urls) = (Stream { id: upload.stream_id() }, vec![PresignedUrl("${aws:iot:…}".to_owned())]);
        document(&[(&request.files[0], signed)], &Delivery::of(request.protocols, stream, urls)).unwrap().text
    }

    #[test]
    fn every_algorithm_has_the_key_that_devices_look_for() {
        let algorithms = [
            (SignatureAlgorithm::Sha256WithEcdsa, "sig-sha256-ecdsa"),
            (SignatureAlgorithm::Sha256WithRsa, "sig-sha256-rsa"),
            (SignatureAlgorithm::Sha1WithEcdsa, "sig-sha1-ecdsa"),
            (SignatureAlgorithm::Sha1WithRsa, "sig-sha1-rsa"),
        ];
        for (algorithm, key) in algorithms {
            let text = document_of("firmware/a.bin", &[], &signed(algorithm, "AA==", "cert", 1));
            assert!(text.ends_with(&format!("\"fileType\":0,\"{key}\":\"AA==\"}}]}}}}")), "{text}");
        }
    }

    #[test]
    fn the_document_is_the_one_that_create_ota_update_writes() {
        let signed = signed(SignatureAlgorithm::Sha256WithEcdsa, "MEUC", "/certs/cert.pem", 1024);
        assert_eq!(
            document_of("firmware/größe 1.2_a-b.bin", &[], &signed),
            format!(
                "{{\"afr_ota\":{{\"protocols\":[\"MQTT\"],\"streamname\":\"{}\",\"files\":[{{\"filepath\":\"gr__e_1.2_a-b.bin\",\
                 \"filesize\":1024,\"fileid\":0,\"certfile\":\"/certs/cert.pem\",\"fileType\":0,\
                 \"sig-sha256-ecdsa\":\"MEUC\"}}]}}}}",
                Upload::new("b".into(), "firmware/größe 1.2_a-b.bin".into(), "v1".into()).stream_id()
            )
        );
    }

    #[test]
    fn the_document_says_by_which_protocols_devices_fetch_the_image() {
        let signed = signed(SignatureAlgorithm::Sha256WithEcdsa, "MEUC", "cert", 1);
        let upload = Upload::new("b".into(), "firmware/a.bin".into(), "v1".into());
        let stream = format!(",\"streamname\":\"{}\"", upload.stream_id());
        let url = "\"update_data_url\":\"${aws:iot:…}\",\"auth_scheme\":\"aws.s3.presigned\",";
        for (protocols, named, stream, url) in [
            ("mqtt", "[\"MQTT\"]", stream.as_str(), ""),
            ("http", "[\"HTTP\"]", "", url),
            ("http mqtt", "[\"MQTT\",\"HTTP\"]", &stream, url),
        ] {
            assert_eq!(
                document_of("firmware/a.bin", &[("ota:protocols", protocols)], &signed),
                format!(
                    "{{\"afr_ota\":{{\"protocols\":{named}{stream},\"files\":[{{\"filepath\":\"a.bin\",\"filesize\":1,\
                     \"fileid\":0,\"certfile\":\"cert\",{url}\"fileType\":0,\"sig-sha256-ecdsa\":\"MEUC\"}}]}}}}"
                )
            );
        }
    }

    proptest! {
        /// Devices do not decode escapes, older ones refuse nulls, and AWS IoT takes a `${` for a placeholder.
        #[test]
        fn the_document_has_the_form_that_every_device_takes(
            key in any::<String>(), size in 1..u64::from(u32::MAX), path in "[A-Za-z0-9._/-]{1,64}", kind: u8, named: bool,
        ) {
            let kind_text = kind.to_string();
            let tags = [("ota:file-path", path.as_str()), ("ota:file-type", &kind_text)];
            let tags = if named { &tags[..] } else { &[] };
            let signed = signed(SignatureAlgorithm::Sha256WithEcdsa, "MEUC+/==", "/certs/ü 1.pem", size);
            let text = document_of(&key, tags, &signed);
            prop_assert!(!text.contains('\\') && !text.contains("null") && !text.contains("${"), "{}", text);
            prop_assert!(text.len() <= 32_768);
            let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
            let file = &parsed["afr_ota"]["files"][0];
            prop_assert_eq!(&file["filesize"], &serde_json::json!(size));
            prop_assert_eq!(&file["certfile"], "/certs/ü 1.pem");
            prop_assert!(file["filepath"].as_str().unwrap().len() <= 64);
            prop_assert!(!named || file["filepath"] == path.as_str());
            prop_assert_eq!(&file["fileType"], if named { kind } else { 0 });
        }
    }
}
