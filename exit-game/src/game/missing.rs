//! Claims that an unspent tree lacks a coin, as events tell them. §3 (R9).

use alloc::collections::BTreeMap;

use alloy_primitives::{Address, B256};

use super::{Game, GameError, restore};
use crate::facts::RootEvent;
use crate::output::OutputId;
use crate::position::{BlockNumber, Position};

/// A claim that the unspent tree of a block lacks a coin. R9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingClaim {
    /// The block.
    pub number: BlockNumber,
    /// Where the coin was made.
    pub position: Position,
    /// The coin.
    pub output_id: OutputId,
    /// What the tree must hold there. §1.8.
    pub value: B256,
    /// Who put up the bond.
    pub claimant: Address,
    /// When, in seconds; `None` once it was answered, convicted or returned: it is not made again.
    pub claimed_at: Option<u64>,
}

/// All claims ever made, by block and position.
#[derive(Debug, Clone, Default)]
pub(super) struct MissingClaims {
    claims: BTreeMap<(BlockNumber, Position), MissingClaim>,
}

/// One change with what undoes it.
#[derive(Debug, Clone)]
pub(super) struct MissingChange {
    of: (BlockNumber, Position),
    before: Option<MissingClaim>,
}

impl MissingClaims {
    /// Takes in an event of a root block whose time is `timestamp`.
    pub(super) fn apply(&mut self, timestamp: u64, event: &RootEvent) -> Result<MissingChange, GameError> {
        match *event {
            RootEvent::MissingClaimed { number, position, output_id, value, claimant } => {
                if self.claims.contains_key(&(number, position)) {
                    return Err(GameError::MissingClaim { number, position });
                }
                let claimed_at = Some(timestamp);
                Ok(self.set(MissingClaim { number, position, output_id, value, claimant, claimed_at }))
            }
            RootEvent::MissingAnswered { number, position, .. }
            | RootEvent::MissingConvicted { number, position, .. }
            | RootEvent::MissingReturned { number, position, .. } => {
                let open = self.claims.get(&(number, position)).filter(|claim| claim.claimed_at.is_some());
                let claim = *open.ok_or(GameError::MissingClaim { number, position })?;
                Ok(self.set(MissingClaim { claimed_at: None, ..claim }))
            }
            _ => Err(GameError::Fault { what: "an event of another kind" }),
        }
    }

    pub(super) fn revert(&mut self, MissingChange { of, before }: MissingChange) {
        restore(&mut self.claims, of, before);
    }

    fn set(&mut self, claim: MissingClaim) -> MissingChange {
        let of = (claim.number, claim.position);
        MissingChange { of, before: self.claims.insert(of, claim) }
    }
}

impl Game {
    /// Returns every claim that was made that a block's unspent tree lacks a coin, ended ones included, by block and position.
    /// R9.
    pub fn missing_claims(&self) -> impl Iterator<Item = &MissingClaim> {
        self.missing.claims.values()
    }

    /// Returns the claim that the unspent tree of block `number` lacks the coin made at `position`, if one was made. R9.
    #[must_use]
    pub fn missing_claim(&self, number: BlockNumber, position: Position) -> Option<&MissingClaim> {
        self.missing.claims.get(&(number, position))
    }
}
