//! Gathers what a file holds from servers, wallet and an earlier file; believes none of them.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, Bytes};
use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use plasmid_exit_game::game::Game;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, PositionKind};
use plasmid_exit_game::transaction::{Transaction, Witness};
use plasmid_node::client::Client;
use plasmid_node::wire::evidence::{CoinOrigin, Evidence, EvidenceCoin, EvidenceTransaction};
use plasmid_node::wire::{BlockChoice, CoinState, Inclusion, Receipt, Unspent};

use super::check::{self, Standing};
use super::export::LeftOut;
use super::proof;
use crate::holdings;
use crate::session::{Progress, Session};
use crate::wallet::store::{SentTransaction, Wallet, signed_for};

/// Coins that servers and root chain are asked about at once.
const PARALLEL: usize = 8;

/// Where evidence comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) session: &'a Session,
    pub(crate) servers: &'a [Client],
    pub(crate) wallet: &'a Wallet,
    /// The contract's events up to the head.
    pub(crate) game: &'a Game,
    /// A file exported before.
    pub(crate) earlier: Option<&'a Evidence>,
}

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
    from: Sources<'a>,
    owner: Address,
    /// Number of the newest final root block.
    final_at: u64,
    void_from: Option<BlockNumber>,
    /// Coins with proofs from wallet and earlier file.
    known: BTreeMap<OutputId, EvidenceCoin>,
    sent: Vec<SentTransaction>,
}

impl<'a> Gatherer<'a> {
    /// Reads what is there without a server.
    pub(crate) async fn new(from: Sources<'a>, owner: Address, final_at: u64) -> anyhow::Result<Self> {
        let mut known = BTreeMap::new();
        if let Some(earlier) = from.earlier {
            let inputs = earlier.transactions.iter().flat_map(|transaction| &transaction.inputs);
            known.extend(inputs.chain(&earlier.coins).map(|coin| (coin.id, coin.clone())));
        }
        for (id, coin) in from.wallet.coins()? {
            // The wallet's proofs were checked when it took them in; that a coin is unspent, a file alone may show.
            let unspent = known.remove(&id).and_then(|earlier: EvidenceCoin| earlier.unspent).or(coin.unspent.clone());
            known.insert(id, EvidenceCoin { unspent, ..coin });
        }
        let (sent, void_from) = (from.wallet.sent()?, check::void_from(from.session).await?);
        Ok(Self { from, owner, final_at, void_from, known, sent })
    }

    /// Gathers everything.
    pub(crate) async fn gather(&self) -> anyhow::Result<Gathered> {
        let mut left_out = Vec::new();
        let (candidates, unfinished) = self.candidates(&mut left_out).await?;
        let mut progress = Progress::new("proving coins unspent");
        let total = candidates.len();
        let mut coins = Vec::with_capacity(total);
        let mut with_unspent = stream::iter(candidates).map(|coin| self.with_unspent(coin)).buffered(PARALLEL);
        while let Some(coin) = with_unspent.try_next().await? {
            coins.push(coin);
            progress.show(format_args!("{} of {total}", coins.len()));
        }
        coins.sort_by_key(|coin| (coin.position, coin.id));
        let transactions = self.transactions(&unfinished, &mut left_out).await?;
        Ok(Gathered { coins, transactions, left_out })
    }

    /// Returns the coins that go in, and those whose making payments may have to exit in flight.
    async fn candidates(&self, left_out: &mut Vec<LeftOut>) -> anyhow::Result<(Vec<EvidenceCoin>, Vec<EvidenceCoin>)> {
        let signed = signed_for(&self.sent).context("read the wallet's own transactions")?;
        let (mut coins, mut unfinished) = (Vec::new(), Vec::new());
        let held = match self.from.servers {
            [] => Vec::new(),
            _ => holdings::holdings(self.from.session, self.owner, Some(self.from.wallet)).await?,
        };
        let mut seen = BTreeSet::new();
        let mut leave_out = |id: OutputId, reason: String| left_out.push(LeftOut { id: id.0, reason });
        for holding in held {
            let id = holding.coin.id;
            seen.insert(id);
            if holding.coin.state == CoinState::Exited {
                continue;
            }
            if let Some(by) = signed.get(&id).and_then(|by| by.first()) {
                leave_out(id, format!("you have signed {by} over it, with which anybody can end its exit"));
                continue;
            }
            let verdict = match &holding.proof {
                Ok(proof) => self.check_final(proof),
                Err(reason) => Err(format!("its creation is not proven: {reason}")),
            };
            match (verdict, holding.proof) {
                (Ok(()), Ok(proof)) => coins.push(proof),
                (Err(reason), proof) => {
                    leave_out(id, reason);
                    unfinished.extend(proof);
                }
                (Ok(()), Err(reason)) => leave_out(id, reason),
            }
        }
        for (&id, coin) in self.known.iter().filter(|(id, coin)| coin.output.owner == self.owner && !seen.contains(id))
        {
            if signed.contains_key(&id) {
                continue;
            }
            match self.check_known(coin).await? {
                Ok(Standing::Exited) => {}
                Ok(_) => coins.push(coin.clone()),
                Err(reason) => leave_out(id, reason),
            }
        }
        Ok((coins, unfinished))
    }

