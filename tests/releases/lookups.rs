//! Releases that can never succeed: rejected, with every problem, before anything is created. A dry run of real tags
//! rejects the same.

use crate::{
    fake::{ACCOUNT, Fake, REGION, Storage},
    faults::{all, deliver, on_a_clock_of_its_own},
    releases::{LAB, assert_nothing_created, event, release, run_with, setting},
};
use bytes::Bytes;
use ota_on_upload::{settings::Settings, upload::Upload};
use serde_json::{Value, json};
use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

const DRY: (&str, &str) = ("DRY_RUN", "true");
const IMAGE: &[u8] = b"\x7fELF a firmware image";
const FOREIGN: &str = "of the deployment's account and region";

/// The reasons for which an upload is rejected, in a dry run as in a release.
async fn reasons(fake: &Arc<Fake>, upload: &Upload, over: &[(&str, &str)]) -> Value {
    let mut both = Vec::new();
    for settings in [over.to_vec(), [over, &[DRY]].concat()] {
        let release = run_with(fake, &event(upload), &settings).await.expect("no failure").remove(0);
        assert_eq!(release["outcome"], "rejected", "{release}");
        assert_nothing_created(fake);
        both.push(release["reasons"].clone());
    }
    assert_eq!(both[0], both[1]);
    both.remove(0)
}

fn version_arn(package: &str, version: &str) -> String {
    format!("arn:aws:iot:{REGION}:{ACCOUNT}:package/{package}/version/{version}")
}

/// What the function logs at the level WARN while `work` runs.
pub async fn warnings(work: impl Future) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    // With a single subscriber, `tracing` asks that of the thread which logs first, and no other, what is of interest.
    static OTHER: LazyLock<tracing::Dispatch> =
        LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish()));
    LazyLock::force(&OTHER);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
    let guard = tracing::subscriber::set_default(subscriber.with_writer(move || writer.clone()).finish());
    work.await;
    drop(guard);
    let text = String::from_utf8(log.0.lock().expect("no panic").clone());
    text.expect("UTF-8")
}

#[tokio::test]
async fn every_target_that_does_not_exist_is_rejected_with_all_other_problems() {
    let fake = Fake::new();
    fake.state().jobs.insert("AFR_OTA-taken".to_owned(), json!({"document": "{}", "status": "SCHEDULED"}));
    fake.set(|behavior| behavior.platform = "AmazonFreeRTOS-Default");
    let tags = [
        ("ota:thing-group", "eu-none lab eu-gone"),
        ("ota:thing", "bench-1 bench-9"),
        ("ota:job-id", "taken"),
        ("ota:package-version", "blinky:9.9"),
        ("ota:job-template", "canari"),
    ];
    let upload = fake.upload("firmware/blinky.bin", vec![0; 16 * 1024 * 1024 + 1], &tags);
    let missing = |tag: &str, name: &str, kind: &str| {
        format!("tag `{tag}` is `{name}`, which does not exist, expected {kind} {FOREIGN}")
    };
    let reasons = reasons(&fake, &upload, &[]).await;
    assert_eq!(
        reasons,
        json!([
            "tag `ota:job-template` is `canari`, expected the ID of a job template that AWS IoT has in the deployment's \
             account and region",
            missing("ota:package-version", "blinky:9.9", "a package version"),
            "tag `ota:job-id` asks for the job ID `AFR_OTA-taken`, which another job has; choose another and upload again",
            missing("ota:thing-group", "eu-none", "a thing group"),
            missing("ota:thing-group", "eu-gone", "a thing group"),
            missing("ota:thing", "bench-9", "a thing"),
            "the object has 16777217 bytes, expected at most 16777216, the most that the signing platform \
             `AmazonFreeRTOS-Default` takes",
        ])
    );
}

