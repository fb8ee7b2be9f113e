//! What the operator counts, for `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use plasmid_exit_game::position::BlockNumber;
use plasmid_node::problem::Code;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::journal::Record;
use crate::sequencer::Stop;

/// The operator's series.
#[derive(Debug)]
pub struct Metrics {
    accepted: Counter,
    dropped: Counter,
    refused: Family<CodeLabel, Counter>,
    group_txs: Histogram,
    append_secs: Histogram,
    sync_secs: Histogram,
    stopped: Family<CodeLabel, Gauge>,
    blind: Gauge,
    alarms: Gauge,
    waiting: Gauge,
    root_lag_secs: Gauge,
    uncommitted: Gauge,
    committed: Gauge,
    submissions: Counter,
    replacements: Counter,
    challenges: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: String,
}

impl Metrics {
    /// Makes the series and registers them.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Arc<Self> {
        let metrics = Self {
            accepted: Counter::default(),
            dropped: Counter::default(),
            refused: Family::default(),
            group_txs: Histogram::new(exponential_buckets(1.0, 2.0, 14)),
            append_secs: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            sync_secs: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            stopped: Family::default(),
            blind: Gauge::default(),
            alarms: Gauge::default(),
            waiting: Gauge::default(),
            root_lag_secs: Gauge::default(),
            uncommitted: Gauge::default(),
            committed: Gauge::default(),
            submissions: Counter::default(),
            replacements: Counter::default(),
            challenges: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("plasmid_operator");
        registry.register("accepted", "Transactions accepted", metrics.accepted.clone());
        registry.register("dropped", "Accepted transactions that were dropped", metrics.dropped.clone());
        registry.register("refused", "Transactions refused, by code", metrics.refused.clone());
        registry.register("group_transactions", "Transactions in one sync of the log", metrics.group_txs.clone());
        let (append, sync) = (metrics.append_secs.clone(), metrics.sync_secs.clone());
        registry.register_with_unit("log_append", "Time to write and sync a group", Unit::Seconds, append);
        registry.register_with_unit("log_sync", "Of that, the time of the sync", Unit::Seconds, sync);
        registry.register("stopped", "Why nothing is accepted, by code", metrics.stopped.clone());
        registry.register("blind", "Whether the root chain is behind", metrics.blind.clone());
        registry.register("alarms", "Whether nothing is accepted for a reason to know", metrics.alarms.clone());
        let lag = metrics.root_lag_secs.clone();
        registry.register("waiting", "Transactions that wait for the writer", metrics.waiting.clone());
        registry.register_with_unit("root_chain_lag", "Time since the newest root block came", Unit::Seconds, lag);
        registry.register("uncommitted", "Accepted transactions not on the root chain", metrics.uncommitted.clone());
        registry.register("committed_block", "Last block on the root chain", metrics.committed.clone());
        registry.register("submissions", "Submissions signed", metrics.submissions.clone());
        registry.register("replacements", "Of these, replacements of an earlier one", metrics.replacements.clone());
        registry.register("challenges", "Exits challenged", metrics.challenges.clone());
        Arc::new(metrics)
    }

    /// Counts what a group of records says.
    pub fn observe_append(&self, records: &[Record], took: Duration, sync: Duration) {
        let mut txs = 0;
        for record in records {
            match record {
                Record::Accepted(batch) => txs += batch.items.len() as u64,
                Record::Dropped(places) => drop(self.dropped.inc_by(places.len() as u64)),
                Record::Intended(_) => drop(self.submissions.inc()),
                Record::Covered(_) | Record::Closed(_) => {}
            }
        }
        if txs != 0 {
            self.accepted.inc_by(txs);
            self.group_txs.observe(txs as f64);
        }
        self.append_secs.observe(took.as_secs_f64());
        self.sync_secs.observe(sync.as_secs_f64());
    }

    /// Notes why nothing is accepted, and whether that is a reason that a person should know.
    pub fn set_stop(&self, stop: Option<Stop>, is_alarming: bool) {
        self.stopped.clear();
        if let Some(stop) = stop {
            self.stopped.get_or_create(&CodeLabel { code: stop.code().to_string() }).set(1);
        }
        self.blind.set((stop == Some(Stop::RootChainBehind)).into());
        self.alarms.set(is_alarming.into());
    }

    /// Counts a refusal.
    pub fn observe_refusal(&self, code: Code) {
        self.refused.get_or_create(&CodeLabel { code: code.to_string() }).inc();
    }

    /// Counts a submission that replaces one.
    pub fn observe_replacement(&self) {
        self.replacements.inc();
    }

    /// Counts a challenge.
    pub fn observe_challenge(&self) {
        self.challenges.inc();
    }

    /// Notes how many transactions wait.
    pub fn set_waiting(&self, txs: usize) {
        self.waiting.set(i64::try_from(txs).unwrap_or(i64::MAX));
    }

    /// Notes how long ago the newest root block came.
    pub fn set_root_chain_lag(&self, lag: Duration) {
        self.root_lag_secs.set(i64::try_from(lag.as_secs()).unwrap_or(i64::MAX));
    }

    /// Notes how many transactions are uncommitted, and the last committed block.
    pub fn set_child_chain(&self, uncommitted: u64, committed: BlockNumber) {
        self.uncommitted.set(i64::try_from(uncommitted).unwrap_or(i64::MAX));
        self.committed.set(i64::try_from(committed.get()).unwrap_or(i64::MAX));
    }
}
