//! IoT in the fake: targets, jobs, job templates, package versions and streams.

use super::response::{error, ok};
use super::{ACCOUNT, BUCKET, Behavior, Call, Fake, REGION};
use crate::packages::Packages;
use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

pub fn job_arn(id: &str) -> String {
    format!("arn:aws:iot:{REGION}:{ACCOUNT}:job/{id}")
}

impl Fake {
    /// The stream as DescribeStream returns it; `null` if it does not exist.
    pub async fn stream(&self, id: &str) -> Value {
        let request = Request::get(format!("/streams/{id}")).body(Bytes::new()).expect("a request");
        let response = self.streams.answer(&request, async |_, _, _| None).await;
        serde_json::from_slice::<Value>(response.body()).expect("JSON")["streamInfo"].clone()
    }

    /// Creates this number of other streams.
    pub async fn add_streams(&self, number: usize) {
        for at in 0..number {
            let file = json!({"fileId": 0, "s3Location": {"bucket": BUCKET, "key": "image", "version": "1"}});
            let stream = json!({"files": [file], "roleArn": "arn:aws:iam::123456789012:role/ota"});
            let request = Request::post(format!("/streams/other-{at}")).body(stream.to_string().into());
            let response = self.streams.answer(&request.expect("a request"), async |_, _, _| Some(1)).await;
            assert_eq!(response.status(), 200, "{response:?}");
        }
    }

    /// Creates package versions (`package:version`), and applies these actions of UpdatePackageVersion to them.
    pub fn add_packages<'a>(&self, names: impl IntoIterator<Item = &'a str>, actions: &[&str]) {
        for (package, version) in names.into_iter().filter_map(|name| name.split_once(':')) {
            let package = format!("/packages/{package}");
            let version = format!("{package}/versions/{version}");
            let create = [("PUT", &package, Value::Null), ("PUT", &version, Value::Null)];
            let update = actions.iter().map(|action| ("PATCH", &version, json!({"action": action})));
            for (method, path, body) in create.into_iter().chain(update) {
                let request = Request::builder().method(method).uri(path).body(body.to_string().into());
                // Generated names can be invalid in a URI.
                if let Ok(request) = request {
                    self.packages.answer(&request);
                }
            }
        }
    }

    /// The bytes of a stream's first file.
    pub async fn streamed(&self, id: &str) -> Bytes {
        self.streamed_file(id, 0).await
    }

    /// The bytes of a stream's file at an index.
    pub async fn streamed_file(&self, id: &str, at: usize) -> Bytes {
        let location = &self.stream(id).await["files"][at]["s3Location"];
        let text = |member: &str| location[member].as_str().expect("a location").to_owned();
        let state = self.state();
        let versions = &state.objects[&(text("bucket"), text("key"))];
        let version = versions.iter().find(|version| version.id == text("version")).expect("the version");
        version.bytes.clone().expect("an object")
    }

    pub(super) fn answer_stream(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let size = async |bucket: &str, key: &str, version: Option<&str>| {
            self.state().bytes(bucket, key, version).map(|bytes| bytes.len() as u64)
        };
        // The lookup never waits, so the response is ready.
        self.streams.answer(request, size).now_or_never().expect("an answer")
    }

    pub(super) fn describe_job_template(&self, call: &Call) -> Response<Bytes> {
        let id = call.path.rsplit('/').next().expect("an ID");
        let template = self.state().job_templates.get(id).map(ok);
        template.unwrap_or_else(|| error(call.operation, 404, "ResourceNotFoundException", "no such job template"))
    }

    pub(super) fn iot(&self, call: &Call) -> Response<Bytes> {
        let mut state = self.state();
        let not_found = || error(call.operation, 404, "ResourceNotFoundException", "not found");
        let id = percent_decode_str(call.path.split('/').nth(2).expect("an id")).decode_utf8().expect("UTF-8");
        let id = id.as_ref();
        let Behavior { targets, clock, .. } = self.behavior();
        match call.operation {
            "DescribeThingGroup" if targets.contains(&format!("thinggroup/{id}").as_str()) => {
                ok(&json!({"thingGroupName": id}))
            }
            "DescribeThing" if targets.contains(&format!("thing/{id}").as_str()) => ok(&json!({"thingName": id})),
            "DescribeThingGroup" | "DescribeThing" => not_found(),
            "DescribeJob" => state.jobs.get(id).map_or_else(not_found, |job| {
                let schedule = &job["schedulingConfig"];
                ok(&json!({"job": {
                    "jobId": id, "jobArn": job_arn(id), "status": job["status"], "schedulingConfig": schedule,
                    "description": job["description"],
                }}))
            }),
            "GetJobDocument" => {
                state.jobs.get(id).map_or_else(not_found, |job| ok(&json!({"document": job["document"]})))
            }
            "CreateJob" if state.jobs.contains_key(id) => {
                error(call.operation, 409, "ResourceAlreadyExistsException", "the job exists")
            }
            "CreateJob" => {
                let mut job = call.json();
                if let Some(problem) = create_job_error(&job, &targets, &self.packages, clock()) {
                    return error(call.operation, 400, "InvalidRequestException", &problem);
                }
                job["status"] = "SCHEDULED".into();
                state.jobs.insert(id.to_owned(), job);
                ok(&json!({"jobArn": job_arn(id), "jobId": id}))
            }
            other => panic!("the fake has no {other}"),
        }
    }
}

