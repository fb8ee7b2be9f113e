//! The payment of exits in the order of their keys. §4, §5.2, §6.6, §6.7.

use alloc::vec::Vec;

use alloy_primitives::{Address, Bytes, U256, keccak256};

use super::in_flight::step;
use super::{Call, Contract, OpenExit, Parameters, Pay, Payment, PaymentOutcome};
use crate::exit::in_flight::{Decision, OldestPlace, Piece, PieceSet};
use crate::exit::standard::{CoinState, ExitRecord, Standing};
use crate::facts::{InFlightStep, RootEvent};
use crate::output::{ETHER, Output, TxHash};

/// Pieces of one in-flight exit to pay. §6.7.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PieceRecord {
    /// Body of the exit's transaction.
    pub body: Bytes,
    /// The exit's data as they stand.
    pub data: Bytes,
    /// Which; those that are not live, or of another asset, are skipped.
    pub pieces: PieceSet,
}

/// One call over an asset's exits.
struct Run<'a, 'p> {
    asset: Address,
    now: u64,
    /// The key whose turn it is.
    due_key: Option<u64>,
    /// What the caller has earned, in wei: at most as many times 2^133 as the call has records.
    bounty: U256,
    events: Vec<RootEvent>,
    pay: &'a mut Pay<'p>,
}

impl Contract {
    /// Pays the exits of `asset` whose turn has come, and moves the head of its list. §5.2, §6.6, §6.7.
    ///
    /// Pieces of in-flight exits come before the next standard exit while it is the turn of a key before that one's. A record
    /// that is not that of an exit under the list's head is skipped, and nothing makes the call fail. The caller earns the
    /// bounty of each exit or piece that it ends, in one payment.
    pub fn process_exits(
        &mut self,
        call: Call,
        asset: Address,
        exits: &[ExitRecord],
        pieces: &[PieceRecord],
        pay: &mut Pay<'_>,
    ) -> Vec<RootEvent> {
        let mut run = Run { asset, now: call.now, due_key: None, bounty: U256::ZERO, events: Vec::new(), pay };
        self.move_exit_head(&mut run);
        let mut pieces = pieces.iter();
        for exit in exits {
            while run.due_key.is_none_or(|due| due < exit.key)
                && let Some(record) = pieces.next()
            {
                self.process_pieces(&mut run, record);
            }
            self.process_exit(&mut run, exit);
        }
        pieces.for_each(|record| self.process_pieces(&mut run, record));
        let Run { bounty, mut events, pay, .. } = run;
        self.pay_or_credit(Payment { asset: ETHER, to: call.caller, amount: bounty }, pay, &mut events);
        events
    }

    /// Ends a standard exit whose turn it is.
    fn process_exit(&mut self, run: &mut Run<'_, '_>, record: &ExitRecord) {
        let ExitRecord { output_id, output: Output { owner, asset, amount }, key, .. } = *record;
        let coin = self.coin(output_id);
        if asset != run.asset || Some(key) != run.due_key || !coin.is_exit_of(record) {
            return;
        }
        let Parameters { exit_bond, exit_bounty, periods, .. } = self.parameters;
        self.count_down(run, key, U256::from(exit_bounty));
        let payee = self.payee_of(output_id, owner);
        // The deployment refuses a bounty above the bond.
        let bond = U256::from(exit_bond.saturating_sub(exit_bounty));
        let is_void = record.position.block().is_some_and(|number| self.is_void(number));
        if is_void || is_settled(coin) {
            self.coins.insert(output_id, coin.without_exit());
            run.events.push(RootEvent::ExitReturned { output_id, payee });
            self.pay_or_credit(Payment { asset: ETHER, to: payee, amount: bond }, run.pay, &mut run.events);
            return;
        }
        self.coins.insert(output_id, CoinState::settled(periods.freeze_of_standard_exit(key)));
        let (paid, credited) = self.pay_exit(run, payee, amount, bond);
        run.events.push(RootEvent::ExitPaid { output_id, payee, amount, paid, credited });
    }

    /// Ends the pieces of an in-flight exit whose turn it is, and decides it if they are the first.
    fn process_pieces(&mut self, run: &mut Run<'_, '_>, record: &PieceRecord) {
        let tx_hash = TxHash(keccak256(&record.body));
        let Some(exit) = self.in_flight_exit(tx_hash).cloned() else { return };
        if Some(exit.key) != run.due_key || keccak256(&record.data) != exit.data.hash() {
            return;
        }
        for piece in record.pieces.shared(exit.live_pieces).iter() {
            let of_asset = exit.coin(piece).is_some_and(|(_, coin)| coin.asset == run.asset);
            if of_asset {
                let decision = self.decided(run, tx_hash, &exit);
                self.process_piece(run, tx_hash, &exit, piece, decision);
            }
        }
    }

