//! Throttled requests are retried until the invocation's deadline. Requests that exceed a used-up quota are not
//! retried.

use crate::support::{IMAGE, LAB, assert_released_once, failure, release, upload_image};

#[tokio::test(start_paused = true)]
async fn throttled_polls_of_a_signing_job_are_retried() {
    let (fake, upload) = upload_image(&[LAB]);
    for code in ["ThrottlingException", "TooManyRequestsException"] {
        (0..6).for_each(|_| fake.fail_next("DescribeSigningJob", 429, code));
    }
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_start_of_a_signing_job_is_retried_until_the_deadline() {
    let (fake, upload) = upload_image(&[LAB]);
    for code in ["ThrottlingException", "TooManyRequestsException"] {
        (0..15).for_each(|_| fake.fail_next("StartSigningJob", 429, code));
    }
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.calls("StartSigningJob").len(), 31);
    assert_released_once(&fake, &upload, IMAGE).await;

    let upload = fake.upload("firmware/later.bin", IMAGE, &[LAB]);
    (0..1000).for_each(|_| fake.fail_next("StartSigningJob", 429, "ThrottlingException"));
    let reason = failure(&fake, &upload).await;
    assert!(reason.contains("starting a signing job") || reason.contains("time ended while signing"), "{reason}");
    assert!(fake.calls("StartSigningJob").len() > 60);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_step_is_retried_until_the_deadline() {
    for operation in
        ["GetObjectTagging", "DescribeThingGroup", "CopyObject", "CreateStream", "DescribeJob", "CreateJob"]
    {
        let (fake, upload) = upload_image(&[LAB]);
        let (status, code) =
            if operation.contains("Object") { (503, "SlowDown") } else { (429, "ThrottlingException") };
        (0..15).for_each(|_| fake.fail_next(operation, status, code));
        assert_eq!(release(&fake, &upload).await["outcome"], "created", "{operation}");
        assert_released_once(&fake, &upload, IMAGE).await;

        let upload = fake.upload("firmware/later.bin", IMAGE, &[LAB]);
        (0..1000).for_each(|_| fake.fail_next(operation, status, code));
        let reason = failure(&fake, &upload).await;
        assert!(reason.contains(code) || reason.contains("the invocation's time ended"), "{operation}: {reason}");
        assert!(fake.calls(operation).len() > 40, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_lookup_of_an_earlier_signing_job_is_retried() {
    let (fake, upload) = upload_image(&[LAB]);
    fake.fail_next("CopyObject", 403, "AccessDenied");
    failure(&fake, &upload).await;
    (0..15).for_each(|_| fake.fail_next("DescribeSigningJob", 429, "ThrottlingException"));
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.state().signing_jobs.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_lookup_of_the_profile_does_not_delay_the_release() {
    let (fake, upload) = upload_image(&[LAB]);
    for _ in 0..3 {
        fake.fail_next("GetSigningProfile", 429, "TooManyRequestsException");
    }
    assert_eq!(release(&fake, &upload).await["outcome"], "created");
    assert_eq!(fake.calls("GetSigningProfile").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_used_up_quota_is_not_retried() {
    for (operation, calls) in [("CreateStream", 1), ("CreateJob", 1)] {
        let (fake, upload) = upload_image(&[LAB]);
        for _ in 0..3 {
            fake.fail_next(operation, 410, "LimitExceededException");
        }
        assert!(failure(&fake, &upload).await.contains("LimitExceededException"));
        assert_eq!(fake.calls(operation).len(), calls, "{operation}");
    }
}
