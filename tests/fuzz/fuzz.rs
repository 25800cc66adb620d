//! Runs libFuzzer on the target in the environment variable `FUZZ_TARGET`.

#![no_main]

#[path = "../local_cloud/file_delivery.rs"]
mod file_delivery;
mod targets;

use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;
use std::env;
use std::sync::LazyLock;
use targets::{TARGETS, Target};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The maximum memory for an empty input. Responses of file delivery have up to 128 KiB, which the target copies.
const MAX_BYTES: usize = 256 * 1024;
const MAX_BYTES_OF_FILE_DELIVERY: usize = 2 * 1024 * 1024;

static TARGET: LazyLock<(Target, usize)> = LazyLock::new(|| {
    let wanted = env::var("FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.into_iter().find(|(name, _)| *name == wanted);
    let (name, target) = target.unwrap_or_else(|| panic!("FUZZ_TARGET is `{wanted}`, expected one of {TARGETS:?}"));
    (target, if name == "file-delivery" { MAX_BYTES_OF_FILE_DELIVERY } else { MAX_BYTES })
});

fuzz_target!(|data: &[u8]| {
    let (target, max_bytes) = *TARGET;
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    target(data);
    let used = MEMORY.peak_usage().saturating_sub(before);
    assert!(used <= max_bytes + 256 * data.len(), "{used} bytes of memory for {} bytes", data.len());
});
