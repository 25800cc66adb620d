//! Events as they reach the handler: unknown formats, the failure queue, and the processing of records.

use crate::support::{
    BUCKET, Fake, IMAGE, LAB, assert_nothing_created, assert_released_once, event, event_record, named_event,
    release_of, run, run_with, upload_image,
};
use serde_json::{Value, json};
use tokio::time::Instant;

const QUEUE: &str = "arn:aws:sqs:us-east-1:111122223333:failures";

fn from_queue(bodies: &[String]) -> Value {
    let message = |body| json!({"eventSource": "aws:sqs", "eventSourceARN": QUEUE, "body": body});
    json!({"Records": bodies.iter().map(message).collect::<Vec<_>>()})
}

/// Events in unknown formats.
fn unknown_events() -> Vec<Value> {
    let upload = Fake::new().upload("firmware/blinky.bin", IMAGE, &[LAB]);
    let mut nameless = event(&upload);
    nameless["Records"][0]["s3"]["bucket"] = json!({});
    vec![
        json!({}),
        json!(null),
        json!("text"),
        json!(5),
        json!([]),
        json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}),
        json!({"invocationSchemaVersion": "1.0", "invocationId": "1", "job": {"id": "1"}, "tasks": []}),
        json!({"Records": [{"eventSource": "aws:kinesis"}]}),
        json!({"Records": [{"eventSource": "aws:sqs", "body": "no JSON"}]}),
        named_event(&upload, "ObjectCreatedX:Put"),
        nameless,
    ]
}

#[tokio::test]
async fn an_event_in_an_unknown_format_fails_the_invocation() {
    let fake = Fake::new();
    for event in unknown_events() {
        let failed = run(&fake, &event).await.expect_err("a failure");
        assert!(failed.contains("the event is not understood: "), "{event}: {failed}");
        let queue = [("FAILURE_QUEUE_ARN", QUEUE)];
        let failed = run_with(&fake, &event, &queue).await.expect_err("a failure");
        assert!(failed.contains("the event is not understood: "), "{event}: {failed}");
    }
    assert_nothing_created(&fake);
}

#[tokio::test]
async fn an_event_in_an_unknown_format_is_consumed_from_the_failure_queue() {
    let queue = [("FAILURE_QUEUE_ARN", QUEUE)];
    let fake = Fake::new();
    for event in unknown_events() {
        let destination = json!({"version": "1.0", "requestPayload": event}).to_string();
        for event in [from_queue(&[event.to_string()]), from_queue(&[destination])] {
            assert_eq!(run_with(&fake, &event, &queue).await, Ok(Vec::new()), "{event}");
            run(&fake, &event).await.expect_err("a failure, as no queue is set");
        }
    }
    assert_nothing_created(&fake);

    // The other messages of a batch are processed.
    let good = fake.upload("firmware/good.bin", IMAGE, &[LAB]);
    let bad = fake.upload("firmware/bad.bin", IMAGE, &[("ota:thing-group", "prod")]);
    let bodies = ["{}".to_owned(), event(&bad).to_string(), "no JSON".to_owned(), event(&good).to_string()];
    let releases = run_with(&fake, &from_queue(&bodies), &queue).await.expect("no failure");
    let outcomes: Vec<_> = releases.iter().map(|release| release["outcome"].clone()).collect();
    assert_eq!(outcomes, ["rejected", "created"]);
    assert_released_once(&fake, &good, IMAGE).await;

    // An upload event that needs a later version of the function stays in the queue.
    let mut newer = event(&good);
    newer["Records"][0]["eventVersion"] = "3.0".into();
    let failed = run_with(&fake, &from_queue(&[newer.to_string()]), &queue).await.expect_err("a failure");
    assert!(failed.contains("the event is not supported: its `eventVersion` is `3.0`"), "{failed}");

    // A failed release stays in the queue.
    let denied = fake.upload("firmware/denied.bin", IMAGE, &[LAB]);
    fake.fail_next("StartSigningJob", 403, "AccessDeniedException");
    let bodies = ["{}".to_owned(), event(&denied).to_string()];
    let failed = run_with(&fake, &from_queue(&bodies), &queue).await.expect_err("a failure");
    assert!(failed.starts_with("`firmware/denied.bin`: starting a signing job"), "{failed}");
    assert!(!failed.contains("not understood"), "{failed}");
}

