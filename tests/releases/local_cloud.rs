//! The real handler on the local cloud: MiniStack's S3, Signer and IoT Jobs, over HTTP.

use crate::support::{Clients, Function, IMAGE, Settings, Upload, assert_outcome, event, invoke, named_event};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::types::{MetadataDirective, StorageClass, Tag, Tagging};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running local cloud. The process ends when its standard input is closed.
struct LocalCloud {
    process: Child,
    description: Value,
}

impl LocalCloud {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join(".venv/aws/bin/python");
        assert!(python.exists(), "the local cloud is not installed: run `make build`, or all tests by `make test`");
        let mut process = Command::new(python)
            .arg(root.join("tests/local_cloud/cloud.py"))
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        Self { process, description: serde_json::from_str(&line).expect("JSON") }
    }

    fn text(&self, member: &str) -> String {
        self.description[member].as_str().unwrap_or_else(|| panic!("no {member} in {}", self.description)).to_owned()
    }

    async fn config(&self) -> SdkConfig {
        aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(self.text("region")))
            .credentials_provider(Credentials::new("test", "test", None, None, "local cloud"))
            .endpoint_url(self.text("endpoint"))
            .load()
            .await
    }

    fn function(&self, config: &SdkConfig) -> Function {
        let settings = Settings::from_lookup(|name| match name {
            "SIGNING_PROFILE" => Some(self.text("signingProfile")),
            "OTA_ROLE_ARN" => Some(self.text("otaRoleArn")),
            "AWS_REGION" => Some(self.text("region")),
            "UPLOAD_BUCKET" => Some(self.text("bucket")),
            "ALLOWED_THING_GROUPS" => Some(self.text("thingGroup")),
            _ => None,
        });
        Function::new(settings.expect("good settings"), Clients::new(config))
    }
}

