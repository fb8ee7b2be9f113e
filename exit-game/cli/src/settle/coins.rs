//! Which coins the settlement pays to an account, and what is shown for each. §8.
//!
//! A coin has to stand in the unspent tree of the last good block, whatever the wallet has signed and whatever servers say of
//! it now: a spend in a void block never was. Servers are asked for proofs and never believed.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, Bytes};
use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::InclusionProof;
use plasmid_exit_game::fault::{Creation, ShownCoin};
use plasmid_exit_game::game::{CoinExit, PendingExit};
use plasmid_exit_game::output::{Deposit, Output, OutputId};
use plasmid_exit_game::position::{Position, PositionKind};
use plasmid_node::problem::Code;
use plasmid_node::wire::evidence::{CoinOrigin, EvidenceCoin};
use plasmid_node::wire::{Answer, BlockChoice, IncludedTransaction, Unspent, UnspentQuery};
use plasmid_root_chain::node::Call;

use super::ending::Ending;
use crate::evidence::export::LeftOut;
use crate::evidence::sources::Sources;
use crate::holdings::{coins_of, is_settled};

/// Coins looked at at once.
const PARALLEL: usize = 8;
/// Most coins of one request for memberships.
const QUERY_MAX: usize = 1_000;

/// A coin that can be withdrawn.
#[derive(Debug, Clone)]
pub(crate) struct Withdrawal {
    pub(crate) id: OutputId,
    pub(crate) position: Position,
    pub(crate) output: Output,
    pub(crate) call: Call,
}

/// What became of the look at a coin.
enum Look {
    Ready(Box<Withdrawal>),
    /// It has left already.
    Settled,
    /// It was spent for good.
    Spent(String),
    Barred(String),
}

/// The account's coins, those that can be withdrawn in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) withdrawals: Vec<Withdrawal>,
    pub(crate) left_out: Vec<LeftOut>,
    /// How many have left already.
    pub(crate) settled: usize,
    /// How many are spent in good blocks, as servers say.
    pub(crate) spent: usize,
}

/// The look for them.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) from: &'a Sources<'a>,
    /// Whether a file is among them.
    pub(crate) has_file: bool,
    pub(crate) ending: Ending,
    /// Who withdraws.
    pub(crate) account: Address,
}

/// What files and servers show of a coin in the last good block's tree.
#[derive(Debug, Default)]
struct Shown {
    memberships: Vec<Unspent>,
    /// Whether a server names a spend of it.
    is_spent: bool,
    /// Why a server shows none.
    reason: Option<String>,
}

