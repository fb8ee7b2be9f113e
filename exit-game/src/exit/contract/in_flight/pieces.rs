//! Pieces of in-flight exits: claimed by their owners, and challenged away. §6.2, §6.5.

use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::{Address, U256, keccak256};

use super::{OpenExit, check_data, step};
use crate::exit::contract::{Call, Contract, Pay, Payment, Revert, Spend, check_bond};
use crate::exit::in_flight::{Piece, PieceSet};
use crate::facts::{InFlightStep, RootEvent};
use crate::output::{ETHER, Output, OutputId, TxHash};

impl Contract {
    /// Claims pieces of one asset, all the caller's, with a bond for each as `value`, in wei. `data` are read only if an
    /// input is among them. §6.2.
    ///
    /// # Errors
    ///
    /// [`Revert`] if no exit of `body` is in its first half, the value is not the bond, the data are not its, or a piece
    /// does not exist, is not the caller's, is of another asset or live.
    pub fn piggyback(
        &mut self,
        call: Call,
        value: U256,
        body: &[u8],
        data: &[u8],
        pieces: PieceSet,
    ) -> Result<Vec<RootEvent>, Revert> {
        let tx_hash = TxHash(keccak256(body));
        let exit = self.open_exit_in_first_half(tx_hash, call.now)?;
        let first = pieces.iter().next().ok_or(Revert::NoPieces)?;
        let bond = self.parameters.bond_of_piece(exit.data.inputs.len());
        check_bond(value, bond.saturating_mul(U256::from(pieces.len())))?;
        match first {
            Piece::Input(_) => check_data(tx_hash, exit, data)?,
            Piece::Output(_) => {}
        }
        let (_, Output { asset, .. }) = coin_of(exit, first)?;
        for piece in pieces.iter() {
            let (_, coin) = coin_of(exit, piece)?;
            if call.caller != coin.owner {
                return Err(Revert::NotOwner { caller: call.caller, owner: coin.owner });
            }
            if coin.asset != asset {
                return Err(Revert::SeveralAssets { asset, other: coin.asset });
            }
            if exit.live_pieces.has(piece) {
                return Err(Revert::PieceLive { piece: piece.number() });
            }
        }

        let key = exit.key;
        self.set_live_pieces(tx_hash, exit.live_pieces.with(pieces));
        let keys = self.exit_keys.entry(asset).or_default();
        pieces.iter().for_each(|_| keys.add(key));
        Ok(vec![step(tx_hash, InFlightStep::Piggybacked { owner: call.caller, asset, pieces })])
    }

    /// Removes a live piece whose coin is spent; the caller gets its bond. The spend's inclusion is, for an input, that of
    /// the spend, which is another transaction; for an output, that of the exit's transaction. `data` are read only for an
    /// input. §6.5.
    ///
    /// # Errors
    ///
    /// [`Revert`] if the piece is not live, the data are not the exit's, or the spend, its signature or the inclusion, by the
    /// freeze of the inputs, is not shown.
    pub fn challenge_piece_spent(
        &mut self,
        call: Call,
        body: &[u8],
        data: &[u8],
        piece: u8,
        spend: &Spend,
        pay: &mut Pay<'_>,
    ) -> Result<Vec<RootEvent>, Revert> {
        let tx_hash = TxHash(keccak256(body));
        let exit = self.open_exit(tx_hash)?;
        let live = Piece::new(piece).filter(|&piece| exit.live_pieces.has(piece));
        let piece = live.ok_or(Revert::PieceNotLive { piece })?;
        match piece {
            Piece::Input(_) => check_data(tx_hash, exit, data)?,
            Piece::Output(_) => {}
        }
        let (output_id, Output { owner, asset, .. }) = coin_of(exit, piece)?;
        let shown = self.signed_spend(output_id, owner, &spend.body, &spend.signature)?;
        let spend_hash = shown.body.hash();
        if spend_hash == tx_hash {
            return Err(Revert::OwnTransaction { tx_hash });
        }
        let included = match piece {
            Piece::Input(_) => spend_hash,
            Piece::Output(_) => tx_hash,
        };
        let place = self.included_place(included, &spend.inclusion)?;
        let freeze = self.parameters.periods.freeze_of_in_flight_input(exit.start);
        let timestamp = spend.inclusion.header.timestamp;
        if timestamp > freeze {
            return Err(Revert::IncludedTooLate { timestamp, freeze });
        }

        let (key, live) = (exit.key, exit.live_pieces);
        let bond = self.parameters.bond_of_piece(exit.data.inputs.len());
        self.set_live_pieces(tx_hash, live.without(piece));
        if let Some(keys) = self.exit_keys.get_mut(&asset) {
            keys.release(key);
        }
        let challenger: Address = call.caller;
        let mut events = vec![step(tx_hash, InFlightStep::PieceChallenged { challenger, piece, place, spend: shown })];
        self.pay_or_credit(Payment { asset: ETHER, to: challenger, amount: bond }, pay, &mut events);
        Ok(events)
    }

    fn set_live_pieces(&mut self, tx_hash: TxHash, pieces: PieceSet) {
        if let Some(exit) = self.in_flight.get_mut(&tx_hash) {
            exit.live_pieces = pieces;
        }
    }
}

fn coin_of(exit: &OpenExit, piece: Piece) -> Result<(OutputId, Output), Revert> {
    exit.coin(piece).ok_or(Revert::NoSuchPiece { piece: piece.number() })
}
