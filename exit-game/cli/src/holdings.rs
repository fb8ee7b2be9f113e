//! Coins as their owner can rely on them: what servers say, held against the root chain.
//!
//! A server is asked, never believed: a coin counts as there when its creation is proven under a header that the root chain
//! has, or is a deposit that the root chain has. What no proof can show (that a coin is unspent) is taken as the server's
//! word and stated as such. Proofs that were checked are kept in the wallet.

use std::collections::BTreeMap;

use alloy_primitives::Address;
use anyhow::{Context as _, anyhow};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use plasmid_exit_game::block;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Position, PositionKind};
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::Transaction;
use plasmid_node::client::{Client, ClientError};
use plasmid_node::problem::Code;
use plasmid_node::wire::evidence::{CoinOrigin, DepositNonce, EvidenceCoin};
use plasmid_node::wire::{Coin, CoinState, Header};
use plasmid_root_chain::client::CoinWord;

use crate::session::{Progress, Session};
use crate::wallet::store::Wallet;

/// Coins looked at at once.
const PARALLEL: usize = 8;
/// A coin's word in the contract is above this when it is settled: then it is the freeze time. §5.1.
const STATE_DEPOSIT: u64 = 1;

/// A coin with what could be found out about it.
#[derive(Debug, Clone)]
pub(crate) struct Holding {
    /// What the server says, with the state corrected by the root chain.
    pub(crate) coin: Coin,
    /// The proof of its creation, or why there is none.
    pub(crate) proof: Result<EvidenceCoin, String>,
}

impl Holding {
    /// Returns the block that made it, if one did.
    pub(crate) fn block(&self) -> Option<BlockNumber> {
        self.coin.position.block()
    }
}

/// Returns whether the contract has paid or otherwise settled the coin.
pub(crate) fn is_settled(word: &CoinWord) -> bool {
    word.state > STATE_DEPOSIT
}

/// Returns whether an exit of the coin is pending.
pub(crate) fn is_exiting(word: &CoinWord) -> bool {
    !word.record_hash.is_zero()
}

/// Returns the first void block, if a fault has halted the chain. §3.
pub(crate) async fn void_from(session: &Session) -> anyhow::Result<Option<BlockNumber>> {
    Ok(session.root.child_chain().await.context("read the child chain's state")?.halted_from)
}

/// Returns whether a void block made the coin. §3.
pub(crate) fn is_void(position: Position, void_from: Option<BlockNumber>) -> bool {
    void_from.is_some_and(|from| position.block().is_some_and(|block| block >= from))
}

/// Returns the transaction that made a coin, if one did, as its proof shows.
pub(crate) fn maker_of(coin: &EvidenceCoin) -> Option<TxHash> {
    Some(Transaction::decode(&coin.made.as_ref()?.body).ok()?.hash())
}

/// Returns all coins of `owner`, spent ones left out, as the first of the servers that answers knows them.
pub(crate) async fn holdings(
    session: &Session,
    owner: Address,
    wallet: Option<&Wallet>,
) -> anyhow::Result<Vec<Holding>> {
    let servers = session.servers()?;
    let (server, coins) = first_answer(&servers, async |server| coins_of(server, owner).await).await?;
    let known = wallet.map(Wallet::coins).transpose()?.unwrap_or_default();
    let coins = coins.into_iter().filter(|coin| !matches!(coin.state, CoinState::Spent | CoinState::Dropped));
    let coins: Vec<_> = coins.collect();
    let void_from = void_from(session).await?;
    let (total, mut progress) = (coins.len(), Progress::new("looking at coins"));
    let mut looks =
        stream::iter(coins).map(|coin| look_at(session, server, coin, &known, void_from)).buffered(PARALLEL);
    let mut found: Vec<Holding> = Vec::with_capacity(total);
    while let Some(holding) = looks.try_next().await? {
        found.push(holding);
        progress.show(format_args!("{} of {total}", found.len()));
    }
    if let Some(wallet) = wallet {
        let proofs = found.iter().filter_map(|holding| holding.proof.as_ref().ok());
        proofs.filter(|proof| known.get(&proof.id) != Some(proof)).try_for_each(|proof| wallet.save_coin(proof))?;
    }
    Ok(found)
}

/// Returns one coin, as the first of the servers that knows it does.
pub(crate) async fn holding(session: &Session, id: OutputId, wallet: Option<&Wallet>) -> anyhow::Result<Holding> {
    let known = wallet.map(Wallet::coins).transpose()?.unwrap_or_default();
    let servers = session.servers()?;
    let (server, coin) = first_answer(&servers, async |server| server.coin(id).await).await?;
    if coin.id != id {
        return Err(anyhow!("{} answered with another coin", server.url()));
    }
    look_at(session, server, coin, &known, void_from(session).await?).await
}

/// Asks one server after the other until one answers; `not-found` of one is another's chance.
pub(crate) async fn first_answer<'a, T>(
    servers: &'a [Client],
    ask: impl AsyncFn(&'a Client) -> Result<T, ClientError>,
) -> anyhow::Result<(&'a Client, T)> {
    let mut failure = None;
    for server in servers {
        match ask(server).await {
            Ok(answer) => return Ok((server, answer)),
            Err(error) => {
                if !is_not_found(&error) {
                    eprintln!("{}: {error}", server.url());
                }
                failure = Some(error);
            }
        }
    }
    Err(failure.map_or_else(|| anyhow!("no server to ask"), Into::into))
}

