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

/// Mutates the inputs of file delivery at random, as the fuzzer does.
#[test]
fn file_delivery_passes_on_mutated_inputs() {
    let (name, target) = TARGETS.into_iter().find(|(name, _)| *name == "file-delivery").expect("a target");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let inputs: Vec<_> = fs::read_dir(folder).expect(name).map(|entry| fs::read(entry.unwrap().path())).collect();
    let mut random = fastrand::Rng::with_seed(19);
    for _ in 0..5_000 {
        let mut input = random.choice(&inputs).expect("an input").as_ref().expect("readable").clone();
        for _ in 0..random.usize(..4) {
            let at = random.usize(..=input.len());
            match random.u8(..3) {
                0 if at < input.len() => input[at] = random.u8(..),
                1 => input.truncate(at),
                _ => input.insert(at, random.u8(..)),
            }
        }
        // Printed only if the target panics.
        println!("{}", input.escape_ascii());
        target(&input);
    }
}