impl Drop for LocalCloud {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn lab(cloud: &LocalCloud) -> Tagging {
    let tag = Tag::builder().key("ota:thing-group").value(cloud.text("thingGroup")).build().expect("a tag");
    Tagging::builder().tag_set(tag).build().expect("tags")
}

async fn release(function: &Function, event: &Value) -> Value {
    invoke(function, event).await.expect("no failure").remove(0)
}

#[tokio::test]
async fn the_handler_releases_once_on_the_local_cloud() {
    let cloud = tokio::task::spawn_blocking(LocalCloud::start).await.expect("a local cloud");
    let config = cloud.config().await;
    let function = cloud.function(&config);
    let (s3, iot) = (aws_sdk_s3::Client::new(&config), aws_sdk_iot::Client::new(&config));
    let (bucket, key) = (cloud.text("bucket"), "firmware/größe 2+1 at 100% 🚀.bin");
    let tags = format!("ota:thing-group={}&ota:retries=failed:1", cloud.text("thingGroup"));
    let put = s3.put_object().bucket(&bucket).key(key).body(IMAGE.to_vec().into()).tagging(tags).send().await;
    let version = put.expect("an upload").version_id.expect("a version");
    let upload = Upload::new(bucket.clone(), key.into(), version);

    let created = release(&function, &event(&upload)).await;
    assert_eq!(created["outcome"], "created", "{created}");
    let stream = iot.describe_stream().stream_id(upload.stream_id()).send().await.expect("the stream").stream_info;
    let location = stream.expect("a stream").files.expect("files")[0].s3_location.clone().expect("a location");
    let streamed = s3.get_object().bucket(&bucket).key(location.key.expect("a key"));
    let streamed = streamed.version_id(location.version.expect("a version")).send().await.expect("the copy");
    assert_eq!(streamed.body.collect().await.expect("its bytes").into_bytes(), IMAGE);
    let job_id = created["jobId"].as_str().expect("an ID");
    let job = iot.describe_job().job_id(job_id).send().await.expect("the job").job.expect("a job");
    assert_eq!(job.job_arn.as_deref(), created["jobArn"].as_str());
    assert_eq!(job.scheduling_config.expect("a schedule").start_time.as_deref(), created["startTime"].as_str());

    let again = release(&function, &event(&upload)).await;
    assert_eq!((&again["outcome"], &again["jobArn"]), (&json!("adopted"), &created["jobArn"]), "{again}");

    iot.delete_job().job_id(job_id).force(true).send().await.expect("a deleted job");
    let deleted = release(&function, &event(&upload)).await;
    assert_outcome(&deleted, "skipped", Some("job-deleted"));

    let newer = s3.put_object().bucket(&bucket).key(key).body(IMAGE.to_vec().into()).send().await.expect("an upload");
    let newer = Upload::new(bucket.clone(), key.into(), newer.version_id.expect("a version"));
    s3.put_object_tagging().bucket(&bucket).key(key).tagging(lab(&cloud)).send().await.expect("later tags");
    s3.delete_object().bucket(&bucket).key(key).send().await.expect("a delete marker");
    let withdrawn = release(&function, &event(&newer)).await;
    assert_outcome(&withdrawn, "skipped", Some("withdrawn"));

    Box::pin(reject_uploads_that_can_never_succeed(&cloud, &function, &s3, &iot)).await;
    Box::pin(skip_a_copy_onto_itself(&cloud, &function, &s3)).await;
}

async fn reject_uploads_that_can_never_succeed(
    cloud: &LocalCloud,
    function: &Function,
    s3: &aws_sdk_s3::Client,
    iot: &aws_sdk_iot::Client,
) {
    let (bucket, tags) = (cloud.text("bucket"), format!("ota:thing-group={}", cloud.text("thingGroup")));
    let put = |tags: String| {
        s3.put_object().bucket(&bucket).key("firmware/new.bin").body(IMAGE.to_vec().into()).tagging(tags)
    };
    let upload =
        |version: Option<String>| Upload::new(bucket.clone(), "firmware/new.bin".into(), version.expect("a version"));
    let versioned = format!("{tags}&ota:package-version=blinky:1.2.0");
    let key = BASE64_STANDARD.encode([7; 32]);
    let md5 = "y4HAEFCYWuvAXWFTtA1Qpg==";
    for (put, problem) in [
        (put(versioned.clone()), "tag `ota:package-version` is `blinky:1.2.0`, which does not exist"),
        (put(tags.clone()).storage_class(StorageClass::DeepArchive), "the object is archived (`DEEP_ARCHIVE`)"),
        (
            put(tags).sse_customer_algorithm("AES256").sse_customer_key(key).sse_customer_key_md5(md5),
            "the object is encrypted with a customer-provided key",
        ),
    ] {
        let version = put.send().await.expect("an upload").version_id;
        let rejected = release(function, &event(&upload(version))).await;
        assert_eq!(rejected["outcome"], "rejected", "{rejected}");
        assert!(rejected["reasons"][0].as_str().is_some_and(|reason| reason.starts_with(problem)), "{rejected}");
    }
    iot.create_package().package_name("blinky").send().await.expect("a package");
    let version = iot.create_package_version().package_name("blinky").version_name("1.2.0").send().await;
    version.expect("a package version");
    let version = put(versioned).send().await.expect("an upload").version_id;
    assert_eq!(release(function, &event(&upload(version))).await["outcome"], "created");
}

async fn skip_a_copy_onto_itself(cloud: &LocalCloud, function: &Function, s3: &aws_sdk_s3::Client) {
    let (bucket, key) = (cloud.text("bucket"), "firmware/copied.bin");
    let tags = format!("ota:thing-group={}", cloud.text("thingGroup"));
    let put = s3.put_object().bucket(&bucket).key(key).body(IMAGE.to_vec().into()).tagging(tags).send().await;
    let upload = |version: Option<String>| Upload::new(bucket.clone(), key.into(), version.expect("a version"));
    let first = upload(put.expect("an upload").version_id);
    assert_eq!(release(function, &event(&first)).await["outcome"], "created");
    for _ in 0..2 {
        let copy = s3.copy_object().bucket(&bucket).key(key).copy_source(format!("{bucket}/{key}"));
        let copy = copy.metadata_directive(MetadataDirective::Replace).metadata("reviewed", "yes").send().await;
        let copy = upload(copy.expect("a copy").version_id);
        let copied = named_event(&copy, "ObjectCreated:Copy");
        for _ in 0..2 {
            let skipped = release(function, &copied).await;
            assert_outcome(&skipped, "skipped", Some("unchanged"));
        }
    }
}
