//! Helpers that the tests share, and re-exports of all items of the crate that the tests use.

mod assertions;
mod fake;
mod faults;
mod lambda;
mod log;
mod manifest;
mod record;
mod release;
mod signature;

pub use assertions::{
    assert_nothing_created, assert_outcome, assert_released_once, assert_unchanged, document, first_file,
    presigned_bytes, rejection_reasons, single, without_nonce,
};
pub use fake::{
    ACCOUNT, BUCKET, Behavior, Call, CallIndex, Embedded, FAULTS, Fake, Fault, NOW, PROFILE, REGION, State, Storage,
    Version, Watch, job_arn, now,
};
pub use faults::{deliver, every_fault, is_full_torture, report, with_paused_clock};
pub use lambda::{FunctionProcess, REQUEST_ID, metrics};
pub use log::warnings;
pub use manifest::{APP, RADIO, assert_both_released_once, extend, manifest_of_one, upload_manifest, utf_16};
pub use ota_on_upload::{
    clients::Clients, handler::Function, s3::record::JobRecord, settings::Settings, tags::VOCABULARY, upload::Upload,
};
pub use record::{claim, delete_receipt, hide_record, mark, mark_at, receipt, record_key, signed_prefix};
pub use release::{
    DRY_RUN, IMAGE, LAB, OTHER_IMAGE, UNVERIFIED, dry_run, event, event_record, failure, failure_with, function,
    function_with, invoke, named_event, reasons_in_release_and_dry_run, release, release_of, release_of_with,
    release_slowly, release_unverified, release_with, run, run_with, setting, sha256, upload_image,
};
pub use signature::{
    Corrupt, EXTERNAL_SIGNATURE, remove_certname, replace_signature, sign_in_advance, start_signing_job,
};