    /// Looks at a coin that no server lists among the unspent.
    async fn check_known(&self, coin: &EvidenceCoin) -> anyhow::Result<Result<Standing, String>> {
        let blank = EvidenceCoin { unspent: None, ..coin.clone() };
        let standing = check::standing(self.from.session, &blank, self.void_from).await?;
        if standing != Ok(Standing::Ready) {
            return Ok(standing);
        }
        for server in self.from.servers {
            let spend = async { holdings::proven_spend(self.from.session, server, &server.coin(coin.id).await?).await };
            match spend.await {
                Ok(Some(spend)) => return Ok(Err(format!("it is spent by {}", spend.tx_hash))),
                Ok(None) => {}
                Err(error) if holdings::is_not_found(&error) => {}
                Err(error) => eprintln!("{}: whether {} is spent is not known: {error}", server.url(), coin.id),
            }
        }
        Ok(self.check_final(coin).map(|()| Standing::Ready))
    }

    /// Tells why a proven coin may not go in, if it may not: what is not final can be lost again, what is void cannot leave.
    fn check_final(&self, coin: &EvidenceCoin) -> Result<(), String> {
        let game = self.from.game;
        let place = match coin.position.kind() {
            PositionKind::Deposit(nonce) if nonce < game.deposit_count_at(self.final_at) => return Ok(()),
            PositionKind::Deposit(_) => return Err("its deposit is not at finality depth yet".to_owned()),
            PositionKind::Output(place, _) => place,
        };
        let block = place.block;
        if self.void_from.is_some_and(|from| block >= from) {
            return Err(format!(
                "block {block}, which made it, is void: only the payment that made it can exit, in flight"
            ));
        }
        match (game.header(block), &coin.made) {
            (Some((header, made_in)), Some(made)) if *header == made.header.into() => {
                if made_in.number <= self.final_at {
                    Ok(())
                } else {
                    Err(format!("block {block}, which made it, is not at finality depth yet"))
                }
            }
            _ => Err(format!("the root chain has another block {block} than the proof shows, or none: try again")),
        }
    }

    // ------------------------------------------------------------ unspent

