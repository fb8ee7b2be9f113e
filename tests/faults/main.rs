//! Services under kill -9: at random moments, and at every named point. Each test prints its seed and its counts.
//!
//! `PLASMID_SEED` repeats a run's choices, `PLASMID_FAULT_KILLS` says how many random kills there are.

use std::time::Duration;

use plasmid_harness::world::World;
use rand::RngExt;

mod operator;
mod promises;
mod watcher;

/// Random kills unless `PLASMID_FAULT_KILLS` says otherwise: two or three minutes.
const KILLS: u32 = 40;

fn kills() -> u32 {
    number("PLASMID_FAULT_KILLS").map_or(KILLS, |kills| u32::try_from(kills).expect("not that many kills"))
}

/// Returns the seed of this run, and prints it.
fn seed() -> u64 {
    let seed = number("PLASMID_SEED").unwrap_or_else(|| rand::rng().random());
    println!("seed {seed}");
    seed
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

async fn pause_millis(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Returns how often a service was ended by the named point.
fn ended_at(world: &World, program: &str, point: &str) -> usize {
    let line = format!("{}: ending at {point}", plasmid_node::kill_point::VARIABLE);
    world.log(program).lines().filter(|said| **said == line).count()
}

/// Checks that no service has panicked.
fn nobody_panicked(world: &World) {
    for program in ["plasmid-operator", "plasmid-watcher"] {
        let log = world.log(program);
        let panic = log.lines().find(|line| line.contains("panicked"));
        assert_eq!(panic, None, "{program}");
    }
}
