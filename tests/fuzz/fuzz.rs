//! Runs libFuzzer on the target in the environment variable `FUZZ_TARGET`.

#![no_main]

mod targets;

use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;
use std::env;
use std::sync::LazyLock;
use targets::{TARGETS, Target};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let wanted = env::var("FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.into_iter().find(|(name, _)| *name == wanted);
    target.unwrap_or_else(|| panic!("FUZZ_TARGET is `{wanted}`, expected one of {TARGETS:?}")).1
});

fuzz_target!(|data: &[u8]| {
    let target = *TARGET;
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    target(data);
    let used = MEMORY.peak_usage().saturating_sub(before);
    assert!(used <= 256 * 1024 + 256 * data.len(), "{used} bytes of memory for {} bytes", data.len());
});