impl Search<'_> {
    /// Looks at the coins of `ids`; without any at all that the account may withdraw.
    pub(crate) async fn find(&self, ids: &[OutputId]) -> anyhow::Result<Found> {
        let is_all = ids.is_empty();
        let ids = if is_all { self.candidates().await? } else { ids.iter().copied().collect() };
        let mut shown = self.shown(&ids).await;
        let looks = ids.into_iter().map(|id| (id, shown.remove(&id).unwrap_or_default()));
        let mut looks = stream::iter(looks).map(async |(id, shown)| anyhow::Ok((id, self.look(id, shown).await?)));
        let mut looks = looks.by_ref().buffered(PARALLEL);
        let mut found = Found::default();
        while let Some((id, look)) = looks.try_next().await? {
            match look {
                Look::Ready(withdrawal) => found.withdrawals.push(*withdrawal),
                Look::Settled => found.settled += 1,
                // Among all that an account ever had, what was spent is no news.
                Look::Spent(_) if is_all => found.spent += 1,
                Look::Spent(reason) | Look::Barred(reason) => found.left_out.push(LeftOut { id: id.0, reason }),
            }
        }
        found.withdrawals.sort_by_key(|withdrawal| (withdrawal.position, withdrawal.id));
        Ok(found)
    }

    /// Returns every coin of the account that root chain, wallet, file or servers know, and those whose exits it was handed.
    ///
    /// # Errors
    ///
    /// If servers are named, none answers, and there is no file: nothing would tell that coins are left.
    async fn candidates(&self) -> anyhow::Result<BTreeSet<OutputId>> {
        let Self { from, account, .. } = *self;
        let deposits = from.game.deposits(0, u64::MAX).filter(|deposit| deposit.output.owner == account);
        let assigned = from.game.pending_exits().filter(|exit| exit.payee == account);
        let shown = from.coins.iter().filter(|(_, shown)| shown.iter().any(|coin| coin.output.owner == account));
        let mut ids: BTreeSet<_> = deposits.map(Deposit::output_id).collect();
        ids.extend(assigned.map(|exit| exit.record.output_id));
        ids.extend(shown.map(|(id, _)| *id));
        let (mut has_answer, mut failure) = (self.has_file, None);
        for server in &from.servers {
            match coins_of(server, account).await {
                Ok(coins) => {
                    ids.extend(coins.into_iter().map(|coin| coin.id));
                    has_answer = true;
                }
                Err(error) => {
                    eprintln!("{}: which coins {account} has is not known: {error}", server.url());
                    failure = Some(error);
                }
            }
        }
        match failure.filter(|_| !has_answer) {
            Some(error) => Err(error).context("ask for the account's coins"),
            None => Ok(ids),
        }
    }

    /// Asks file, wallet and servers for the coins' memberships in the last good block's tree.
    async fn shown(&self, ids: &BTreeSet<OutputId>) -> BTreeMap<OutputId, Shown> {
        let mut shown: BTreeMap<OutputId, Shown> = BTreeMap::new();
        let Some(last) = &self.ending.last else { return shown };
        for id in ids {
            let known = self.from.coins.get(id).into_iter().flatten().filter_map(|coin| coin.unspent.as_ref());
            let of_last = known.filter(|unspent| unspent.block == last.number).cloned();
            shown.entry(*id).or_default().memberships.extend(of_last);
        }
        let ids: Vec<_> = ids.iter().copied().collect();
        for server in &self.from.servers {
            for ids in ids.chunks(QUERY_MAX) {
                let query = UnspentQuery { block: BlockChoice::Number(last.number), ids: ids.to_vec() };
                let answers = match server.unspent_many(&query).await {
                    Ok(answers) => answers,
                    Err(error) => {
                        eprintln!("{}: what block {} holds is not known: {error}", server.url(), last.number);
                        break;
                    }
                };
                for (id, answer) in ids.iter().zip(answers) {
                    let of_coin = shown.entry(*id).or_default();
                    match answer {
                        Answer::Done(unspent) => of_coin.memberships.push(unspent),
                        Answer::Problem(problem) => {
                            of_coin.is_spent |= problem.code == Code::AlreadySpent;
                            of_coin.reason = Some(format!("{}: {}", server.url(), problem.detail));
                        }
                    }
                }
            }
        }
        shown
    }

    /// Looks at one coin. Fails only if the root chain cannot be asked.
    async fn look(&self, id: OutputId, shown: Shown) -> anyhow::Result<Look> {
        let root = &self.from.session.root;
        let word = root.coin(id).await.context("read a coin's word on the root chain")?;
        if is_settled(&word) {
            return Ok(Look::Settled);
        }
        if shown.is_spent && shown.memberships.is_empty() && !self.from.deposits.contains_key(&id) {
            return Ok(Look::Spent(shown.reason.unwrap_or_default()));
        }
        if let Some(CoinExit::Pending(PendingExit { record, .. })) = self.from.game.exit(id)
            && record.key <= self.ending.exits_until
        {
            let what = format!("its exit with key {} comes first: `plasmid exit process` pays it", record.key);
            return Ok(Look::Barred(what));
        }
        let coin = match self.from.creation(id).await {
            Ok(coin) => coin,
            Err(reason) => return Ok(Look::Barred(format!("its creation is not proven: {reason}"))),
        };
        let payee = match word.is_assigned {
            true => root.payee_of(id).await.context("read to whom an exit was handed")?,
            false => coin.output.owner,
        };
        if payee != self.account {
            return Ok(Look::Barred(format!("{payee} withdraws it, not {}", self.account)));
        }
        let EvidenceCoin { position, output, .. } = coin;
        Ok(match self.call(&coin, shown) {
            Ok(call) => Look::Ready(Box::new(Withdrawal { id, position, output, call })),
            Err(look) => look,
        })
    }

    /// Returns the call that withdraws a coin whose creation is proven, or why there is none.
    fn call(&self, coin: &EvidenceCoin, shown: Shown) -> Result<Call, Look> {
        let root = &self.from.session.root;
        let Ending { last, .. } = &self.ending;
        let origin = coin.verify().map_err(|error| Look::Barred(format!("{:#}", anyhow::Error::from(error))))?;
        let (last, shown_coin) = match (last, &origin) {
            (None, CoinOrigin::Transaction(_)) => return Err(Look::Barred("all blocks are void".to_owned())),
            (Some(last), CoinOrigin::Deposit(deposit)) if deposit.nonce < self.ending.deposit_count() => {
                let fields = Bytes::copy_from_slice(&deposit.output.deposit_fields());
                let creation = Creation { fields, index: deposit.nonce };
                (last, ShownCoin { creation, inclusion: InclusionProof::NONE })
            }
            (_, CoinOrigin::Deposit(deposit)) => return Ok(root.withdraw_settled_deposit(last.as_ref(), deposit)),
            (Some(last), CoinOrigin::Transaction(included)) => match coin.position.kind() {
                PositionKind::Output(_, index) => (last, shown_output(index, included)),
                PositionKind::Deposit(_) => return Err(Look::Barred("its position is a deposit's".to_owned())),
            },
        };
        let holds = |unspent: &&Unspent| holds(unspent, coin, last);
        if let Some(unspent) = shown.memberships.iter().find(holds) {
            return Ok(root.withdraw_settled(last, &unspent.proof.encode(), &shown_coin));
        }
        let number = last.number;
        let reason = shown.reason.unwrap_or_else(|| {
            format!(
                "no proof that it was unspent after block {number}: add --watcher-url URL, --operator-url URL, or --evidence \
                 FILE, exported when block {number} was the last final one"
            )
        });
        Err(if shown.is_spent { Look::Spent(reason) } else { Look::Barred(reason) })
    }
}

/// Returns whether a membership is that of the coin in the last good block's tree.
fn holds(unspent: &Unspent, coin: &EvidenceCoin, last: &Header) -> bool {
    Header::from(unspent.header) == *last
        && unspent.position == coin.position
        && unspent.verify(coin.id, &coin.output).is_ok()
}

/// Returns an output of a transaction by what made it.
fn shown_output(index: u8, included: &IncludedTransaction) -> ShownCoin {
    let IncludedTransaction { header, place, path, transaction } = included;
    let creation = Creation { fields: transaction.body.encode().into(), index: index.into() };
    let witness_hash = transaction.witness.hash();
    let inclusion = InclusionProof { header: *header, index: place.index.get(), witness_hash, path: path.clone() };
    ShownCoin { creation, inclusion }
}