/// The reason for which AWS IoT would reject this CreateJob request, by its documented rules.
fn create_job_error(job: &Value, targets: &[&str], packages: &Packages, now: jiff::Timestamp) -> Option<String> {
    let arns = job["targets"].as_array()?;
    let is_known = |arn: &Value| {
        let resource = arn.as_str().and_then(|arn| arn.strip_prefix(&format!("arn:aws:iot:{REGION}:{ACCOUNT}:")));
        resource.is_some_and(|resource| targets.contains(&resource))
    };
    if arns.is_empty() || !arns.iter().all(is_known) {
        return Some(format!("targets {arns:?}"));
    }
    let time = |member: &str| {
        let text = job["schedulingConfig"][member].as_str()?;
        Some(format!("{text}:00Z").parse::<jiff::Timestamp>().expect("YYYY-MM-DDThh:mm"))
    };
    let ahead = |time: jiff::Timestamp| time.duration_since(now).as_secs() / 60;
    let too_near = |member| time(member).is_some_and(|time| ahead(time) < 30);
    if too_near("startTime") || too_near("endTime") {
        return Some("less than 30 minutes ahead".to_owned());
    }
    let schedule = &job["schedulingConfig"];
    if schedule["endBehavior"].is_string() && schedule["endTime"].is_null() {
        return Some("an end behavior without an end".to_owned());
    }
    let windows: Vec<_> = schedule["maintenanceWindows"].as_array().into_iter().flatten().collect();
    if !windows.is_empty() && job["targetSelection"] != "CONTINUOUS" {
        return Some("maintenance windows of a snapshot job".to_owned());
    }
    let is_window = |window: &Value| {
        let cron = window["startTime"].as_str().and_then(|cron| cron.strip_prefix("cron(")?.strip_suffix(')'));
        let fields: Vec<_> = cron.into_iter().flat_map(|cron| cron.split(' ')).collect();
        let minutes = window["durationInMinutes"].as_i64().is_some_and(|minutes| (1..=1430).contains(&minutes));
        minutes && fields.len() == 6 && (fields[2] == "?") != (fields[4] == "?")
    };
    if !windows.iter().all(|window| is_window(window)) {
        return Some(format!("maintenance windows {windows:?}"));
    }
    let versions: Vec<_> = job["destinationPackageVersions"].as_array().into_iter().flatten().collect();
    let is_version = |arn: &Value| {
        let names = arn.as_str().and_then(|arn| arn.strip_prefix(&format!("arn:aws:iot:{REGION}:{ACCOUNT}:package/")));
        let names = names.and_then(|names| names.split_once("/version/"));
        names.is_some_and(|(package, version)| version.starts_with('$') || packages.status(package, version).is_some())
    };
    (versions.len() > 25 || !versions.iter().all(|arn| is_version(arn)))
        .then(|| format!("package versions {versions:?}"))
}
