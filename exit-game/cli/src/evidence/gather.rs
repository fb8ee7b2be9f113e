//! Gathers what a file holds: the account's coins, and its payments that may have to exit in flight.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use futures::{StreamExt as _, stream};
use plasmid_exit_game::game::CoinExit;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, PositionKind};
use plasmid_node::wire::evidence::{EvidenceCoin, EvidenceTransaction};
use plasmid_node::wire::{BlockChoice, CoinState, IncludedTransaction, Unspent};

use super::export::LeftOut;
use super::sources::Sources;
use crate::holdings;
use crate::session::Progress;

/// Coins that servers and root chain are asked about at once.
const PARALLEL: usize = 8;

/// What goes into a file, and what does not.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) coins: Vec<EvidenceCoin>,
    pub(crate) transactions: Vec<EvidenceTransaction>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// One export at work.
#[derive(Debug)]
pub(crate) struct Gatherer<'a> {
    from: &'a Sources<'a>,
    owner: Address,
    /// Number of the newest final root block.
    final_at: u64,
    /// The last block that the watcher found valid, if one is asked.
    verified: Option<BlockNumber>,
}

impl<'a> Gatherer<'a> {
    pub(crate) async fn new(from: &'a Sources<'a>, owner: Address, final_at: u64) -> anyhow::Result<Self> {
        Ok(Self { from, owner, final_at, verified: from.verified().await? })
    }

    /// Gathers everything.
    pub(crate) async fn gather(&self) -> anyhow::Result<Gathered> {
        let mut left_out = Vec::new();
        let (candidates, unfinished) = self.candidates(&mut left_out).await?;
        let mut progress = Progress::new("proving coins unspent");
        let total = candidates.len();
        let mut coins = Vec::with_capacity(total);
        let mut with_unspent = stream::iter(candidates).map(|coin| self.with_unspent(coin)).buffered(PARALLEL);
        while let Some(coin) = with_unspent.next().await {
            coins.push(coin);
            progress.show(format_args!("{} of {total}", coins.len()));
        }
        coins.sort_by_key(|coin| (coin.position, coin.id));
        let transactions = self.transactions(unfinished, &mut left_out).await;
        Ok(Gathered { coins, transactions, left_out })
    }

    /// Returns the coins that go in, and the payments that made those which may have to exit in flight.
    async fn candidates(&self, left_out: &mut Vec<LeftOut>) -> anyhow::Result<(Vec<EvidenceCoin>, BTreeSet<TxHash>)> {
        let from = self.from;
        let (mut coins, mut unfinished) = (Vec::new(), BTreeSet::new());
        let held = match from.servers[..] {
            [] => Vec::new(),
            _ => holdings::holdings(from.session, self.owner, Some(&from.wallet)).await?,
        };
        let mut seen = BTreeSet::new();
        let mut leave_out = |id: OutputId, reason: String| left_out.push(LeftOut { id: id.0, reason });
        for holding in held {
            let id = holding.coin.id;
            seen.insert(id);
            if holding.coin.state == CoinState::Exited {
                continue;
            }
            unfinished.extend(holding.proof.as_ref().ok().and_then(|proof| self.unfinished_maker(proof)));
            if let Some(by) = from.signed.get(&id).and_then(|by| by.first()) {
                leave_out(id, format!("you have signed {by} over it, with which anybody can end its exit"));
                continue;
            }
            match holding.proof {
                Err(reason) => leave_out(id, format!("its creation is not proven: {reason}")),
                Ok(proof) => match self.check_final(&proof) {
                    Ok(()) => coins.push(proof),
                    Err(reason) => leave_out(id, reason),
                },
            }
        }
        let unseen = from.coins.iter().filter(|(id, _)| !seen.contains(id) && !from.signed.contains_key(id));
        for (&id, shown) in unseen {
            let own: Vec<_> = shown.iter().filter(|coin| coin.output.owner == self.owner).collect();
            if own.is_empty() || matches!(from.game.exit(id), Some(CoinExit::Settled { .. })) {
                continue;
            }
            unfinished.extend(own.into_iter().filter_map(|coin| self.unfinished_maker(coin)));
            match self.check_known(id).await {
                Ok(coin) => coins.push(coin),
                Err(reason) => leave_out(id, reason),
            }
        }
        Ok((coins, unfinished))
    }

    /// Looks at a coin that no server lists among the unspent.
    async fn check_known(&self, id: OutputId) -> Result<EvidenceCoin, String> {
        let coin = self.from.known(id)?;
        if let Some(spend) = self.from.signed_spend(id, self.owner).await {
            return Err(format!("it is spent by {}", spend.body.hash()));
        }
        self.check_final(&coin).map(|()| coin)
    }

    /// Tells why a proven coin may not go in, if it may not: what is not final can be lost again, what is void cannot leave.
    fn check_final(&self, coin: &EvidenceCoin) -> Result<(), String> {
        let game = &self.from.game;
        let place = match coin.position.kind() {
            PositionKind::Deposit(nonce) if nonce < game.deposit_count_at(self.final_at) => return Ok(()),
            PositionKind::Deposit(_) => return Err("its deposit is not at finality depth yet".to_owned()),
            PositionKind::Output(place, _) => place,
        };
        let block = place.block;
        if self.from.void_from.is_some_and(|from| block >= from) {
            return Err(format!(
                "block {block}, which made it, is void: only the payment that made it can exit, in flight"
            ));
        }
        match (game.header(block), &coin.made) {
            (Some((header, _)), Some(made)) if *header == made.header.into() => {
                if self.is_final(block) {
                    Ok(())
                } else {
                    Err(format!("block {block}, which made it, is not at finality depth yet"))
                }
            }
            _ => Err(format!("the root chain has another block {block} than the proof shows, or none: try again")),
        }
    }

