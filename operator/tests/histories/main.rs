//! Random histories against the operator's real decisions: whatever root chain, users and crashes do, no block that breaks a
//! rule lands, no number has two roots that could land, every promise is kept or reported as dropped, and restarts change
//! nothing.
//!
//! `PLASMID_HISTORIES` says how many (2,000 by default), `PLASMID_SEED` which one first.

mod history;
mod in_flight;
mod people;
mod root;
mod stories;

use history::{Counts, Depth, History};
use plasmid_node::archive::Archive;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn live(depth: Depth, share: u64) {
    let (first, count) = (number("PLASMID_SEED", 0), number("PLASMID_HISTORIES", 2_000) / share);
    let folder = tempfile::tempdir().unwrap();
    let archive = Archive::open(folder.path()).unwrap();
    let mut total = Counts::default();
    for seed in first..first + count.max(1) {
        let lived = std::panic::catch_unwind(|| {
            let mut history = History::new(seed, depth, &archive);
            history.live(250);
            history.counts
        });
        let Ok(counts) = lived else { panic!("history {seed} ({depth:?}): PLASMID_SEED={seed} PLASMID_HISTORIES=1") };
        total.add(counts);
    }
    println!("{count} histories, {depth:?}: {total:?}");
    assert!(count < 100 || total.dropped != 0 && total.other_roots != 0 && total.landed != 0, "nothing was tried");
    assert!(count < 100 || total.in_flight_exits != 0 && total.shown_in_exits != 0, "no in-flight exit was tried");
}

#[test]
fn an_honest_operator_breaks_no_rule_and_no_promise() {
    live(Depth::UpToFinality, 1);
}

#[test]
fn a_reorganisation_beyond_finality_stops_it_at_worst() {
    live(Depth::BeyondFinality, 4);
}
