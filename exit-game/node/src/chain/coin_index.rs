//! Who owns which coins, and the coins that are not in the ledger: deposits to come and what was dropped.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use alloy_primitives::{Address, B256};
use plasmid_exit_game::ledger::Coin;
use plasmid_exit_game::output::{Deposit, Output, OutputId};
use plasmid_exit_game::position::{NONCE_BITS, Position};

use super::CursorError;
use crate::wire::form::{self, Form};

/// Every coin but dropped ones by owner. A coin is in exactly one of the two lists.
#[derive(Debug, Default)]
pub(super) struct CoinIndex {
    unspent: BTreeSet<Key>,
    spent: BTreeSet<Key>,
    /// Deposits that no local block covers yet; they are among the unspent too.
    pending: HashMap<OutputId, Deposit>,
    dropped: HashMap<OutputId, Coin>,
}

/// Owner, asset, position, name: the order of a list.
type Key = (Address, Address, Position, OutputId);

fn key(id: OutputId, position: Position, output: &Output) -> Key {
    (output.owner, output.asset, position, id)
}

impl CoinIndex {
    /// Takes in a deposit that the root chain shows.
    pub(super) fn announce(&mut self, deposit: &Deposit) {
        // A nonce beyond 40 bits cannot have been deposited (§2).
        let Some(position) = Position::of_deposit(deposit.nonce) else { return };
        self.pending.insert(deposit.output_id(), *deposit);
        self.unspent.insert(key(deposit.output_id(), position, &deposit.output));
    }

    /// Undoes [`Self::announce`]; a deposit that a local block covers stays.
    pub(super) fn withdraw(&mut self, deposit: &Deposit) {
        let Some(position) = Position::of_deposit(deposit.nonce) else { return };
        if self.pending.remove(&deposit.output_id()).is_some() {
            self.unspent.remove(&key(deposit.output_id(), position, &deposit.output));
        }
    }

    /// Notes that a local block covers the deposit.
    pub(super) fn cover(&mut self, deposit: &Deposit) {
        self.pending.remove(&deposit.output_id());
    }

    /// Undoes [`Self::cover`].
    pub(super) fn uncover(&mut self, deposit: &Deposit) {
        self.pending.insert(deposit.output_id(), *deposit);
    }

    pub(super) fn make(&mut self, id: OutputId, coin: &Coin) {
        self.unspent.insert(key(id, coin.position, &coin.output));
    }

    pub(super) fn unmake(&mut self, id: OutputId, coin: &Coin) {
        self.unspent.remove(&key(id, coin.position, &coin.output));
    }

    pub(super) fn spend(&mut self, id: OutputId, coin: &Coin) {
        let key = key(id, coin.position, &coin.output);
        self.unspent.remove(&key);
        self.spent.insert(key);
    }

    pub(super) fn unspend(&mut self, id: OutputId, coin: &Coin) {
        let key = key(id, coin.position, &coin.output);
        self.spent.remove(&key);
        self.unspent.insert(key);
    }

    pub(super) fn drop_coin(&mut self, id: OutputId, coin: &Coin) {
        self.dropped.insert(id, *coin);
    }

    pub(super) fn forget_dropped(&mut self, id: OutputId) {
        self.dropped.remove(&id);
    }

    pub(super) fn pending(&self, id: OutputId) -> Option<&Deposit> {
        self.pending.get(&id)
    }

    pub(super) fn dropped(&self, id: OutputId) -> Option<&Coin> {
        self.dropped.get(&id)
    }

    /// Returns the coins of `owner` after `cursor`, unspent ones first, each with the cursor that continues after it.
    pub(super) fn after(
        &self,
        owner: Address,
        asset: Option<Address>,
        cursor: Option<Cursor>,
    ) -> impl Iterator<Item = (OutputId, Cursor)> {
        let (unspent, spent) = match cursor {
            None => (Some(None), None),
            Some(at) if !at.is_spent => (Some(Some(at)), None),
            Some(at) => (None, Some(at)),
        };
        let unspent = unspent.into_iter().flat_map(move |at| range(&self.unspent, owner, asset, at));
        let spent = range(&self.spent, owner, asset, spent);
        let with_cursor = |is_spent| move |&(_, asset, position, id): &Key| (id, Cursor { is_spent, asset, position });
        unspent.map(with_cursor(false)).chain(spent.map(with_cursor(true)))
    }
}

fn range(
    list: &BTreeSet<Key>,
    owner: Address,
    asset: Option<Address>,
    after: Option<Cursor>,
) -> impl Iterator<Item = &Key> {
    let last_position = Position::of_deposit((1 << NONCE_BITS) - 1).expect("the last nonce");
    let last = (owner, asset.unwrap_or(Address::repeat_byte(0xff)), last_position, OutputId(B256::repeat_byte(0xff)));
    let start = match after {
        Some(Cursor { asset, position, .. }) => {
            Bound::Excluded((owner, asset, position, OutputId(B256::repeat_byte(0xff))).min(last))
        }
        None => {
            let first_position = Position::from_bits(0).expect("no deposit's position");
            Bound::Included((owner, asset.unwrap_or(Address::ZERO), first_position, OutputId(B256::ZERO)))
        }
    };
    list.range((start, Bound::Included(last)))
}

/// Where a page ends: `unspent.ASSET.POSITION` or `spent.ASSET.POSITION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    is_spent: bool,
    asset: Address,
    position: Position,
}

impl Cursor {
    pub(super) fn write(&self) -> String {
        let list = if self.is_spent { "spent" } else { "unspent" };
        format!("{list}.{}.{}", self.asset.write(), self.position.write())
    }

    /// Reads a cursor for a list of one asset, or of all.
    pub(super) fn read(text: &str, of_asset: Option<Address>) -> Result<Self, CursorError> {
        let mut parts = text.split('.');
        let (Some(list), Some(asset), Some(position), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(CursorError);
        };
        let is_spent = match list {
            "unspent" => false,
            "spent" => true,
            _ => return Err(CursorError),
        };
        let asset = form::parse(asset).map_err(|_| CursorError)?;
        let position = form::parse(position).map_err(|_| CursorError)?;
        if of_asset.is_some_and(|of_asset| of_asset != asset) {
            return Err(CursorError);
        }
        Ok(Self { is_spent, asset, position })
    }
}