pub(crate) fn is_not_found(error: &ClientError) -> bool {
    matches!(error, ClientError::Problem { problem, .. } if problem.code == Code::NotFound)
}

/// Returns all coins of `owner` that a server knows, spent ones too.
pub(crate) async fn coins_of(server: &Client, owner: Address) -> Result<Vec<Coin>, ClientError> {
    let mut coins = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = server.coins(owner, None, cursor.as_deref()).await?;
        coins.extend(page.items.into_iter().filter(|coin| coin.output.owner == owner));
        // A server that repeats itself must not keep us for ever.
        match page.cursor {
            Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
            _ => return Ok(coins),
        }
    }
}

async fn look_at(
    session: &Session,
    server: &Client,
    coin: Coin,
    known: &BTreeMap<OutputId, EvidenceCoin>,
    void_from: Option<BlockNumber>,
) -> anyhow::Result<Holding> {
    let word = session.root.coin(coin.id).await.context("read a coin's word on the root chain")?;
    let state = match coin.state {
        _ if is_settled(&word) => CoinState::Exited,
        _ if is_exiting(&word) => CoinState::Exiting,
        CoinState::Committed | CoinState::Final if is_void(coin.position, void_from) => CoinState::Void,
        state => state,
    };
    let proof = prove(session, server, &coin, &word, known.get(&coin.id)).await?;
    Ok(Holding { coin: Coin { state, ..coin }, proof })
}

/// Returns the proof of a coin's creation, or why there is none that holds. Fails only if the root chain cannot be asked.
async fn prove(
    session: &Session,
    server: &Client,
    coin: &Coin,
    word: &CoinWord,
    known: Option<&EvidenceCoin>,
) -> anyhow::Result<Result<EvidenceCoin, String>> {
    let Coin { id, position, output, .. } = *coin;
    let blank = EvidenceCoin { id, position, output, deposit: None, made: None, unspent: None };
    let evidence = match position.kind() {
        PositionKind::Deposit(nonce) => EvidenceCoin { deposit: Some(DepositNonce { nonce }), ..blank },
        PositionKind::Output(..) => {
            if let Some(known) = known.filter(|known| known.position == position && known.output == output)
                && verify(session, known, word).await?.is_ok()
            {
                return Ok(Ok(known.clone()));
            }
            match server.inclusion(id).await {
                Ok(made) => EvidenceCoin { made: Some(made), ..blank },
                Err(error) if is_not_found(&error) => return Ok(Err("its block is not committed yet".to_owned())),
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
    };
    let verdict = verify(session, &evidence, word).await?;
    Ok(verdict.map(|()| evidence).map_err(|reason| format!("{}: {reason}", server.url())))
}

/// Checks a coin's evidence on the root chain's word alone: that it was made so, and was unspent where that is shown too.
/// Fails only if the root chain cannot be asked.
pub(crate) async fn verify(
    session: &Session,
    evidence: &EvidenceCoin,
    word: &CoinWord,
) -> anyhow::Result<Result<(), String>> {
    let made = match evidence.verify() {
        Err(error) => return Ok(Err(format!("{:#}", anyhow::Error::from(error)))),
        Ok(CoinOrigin::Deposit(deposit)) if word.state == 0 => {
            Err(format!("the root chain knows no deposit {} with these fields", deposit.nonce))
        }
        Ok(CoinOrigin::Deposit(_)) => Ok(()),
        Ok(CoinOrigin::Transaction(included)) => verify_header(session, &included.header.into()).await?,
    };
    match &evidence.unspent {
        Some(unspent) if made.is_ok() => {
            let verdict = verify_header(session, &unspent.header).await?;
            Ok(verdict.map_err(|reason| format!("that it is unspent is not proven: {reason}")))
        }
        _ => Ok(made),
    }
}

/// Checks that the root chain has committed the block with this header. Fails only if it cannot be asked.
pub(crate) async fn verify_header(session: &Session, header: &Header) -> anyhow::Result<Result<(), String>> {
    let number = header.number;
    let commitment = session.root.commitment(number).await.context("read a block's commitment on the root chain")?;
    Ok(match commitment {
        Some(commitment) if commitment == block::Header::from(*header).commitment() => Ok(()),
        Some(_) => Err(format!("the root chain has another block {number} than the proof shows")),
        None => Err(format!("the root chain has no block {number}")),
    })
}

/// A spend of a coin, which anybody may show against its exit.
#[derive(Debug, Clone)]
pub(crate) struct Spend {
    pub(crate) tx_hash: TxHash,
    pub(crate) body: Transaction,
    pub(crate) signature: Signature,
}

/// Returns the spend of `coin` that a server names, if it is one: a body over the coin with its owner's signature.
pub(crate) async fn proven_spend(
    session: &Session,
    server: &Client,
    coin: &Coin,
) -> Result<Option<Spend>, ClientError> {
    let Some(tx_hash) = coin.spender else { return Ok(None) };
    let answer = server.transaction(tx_hash).await?;
    let Ok(body) = Transaction::decode(&answer.body) else { return Ok(None) };
    let signer = answer.signature.recover(body.signing_hash(&session.deployment.domain()));
    let is_spend = body.hash() == tx_hash && body.inputs().contains(&coin.id) && signer == Some(coin.output.owner);
    Ok(is_spend.then_some(Spend { tx_hash, body, signature: answer.signature }))
}