    fn is_final(&self, block: BlockNumber) -> bool {
        self.from.game.header(block).is_some_and(|(_, made_in)| made_in.number <= self.final_at)
    }

    // ------------------------------------------------------------ unspent

    /// Adds the newest proof that the coin is unspent, as a settlement after a halt would ask for it. §8.
    async fn with_unspent(&self, coin: EvidenceCoin) -> EvidenceCoin {
        let known = self.from.coins.get(&coin.id).into_iter().flatten().filter_map(|known| known.unspent.as_ref());
        let proofs = known.chain(&coin.unspent).filter(|unspent| self.holds(unspent, &coin));
        let mut found = proofs.max_by_key(|unspent| unspent.block).cloned();
        let last = self.last_good_block();
        if found.as_ref().is_none_or(|found| found.block < last) && self.is_in_tree(&coin, last) {
            for server in &self.from.servers {
                match server.unspent(coin.id, BlockChoice::Number(last)).await {
                    Ok(unspent) if self.holds(&unspent, &coin) => {
                        found = Some(unspent);
                        break;
                    }
                    Ok(_) => eprintln!("{}: its proof that {} is unspent proves nothing", server.url(), coin.id),
                    Err(error) if holdings::is_not_found(&error) => {}
                    Err(error) => eprintln!("{}: no proof that {} is unspent: {error}", server.url(), coin.id),
                }
            }
        }
        EvidenceCoin { unspent: found, ..coin }
    }

    /// The last final block that is not void, zero for none.
    fn last_good_block(&self) -> BlockNumber {
        let last = self.from.game.last_block_at(self.final_at);
        self.from.void_from.map_or(last, |from| last.min(from.previous().unwrap_or(BlockNumber::ZERO)))
    }

    /// Whether block `number`'s unspent tree holds the coin if it is unspent. §1.8.
    fn is_in_tree(&self, coin: &EvidenceCoin, number: BlockNumber) -> bool {
        let Some((header, _)) = self.from.game.header(number) else { return false };
        match coin.position.kind() {
            PositionKind::Deposit(nonce) => nonce < header.deposit_count,
            PositionKind::Output(place, _) => place.block <= number,
        }
    }

    fn holds(&self, unspent: &Unspent, coin: &EvidenceCoin) -> bool {
        let header = self.from.game.header(unspent.block).map(|(header, _)| *header);
        unspent.block <= self.last_good_block()
            && unspent.position == coin.position
            && header == Some(unspent.header.into())
            && unspent.verify(coin.id, &coin.output).is_ok()
    }

    // ------------------------------------------------------- transactions

    /// Returns the payments by and to the account that may have to exit in flight: those that it signed, an earlier file's, and
    /// those that made its coins, unless they stand in a final block that is not void and, as far as a watcher is asked, valid.
    async fn transactions(
        &self,
        unfinished: BTreeSet<TxHash>,
        left_out: &mut Vec<LeftOut>,
    ) -> Vec<EvidenceTransaction> {
        let mut payments = unfinished;
        payments.extend(self.from.sent.iter().map(|sent| sent.tx_hash));
        payments.extend(self.from.payments.keys());
        let mut spent_for_good = BTreeSet::new();
        let mut progress = Progress::new("looking for unfinished payments");
        let (mut open, total) = (Vec::new(), payments.len());
        for (count, tx_hash) in payments.into_iter().enumerate() {
            progress.show(format_args!("{count} of {total}"));
            let is_for_good = |included: &IncludedTransaction| self.is_for_good(included.place.block);
            let included = match self.from.known_inclusion(tx_hash).filter(is_for_good) {
                None => self.from.inclusion(tx_hash).await,
                known => known,
            };
            match included {
                Some(included) if is_for_good(&included) => {
                    spent_for_good.extend(included.transaction.body.inputs().iter().copied());
                }
                included => open.push((tx_hash, included)),
            }
        }
        let mut transactions = Vec::new();
        for (tx_hash, included) in open {
            let payment = self.from.payment(tx_hash, included.as_ref()).await;
            let payment = payment.and_then(|payment| {
                let inputs = payment.inputs.iter();
                let mut verdicts = inputs.map(|input| self.check_final(input).map_err(|reason| (input.id, reason)));
                match verdicts.find_map(Result::err) {
                    None => Ok(payment),
                    Some((id, reason)) => Err(format!("its input {id}: {reason}")),
                }
            });
            match payment {
                // Whose coins another one has spent for good has lost.
                Ok(payment) if payment.inputs.iter().any(|input| spent_for_good.contains(&input.id)) => {}
                Ok(payment) => transactions.push(payment),
                Err(reason) => {
                    let reason = format!("it cannot exit in flight yet: {reason}");
                    left_out.push(LeftOut { id: tx_hash.0, reason });
                }
            }
        }
        transactions
    }

    /// Returns the payment that made a coin, if it may have to exit in flight.
    fn unfinished_maker(&self, coin: &EvidenceCoin) -> Option<TxHash> {
        let is_unfinished = !self.is_for_good(coin.position.block()?);
        holdings::maker_of(coin).filter(|_| is_unfinished)
    }

    /// Returns whether a block is final, not void and, as far as a watcher is asked, valid.
    fn is_for_good(&self, block: BlockNumber) -> bool {
        let is_void = self.from.void_from.is_some_and(|from| block >= from);
        self.is_final(block) && !is_void && self.verified.is_none_or(|verified| block <= verified)
    }
}