#[tokio::test]
async fn an_event_with_more_than_a_thousand_records_fails_as_a_whole() {
    let (fake, upload) = upload_image(&[LAB]);
    let event = json!({"Records": vec![event_record(&upload, "ObjectCreated:Put"); 1001]});
    let failed = run(&fake, &event).await.expect_err("a failure");
    assert!(failed.contains("it has more than 1000 records"), "{failed}");
    assert_eq!(fake.operations(), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn four_records_are_processed_at_the_same_time() {
    let elapsed = async |count: usize| {
        let fake = Fake::new();
        fake.set(|behavior| behavior.latency = std::time::Duration::from_millis(100));
        let uploads = (0..count).map(|at| fake.upload(&format!("firmware/{at}.bin"), IMAGE, &[LAB]));
        let records: Vec<_> = uploads.map(|upload| event_record(&upload, "ObjectCreated:Put")).collect();
        let began = Instant::now();
        let releases = run(&fake, &json!({"Records": records})).await.expect("no failure");
        let keys: Vec<_> = releases.iter().map(|release| release["key"].clone()).collect();
        let expected: Vec<_> = (0..count).map(|at| json!(format!("firmware/{at}.bin"))).collect();
        assert_eq!(keys, expected, "in the order of the event");
        assert!(releases.iter().all(|release| release["outcome"] == "created"), "{releases:?}");
        assert_eq!(fake.state().jobs.len(), count);
        began.elapsed().as_millis()
    };
    let one = elapsed(1).await;
    for (count, rounds) in [(4, 1), (12, 3), (13, 4)] {
        let (time, expected) = (elapsed(count).await, one * rounds);
        assert!(time.abs_diff(expected) < one / 2, "{count} records: {time} ms, expected {expected} ms");
    }
}

#[tokio::test]
async fn every_record_of_an_event_is_processed() {
    let fake = Fake::new();
    let bad = fake.upload("firmware/bad.bin", IMAGE, &[("ota:thing-group", "prod")]);
    let denied = fake.upload("firmware/denied.bin", IMAGE, &[LAB]);
    fake.fail_head(&denied.key, 403);
    let good = fake.upload("firmware/good.bin", IMAGE, &[LAB]);
    let records = [&bad, &denied, &good].map(|upload| event_record(upload, "ObjectCreated:CompleteMultipartUpload"));
    let failed = run(&fake, &json!({"Records": records})).await.expect_err("a failure");
    assert!(failed.starts_with("`firmware/denied.bin`: reading the head of "), "{failed}");
    assert!(!failed.contains("bad.bin"), "{failed}");
    assert_released_once(&fake, &good, IMAGE).await;

    let [bad, _, good] = records;
    let releases = run(&fake, &json!({"Records": [bad, good]})).await.expect("no failure");
    let outcomes: Vec<_> = releases.iter().map(|release| release["outcome"].clone()).collect();
    assert_eq!(outcomes, ["rejected", "adopted"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_record_does_not_delay_the_others() {
    let fake = Fake::new();
    fake.set(|behavior| {
        behavior.corrupt_signing_job = |job| {
            if job["source"]["s3"]["key"] == "firmware/slow.bin" {
                job["status"] = "InProgress".into();
            }
        };
    });
    let records = ["firmware/slow.bin", "firmware/good.bin"]
        .map(|key| event_record(&fake.upload(key, IMAGE, &[LAB]), "ObjectCreated:Put"));
    let failed = run(&fake, &json!({"Records": records})).await.expect_err("a failure");
    assert!(failed.contains("slow.bin") && !failed.contains("good.bin"), "{failed}");
    assert_eq!(fake.state().jobs.len(), 1);
}

#[tokio::test]
async fn a_release_needs_few_members_of_its_event_record() {
    let (fake, upload) = upload_image(&[LAB]);
    let object = json!({"key": "firmware/blinky.bin", "versionId": upload.version_id});
    let record = json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "s3:ObjectCreated:Put",
        "s3": {"bucket": {"name": BUCKET}, "object": object},
    });
    assert_eq!(release_of(&fake, &record).await["outcome"], "created");
    assert_released_once(&fake, &upload, IMAGE).await;
}
