//! What a running watcher shares with its API.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::chain::{Chain, SharedChain};
use plasmid_node::http::{Events, ServiceStatus};

use crate::alarms::Alarms;
use crate::history::History;
use crate::judge::SharedHistory;

/// Returns until when the exit of a coin made before a block of this timestamp is started, so that it is paid before anything
/// of the block, in seconds. §4.
#[must_use]
pub fn leave_before(timestamp: u64, periods: &Periods) -> u64 {
    timestamp.saturating_add(periods.minimum_exit_period).saturating_sub(periods.granularity())
}

/// What the API reads of a running watcher.
#[derive(Debug)]
pub struct Shared {
    /// The chain.
    pub chain: SharedChain,
    /// What was seen.
    pub history: SharedHistory,
    /// The alarms.
    pub alarms: Mutex<Alarms>,
    /// Part of `/v1/status`.
    pub status: Mutex<ServiceStatus>,
    /// Exits that are being challenged.
    pub challenged: Mutex<BTreeSet<OutputId>>,
    /// What happens, as a stream.
    pub events: Events,
}

impl Shared {
    /// Returns what a watcher that knows nothing yet shares.
    #[must_use]
    pub fn new(chain: Chain, history: SharedHistory, alarms: Alarms, status: ServiceStatus, events: Events) -> Self {
        Self {
            chain: Arc::new(RwLock::new(chain)),
            history,
            alarms: Mutex::new(alarms),
            status: Mutex::new(status),
            challenged: Mutex::default(),
            events,
        }
    }

    /// Returns the chain, for reading.
    pub fn chain(&self) -> RwLockReadGuard<'_, Chain> {
        self.chain.read().expect("no writer panics")
    }

    /// Returns the history, for reading. Locked after the chain, never before.
    pub fn history(&self) -> RwLockReadGuard<'_, History> {
        self.history.read().expect("no writer panics")
    }

    /// Returns the service's part of `/v1/status`.
    pub fn status(&self) -> ServiceStatus {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a challenge of the coin's exit is on its way.
    pub fn is_being_challenged(&self, output_id: OutputId) -> bool {
        self.challenged.lock().unwrap_or_else(PoisonError::into_inner).contains(&output_id)
    }

    /// Returns the root-chain time before which exits of good coins are to be started, T + MEP − G, if a block is bad. §4.
    pub fn leave_before(&self, chain: &Chain) -> Option<u64> {
        let (header, _) = chain.game().header(self.first_bad(chain)?)?;
        Some(leave_before(header.timestamp, &chain.game().periods()))
    }

    /// Returns the first bad block, if there is one.
    pub fn first_bad(&self, chain: &Chain) -> Option<BlockNumber> {
        let number = chain.last_local_block().next()?;
        let (header, _) = chain.game().header(number)?;
        let history = self.history();
        let record = history.record(number).filter(|record| record.commitment == header.commitment());
        let is_bad = chain.game().is_void(number) || record.is_some_and(|record| record.finding.is_bad());
        is_bad.then_some(number)
    }

    /// Returns the alarms. A panic elsewhere leaves them whole.
    pub fn alarms(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
