//! Replays the corpus of the fuzzer: inputs that reached new code.

#[path = "../fuzz/targets.rs"]
mod targets;

use crate::support::report;
use std::fs;
use std::path::Path;
use targets::TARGETS;

#[test]
fn every_parser_passes_on_the_corpus_of_the_fuzzer() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut counts = Vec::new();
    for (name, target) in TARGETS {
        let inputs: Vec<_> = fs::read_dir(corpus.join(name)).expect(name).map(|entry| entry.unwrap().path()).collect();
        assert!(!inputs.is_empty(), "the corpus of {name} is empty");
        for input in &inputs {
            // Printed only if the target panics.
            println!("{}", input.display());
            target(&fs::read(input).unwrap());
        }
        counts.push(format!("{name} {}", inputs.len()));
    }
    report(format_args!("fuzzed inputs replayed: {}", counts.join(", ")));
}
