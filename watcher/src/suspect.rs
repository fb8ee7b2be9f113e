//! A block whose unspent root is not what its bodies give: which coin is wrong in its tree. §1.8, §3 (R8, R9).
//!
//! A root tells nothing but that something differs. One coin too many or too few is found by trying; for more a server has
//! to show what the tree holds, and a coin that none shows is claimed missing.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use plasmid_exit_game::block::Header;
use plasmid_exit_game::fault::{self, Difference, HeldKey};
use plasmid_exit_game::ledger::{Coin, Leaf, Ledger, unspent_updates};
use plasmid_exit_game::output::{Deposit, Output, OutputId};
use plasmid_exit_game::position::{Place, Position, TxIndex};
use plasmid_exit_game::utxo_tree::{self, UtxoTree};
use plasmid_node::wire::Unspent;

/// A block whose bodies are valid and do not give its unspent root.
#[derive(Debug, Clone)]
pub struct Suspect {
    header: Header,
    /// The tree that the bodies give.
    tree: UtxoTree,
    /// Every coin that is known.
    coins: Vec<(OutputId, Coin)>,
}

impl Suspect {
    /// Returns the block with what is known around it: `before` is the unspent tree before it, `leaves` all its leaves,
    /// `covered` the deposits that it covers and the block before did not, `later` those that it does not cover either, `ledger`
    /// the coins of the blocks before.
    #[must_use]
    pub fn new(
        header: Header,
        before: &UtxoTree,
        leaves: &[Leaf],
        covered: &[Deposit],
        later: &[Deposit],
        ledger: &Ledger,
        guarded: &BTreeSet<Address>,
    ) -> Self {
        let new = |id, position, output: &Output| (id, Coin { position, output: *output, spender: None });
        let transactions = || leaves.iter().zip(0..).filter_map(|(leaf, index)| Some((leaf.transaction()?, index)));
        let spent = transactions().flat_map(|(recovered, _)| recovered.transaction.body.inputs());
        let spent = spent.filter_map(|&id| Some((id, *ledger.coin(id)?)));
        let made = transactions().flat_map(|(recovered, index)| {
            let place = TxIndex::new(index).map(|index| Place { block: header.number, index });
            let made = recovered.output_ids().zip(recovered.transaction.body.outputs()).zip(0..);
            made.filter_map(move |((id, output), index)| Some(new(id, place?.output(index)?, output)))
        });
        let deposited = covered.iter().chain(later).filter_map(|deposit| {
            Some(new(deposit.output_id(), Position::of_deposit(deposit.nonce)?, &deposit.output))
        });
        let known = || ledger.coins().map(|(id, coin)| (id, *coin));
        let own = known().filter(|(_, coin)| guarded.contains(&coin.output.owner));
        let coins = spent.chain(made).chain(deposited).chain(own).chain(known()).collect();
        Self { tree: before.updated(unspent_updates(header.number, leaves, covered)), header, coins }
    }

    /// Returns the block's header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns every coin that is known, the most suspicious first, some of them twice: what the block spends and makes, deposits
    /// that it covers and the block before did not, and later ones, then coins of guarded owners, then all others.
    #[must_use]
    pub fn coins(&self) -> &[(OutputId, Coin)] {
        &self.coins
    }

    /// Tries each of these coins: returns the one that is wrong, if nothing else is.
    #[must_use]
    pub fn try_each(&self, coins: &[(OutputId, Coin)]) -> Option<Difference> {
        fault::difference(&self.header, &self.tree, coins.iter().copied())
    }

    /// Compares what servers showed of these coins with what the tree has to hold; what does not prove itself is not read.
    ///
    /// A wrong key comes first: it convicts by itself. Coins at `claimed` positions are left to those claims.
    #[must_use]
    pub fn compare(
        &self,
        coins: &[(OutputId, Coin)],
        shown: &[Unspent],
        claimed: &BTreeSet<Position>,
    ) -> Option<Difference> {
        let root = self.header.utxo_root;
        let proven = shown.iter().filter(|shown| shown.proof.verify(root, shown.position, shown.value));
        let mut is_shown = claimed.clone();
        for Unspent { position, value, proof, .. } in proven {
            if self.tree.get(*position) != Some(*value) {
                let (position, value, proof) = (position.bits(), *value, proof.encode().into());
                return Some(Difference::Kept(HeldKey { header: self.header, position, value, proof }));
            }
            is_shown.insert(*position);
        }
        let lacking = coins.iter().find(|&&(output_id, Coin { position, ref output, .. })| {
            let must_be_held = self.tree.get(position) == Some(utxo_tree::value(output_id, output));
            must_be_held && !is_shown.contains(&position)
        });
        lacking.map(|&(output_id, Coin { position, .. })| Difference::LeftOut { output_id, position })
    }
}
