//! Releases by what people and their tools really write: misspelt tags, helper files, and the encodings of Windows.

use crate::{
    fake::Fake,
    releases::{LAB, assert_nothing_created, event, one, release, run_with},
};
use ota_on_upload::upload::Upload;
use serde_json::{Value, json};
use std::sync::Arc;

const IMAGE: &[u8] = b"\x7fELF an image";
/// A signature that was made elsewhere.
const ELSEWHERE: &str =
    "MEUCIQCmZkeFLQJCxL1qpWyDLLXDvWmsHEV9QSSyffjVG8FdlwIgZ7TWtM4HyXoQj4OwVLbYM940AfuF6KHencQldf9c2hg=";

/// The reasons of a release that is rejected before anything is created.
async fn reasons(fake: &Arc<Fake>, upload: &Upload) -> Vec<String> {
    rejected(fake, &release(fake, upload).await)
}

fn rejected(fake: &Fake, release: &Value) -> Vec<String> {
    assert_eq!(release["outcome"], "rejected", "{release}");
    assert_nothing_created(fake);
    serde_json::from_value(release["reasons"].clone()).expect("reasons")
}

/// The one file of the one job's document.
fn offered(fake: &Fake) -> Value {
    let job = one(fake.calls("CreateJob")).json();
    serde_json::from_str::<Value>(job["document"].as_str().expect("text")).expect("JSON")["afr_ota"]["files"][0].clone()
}

fn utf_16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A manifest of one image, which is uploaded, with these members of its file beside.
fn manifest(fake: &Fake, members: Value) -> Value {
    let image = fake.upload("firmware/app.bin", IMAGE, &[]);
    let mut file = json!({"key": image.key, "versionId": image.version_id});
    let Value::Object(members) = members else { panic!("{members}") };
    file.as_object_mut().expect("an object").extend(members);
    json!({"files": [file]})
}

#[tokio::test]
async fn an_object_whose_only_tag_is_misspelt_is_rejected_with_the_right_spelling() {
    let missing = "tag `ota:thing-group` is missing, expected the thing groups that get the update";
    for tag in ["OTA:Thing-Group", " ota:thing-group", "ota-thing-group", "ota.thing.group", "OTAThingGroup"] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[(tag, "lab"), ("team", "x")]);
        let unknown = format!("tag `{tag}` is not known, did you mean `ota:thing-group`?");
        assert_eq!(reasons(&fake, &upload).await, [unknown, missing.to_owned()]);
    }
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[("Ota:Foo", "x"), LAB]);
    let told = reasons(&fake, &upload).await;
    assert!(told[0].starts_with("tag `Ota:Foo` is not known, expected one of ") && told.len() == 1, "{told:?}");
    let others =
        [("team", "x"), ("start", "now"), ("thing-group", "lab"), ("iota:color", "red"), ("quota:start", "1h")];
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &others);
    assert_eq!(release(&fake, &upload).await["reason"], "no-tags");
}

#[tokio::test]
async fn a_dry_run_rejects_tags_that_s3_would_refuse() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[]);
    let dry_run = async |tags: &str| {
        let over = [("DRY_RUN", "true"), ("DRY_RUN_TAGS", tags)];
        run_with(&fake, &event(&upload), &over).await.expect("no failure").remove(0)
    };
    let many = |count: usize| (0..count).map(|at| format!("&k{at}=v")).collect::<Vec<_>>().concat();
    assert_eq!(dry_run(&format!("ota:thing-group=lab{}", many(9))).await["outcome"], "dry-run");
    let bad = format!("ota:thing-group=lab&ota:thing-group=eu-1&ota:retries=lots&team={}{}", "x".repeat(257), many(7));
    let told = rejected(&fake, &dry_run(&bad).await);
    assert_eq!(
        told[..3],
        [
            "the object has 11 tags, expected at most 10, as S3 allows no more",
            "tag `ota:thing-group` is there more than once, expected each key once",
            "tag `team` has 257 characters in its value, expected 0 to 256, which S3 allows",
        ]
    );
    assert!(told[3].starts_with("tag `ota:retries` is `lots`, expected ") && told.len() == 4, "{told:?}");
    // A header that S3 refuses is rejected, also if it has no tag of a release.
    for (header, problem) in [
        (&many(11)[1..], "the object has 11 tags, "),
        (r#"{"TagSet":[{"Key":"ota:thing-group","Value":"lab"}]}"#, "tag `{\"TagSet\":"),
        ("Key=ota:thing-group,Value=lab", "tag `Key` has ',' in its value, "),
        ("=lab", "tag `` has 0 characters in its key, "),
        ("?ota:thing-group=lab", "tag `?ota:thing-group` has '?' in its key, "),
        ("\u{feff}ota:thing-group=lab", "tag `\u{feff}ota:thing-group` has '\\u{feff}' in its key, "),
    ] {
        let told = rejected(&fake, &dry_run(header).await);
        assert!(told[0].starts_with(problem), "{header}: {told:?}");
    }
    assert_eq!(dry_run("team=x").await["reason"], "no-tags");
}

