//! The calls about the unspent tree: claims that it lacks a coin, and the settlement by the last good one. §3 (R9), §8.
//!
//! That it holds what it must not (R8) is proven as any other fault, by [`prove_fault`](RootChain::prove_fault).

use plasmid_exit_game::block::Header;
use plasmid_exit_game::fault::{ShownCoin, SpentCoin};
use plasmid_exit_game::output::Deposit;
use plasmid_exit_game::position::BlockNumber;

use super::faults::{creation_value, shown_inclusion_value, spent_values};
use super::{header_value, no_header};
use crate::client::RootChain;
use crate::node::Call;

impl RootChain {
    /// Claims that the unspent tree of the block with this header lacks a coin. §3 (R9).
    #[must_use]
    pub fn claim_missing(&self, header: &Header, coin: &ShownCoin, bond_wei: u128) -> Call {
        let ShownCoin { creation, inclusion } = coin;
        let args = [header_value(header), creation_value(creation), shown_inclusion_value(inclusion)];
        self.transact("claimMissing", &args, bond_wei)
    }

    /// Answers a claim by the membership of its coin, as bytes; the sender gets the bond. §3 (R9).
    #[must_use]
    pub fn answer_missing(&self, header: &Header, position: u64, membership: &[u8]) -> Call {
        self.transact("answerMissing", &[header_value(header), position.into(), membership.into()], 0)
    }

    /// Answers a claim on block `number` by a spend of its coin; the sender gets the bond. §3 (R9).
    #[must_use]
    pub fn answer_missing_spent(&self, number: BlockNumber, position: u64, spent: &SpentCoin) -> Call {
        let args = [vec![number.get().into(), position.into()], spent_values(spent)].concat();
        self.transact("answerMissingSpent", &args, 0)
    }

    /// Convicts a block by a claim that nobody answered in time. §3 (R9).
    #[must_use]
    pub fn convict_missing(&self, header: &Header, position: u64) -> Call {
        self.transact("convictMissing", &[header_value(header), position.into()], 0)
    }

    /// Returns the bond of a claim that can convict no more to who made it. §3 (R9).
    #[must_use]
    pub fn reclaim_missing(&self, header: &Header, position: u64) -> Call {
        self.transact("reclaimMissing", &[header_value(header), position.into()], 0)
    }

    /// Withdraws a coin of the sender after the chain's end: `header` is that of the last block that is not void,
    /// `membership` the coin's under its unspent root, as bytes. §8.
    #[must_use]
    pub fn withdraw_settled(&self, header: &Header, membership: &[u8], coin: &ShownCoin) -> Call {
        let ShownCoin { creation, inclusion } = coin;
        let args =
            [header_value(header), membership.into(), creation_value(creation), shown_inclusion_value(inclusion)];
        self.transact("withdrawSettled", &args, 0)
    }

    /// Withdraws a deposit that the last block which is not void does not cover; `None` if there is no such block. §8.
    #[must_use]
    pub fn withdraw_settled_deposit(&self, header: Option<&Header>, deposit: &Deposit) -> Call {
        let header = header.map_or_else(no_header, header_value);
        let Deposit { nonce, output } = deposit;
        let args = [header, (*nonce).into(), output.owner.into(), output.asset.into(), output.amount.into()];
        self.transact("withdrawSettledDeposit", &args, 0)
    }
}
