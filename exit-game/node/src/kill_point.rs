//! Named moments at which a service can be made to end at once, as kill -9 ends it: for the fault harness, which starts it again
//! and looks at what is left.
//!
//! `PLASMID_KILL_AT=NAME` ends the process when it reaches that point, `PLASMID_KILL_AT=NAME:COUNT` when it does so for the
//! COUNT-th time. Nobody sets it but the harness; without it a point costs one relaxed load.

use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The environment variable that names the point.
pub const VARIABLE: &str = "PLASMID_KILL_AT";

/// The operator's points; every one is passed by the harness.
pub const OPERATOR: [&str; 13] = [
    // Records are decided on, and nothing of them is in the log.
    "log-append",
    // They are written and not yet durable.
    "log-written",
    // They are durable, and nobody has heard of it.
    "log-synced",
    // The same, with transactions among them that wait for their answers.
    "answer",
    // A closed block has its roots.
    "block-sealed",
    // The intent to submit it is in the log, and nothing is signed.
    "intent-recorded",
    // The submission is signed, and nobody has seen it.
    "submission-signed",
    // A node has it.
    "submission-broadcast",
    // A root block has it.
    "block-landed",
    // A body is in the archive under another name than its own.
    "archive-written",
    // It has its name, and the folder is not synced.
    "archive-renamed",
    // Transactions are dropped, and the log does not say so yet.
    "drop-decided",
    // It does, and nothing has followed from it.
    "drop-recorded",
];

/// The watcher's points; every one is passed by the harness.
pub const WATCHER: [&str; 9] = [
    // As the operator's.
    "archive-written",
    "archive-renamed",
    // A body is in the archive, and the history knows nothing of it.
    "body-archived",
    // The history has a record of it, and its spends are not in the index.
    "body-recorded",
    // A block is judged, and the history does not say so.
    "finding-decided",
    // An act is due, and nothing is sent.
    "act-decided",
    // A root block has it, and it is not final.
    "act-landed",
    // It is final.
    "act-final",
    // A damaged store has another name, and there is no new one.
    "store-set-aside",
];

/// The watcher's points while it convicts; its own tests pass them.
pub const WATCHER_CONVICTING: [&str; 2] = [
    // A root block has the announcement of evidence, which nobody has seen.
    "fault-announced",
    // A root block has the conviction, and it is not final.
    "fault-proven",
];

/// Set once it is known that no point is to end this process.
static IS_DISARMED: AtomicBool = AtomicBool::new(false);
static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

/// Says that the point `name` is reached. Ends the process if that is what was asked for.
pub fn reached(name: &'static str) {
    if !IS_DISARMED.load(Ordering::Relaxed) {
        look(name);
    }
}

#[cold]
fn look(name: &'static str) {
    match PLAN.get_or_init(|| std::env::var(VARIABLE).ok().map(|text| Plan::parse(&text))) {
        None => IS_DISARMED.store(true, Ordering::Relaxed),
        Some(plan) if plan.is_over(name) => {
            eprintln!("{VARIABLE}: ending at {name}");
            process::abort();
        }
        Some(_) => {}
    }
}

/// At which point the process ends, and after how many more passes.
#[derive(Debug)]
struct Plan {
    name: String,
    left: AtomicU64,
}

impl Plan {
    fn parse(text: &str) -> Self {
        let counted = text.split_once(':').and_then(|(name, count)| Some((name, count.parse().ok()?)));
        let (name, left) = counted.unwrap_or((text, 1));
        Self { name: name.to_owned(), left: AtomicU64::new(left) }
    }

    /// Counts a pass; returns whether it was the one that counts.
    fn is_over(&self, name: &str) -> bool {
        self.name == name && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_named_point_ends_the_process_at_the_pass_that_was_asked_for() {
        let plan = Plan::parse("answer");
        assert!(!plan.is_over("log-append") && plan.is_over("answer"));
        let plan = Plan::parse("answer:3");
        let passes = ["answer", "log-append", "answer", "answer", "answer"].map(|name| plan.is_over(name));
        assert_eq!(passes, [false, false, false, true, false]);
    }

    #[test]
    fn no_name_stands_for_two_points() {
        for names in [&OPERATOR[..], &[&WATCHER[..], &WATCHER_CONVICTING[..]].concat()] {
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        }
    }
}