#[tokio::test]
async fn no_early_end_hides_a_problem_of_the_tags() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/a.ota.json", "{}", &[]);
    let over = [("DRY_RUN", "true"), ("DRY_RUN_TAGS", "ota:thing-group=lab&ota:retries=lots")];
    let told = rejected(&fake, &run_with(&fake, &event(&upload), &over).await.expect("no failure").remove(0));
    assert!(told[0].starts_with("tag `ota:retries` is `lots`, "), "{told:?}");
    assert!(told[1].starts_with("setting `DRY_RUN_MANIFEST` is not set, ") && told.len() == 2, "{told:?}");

    let mut unversioned = event(&upload);
    unversioned["Records"][0]["s3"]["object"]["versionId"] = Value::Null;
    let told = rejected(&fake, &run_with(&fake, &unversioned, &over).await.expect("no failure").remove(0));
    assert!(told[0].starts_with("the event has no version ID, ") && told.len() == 3, "{told:?}");
}

#[tokio::test]
async fn a_manifest_is_one_in_any_case_of_its_name() {
    for key in ["firmware/GW.OTA.JSON", "firmware/Gw.Ota.Json", "firmware/gw.ota.JSON"] {
        let fake = Fake::new();
        let json = manifest(&fake, json!({"filePath": "/app.bin"})).to_string();
        let upload = fake.upload(key, json, &[LAB]);
        assert_eq!(release(&fake, &upload).await["outcome"], "created", "{key}");
        assert_eq!((&offered(&fake)["filepath"], fake.calls("StartSigningJob").len()), (&json!("/app.bin"), 1));
        assert_eq!(fake.streamed(&upload.stream_id()).await, IMAGE);
    }
}

#[tokio::test]
async fn a_helper_file_with_tags_of_a_release_is_rejected() {
    let fake = Fake::new();
    for (key, problem) in [
        ("firmware/app.bin.sig", "is a signature and no firmware; put the tags on the image `firmware/app.bin`"),
        ("firmware/APP.BIN.SIG", "is a signature and no firmware; put the tags on the image `firmware/APP.BIN`"),
        ("firmware/a.ota.json.txt", "looks like a manifest; expected a name that ends in `.ota.json`"),
        (
            "firmware/gw.ota.json.sig",
            "is a signature and no firmware; put the tags on the manifest `firmware/gw.ota.json`, which needs no signature",
        ),
        ("firmware/app.bin.sig.txt", "is a signature and no firmware; put the tags on the image `firmware/app.bin`"),
        ("firmware/gw.ota (1).json", "looks like a manifest; expected a name that ends in `.ota.json`"),
        ("firmware/a.OTA.JSON ", "looks like a manifest; expected a name that ends in `.ota.json`"),
    ] {
        let upload = fake.upload(key, IMAGE, &[LAB, ("ota:retries", "lots")]);
        let told = reasons(&fake, &upload).await;
        assert_eq!(told[1..], [format!("the object {problem}")]);
        // Without them it is nothing to this function.
        let upload = fake.upload(key, IMAGE, &[("team", "x")]);
        assert_eq!(release(&fake, &upload).await["reason"], "no-tags");
    }
}

