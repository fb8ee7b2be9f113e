//! What is shown of unspent trees: keys that they hold, claims and answers, and withdrawals after the chain's end.

use alloy_primitives::{B256, Bytes, U256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::InclusionProof;
use plasmid_exit_game::fault::{Creation, FaultProof, HeldKey, ShownBody, ShownLeaf, SpentCoin};
use plasmid_exit_game::output::{Output, OutputId};
use plasmid_exit_game::position::{Position, PositionKind};
use plasmid_exit_game::transaction::Transaction;
use plasmid_exit_game::utxo_tree;

use super::World;
use super::resolve::sent;
use crate::action::{Accusation, Action, CoinRef, Kind, Label};
use crate::call::Function;

impl World {
    /// Returns the proof that a block's tree holds what it must not, by a key of its own.
    pub(super) fn held_proof(&self, accusation: &Accusation) -> Option<FaultProof> {
        let &Accusation { kind, place: (number, nth), input, other, .. } = accusation;
        let blocks = &self.chain.blocks;
        let block = blocks.get(usize::try_from(number).ok()? % blocks.len().max(1))?;
        let nth = nth as usize + usize::from(accusation.nth);
        let held = block.unspent.nth(block.header, nth)?;
        let position = Position::from_bits(held.position);
        Some(match kind {
            Kind::HeldNotMade => FaultProof::HeldNotMade { origin: self.origin(position), held },
            Kind::HeldNotDeposited => {
                let nonce = match position.map(Position::kind) {
                    Some(PositionKind::Deposit(nonce)) => nonce,
                    Some(PositionKind::Output(..)) | None => u64::from(input),
                };
                let deposit = self.chain.deposits.values().find(|deposit| deposit.nonce == nonce);
                let creation = deposit.and_then(|deposit| self.chain.creation(deposit.output_id()));
                FaultProof::HeldNotDeposited { held, creation: creation.unwrap_or(Creation::NONE) }
            }
            _ => {
                let ShownLeaf { body, inclusion, .. } = self.leaf(other)?;
                let decoded = Transaction::decode(&body).ok();
                let inputs = decoded.as_ref().map_or(&[][..], Transaction::inputs);
                let output_id = inputs.get(usize::from(input)).copied().unwrap_or(OutputId(B256::ZERO));
                let output = self.chain.coins().find(|&(_, id, _)| id == output_id).map(|(_, _, output)| output);
                let held = output.and_then(|output| self.held_as(block.header, output_id, &output)).unwrap_or(held);
                let output = output.map_or(Bytes::new(), |output| Bytes::copy_from_slice(&output.encode()));
                let spend = ShownBody { body, inclusion };
                FaultProof::HeldSpent { held, spent: SpentCoin { output_id, output, spend } }
            }
        })
    }

    /// Returns where the tree of a block holds a coin's value.
    fn held_as(&self, header: Header, output_id: OutputId, output: &Output) -> Option<HeldKey> {
        let unspent = &self.chain.block(header.number.get())?.unspent;
        let value = utxo_tree::value(output_id, output);
        let (position, _) = unspent.held().into_iter().find(|&(_, held)| held == value)?;
        Some(HeldKey { header, position, value, proof: unspent.membership(position)? })
    }

    /// Returns a call about claims or withdrawals, with what is sent beside it.
    pub(super) fn unspent_call(&self, action: &Action) -> Option<(U256, Function)> {
        let header = |block: u64| match block {
            0 => Some(Header::NONE),
            number => self.chain.block(number).map(|block| block.header),
        };
        let of_claim = |claim| {
            let &(number, position) = self.claims.get(claim)?;
            Some((self.chain.block(number.get())?, position.bits()))
        };
        let function = match action {
            Action::ClaimMissing { block, coin, place, wei, .. } => {
                let claim =
                    Function::ClaimMissing { header: header(*block)?, coin: self.chain.shown_coin(*coin, *place)? };
                return Some((sent(U256::from(self.model.parameters().missing_bond), *wei), claim));
            }
            Action::AnswerMissing { claim, .. } => {
                let (block, position) = of_claim(claim)?;
                let membership = self.membership(block.header.number.get(), position);
                Function::AnswerMissing { header: block.header, position, membership }
            }
            Action::AnswerMissingSpent { claim, coin, spend, place, .. } => {
                let &(number, position) = self.claims.get(claim)?;
                let (output_id, output) = self.chain.coin(*coin)?;
                let signed = self.chain.transactions.get(spend)?;
                let spend = ShownBody { body: signed.bytes.clone(), inclusion: signed.place(*place) };
                let output = Bytes::copy_from_slice(&output.encode());
                let spent = SpentCoin { output_id, output, spend };
                Function::AnswerMissingSpent { number, position: position.bits(), spent }
            }
            Action::ConvictMissing { claim, .. } => {
                let (block, position) = of_claim(claim)?;
                Function::ConvictMissing { header: block.header, position }
            }
            Action::ReclaimMissing { claim, .. } => {
                let (block, position) = of_claim(claim)?;
                Function::ReclaimMissing { header: block.header, position }
            }
            Action::WithdrawSettled { block, coin, place, .. } => {
                let (header, shown) = (header(*block)?, self.chain.shown_coin(*coin, *place)?);
                let membership = self.membership(*block, self.chain.position(*coin, *place).bits());
                Function::WithdrawSettled { header, membership, coin: shown }
            }
            Action::WithdrawDeposit { block, deposit, .. } => {
                let deposit = *self.chain.deposits.get(deposit)?;
                Function::WithdrawSettledDeposit { header: header(*block)?, deposit }
            }
            _ => return None,
        };
        Some((U256::ZERO, function))
    }

    /// Returns the proof that a block's tree holds a key; of another one if it does not hold this.
    fn membership(&self, number: u64, position: u64) -> Bytes {
        let block = self.chain.block(number);
        let own = block.and_then(|block| block.unspent.membership(position));
        own.or_else(|| block.and_then(|block| Some(block.unspent.nth(block.header, 0)?.proof))).unwrap_or_default()
    }

    /// Returns the coin that was made at a position.
    pub(crate) fn coin_at(&self, position: Position) -> Option<CoinRef> {
        let is_there = |coin: CoinRef| {
            let places = u8::try_from(self.chain.places_of(coin)).unwrap_or(u8::MAX);
            (0..places).any(|place| self.chain.position(coin, place) == position)
        };
        self.chain.coins().map(|(coin, _, _)| coin).find(|&coin| is_there(coin))
    }

    /// Returns which transaction spends the coin in a block until then, and at which of its places.
    pub(crate) fn spends_until(&self, number: u64, coin: CoinRef) -> Option<(Label, u8)> {
        let (output_id, _) = self.chain.coin(coin)?;
        let spends = self.chain.transactions.iter().filter(|(_, signed)| signed.body.inputs().contains(&output_id));
        let until = |place: &InclusionProof| place.header.number.get() <= number;
        spends
            .filter_map(|(&label, signed)| Some((label, u8::try_from(signed.places.iter().position(until)?).ok()?)))
            .next()
    }
}