    /// Adds the newest proof that the coin is unspent, as a settlement after a halt would ask for it. §8.
    async fn with_unspent(&self, coin: EvidenceCoin) -> anyhow::Result<EvidenceCoin> {
        let earlier = self.known.get(&coin.id).and_then(|known| known.unspent.clone());
        let mut found = earlier.filter(|unspent| self.holds(unspent, &coin));
        let last = self.last_good_block();
        if found.as_ref().is_none_or(|found| found.block < last) && self.is_in_tree(&coin, last) {
            for server in self.from.servers {
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
        Ok(EvidenceCoin { unspent: found, ..coin })
    }

    /// The last final block that is not void, zero for none.
    fn last_good_block(&self) -> BlockNumber {
        let last = self.from.game.last_block_at(self.final_at);
        self.void_from.map_or(last, |from| last.min(from.previous().unwrap_or(BlockNumber::ZERO)))
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

    /// Returns the payments by and to the account that may have to exit in flight: they stand in no final block yet.
    async fn transactions(
        &self,
        unfinished: &[EvidenceCoin],
        left_out: &mut Vec<LeftOut>,
    ) -> anyhow::Result<Vec<EvidenceTransaction>> {
        let mut found: BTreeMap<TxHash, Unfinished> = BTreeMap::new();
        let mut spent_for_good = BTreeSet::new();
        let mut progress = Progress::new("looking for unfinished payments");
        for (count, sent) in self.sent.iter().enumerate() {
            progress.show(format_args!("{count} of {}", self.sent.len()));
            let body = sent.transaction().context("read the wallet's own transaction")?;
            let made = self.inclusion_of(sent.tx_hash).await?;
            if made.as_ref().is_some_and(|made| self.is_settled_in_block(made)) {
                spent_for_good.extend(body.inputs().iter().copied());
                continue;
            }
            let accepted = sent.accepted();
            let (placement, receipt) = (
                accepted.map(|accepted| accepted.placement.clone()),
                accepted.map(|accepted| accepted.receipt.clone()),
            );
            found.insert(sent.tx_hash, Unfinished { body, signature: sent.signature, placement, made, receipt });
        }
        for coin in unfinished {
            let Ok(CoinOrigin::Transaction(included)) = coin.verify() else { continue };
            let transaction = &included.transaction;
            let tx_hash = transaction.body.hash();
            if found.contains_key(&tx_hash) {
                continue;
            }
            let unfinished = Unfinished {
                body: transaction.body.clone(),
                signature: transaction.witness.signature,
                placement: Some(transaction.witness.encode()[64..].to_vec().into()),
                made: coin.made.clone(),
                receipt: None,
            };
            found.insert(tx_hash, unfinished);
        }
        let mut transactions = Vec::new();
        for (tx_hash, unfinished) in found {
            // Whose coins another one has spent for good has lost.
            if unfinished.body.inputs().iter().any(|input| spent_for_good.contains(input)) {
                continue;
            }
            match self.transaction(tx_hash, unfinished).await? {
                Ok(transaction) => transactions.push(transaction),
                Err(reason) => left_out.push(LeftOut { id: tx_hash.0, reason }),
            }
        }
        Ok(transactions)
    }

    /// Returns the proven inclusion of an own transaction under a header that the root chain has, if anybody shows one.
    async fn inclusion_of(&self, tx_hash: TxHash) -> anyhow::Result<Option<Inclusion>> {
        let is_proven = |made: &Inclusion| {
            let included = made.verify().ok()?;
            let header = self.from.game.header(included.place.block).map(|(header, _)| *header);
            (included.transaction.body.hash() == tx_hash && header == Some(included.header)).then_some(())
        };
        let known = (0..16).filter_map(|index| self.known.get(&OutputId::of_output(tx_hash, index)));
        if let Some(made) = known.filter_map(|coin| coin.made.as_ref()).find(|made| is_proven(made).is_some()) {
            return Ok(Some(made.clone()));
        }
        for server in self.from.servers {
            match server.inclusion(OutputId::of_output(tx_hash, 0)).await {
                Ok(made) if is_proven(&made).is_some() => return Ok(Some(made)),
                Ok(_) => eprintln!("{}: its proof of {tx_hash} proves nothing", server.url()),
                Err(error) if holdings::is_not_found(&error) => {}
                Err(error) => eprintln!("{}: whether {tx_hash} is included is not known: {error}", server.url()),
            }
        }
        Ok(None)
    }

    /// Returns whether a proven inclusion is final and not void.
    fn is_settled_in_block(&self, made: &Inclusion) -> bool {
        let block = made.header.number;
        let is_final = self.from.game.header(block).is_some_and(|(_, made_in)| made_in.number <= self.final_at);
        is_final && self.void_from.is_none_or(|from| block < from)
    }

    /// Returns the entry of a transaction, or why there is none that an in-flight exit could show. §6.1.
    async fn transaction(
        &self,
        tx_hash: TxHash,
        unfinished: Unfinished,
    ) -> anyhow::Result<Result<EvidenceTransaction, String>> {
        let Unfinished { body, signature, placement, made, receipt } = unfinished;
        let mut inputs = Vec::with_capacity(body.inputs().len());
        for &id in body.inputs() {
            match self.input(id).await? {
                Ok(input) => inputs.push(input),
                Err(reason) => return Ok(Err(format!("it cannot exit in flight yet: its input {id}: {reason}"))),
            }
        }
        let placed = Witness { signature, placement: inputs.iter().map(|input| input.position).collect() };
        let witness = match placement {
            Some(placement) => [&signature.encode()[..], &placement].concat(),
            None => placed.encode(),
        };
        let (body, witness) = (Bytes::from(body.encode()), witness.into());
        let transaction = EvidenceTransaction { tx_hash, body, witness, made, receipt, inputs };
        let verdict = proof::check_transaction(&transaction, &self.from.session.deployment.domain());
        Ok(match verdict {
            Ok(()) => Ok(transaction),
            Err(fault) => Err(format!("{:#}", anyhow::Error::from(fault))),
        })
    }

    /// Returns the proof of a spent coin, or why there is none that will last.
    async fn input(&self, id: OutputId) -> anyhow::Result<Result<EvidenceCoin, String>> {
        let session = self.from.session;
        if let Some(known) = self.known.get(&id) {
            let blank = EvidenceCoin { unspent: None, ..known.clone() };
            if check::standing(session, &blank, self.void_from).await?.is_ok() {
                return Ok(self.check_final(&blank).map(|()| blank));
            }
        }
        if self.from.servers.is_empty() {
            return Ok(Err("neither wallet nor file has a proof of its creation".to_owned()));
        }
        let holding = match holdings::holding(session, id, None).await {
            Ok(holding) => holding,
            Err(error) => return Ok(Err(format!("{error:#}"))),
        };
        Ok(holding.proof.and_then(|proof| self.check_final(&proof).map(|()| proof)))
    }
}

/// A signed transaction that stands in no final block.
#[derive(Debug)]
struct Unfinished {
    body: Transaction,
    signature: plasmid_exit_game::signature::Signature,
    /// As the operator wrote it, 8 bytes an input, if it did.
    placement: Option<Bytes>,
    made: Option<Inclusion>,
    receipt: Option<Receipt>,
}