#[tokio::test]
async fn a_manifest_under_another_name_is_rejected_and_other_json_is_an_image() {
    let named = "the object names files as a manifest does; expected a name that ends in `.ota.json`";
    for key in
        ["firmware/gw.json", "firmware/gw-ota.json", "firmware/GW.JSON.bak", "firmware/gw.jsn", "firmware/Gw.Txt"]
    {
        let fake = Fake::new();
        let json = manifest(&fake, json!({"fileType": "0"}));
        for bytes in [json.to_string().into_bytes(), utf_16(&json.to_string())] {
            let upload = fake.upload(key, bytes, &[LAB]);
            let told = reasons(&fake, &upload).await;
            assert_eq!(told, [named, "`files[0].fileType` is a string, expected a whole number"]);
        }
    }
    for json in [json!({"files": ["a"]}), json!({"rules": [{"key": "a", "versionId": "b"}]})] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/rules.json", json.to_string(), &[LAB]);
        assert_eq!(release(&fake, &upload).await["outcome"], "created", "{json}");
        assert_eq!(fake.streamed(&upload.stream_id()).await, json.to_string());
    }
    let fake = Fake::new();
    let upload = fake.upload("firmware/large.json", vec![b' '; 65_537], &[LAB]);
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
}

#[tokio::test]
async fn a_signature_reaches_the_document_without_line_breaks() {
    let (head, tail) = ELSEWHERE.split_at(64);
    let broken = format!("{head}\r\n{tail}\n");
    let unverified = [("ALLOW_UNVERIFIED", "true")];

    let fake = Fake::new();
    let json = manifest(&fake, json!({"signature": broken, "certificate": "/app.pem"}));
    let upload = fake.upload("firmware/a.ota.json", utf_16(&json.to_string()), &[LAB]);
    let created = run_with(&fake, &event(&upload), &unverified).await.expect("no failure").remove(0);
    assert_eq!(created["outcome"], "created", "{created}");
    assert_eq!(offered(&fake)["sig-sha256-ecdsa"], ELSEWHERE);

    let fake = Fake::new();
    let tags = [LAB, ("ota:signature", ".sig"), ("ota:certificate", "/app.pem")];
    let upload = fake.upload("firmware/app.bin", IMAGE, &tags);
    let object =
        |version: &str| json!({"versionId": version, "signature": broken, "signatureAlgorithm": "SHA256withECDSA"});
    let mut bad = object("v9");
    bad["signatureAlgoritm"] = bad["signatureAlgorithm"].take();
    bad.as_object_mut().expect("an object").remove("signatureAlgorithm");
    fake.upload("firmware/app.bin.sig", bad.to_string(), &[]);
    let told = rejected(&fake, &run_with(&fake, &event(&upload), &unverified).await.expect("no failure").remove(0));
    let head = "tag `ota:signature` is `.sig`, but the object `firmware/app.bin.sig` cannot be used:";
    assert_eq!(
        told,
        [
            format!("{head} `signatureAlgorithm` is missing"),
            format!("{head} `versionId` is `v9`, expected `{}`, that of the image", upload.version_id),
            format!("{head} `signatureAlgoritm` is not known, did you mean `signatureAlgorithm`?"),
        ]
    );
    fake.upload("firmware/app.bin.sig", utf_16(&object(&upload.version_id).to_string()), &[]);
    let created = run_with(&fake, &event(&upload), &unverified).await.expect("no failure").remove(0);
    assert_eq!((&created["outcome"], &offered(&fake)["sig-sha256-ecdsa"]), (&json!("created"), &json!(ELSEWHERE)));
}

#[tokio::test]
async fn a_time_as_most_tools_print_it_is_accepted() {
    for start in ["2026-12-01T02:00:00Z", "2026-12-01T02:00:00", "2026-12-01 02:00:00.000Z"] {
        let fake = Fake::new();
        let upload = fake.upload("firmware/blinky.bin", IMAGE, &[LAB, ("ota:start", start)]);
        assert_eq!(release(&fake, &upload).await["startTime"], "2026-12-01T02:00", "{start}");
    }
}

#[tokio::test]
async fn a_signing_job_needs_no_certificate_where_nothing_is_verified() {
    let fake = Fake::new();
    let upload = fake.upload("firmware/blinky.bin", IMAGE, &[]);
    let id = crate::releases::sign(&fake, &upload, "SignedImage/by-hand/").await;
    let upload = Upload::new(upload.bucket, upload.key, upload.version_id);
    crate::releases::tag(&fake, &upload, &[LAB, ("ota:signing-job", &id)]);
    fake.set(|behavior| {
        behavior.corrupt_signing_job = |job| drop(job.as_object_mut().expect("it").remove("signingMaterial"));
    });
    let released = run_with(&fake, &event(&upload), &[("VERIFY_SIGNATURES", "false")]).await.expect("no failure");
    assert_eq!(released[0]["outcome"], "created", "{released:?}");
}
