//! The root chain as a light watcher sees it: all open exits, its owners' deposits, and from where on to read again.
//!
//! Only events of [`interest_of`](plasmid_root_chain::events::interest_of) come in. Blocks do not: the newest header is asked
//! for when it is needed. What is read again after a restart begins before the oldest exit that is still open.

use std::collections::VecDeque;

use alloy_primitives::U256;
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::facts::{InFlightStep, RootBlock, RootEvent, RootRef};
use plasmid_exit_game::game::{Game, GameError};
use plasmid_exit_game::output::Deposit;
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::Transaction;

/// Root blocks between two places from which following can go on.
const MARK_BLOCKS: u64 = 16;
/// Root blocks that can be taken back beside the finality depth.
const UNDO_MORE: u64 = 512;

/// What the root chain told.
#[derive(Debug, Clone)]
pub struct Facts {
    game: Game,
    finality_depth: u64,
    /// Own deposits that are not final, with the root block that holds each.
    deposits: Vec<(Deposit, u64)>,
    /// Blocks connected, some of them: the first one is where following would go on.
    marks: VecDeque<RootRef>,
    /// The root block with the first conviction: its effect must be seen again.
    halted_in: Option<u64>,
}

impl Facts {
    /// Returns the facts before anything was read, of a deployment with these periods; `resume` is the block after which reading
    /// goes on.
    #[must_use]
    pub fn new(periods: Periods, finality_depth: u64, resume: Option<RootRef>) -> Self {
        let undo_max = usize::try_from(finality_depth.saturating_add(UNDO_MORE)).unwrap_or(usize::MAX);
        let game = Game::new(periods, undo_max);
        Self { game, finality_depth, deposits: Vec::new(), marks: resume.into_iter().collect(), halted_in: None }
    }

    /// Returns the exit game, without its blocks and deposits.
    #[must_use]
    pub fn game(&self) -> &Game {
        &self.game
    }

    /// Takes in the next root block.
    ///
    /// # Errors
    ///
    /// [`GameError`] if its events contradict what came before; nothing has changed.
    pub fn connect(&mut self, block: &RootBlock) -> Result<(), GameError> {
        let mut events = Vec::with_capacity(block.events.len());
        let mut deposits = Vec::new();
        for event in &block.events {
            match event {
                RootEvent::Deposited(deposit) => deposits.push((*deposit, block.at.number)),
                // How much bond is left is nothing that coins depend on, and what funded it was not read.
                RootEvent::FaultProven { number, rule, accuser, evidence, .. } => {
                    let (number, rule, accuser, evidence) = (*number, *rule, *accuser, *evidence);
                    events.push(RootEvent::FaultProven { number, rule, accuser, evidence, slashed: U256::ZERO });
                }
                event => events.push(event.clone()),
            }
        }
        self.game.connect_block(&RootBlock { events, ..block.clone() })?;
        self.deposits.extend(deposits);
        if self.game.halt().is_some() && self.halted_in.is_none() {
            self.halted_in = Some(block.at.number);
        }
        if self.marks.back().is_none_or(|mark| mark.number.saturating_add(MARK_BLOCKS) <= block.at.number) {
            self.marks.push_back(block.at);
        }
        self.forget_marks();
        Ok(())
    }

    /// Takes back the last root block; `false` if it cannot be undone any more.
    pub fn disconnect(&mut self) -> bool {
        let Some(gone) = self.game.disconnect_block() else { return false };
        self.deposits.retain(|&(_, made_in)| made_in < gone.number);
        if self.halted_in == Some(gone.number) {
            self.halted_in = None;
        }
        if self.marks.back() == Some(&gone) {
            self.marks.pop_back();
        }
        true
    }

    /// Returns the block after which reading would go on after a restart, if it need not begin with the deployment.
    #[must_use]
    pub fn resume(&self) -> Option<RootRef> {
        self.marks.front().copied()
    }

    /// Takes out the own deposits in root blocks up to `number`, which are final.
    pub fn take_deposits(&mut self, number: u64) -> Vec<Deposit> {
        self.deposits.extract_if(.., |(_, made_in)| *made_in <= number).map(|(deposit, _)| deposit).collect()
    }

    /// Moves on to the last mark that is final and before all that is still open.
    fn forget_marks(&mut self) {
        let started = self.game.pending_exits().map(|exit| exit.started_in);
        let started = started.chain(self.game.in_flight_exits().map(|exit| exit.started_in));
        let not_taken = self.deposits.iter().map(|&(_, made_in)| made_in);
        let open = started.chain(not_taken).chain(self.halted_in).min().unwrap_or(u64::MAX);
        let last_final = self.game.at().map_or(0, |at| at.number.saturating_sub(self.finality_depth));
        while self.marks.get(1).is_some_and(|next| next.number < open && next.number <= last_final) {
            self.marks.pop_front();
        }
    }
}

/// Returns the payment that an event shows, whoever signed it: once it was seen, a reorganisation does not make it unsigned.
#[must_use]
pub fn shown(event: &RootEvent) -> Option<SignedTransaction> {
    match event {
        RootEvent::StandardExitChallenged { spend, signature, .. } => {
            let body = Transaction::decode(spend).ok()?;
            let signature = Signature::decode(signature.as_ref().try_into().ok()?).ok()?;
            Some(SignedTransaction { body, signature })
        }
        RootEvent::InFlight { step, .. } => match step.as_ref() {
            InFlightStep::Started { transaction: shown, .. }
            | InFlightStep::CanonicityChallenged { competitor: shown, .. }
            | InFlightStep::PieceChallenged { spend: shown, .. } => Some(shown.clone()),
            _ => None,
        },
        _ => None,
    }
}
