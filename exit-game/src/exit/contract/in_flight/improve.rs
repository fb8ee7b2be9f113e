//! Older places of an open exit's inputs. §6.1.

use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::keccak256;

use super::{check_data, key_of, step};
use crate::exit::contract::{Call, Contract, InputProof, Revert};
use crate::exit::in_flight::{Piece, PieceSet};
use crate::facts::{InFlightStep, RootEvent};
use crate::output::TxHash;

impl Contract {
    /// Shows older places of the inputs `which`, each with a proof, in order. If the key falls, live pieces are counted over
    /// to it. The hints that the contract's call also takes change its gas alone. §6.1.
    ///
    /// # Errors
    ///
    /// [`Revert`] if no exit of `body` is in its first half, the data are not its, an input is not proven, or is younger
    /// there, or none is older.
    pub fn improve_in_flight_exit(
        &mut self,
        call: Call,
        body: &[u8],
        data: &[u8],
        which: PieceSet,
        proofs: &[InputProof],
    ) -> Result<Vec<RootEvent>, Revert> {
        let tx_hash = TxHash(keccak256(body));
        let exit = self.open_exit_in_first_half(tx_hash, call.now)?;
        check_data(tx_hash, exit, data)?;
        if proofs.len() != which.len() as usize {
            return Err(Revert::WrongProofCount { proofs: proofs.len(), inputs: which.len() as usize });
        }
        let mut improved = exit.data.clone();
        let mut is_older = false;
        // What is named beside the inputs has a proof that nobody reads.
        for (piece, proof) in which.iter().zip(proofs) {
            let input = match piece {
                Piece::Input(index) => improved.inputs.get_mut(usize::from(index)),
                Piece::Output(_) => None,
            };
            let input = input.ok_or(Revert::NothingOlder)?;
            let (shown, _) = self.proven_input(input.output_id, proof)?;
            if shown.position > input.position {
                return Err(Revert::NotOlder { shown: shown.position.bits(), oldest: input.position.bits() });
            }
            is_older |= shown.position < input.position;
            *input = shown;
        }
        if !is_older {
            return Err(Revert::NothingOlder);
        }

        let (old_key, live) = (exit.key, exit.live_pieces);
        let key = key_of(&self.parameters.periods, exit.start, &improved.inputs);
        let assets: Vec<_> = live.iter().filter_map(|piece| exit.coin(piece)).map(|(_, coin)| coin.asset).collect();
        if key != old_key {
            for asset in assets {
                let keys = self.exit_keys.entry(asset).or_default();
                keys.release(old_key);
                keys.add(key);
            }
        }
        if let Some(exit) = self.in_flight.get_mut(&tx_hash) {
            (exit.key, exit.data) = (key, improved.clone());
        }
        Ok(vec![step(tx_hash, InFlightStep::Improved { key, data: improved })])
    }
}