    /// Returns what an exit pays. The first time it is asked this is decided for good, and a canonical exit's inputs are
    /// settled. §6.6.
    fn decided(&mut self, run: &mut Run<'_, '_>, tx_hash: TxHash, exit: &OpenExit) -> Decision {
        if let Some(decision) = self.in_flight_exit(tx_hash).and_then(|exit| exit.decision) {
            return decision;
        }
        let inputs = &exit.data.inputs;
        let is_void = inputs.iter().any(|input| input.position.block().is_some_and(|number| self.is_void(number)));
        let is_settled = inputs.iter().any(|input| is_settled(self.coin(input.output_id)));
        let is_oldest = match exit.oldest {
            OldestPlace::Nobodys => true,
            OldestPlace::Own(place) => !self.is_void(place.block),
            OldestPlace::Competitors(_) => false,
        };
        let decision = if is_void {
            Decision::Void
        } else if is_oldest && !is_settled {
            Decision::Canonical
        } else {
            Decision::NonCanonical
        };
        if let Some(exit) = self.in_flight.get_mut(&tx_hash) {
            exit.decision = Some(decision);
        }
        run.events.push(step(tx_hash, InFlightStep::Decided(decision)));
        if decision == Decision::Canonical {
            let freeze = self.parameters.periods.freeze_of_in_flight_input(exit.start);
            for input in inputs {
                self.coins.insert(input.output_id, self.coin(input.output_id).with_settlement(freeze));
            }
        }
        decision
    }

    /// Ends a piece: pays it if it is of the side that the decision pays, and unsettled; its bond returns. §6.7.
    fn process_piece(
        &mut self,
        run: &mut Run<'_, '_>,
        tx_hash: TxHash,
        exit: &OpenExit,
        piece: Piece,
        decision: Decision,
    ) {
        let Some((output_id, Output { owner: payee, amount, .. })) = exit.coin(piece) else { return };
        if let Some(exit) = self.in_flight.get_mut(&tx_hash) {
            exit.live_pieces = exit.live_pieces.without(piece);
        }
        let inputs = exit.data.inputs.len();
        let bounty = self.parameters.bounty_of_piece(inputs);
        // The deployment refuses bounties above the bonds.
        let bond = self.parameters.bond_of_piece(inputs).saturating_sub(bounty);
        self.count_down(run, exit.key, bounty);

        let periods = self.parameters.periods;
        let freeze = match (piece, decision) {
            (Piece::Input(_), Decision::NonCanonical) => Some(periods.freeze_of_in_flight_input(exit.start)),
            (Piece::Output(_), Decision::Canonical) => Some(periods.freeze_of_in_flight_output(exit.key)),
            (Piece::Input(_), Decision::Canonical | Decision::Void)
            | (Piece::Output(_), Decision::NonCanonical | Decision::Void) => None,
        };
        let coin = self.coin(output_id);
        let Some(freeze) = freeze.filter(|_| !is_settled(coin)) else {
            run.events.push(step(tx_hash, InFlightStep::PieceReturned { output_id, payee, piece }));
            self.pay_or_credit(Payment { asset: ETHER, to: payee, amount: bond }, run.pay, &mut run.events);
            return;
        };
        self.coins.insert(output_id, coin.with_settlement(freeze));
        let (paid, credited) = self.pay_exit(run, payee, amount, bond);
        run.events.push(step(tx_hash, InFlightStep::PiecePaid { output_id, payee, piece, amount, paid, credited }));
    }

    /// Takes one off the key whose turn it is, and the bounty for it. The last one moves the head. §4.
    fn count_down(&mut self, run: &mut Run<'_, '_>, key: u64, bounty: U256) {
        run.bounty = run.bounty.saturating_add(bounty);
        let left = self.exit_keys.get_mut(&run.asset).and_then(|keys| keys.release(key));
        if left == Some(0) {
            self.move_exit_head(run);
        }
    }

    /// Moves the head of the list, and notes whose turn it is. §4.
    fn move_exit_head(&mut self, run: &mut Run<'_, '_>) {
        let Some(keys) = self.exit_keys.get_mut(&run.asset) else { return };
        if keys.move_head(run.now) {
            run.events.push(RootEvent::ExitKeysCleared { asset: run.asset, head: keys.head().unwrap_or(0) });
        }
        run.due_key = keys.payable(run.now);
    }

    /// Pays what the asset can still cover of a coin that was just settled, and `bond` beside it: later deposits belong to
    /// others. Returns what was paid, and whether it was credited. §5.2.
    fn pay_exit(&mut self, run: &mut Run<'_, '_>, payee: Address, amount: u128, bond: U256) -> (u128, bool) {
        let asset = run.asset;
        let paid = self.take_from_owed(asset, amount);
        let (pay, events) = (&mut *run.pay, &mut run.events);
        let paid_wide = U256::from(paid);
        let outcome = if asset == ETHER {
            self.pay_or_credit(Payment { asset, to: payee, amount: paid_wide.saturating_add(bond) }, pay, events)
        } else {
            let outcome = self.pay_or_credit(Payment { asset, to: payee, amount: paid_wide }, pay, events);
            self.pay_or_credit(Payment { asset: ETHER, to: payee, amount: bond }, pay, events);
            outcome
        };
        (paid, outcome == PaymentOutcome::Failed)
    }

    /// Takes up to `amount` from what an asset owes, and returns what was taken.
    pub(super) fn take_from_owed(&mut self, asset: Address, amount: u128) -> u128 {
        let Some(owed) = self.owed.get_mut(&asset) else { return 0 };
        let taken = amount.min(*owed);
        *owed -= taken;
        taken
    }
}

fn is_settled(coin: CoinState) -> bool {
    match coin.standing() {
        Standing::Unknown | Standing::Deposited => false,
        Standing::Settled { .. } => true,
    }
}