#[tokio::test]
async fn a_lookup_that_is_refused_is_a_failure() {
    for (operation, told) in [
        ("DescribeThingGroup", "looking up the target `arn:aws:iot:us-east-1:111122223333:thinggroup/lab`"),
        ("DescribeThing", "looking up the target `arn:aws:iot:us-east-1:111122223333:thing/bench-1`"),
        ("GetPackageVersion", "looking up the package version `blinky:1.2.0`"),
    ] {
        let fake = Fake::new();
        let tags = [LAB, ("ota:thing", "bench-1"), ("ota:package-version", "blinky:1.2.0")];
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
        fake.instead_of(operation, 403, "AccessDeniedException");
        let failed = run_with(&fake, &event(&upload), &[]).await.expect_err("a failure");
        assert!(failed.contains(told) && failed.contains("AccessDenied"), "{failed}");
        assert_nothing_created(&fake);
        assert_eq!(release(&fake, &upload).await["outcome"], "created");
    }
}

#[tokio::test]
async fn a_job_that_exists_is_adopted_whatever_became_of_its_targets() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:package-version", "blinky:1.2.0")]);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    let settings = Settings::from_lookup(setting).expect("good settings");
    fake.delete(&format!("{}release.json", settings.prefix_of(&upload)));
    fake.set(|behavior| behavior.targets.clear());
    let request = http::Request::delete("/packages/blinky/versions/1.2.0").body(Bytes::new()).expect("a request");
    assert_eq!(fake.packages.answer(&request).status(), 200);
    assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
}

/// Where a release names package versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Tag,
    Manifest,
    Template,
    DefaultTemplate,
}

/// An upload that names these package versions, and the settings for it.
fn naming(named: Named, versions: &[(&str, &str)]) -> (Arc<Fake>, Upload, Vec<(&'static str, &'static str)>) {
    let fake = Fake::new();
    let image = fake.upload("firmware/image.bin", IMAGE, &[]);
    let arns = json!({
        "destinationPackageVersions": versions.iter().map(|(name, version)| version_arn(name, version)).collect::<Vec<_>>(),
    });
    let tag = versions.iter().map(|(name, version)| format!("{name}:{version}")).collect::<Vec<_>>().join(" ");
    fake.state().job_templates.insert("canary".to_owned(), arns.clone());
    let mut manifest = arns;
    manifest["files"] = json!([{"key": image.key, "versionId": image.version_id}]);
    let upload = match named {
        Named::Tag => fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:package-version", &tag)]),
        Named::Manifest => fake.upload("firmware/blinky.ota.json", manifest.to_string(), &[LAB]),
        Named::Template => fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:job-template", "canary")]),
        Named::DefaultTemplate => fake.upload("firmware/blinky.bin", IMAGE, &[LAB]),
    };
    let over = if named == Named::DefaultTemplate { vec![("DEFAULT_JOB_TEMPLATE", "canary")] } else { Vec::new() };
    (fake, upload, over)
}

