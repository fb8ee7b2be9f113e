//! The twin: the protocol's model of the contract and the compiled contract, in revm, under the same random calls. After
//! every step reason or events, every stored word and all balances are compared, and what always holds is checked on both.
//!
//! | variable | what it sets |
//! | --- | --- |
//! | `PLASMID_TWIN_SEQUENCES` | how many sequences, 2,000 by default |
//! | `PLASMID_TWIN_SEED` | the seed of the first; random by default, and printed |
//! | `PLASMID_TWIN_REPLAY` | a script to take instead: a step a line, as a failure leaves it |
//! | `PLASMID_TWIN_DECODINGS` | how many leaves both decode, 20,480 by default |
//! | `PLASMID_TWIN_ARTIFACTS` | another folder of compiled contracts |

mod action;
mod call;
mod chain;
mod coverage;
mod decoders;
mod evm;
mod generate;
mod money;
mod reverts;
mod sequence;
mod valid;
mod words;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, thread};

use coverage::Coverage;
use evm::Evm;
use rand::RngExt;
use sequence::Failure;
use serde::Deserialize;

const SEQUENCES: u64 = 2_000;
const CALLS: u32 = 48;
/// At least so many of a hundred calls are accepted: a model that refuses everything agrees with nothing.
const ACCEPTED_MIN_PERCENT: u64 = 40;

#[test]
fn the_contract_does_what_the_model_says() {
    let (root, artifacts) = (root(), artifacts());
    let evm = Evm::deploy(&artifacts);
    if let Some(script) = env::var_os("PLASMID_TWIN_REPLAY") {
        let lines = fs::read_to_string(&script).expect("the script can be read");
        let steps = lines.lines().filter(|line| !line.starts_with('#'));
        let steps: Vec<_> = steps.map(|line| serde_json::from_str(line).expect("a step")).collect();
        match sequence::replay(&evm, &steps) {
            Ok(()) => println!("twin: {} steps, no disagreement", steps.len()),
            Err(disagreement) => panic!("{}", disagreement.0),
        }
        return;
    }

    let sequences = number("PLASMID_TWIN_SEQUENCES").unwrap_or(SEQUENCES);
    let seed = number("PLASMID_TWIN_SEED").unwrap_or_else(|| rand::rng().random_range(0..1 << 48));
    println!("twin: seed {seed}, {sequences} sequences of {CALLS} calls");
    match play_all(&evm, seed, sequences) {
        Ok(coverage) => report(&coverage, &reasons(&artifacts)),
        Err((seed, failure)) => panic!("{}", tell(&evm, root, seed, failure)),
    }
}

/// Returns the workspace's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this folder lies in the workspace")
}

/// Returns the folder of compiled contracts.
fn artifacts() -> PathBuf {
    env::var_os("PLASMID_TWIN_ARTIFACTS").map_or_else(|| root().join("contracts/artifacts"), PathBuf::from)
}

/// Returns the number that a variable sets.
fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// Plays all sequences, on all processors, until one fails.
fn play_all(evm: &Evm, seed: u64, sequences: u64) -> Result<Coverage, (u64, Failure)> {
    let next = AtomicU64::new(0);
    let (sum, failed) = (Mutex::new(Coverage::default()), Mutex::new(None));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= sequences || failed.lock().expect("no thread panics").is_some() {
                        return;
                    }
                    match sequence::play(evm, seed + index, CALLS) {
                        Ok(coverage) => sum.lock().expect("no thread panics").add(&coverage),
                        Err(failure) => *failed.lock().expect("no thread panics") = Some((seed + index, failure)),
                    }
                }
            });
        }
    });
    match failed.into_inner().expect("no thread panics") {
        None => Ok(sum.into_inner().expect("no thread panics")),
        Some(failure) => Err(failure),
    }
}

/// Prints what was reached and what was not, and asserts that enough was accepted.
fn report(coverage: &Coverage, reasons: &[String]) {
    let (accepted, all) = coverage.accepted();
    let [reasons, fields, situations] = coverage.missing(reasons);
    println!("{coverage}");
    println!("twin: {accepted} of {all} calls accepted ({} %)", accepted * 100 / all.max(1));
    println!("twin: reasons not reached: {}", listed(&reasons));
    println!("twin: fields not reached: {}", listed(&fields));
    println!("twin: situations not reached: {}", listed(&situations));
    assert!(accepted * 100 >= all * ACCEPTED_MIN_PERCENT, "too few calls are accepted");
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Shortens a failure, writes it as a script, and tells of it.
fn tell(evm: &Evm, root: &Path, seed: u64, failure: Failure) -> String {
    let before = failure.steps.len();
    let Failure { steps, disagreement } = sequence::shrink(evm, failure);
    let script = root.join("target").join(format!("twin-{seed}.jsonl"));
    let lines = steps.iter().map(|step| serde_json::to_string(step).expect("a step is plain data"));
    let lines: Vec<_> = [format!("# seed {seed}")].into_iter().chain(lines).collect();
    let written = fs::create_dir_all(root.join("target")).and_then(|()| fs::write(&script, lines.join("\n") + "\n"));
    written.expect("the script can be written");
    format!(
        "seed {seed}, {before} steps shortened to {}:\n{}\n{}\nreplay with PLASMID_TWIN_REPLAY={}",
        steps.len(),
        lines.join("\n"),
        disagreement.0,
        script.display()
    )
}

/// Returns the names of all errors of the contract.
fn reasons(artifacts: &Path) -> Vec<String> {
    #[derive(Deserialize)]
    struct Artifact {
        abi: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        r#type: String,
        #[serde(default)]
        name: String,
    }
    let json = fs::read_to_string(artifacts.join("RootChain.json")).expect("the artifact can be read");
    let Artifact { abi } = serde_json::from_str(&json).expect("an artifact");
    abi.into_iter().filter(|item| item.r#type == "error").map(|item| item.name).collect()
}
