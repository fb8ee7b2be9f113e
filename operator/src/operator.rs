//! All decisions of the operator in one place: the sequencer's, the committer's, and whether it works at all. Pure, so that
//! the program and a simulation drive the same code.

use plasmid_exit_game::game::Game;
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::chain::Chain;

use crate::admission::Admitted;
use crate::committer::{AccountState, Committer, Decision, Waiting};
use crate::journal::Record;
use crate::sequencer::{Freeze, Outcome, ReplayError, Rules, Sequencer, Stop, freeze_of_block};

/// No new root block for this part of F, by the machine's clock, and the operator is blind: F/4.
const BLIND_DIVISOR: u64 = 4;

/// How much of the root chain the operator sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootView {
    /// All that its node has; no new root block came for so many seconds of the machine's clock.
    Head {
        /// Seconds.
        blind_secs: u64,
    },
    /// It is catching up: exits may stand in root blocks that it has not seen.
    Behind,
}

/// The operator's mind. Every record that a method returns is made durable before anybody hears of it.
#[derive(Debug, Clone)]
pub struct Operator {
    sequencer: Sequencer,
    committer: Committer,
}

impl Operator {
    /// Returns the operator before the first record of its log.
    #[must_use]
    pub fn new(rules: Rules, finality_depth: u64) -> Self {
        Self { sequencer: Sequencer::new(rules), committer: Committer::new(finality_depth) }
    }

    /// Applies a record of the log.
    ///
    /// # Errors
    ///
    /// [`ReplayError`], as [`Sequencer::replay`].
    pub fn replay(&mut self, chain: &mut Chain, record: &Record) -> Result<(), ReplayError> {
        if let Record::Intended(intent) = record {
            self.committer.record(*intent);
        }
        self.sequencer.replay(chain, record)
    }

    /// Returns why nothing new is accepted.
    #[must_use]
    pub fn stop(&self, chain: &Chain, view: RootView) -> Option<Stop> {
        if is_over(chain.game()) {
            return Some(Stop::Halted);
        }
        let blind_secs_max = (chain.game().periods().freeze_delay() / BLIND_DIVISOR).max(1);
        let blind = match view {
            RootView::Head { blind_secs } if blind_secs < blind_secs_max => None,
            RootView::Head { .. } => Some(Stop::RootChainBehind),
            RootView::Behind => Some(Stop::NotReady),
        };
        self.sequencer.stop(chain).or(blind)
    }

    /// Decides on a group of requests, as [`Sequencer::accept`].
    pub fn accept(
        &mut self,
        chain: &mut Chain,
        requests: Vec<Admitted>,
        view: RootView,
    ) -> (Vec<Record>, Vec<Outcome>) {
        let stop = self.stop(chain, view);
        self.sequencer.accept(chain, requests, stop)
    }

    /// Draws the consequences of the root block that was connected or disconnected last.
    pub fn observe_root_chain(&mut self, chain: &mut Chain) -> Vec<Record> {
        self.sequencer.observe_deposits(chain);
        self.committer.forget_dead(chain.game());
        if is_over(chain.game()) {
            return Vec::new();
        }
        let dropped = self.sequencer.drop_frozen(chain, self.committer.bound(chain.game()));
        dropped.into_iter().chain(self.sequencer.cover(chain)).collect()
    }

    /// Closes the open block if it is time; called every block interval.
    pub fn close_if_due(&mut self, chain: &mut Chain) -> Option<Record> {
        if is_over(chain.game()) { None } else { self.sequencer.close_if_due(chain) }
    }

    /// Decides what to submit. A [`Decision::Sign`] counts as signed from now on.
    pub fn decide(&mut self, chain: &Chain, account: &AccountState) -> Decision {
        let stop =
            if is_over(chain.game()) { Some(Stop::Halted) } else { self.sequencer.stop_submitting(chain.game()) };
        if let Some(stop) = stop {
            return Decision::Wait(Waiting::Stopped(stop));
        }
        let next = chain.game().last_block().next();
        let Some(block) = next.and_then(|number| chain.sealed_block(number)) else {
            return Decision::Wait(Waiting::NothingToSubmit);
        };
        let freeze = match freeze_of_block(chain, &block) {
            Freeze::Never => None,
            Freeze::At(freeze) => Some(freeze),
            Freeze::FreedNotFinal => return Decision::Wait(Waiting::FreedNotFinal),
        };
        let content = |number: BlockNumber| chain.sealed_block(number);
        let decision = self.committer.decide(&block, freeze, content, chain.game(), account);
        if let Decision::Sign(intent) = decision {
            self.committer.record(intent);
        }
        decision
    }
}

/// Returns whether a fault has halted the chain, or somebody closed it: neither has blocks any more. §3, §8.
fn is_over(game: &Game) -> bool {
    game.halt().is_some() || game.closed_at().is_some()
}