#[tokio::test]
async fn a_package_version_that_does_not_exist_is_rejected_wherever_it_is_named() {
    let versions = [("blinky", "1.2.0"), ("blink", "1"), ("radio", "9")];
    let missing = |place: &str, value: &str| {
        format!("{place} is `{value}`, which does not exist, expected a package version {FOREIGN}")
    };
    for named in [Named::Tag, Named::Manifest, Named::Template] {
        let (fake, upload, over) = naming(named, &versions);
        let expected = [(1, "blink", "1"), (2, "radio", "9")].map(|(at, package, version)| {
            let place = format!("`destinationPackageVersions[{at}]`");
            match named {
                Named::Tag => missing("tag `ota:package-version`", &format!("{package}:{version}")),
                Named::Manifest => missing(&place, &version_arn(package, version)),
                _ => missing(&format!("{place} of job template `canary`"), &version_arn(package, version)),
            }
        });
        assert_eq!(reasons(&fake, &upload, &over).await, json!(expected), "{named:?}");
        assert_eq!(fake.calls("GetPackageVersion").len(), 6);
    }
    // The template of the deployment is for the operator to put right.
    let (fake, upload, over) = naming(Named::DefaultTemplate, &versions);
    let failed = run_with(&fake, &event(&upload), &over).await.expect_err("a failure");
    assert!(failed.contains(&format!("looking up the package version `{}`: ", version_arn("blink", "1"))), "{failed}");
    assert!(failed.contains("ResourceNotFoundException"), "{failed}");
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn a_package_version_may_be_published_deprecated_or_with_a_warning_a_draft() {
    for named in [Named::Tag, Named::Manifest, Named::Template, Named::DefaultTemplate] {
        for (actions, is_warned) in [(&[][..], true), (&["PUBLISH"], false), (&["PUBLISH", "DEPRECATE"], false)] {
            let (fake, upload, over) = naming(named, &[("blinky", "1.2.0"), ("other", "1")]);
            fake.add_packages(["other:1"], actions);
            let warned = warnings(async {
                let created = run_with(&fake, &event(&upload), &over).await.expect("no failure").remove(0);
                assert_eq!(created["outcome"], "created", "{named:?} {actions:?}");
            });
            let warned = warned.await;
            assert_eq!(warned.contains("the package version `other:1` is a draft"), is_warned, "{named:?} {warned}");
            assert!(!warned.contains("blinky:1.2.0` is a draft"), "{warned}");
            assert_eq!(fake.calls("GetPackageVersion").len(), 2, "each is looked up once");
        }
    }
}

#[tokio::test]
async fn a_package_version_without_a_state_is_a_failure() {
    let (fake, upload, _) = naming(Named::Tag, &[("blinky", "1.2.0")]);
    fake.answer_with("GetPackageVersion", json!({}));
    let failed = run_with(&fake, &event(&upload), &[]).await.expect_err("a failure");
    assert!(failed.contains("lacks `status`"), "{failed}");
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn what_names_no_version_is_not_looked_up() {
    for named in [Named::Manifest, Named::Template] {
        let (fake, upload, over) = naming(named, &[("a", "$default"), ("b", "$null")]);
        assert_eq!(run_with(&fake, &event(&upload), &over).await.expect("no failure")[0]["outcome"], "created");
        assert_eq!(fake.calls("GetPackageVersion").len(), 0, "{named:?}");
    }
}

/// 25 lookups of a second each, ten at the same time.
#[tokio::test(start_paused = true)]
async fn package_versions_are_looked_up_ten_at_a_time() {
    let names: Vec<_> = (0..25).map(|package| format!("p{package}")).collect();
    let versions: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let (fake, upload, over) = naming(Named::Template, &versions);
    fake.add_packages(names.iter().map(|name| format!("{name}:1")).collect::<Vec<_>>().iter().map(String::as_str), &[]);
    fake.set(|behavior| behavior.latency = Duration::from_secs(1));
    assert_eq!(run_with(&fake, &event(&upload), &over).await.expect("no failure")[0]["outcome"], "created");
    let at: Vec<_> = fake.calls("GetPackageVersion").iter().map(|call| call.answered_at.as_secs()).collect();
    let first = at[0];
    assert_eq!([0, 1, 2].map(|second| at.iter().filter(|at| **at == first + second).count()), [10, 10, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_lookup_is_made_again_while_the_invocation_lasts() {
    for operation in ["DescribeThingGroup", "GetPackageVersion"] {
        let (fake, upload, _) = naming(Named::Tag, &[("blinky", "1.2.0")]);
        // Two whole series of attempts by the SDK.
        for _ in 0..6 {
            fake.instead_of(operation, 400, "ThrottlingException");
        }
        assert_eq!(release(&fake, &upload).await["outcome"], "created");
        assert_eq!(fake.calls(operation).len(), 7, "{operation}");
    }
}

#[test]
fn one_fault_at_any_lookup_comes_to_one_job() {
    on_a_clock_of_its_own(async {
        let world = || naming(Named::Template, &[("blinky", "1.2.0"), ("radio", "2.0")]);
        let (fake, upload, _) = world();
        deliver(&fake, &upload, &"no trouble").await;
        let sites = fake.state().sites.clone();
        let lookups = ["DescribeThingGroup", "DescribeJobTemplate", "GetPackageVersion"];
        let sites: Vec<_> = sites.into_iter().filter(|(operation, _)| lookups.contains(operation)).collect();
        assert_eq!(sites.len(), 4, "{sites:?}");
        for trouble in all(&sites) {
            let (fake, upload, _) = world();
            fake.state().troubles = vec![trouble];
            deliver(&fake, &upload, &trouble).await;
            assert_eq!(fake.state().jobs.len(), 1, "{trouble:?}");
        }
    });
}

const RESTORED: Option<&str> = Some("ongoing-request=\"false\", expiry-date=\"Fri, 25 Dec 2026 00:00:00 GMT\"");
const RESTORING: Option<&str> = Some("ongoing-request=\"true\"");

type Text = Option<&'static str>;

/// Storage class, archive status and restore; what is said of an object that cannot be read.
const STORED: [(Text, Text, Text, Text); 16] = [
    (None, None, None, None),
    (Some("STANDARD"), None, None, None),
    (Some("REDUCED_REDUNDANCY"), None, None, None),
    (Some("STANDARD_IA"), None, None, None),
    (Some("ONEZONE_IA"), None, None, None),
    (Some("INTELLIGENT_TIERING"), None, None, None),
    (Some("GLACIER_IR"), None, None, None),
    (Some("A_CLASS_TO_COME"), None, None, None),
    (Some("GLACIER"), None, RESTORED, None),
    (Some("DEEP_ARCHIVE"), None, RESTORED, None),
    (Some("GLACIER"), None, None, Some("is archived (`GLACIER`)")),
    (Some("DEEP_ARCHIVE"), None, None, Some("is archived (`DEEP_ARCHIVE`)")),
    (Some("GLACIER"), None, RESTORING, Some("is archived (`GLACIER`) and its restore is not finished")),
    (Some("INTELLIGENT_TIERING"), Some("ARCHIVE_ACCESS"), None, Some("is archived (`ARCHIVE_ACCESS`)")),
    (Some("INTELLIGENT_TIERING"), Some("DEEP_ARCHIVE_ACCESS"), None, Some("is archived (`DEEP_ARCHIVE_ACCESS`)")),
    (
        Some("INTELLIGENT_TIERING"),
        Some("ARCHIVE_ACCESS"),
        RESTORING,
        Some("is archived (`ARCHIVE_ACCESS`) and its restore is not finished"),
    ),
];
const ARCHIVED: &str =
    "expected an object that S3 returns at once: restore it and put its tags again, or upload it again";
const CUSTOMER_KEY: &str = "is encrypted with a customer-provided key (SSE-C), expected encryption with a key that S3 \
                            has: upload it again with SSE-S3 or SSE-KMS";

/// A manifest of an image, and that.
fn manifest(fake: &Fake) -> (Upload, Upload) {
    let image = fake.upload("firmware/image.bin", IMAGE, &[]);
    let manifest = json!({"files": [{"key": image.key, "versionId": image.version_id}]});
    (fake.upload("firmware/blinky.ota.json", manifest.to_string(), &[LAB, ("ota:retries", "lots")]), image)
}

#[tokio::test]
async fn an_archived_object_is_rejected_until_it_is_restored() {
    for (class, archive_status, restore, problem) in STORED {
        let storage = Storage { class, archive_status, restore, has_customer_key: false };
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        fake.store(&upload, storage);
        let Some(problem) = problem else {
            assert_eq!(release(&fake, &upload).await["outcome"], "created", "{storage:?}");
            continue;
        };
        assert_eq!(reasons(&fake, &upload, &[]).await, json!([format!("the object {problem}, {ARCHIVED}")]));
        fake.store(&upload, Storage { restore: RESTORED, archive_status: None, ..storage });
        assert_eq!(release(&fake, &upload).await["outcome"], "created", "{storage:?}");
        // What was released may be archived.
        fake.store(&upload, storage);
        assert_eq!(release(&fake, &upload).await["outcome"], "adopted", "{storage:?}");

        let fake = Fake::new();
        let (upload, image) = manifest(&fake);
        fake.store(&image, storage);
        let told = reasons(&fake, &upload, &[]).await;
        assert_eq!(told.as_array().map(Vec::len), Some(2), "{told}");
        assert_eq!(told[1], format!("`files[0]`: the object `firmware/image.bin` {problem}, {ARCHIVED}"));
    }
}

#[tokio::test]
async fn an_object_under_a_customers_key_is_rejected() {
    let storage = Storage { has_customer_key: true, ..Storage::default() };
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:retries", "lots")]);
    fake.store(&upload, storage);
    let told = reasons(&fake, &upload, &[]).await;
    assert!(told[0].as_str().expect("text").starts_with("tag `ota:retries` is `lots`"), "{told}");
    assert_eq!(told[1], format!("the object {CUSTOMER_KEY}"));
    for read in fake.calls("GetUpload") {
        assert_eq!(read.header("range"), Some("bytes=0-0"));
    }

    let fake = Fake::new();
    let (upload, image) = manifest(&fake);
    fake.store(&image, storage);
    let told = reasons(&fake, &upload, &[]).await;
    assert_eq!(told[1], format!("`files[0]`: the object `firmware/image.bin` {CUSTOMER_KEY}"));
    fake.store(&upload, storage);
    let told = reasons(&fake, &upload, &[]).await;
    assert_eq!(told[1], format!("the object {CUSTOMER_KEY}"), "the manifest itself");
    assert_eq!(told.as_array().map(Vec::len), Some(2), "{told}");
}

#[tokio::test]
async fn an_object_that_cannot_be_read_and_has_no_tags_is_no_release() {
    for storage in [
        Storage { has_customer_key: true, ..Storage::default() },
        Storage { class: Some("GLACIER"), ..Storage::default() },
    ] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[("team", "sensors")]);
        fake.store(&upload, storage);
        assert_eq!(release(&fake, &upload).await["reason"], "no-tags");
    }
}

/// HEAD of the key answers 400 then, and says no version ID.
#[tokio::test]
async fn a_newer_version_under_a_customers_key_supersedes() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    let newer = fake.upload("firmware/blinky.bin", "newer", &[]);
    fake.upload("firmware/blinky.bin.old", "another key", &[]);
    fake.store(&newer, Storage { has_customer_key: true, ..Storage::default() });
    assert_eq!(release(&fake, &upload).await["reason"], "superseded");
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn a_head_with_status_400_is_explained_by_get_object() {
    // The form of the version ID.
    let fake = Fake::new();
    let image = fake.upload("firmware/image.bin", IMAGE, &[]);
    let manifest = json!({"files": [{"key": image.key, "versionId": "no version"}]});
    let upload = fake.upload("firmware/blinky.ota.json", manifest.to_string(), &[LAB]);
    assert_eq!(
        reasons(&fake, &upload, &[]).await,
        json!(["`files[0]`: S3 has no version `no version` of `firmware/image.bin`"])
    );
    // Anything else is no reason to reject.
    for (code, told) in
        [(None, "HTTP status 400"), (Some("AuthorizationHeaderMalformed"), "AuthorizationHeaderMalformed")]
    {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
        fake.refuse_head(&upload.key, 400);
        if let Some(code) = code {
            fake.instead_of("GetUpload", 400, code);
        }
        let failed = run_with(&fake, &event(&upload), &[]).await.expect_err("a failure");
        assert!(failed.contains(told), "{failed}");
        assert_nothing_created(&fake);
    }
}

#[tokio::test]
async fn a_signature_beside_the_image_that_s3_does_not_return_is_rejected() {
    let tags = [LAB, ("ota:signature", ".sig"), ("ota:certificate", "cert.pem")];
    for (storage, problem) in [
        (
            Storage { class: Some("GLACIER"), ..Storage::default() },
            "it is archived, expected an object that S3 returns at once: restore it, or upload it again".to_owned(),
        ),
        (Storage { has_customer_key: true, ..Storage::default() }, format!("it {CUSTOMER_KEY}")),
    ] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &tags);
        let beside = fake.upload("firmware/blinky.bin.sig", "{}", &[]);
        fake.store(&beside, storage);
        let told = format!(
            "tag `ota:signature` is `.sig`, but the object `firmware/blinky.bin.sig` cannot be used: {problem}"
        );
        assert_eq!(reasons(&fake, &upload, &[("ALLOW_UNVERIFIED", "true")]).await, json!([told]));
    }
}
