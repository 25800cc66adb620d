//! Signing jobs and objects of other principals below the prefix of an upload.

use super::public_token;
use crate::support::{
    BUCKET, Fake, IMAGE, LAB, OTHER_IMAGE, assert_nothing_created, assert_outcome, assert_released_once, failure,
    named_event, release, release_of, signed_prefix, single, start_signing_job, upload_image,
};
use std::collections::BTreeSet;

#[tokio::test(start_paused = true)]
async fn a_signing_job_with_a_guessed_token_does_not_block_the_release() {
    let (fake, upload) = upload_image(&[LAB]);
    let other = fake.upload("firmware/other.bin", OTHER_IMAGE, &[]);
    let token = public_token(&upload, &signed_prefix(&upload));
    start_signing_job(&fake, &other, "SignedImage/by-hand/", &token).await;
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_released_once(&fake, &upload, IMAGE).await;
}

/// Signer signs once for each token.
#[tokio::test(start_paused = true)]
async fn attempts_at_one_release_share_a_token_that_no_other_release_has() {
    let mut tokens = BTreeSet::new();
    for _ in 0..3 {
        let (fake, upload) = upload_image(&[LAB]);
        for _ in 0..2 {
            (0..3).for_each(|_| fake.fail_after_next("StartSigningJob", 500, "InternalError"));
            fake.before_next("DescribeSigningJob", |state| {
                state.fail_next("DescribeSigningJob", 400, "ValidationException");
            });
            failure(&fake, &upload).await;
            fake.state().objects.retain(|(_, key), _| !key.contains("00000000-"));
        }
        assert_eq!(fake.state().signing_jobs.len(), 1);
        tokens.extend(fake.calls("StartSigningJob").iter().map(|call| call.json()["clientRequestToken"].to_string()));
    }
    assert_eq!(tokens.len(), 3, "{tokens:?}");
}

#[tokio::test(start_paused = true)]
async fn at_most_three_earlier_signing_jobs_are_looked_up() {
    for (jobs, code) in [
        (1, "ResourceNotFoundException"),
        (500, "ResourceNotFoundException"),
        (500, "AccessDeniedException"),
        (2000, "ResourceNotFoundException"),
    ] {
        let (fake, upload) = upload_image(&[LAB]);
        let prefix = signed_prefix(&upload);
        for number in 0..jobs {
            let key = format!("{prefix}ffffffff-0000-4000-8000-{number:012}");
            fake.state().put(BUCKET, &key, Some("{}".into()), Vec::new());
        }
        let lookups = jobs.min(3);
        (0..lookups).for_each(|_| fake.fail_next("DescribeSigningJob", 404, code));
        assert_eq!(release(&fake, &upload).await["outcome"], "created");
        // The last request is for the new signing job.
        assert_eq!(fake.calls("DescribeSigningJob").len(), lookups + 1, "{jobs}");
        assert_released_once(&fake, &upload, IMAGE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn signing_jobs_of_another_image_below_the_prefix_are_not_used() {
    let (fake, upload) = upload_image(&[LAB]);
    let other = fake.upload("firmware/other.bin", OTHER_IMAGE, &[]);
    for number in 0..20 {
        start_signing_job(&fake, &other, &signed_prefix(&upload), &format!("{number}")).await;
    }
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.calls("DescribeSigningJob").len(), 4);
    assert_released_once(&fake, &upload, IMAGE).await;
}

#[tokio::test(start_paused = true)]
async fn unexpected_keys_below_the_prefix_do_not_affect_the_release() {
    let (fake, upload) = upload_image(&[LAB]);
    let prefix = signed_prefix(&upload);
    let uuid = "ffffffff-0000-4000-8000-000000000000";
    for key in [
        "",
        "/",
        "//",
        ".",
        "..",
        "../x",
        "x",
        "image",
        "image/",
        "release.json/",
        "Release.json",
        "release.json.bak",
        "x/release.json",
        "\u{0}",
        "\u{1}",
        "\u{b}x",
        "\u{1b}[2J",
        "\n",
        "<&>\"'",
        "+ %20",
        "größe 🚀",
        "\u{feff}\u{202e}\u{ffff}",
        "ffffffff00004000800000000000000",
        "{ffffffff-0000-4000-8000-000000000000}",
        "a/b/c/d",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([
        format!("{uuid} "),
        format!("{uuid}x"),
        format!("{uuid}/"),
        format!("x/{uuid}"),
        format!("0/{uuid}"),
        "k".repeat(900),
    ]) {
        fake.state().put(BUCKET, &format!("{prefix}{key}"), Some("x".into()), Vec::new());
    }
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    single(fake.calls("DescribeSigningJob"));
    assert_released_once(&fake, &upload, IMAGE).await;
    assert_eq!(release(&fake, &upload).await["outcome"], "adopted");
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_more_than_ten_pages_fails_the_release() {
    for (pages, is_released) in [(9, true), (12, false), (300, false)] {
        let (fake, upload) = upload_image(&[LAB]);
        fake.set(|behavior| behavior.page = 5);
        let prefix = signed_prefix(&upload);
        for number in 0..pages * 5 {
            fake.state().put(BUCKET, &format!("{prefix}a{number:05}"), Some("x".into()), Vec::new());
        }
        if is_released {
            assert_eq!(release(&fake, &upload).await["outcome"], "created");
            continue;
        }
        let failed = failure(&fake, &upload).await;
        let expected =
            format!("more than 10 pages of object versions are below `{prefix}`, where only the function writes");
        assert!(failed.contains(&expected), "{failed}");
        assert_eq!(fake.calls("ListObjectVersions").len(), 10);
        assert_nothing_created(&fake);
    }
}

/// The key of another upload appears in the listings of this upload's versions.
#[tokio::test(start_paused = true)]
async fn keys_that_xml_cannot_express_do_not_block_the_release() {
    let fake = Fake::new();
    let first = fake.upload("firmware/blinky.bin", IMAGE, &[LAB]);
    fake.upload("firmware/blinky.bin\u{1}", OTHER_IMAGE, &[]);
    release(&fake, &first).await;
    let copy = fake.copy_onto_itself(&first);
    let copied = named_event(&copy, "ObjectCreated:Copy");
    assert_outcome(&release_of(&fake, &copied).await, "skipped", Some("unchanged"));
}
