//! What `/metrics` shows of a watcher.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::missing::MissingAct;

/// The series. Cloning is cheap; clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Number of the last valid block.
    pub verified_block: Gauge<u64, AtomicU64>,
    /// Committed blocks that are not verified.
    pub unverified_blocks: Gauge<u64, AtomicU64>,
    /// Committed blocks whose body is missing.
    pub missing_bodies: Gauge<u64, AtomicU64>,
    /// Number of the newest root block seen.
    pub root_block: Gauge<u64, AtomicU64>,
    /// Root blocks behind the node's head.
    pub root_lag_blocks: Gauge<u64, AtomicU64>,
    /// Seconds of the machine's clock since a new root block was seen.
    pub root_silence_seconds: Gauge,
    /// Whether a `blind` alarm stands.
    pub blind: Gauge,
    /// Alarms that stand.
    pub alarms: Gauge<u64, AtomicU64>,
    /// Failures to follow the root chain.
    pub root_failures: Counter,
    /// Failures of servers of bodies.
    pub server_failures: Family<ServerFailure, Counter>,
    /// Challenges and exits sent to the root chain.
    pub acts: Family<ActOutcome, Counter>,
    /// Proofs that a block is invalid, by outcome.
    pub convictions: Family<ActOutcome, Counter>,
    /// Claims that an unspent tree lacks a coin, and what was done about them, by outcome.
    pub missing_acts: Family<MissingOutcome, Counter>,
    /// Such claims that are open, whoever made them.
    pub missing_claims: Gauge<u64, AtomicU64>,
    /// Rewards for convictions in final root blocks.
    pub rewards: Counter,
    /// Whether a block was convicted.
    pub halted: Gauge,
    /// Seconds that judging a block took, its signatures apart.
    pub judging_seconds: Histogram,
    /// Seconds that reading a served body took: signatures, archive, history.
    pub reading_seconds: Histogram,
}

/// Why a server gave no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServerFailure {
    /// The reason.
    pub reason: FailureReason,
}

/// Why a server gave no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum FailureReason {
    /// No connection, or no answer in time.
    Unreachable,
    /// It answered with a problem.
    Refused,
    /// What it gave is not the body.
    Lied,
    /// Some preimages are missing.
    Partial,
}

/// What became of an act on the root chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ActOutcome {
    /// The outcome.
    pub outcome: Outcome,
}

/// What became of an act about a coin that an unspent tree is said to lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MissingOutcome {
    /// The act.
    pub act: MissingAct,
    /// The outcome.
    pub outcome: Outcome,
}

/// What became of an act on the root chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// Begun.
    Sent,
    /// In a final root block.
    Landed,
    /// Given up for now.
    Failed,
}

impl Metrics {
    /// Returns the series, registered in `registry`.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 4.0, 9));
        let metrics = Self {
            verified_block: Gauge::default(),
            unverified_blocks: Gauge::default(),
            missing_bodies: Gauge::default(),
            root_block: Gauge::default(),
            root_lag_blocks: Gauge::default(),
            root_silence_seconds: Gauge::default(),
            blind: Gauge::default(),
            alarms: Gauge::default(),
            root_failures: Counter::default(),
            server_failures: Family::default(),
            acts: Family::default(),
            convictions: Family::default(),
            missing_acts: Family::default(),
            missing_claims: Gauge::default(),
            rewards: Counter::default(),
            halted: Gauge::default(),
            judging_seconds: seconds(),
            reading_seconds: seconds(),
        };
        let Self {
            verified_block,
            unverified_blocks,
            missing_bodies,
            root_block,
            root_lag_blocks,
            root_silence_seconds,
            blind,
            alarms,
            root_failures,
            server_failures,
            acts,
            convictions,
            missing_acts,
            missing_claims,
            rewards,
            halted,
            judging_seconds,
            reading_seconds,
        } = metrics.clone();
        let registry = registry.sub_registry_with_prefix("plasmid_watcher");
        registry.register("verified_block", "Number of the last valid block", verified_block);
        registry.register("unverified_blocks", "Committed blocks that are not verified", unverified_blocks);
        registry.register("missing_bodies", "Committed blocks whose body is missing", missing_bodies);
        registry.register("root_block", "Number of the newest root block seen", root_block);
        registry.register("root_lag_blocks", "Root blocks behind the node's head", root_lag_blocks);
        registry.register("root_silence_seconds", "Seconds since a new root block was seen", root_silence_seconds);
        registry.register("blind", "Whether a blind alarm stands", blind);
        registry.register("alarms", "Alarms that stand", alarms);
        registry.register("root_failures", "Failures to follow the root chain", root_failures);
        registry.register("server_failures", "Bodies that a server did not give", server_failures);
        registry.register("acts", "Acts on the root chain by outcome", acts);
        registry.register("convictions", "Proofs that a block is invalid, by outcome", convictions);
        registry.register("missing_acts", "Claims of missing coins and what was done about them", missing_acts);
        registry.register("missing_claims", "Claims of missing coins that are open", missing_claims);
        registry.register("rewards", "Rewards for convictions", rewards);
        registry.register("halted", "Whether a block was convicted", halted);
        registry.register("judging_seconds", "Time to judge a block, signatures apart", judging_seconds);
        registry.register("reading_seconds", "Time to read a served body, signatures included", reading_seconds);
        metrics
    }
}
