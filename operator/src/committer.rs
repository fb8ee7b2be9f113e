//! Which submission is signed next, and which of those signed may still land. Pure: time, the root chain and the account are
//! arguments, intents come out. §2, §3.1.
//!
//! What always holds: of one number, all signed submissions that can still land commit to the same roots; none can land
//! after the freeze of a coin that its block spends, nor on a branch without the exits and deposits that were seen.

use alloy_primitives::B256;
use plasmid_exit_game::game::Game;
use plasmid_exit_game::position::BlockNumber;
use plasmid_node::chain::{ROOT_UNDO_MAX, SealedBlock};

use crate::journal::Intent;
use crate::sequencer::Stop;

/// Root blocks without a submission after which it is replaced by a dearer one.
const BUMP_AFTER_BLOCKS: u64 = 3;
/// How far back the contract sees an anchor. §2.
const ANCHOR_BLOCKS_MAX: u64 = 256;
/// Most gas that `submitBlock` uses: more than three times what was measured.
const SUBMIT_GAS: u64 = 200_000;
/// Most that is offered for a unit of gas, in wei: fees rise no further.
const MAX_FEE_WEI_MAX: u128 = 500_000_000_000;

/// The operator's account at the root chain, as it stands at one root block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountState {
    /// The root block for which this holds.
    pub at: B256,
    /// Nonce of the first transaction that is in no block.
    pub nonce: u64,
    /// What a transaction offers now for a unit of gas, in wei.
    pub max_fee_wei: u128,
    /// What of that goes to whoever includes it.
    pub priority_fee_wei: u128,
}

/// What to do about the next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing can or need be done now.
    Wait(Waiting),
    /// The last submission is still the right one; showing it to the node again is harmless.
    Keep(Intent),
    /// Write this down, then sign and broadcast it.
    Sign(Intent),
}

/// Why nothing is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// No block is closed that is not committed.
    NothingToSubmit,
    /// The contract would take no block of this key's now, or a person must decide first.
    Stopped(Stop),
    /// The root chain is shorter than the finality depth.
    NoAnchor,
    /// The account was looked at in another root block than the newest one seen.
    AccountNotAtHead,
    /// The anchor does not show all deposits that the block covers.
    DepositsNotAtAnchor,
    /// A signed submission with other roots can still land.
    OtherRootsMayLand,
    /// No submission could land in time; what is frozen is dropped first.
    TooLate,
    /// It spends a coin whose exit has just been ended: a reorganisation could bring the exit back, and its freeze with it.
    FreedNotFinal,
}

/// The submissions that have been signed and could land, on this branch of the root chain or another.
#[derive(Debug, Clone)]
pub struct Committer {
    finality_depth: u64,
    /// In the order of signing.
    intents: Vec<Intent>,
}

impl Committer {
    /// Returns the committer before the first submission.
    #[must_use]
    pub fn new(finality_depth: u64) -> Self {
        Self { finality_depth, intents: Vec::new() }
    }

    /// Takes in a submission that is in the log: it counts as signed from now on.
    pub fn record(&mut self, intent: Intent) {
        self.intents.push(intent);
    }

    /// Forgets the submissions that no reorganisation can revive: their time was over when the oldest root block came that
    /// can be taken back. However deep one is, finality depth or more, those that it gives another chance are known.
    pub fn forget_dead(&mut self, game: &Game) {
        let Some((_, oldest_time)) = game.anchor(ROOT_UNDO_MAX as u64 - 1) else { return };
        self.intents.retain(|intent| intent.not_after >= oldest_time);
    }

    /// Returns the submissions that may still land, or have landed but are not final.
    pub fn live<'a>(&'a self, game: &'a Game) -> impl Iterator<Item = &'a Intent> {
        self.intents.iter().filter(|intent| !self.is_dead(intent, game))
    }

    /// Returns the highest number with a signed submission that may still land. Content up to there must not change.
    #[must_use]
    pub fn bound(&self, game: &Game) -> Option<BlockNumber> {
        self.live(game).map(|intent| intent.block.number).max()
    }

    /// Decides what to do about `block`, the next after those committed at the head.
    ///
    /// `freeze` is the earliest freeze of the coins that it spends; `content` tells what a closed block commits to now.
    #[must_use]
    pub fn decide(
        &self,
        block: &SealedBlock,
        freeze: Option<u64>,
        content: impl Fn(BlockNumber) -> Option<SealedBlock>,
        game: &Game,
        account: &AccountState,
    ) -> Decision {
        let (Some(head), Some((anchor, anchor_time))) = (game.at(), game.anchor(self.finality_depth)) else {
            return Decision::Wait(Waiting::NoAnchor);
        };
        if account.at != head.hash {
            return Decision::Wait(Waiting::AccountNotAtHead);
        }
        if game.deposit_count_at(anchor.number) < block.deposit_count {
            return Decision::Wait(Waiting::DepositsNotAtAnchor);
        }
        // Not only this number's: roots of later blocks build on these.
        let is_other = |intent: &&Intent| content(intent.block.number) != Some(intent.block);
        if self.live(game).filter(|intent| intent.block.number >= block.number).find(is_other).is_some() {
            return Decision::Wait(Waiting::OtherRootsMayLand);
        }
        let periods = game.periods();
        let not_after = (anchor_time + periods.freeze_delay()).min(freeze.unwrap_or(u64::MAX));
        let last = self.intents.iter().rev().find(|intent| intent.block.number == block.number);
        let replaced = last.filter(|last| last.nonce == account.nonce);
        if let Some(last) = replaced
            && last.block == *block
            && last.not_after > game.now()
            && self.is_anchor_canonical(last, game) != Some(false)
            && head.number.saturating_sub(last.anchor.number + self.finality_depth) < BUMP_AFTER_BLOCKS
        {
            return Decision::Keep(*last);
        }
        if not_after <= game.now() {
            return Decision::Wait(Waiting::TooLate);
        }
        let raised = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        let (least_fee, least_priority) =
            replaced.map_or((0, 0), |last| (raised(last.max_fee_wei), raised(last.priority_fee_wei)));
        let max_fee_wei = account.max_fee_wei.max(least_fee).min(MAX_FEE_WEI_MAX);
        Decision::Sign(Intent {
            block: *block,
            anchor,
            not_after,
            nonce: account.nonce,
            gas: SUBMIT_GAS,
            max_fee_wei,
            priority_fee_wei: account.priority_fee_wei.max(least_priority).min(max_fee_wei),
        })
    }

    /// Whether no root block after the one at finality depth can hold the submission, nor one up to it does.
    fn is_dead(&self, intent: &Intent, game: &Game) -> bool {
        let Some((final_block, final_time)) = game.anchor(self.finality_depth) else { return false };
        if game.last_block_at(final_block.number) >= intent.block.number {
            // The number is taken for good.
            return true;
        }
        let is_anchor_gone =
            final_block.number >= intent.anchor.number && self.is_anchor_canonical(intent, game) == Some(false);
        let is_anchor_too_old = final_block.number >= intent.anchor.number.saturating_add(ANCHOR_BLOCKS_MAX);
        final_time > intent.not_after || is_anchor_gone || is_anchor_too_old
    }

    /// Whether the submission's anchor is on the branch seen now; `None` if that cannot be told.
    fn is_anchor_canonical(&self, intent: &Intent, game: &Game) -> Option<bool> {
        let depth = game.at()?.number.checked_sub(intent.anchor.number)?;
        let (at, _) = game.anchor(depth)?;
        (at.number == intent.anchor.number).then(|| at.hash == intent.anchor.hash)
    }
}
