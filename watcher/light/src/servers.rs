//! The questions to the servers, one round: the shell around [`answer`].
//!
//! The cost of a round does not depend on how many blocks have passed: a header and a list of own coins from each server, one
//! request of proofs for up to [`BATCH`] coins, and what made a coin once for each new one.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, PositionKind};
use plasmid_exit_game::signature::Domain;
use plasmid_node::client::{Client, ClientError};
use plasmid_node::problem::Code;
use plasmid_node::wire::evidence::{CoinOrigin, DepositNonce, EvidenceCoin};
use plasmid_node::wire::{BlockChoice, Coin, CoinState, UnspentQuery};
use plasmid_root_chain::client::RootChain;
use plasmid_root_chain::node::{At, ReadError};

use crate::answer::{self, Heard, Standing};
use crate::kept::{COINS_MAX, Kept, Payment};
use crate::verdict::{Look, Newest};

/// Coins asked for in one request.
pub const BATCH: usize = 500;

/// Why a server's turn ends early.
enum Stop {
    /// The root chain cannot be asked: nothing can be concluded.
    Root(ReadError),
    /// This server is of no more use in this round.
    Server(Standing),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Root(error)
    }
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Self::Server(Standing::Unreachable(error.to_string()))
    }
}

/// One round of questions.
#[derive(Debug)]
pub(crate) struct Round<'a> {
    root: &'a RootChain,
    /// The root block, final, as of which the headers are.
    anchor: At,
    newest: &'a Newest,
    domain: &'a Domain,
    kept: &'a mut Kept,
    look: Look,
}

/// Asks all servers, those that lied before last, and keeps what new coins they prove.
pub(crate) async fn look(
    root: &RootChain,
    anchor: At,
    newest: &Newest,
    domain: &Domain,
    servers: &[Client],
    kept: &mut Kept,
) -> Result<Look, ReadError> {
    let (trusted, distrusted): (Vec<_>, Vec<_>) =
        servers.iter().partition(|server| !kept.distrusted.contains_key(server.url()));
    let mut round = Round { root, anchor, newest, domain, kept, look: Look::default() };
    for server in trusted.into_iter().chain(distrusted) {
        let standing = match round.ask(server).await {
            Ok(standing) | Err(Stop::Server(standing)) => standing,
            Err(Stop::Root(error)) => return Err(error),
        };
        if let Standing::Lying(what) = &standing {
            round.all_unproven().into_iter().for_each(|id| round.note(id, server, what));
        }
        round.look.servers.push((server.url().to_owned(), standing));
    }
    Ok(round.look)
}

impl Round<'_> {
    async fn ask(&mut self, server: &Client) -> Result<Standing, Stop> {
        let (standing, header) = self.stand(server).await?;
        let Some(header) = header else { return Ok(standing) };
        for owner in self.kept.owners.clone() {
            self.find_coins(server, owner).await?;
        }
        self.complete_payments(server).await?;
        let is_wanted = |id: &OutputId| {
            let coin = &self.kept.coins[id];
            let newer = self.look.held.get(id).map(|unspent| unspent.block).max(coin.held());
            let is_shown = newer.is_some_and(|held| held >= header.number) || self.look.spent.contains_key(id);
            !is_shown && coin.is_made_by(header.number, header.deposit_count)
        };
        let wanted: Vec<_> = self.kept.coins.keys().copied().filter(is_wanted).collect();
        for ids in wanted.chunks(BATCH) {
            self.ask_for_proofs(server, &header, ids).await?;
        }
        Ok(standing)
    }

    /// Finds out how the server stands, and the header of the last block that it has verified.
    async fn stand(&mut self, server: &Client) -> Result<(Standing, Option<Header>), Stop> {
        if self.newest.number == BlockNumber::ZERO {
            server.status().await?;
            return Ok((Standing::AtHead, None));
        }
        let block = or_not_found(server.block(self.newest.number).await)?;
        let standing = answer::standing(block.as_ref(), self.newest);
        let verified = match standing {
            Standing::AtHead => return Ok((standing, block.and_then(|block| block.header).map(Into::into))),
            Standing::Behind { .. } => server.status().await?.block.verified.min(self.newest.number),
            Standing::Lying(_) | Standing::Unreachable(_) => return Err(Stop::Server(standing)),
        };
        let says = block.map_or(plasmid_node::wire::Verdict::Unknown, |block| block.verdict);
        let block = or_not_found(server.block(verified).await)?;
        let Some(header) = block.and_then(|block| block.header).map(Header::from) else {
            return Ok((Standing::Behind { verified, says }, None));
        };
        if header.number != verified || !self.is_committed(&header).await? {
            let what = format!("it shows another block {verified} than the root chain has");
            return Err(Stop::Server(Standing::Lying(what)));
        }
        Ok((Standing::Behind { verified, says }, Some(header)))
    }

    /// Keeps the coins that the server lists and nobody had, by what made each.
    async fn find_coins(&mut self, server: &Client, owner: Address) -> Result<(), Stop> {
        let mut cursor: Option<String> = None;
        let mut seen = 0;
        loop {
            let page = server.coins(owner, None, cursor.as_deref()).await?;
            seen += page.items.len();
            // Unspent ones come first.
            let is_last = page.items.iter().any(|coin| coin.spender.is_some());
            for coin in page.items.iter().filter(|coin| coin.output.owner == owner) {
                self.find_coin(server, coin).await?;
            }
            match page.cursor {
                Some(next) if !is_last && seen < COINS_MAX && cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => return Ok(()),
            }
        }
    }

    async fn find_coin(&mut self, server: &Client, coin: &Coin) -> Result<(), Stop> {
        // The root chain tells of deposits. Void payments leave in flight, and are known or were never received.
        let is_new = matches!(coin.state, CoinState::Committed | CoinState::Final)
            && coin.position.block().is_some_and(|block| block <= self.newest.number)
            && !self.kept.coins.contains_key(&coin.id);
        if !is_new || self.root.coin(coin.id).await?.state > 1 {
            return Ok(());
        }
        let Some(made) = or_not_found(server.inclusion(coin.id).await)? else { return Ok(()) };
        let (guarded, included) = answer::created(coin, made).map_err(lie)?;
        if !self.is_committed(&included.header).await? {
            return Err(lie(format!("it shows another block {} than the root chain has", included.header.number)));
        }
        self.kept.guard(guarded, Some(Payment::included(included, self.domain)));
        Ok(())
    }

    /// Finds what made the inputs of kept payments: their exits in flight show it.
    async fn complete_payments(&mut self, server: &Client) -> Result<(), Stop> {
        let open = self.kept.payments.iter().filter(|(_, payment)| !payment.is_complete());
        let open: Vec<TxHash> = open.map(|(&tx_hash, _)| tx_hash).collect();
        for tx_hash in open {
            let ids = self.kept.payments[&tx_hash].transaction.body.inputs().to_vec();
            let mut inputs = Vec::with_capacity(ids.len());
            for id in ids {
                match self.creation(server, id).await? {
                    Some(input) => inputs.push(input),
                    None => break,
                }
            }
            if let Some(payment) = self.kept.payments.get_mut(&tx_hash)
                && inputs.len() == payment.transaction.body.inputs().len()
            {
                payment.inputs = inputs;
            }
        }
        Ok(())
    }

    /// Returns what made a coin of anybody's, if that is proven.
    async fn creation(&mut self, server: &Client, id: OutputId) -> Result<Option<EvidenceCoin>, Stop> {
        if let Some(known) = self.kept.evidence(id) {
            return Ok(Some(known));
        }
        let Some(Coin { position, output, .. }) = or_not_found(server.coin(id).await)? else { return Ok(None) };
        let blank = EvidenceCoin { id, position, output, deposit: None, made: None, unspent: None };
        let evidence = match position.kind() {
            PositionKind::Deposit(nonce) => EvidenceCoin { deposit: Some(DepositNonce { nonce }), ..blank },
            PositionKind::Output(..) => {
                let Some(made) = or_not_found(server.inclusion(id).await)? else { return Ok(None) };
                EvidenceCoin { made: Some(made), ..blank }
            }
        };
        let is_proven = match evidence.verify() {
            Ok(CoinOrigin::Deposit(_)) => self.root.coin(id).await?.state != 0,
            Ok(CoinOrigin::Transaction(included)) => self.is_committed(&included.header).await?,
            Err(_) => false,
        };
        if !is_proven {
            return Err(lie(format!("what it shows did not make coin {id}")));
        }
        Ok(Some(evidence))
    }

    async fn ask_for_proofs(&mut self, server: &Client, header: &Header, ids: &[OutputId]) -> Result<(), Stop> {
        let query = UnspentQuery { block: BlockChoice::Number(header.number), ids: ids.to_vec() };
        let answers = server.unspent_many(&query).await?;
        if answers.len() != ids.len() {
            return Err(lie(format!("it answers {} questions of {}", answers.len(), ids.len())));
        }
        for (&id, answer) in ids.iter().zip(answers) {
            match answer::hear(&self.kept.coins[&id], header, answer) {
                Heard::Held(unspent) => drop(self.look.held.insert(id, unspent)),
                Heard::Denied(what) => self.note(id, server, &what),
                Heard::Lie(what) => return Err(lie(what)),
                Heard::Spent(by) => self.look_at_spend(server, id, by).await?,
            }
        }
        Ok(())
    }

    /// A coin is spent when its owner's signature is shown, in a block. What is signed and in no block leaves in flight.
    async fn look_at_spend(&mut self, server: &Client, id: OutputId, by: TxHash) -> Result<(), Stop> {
        let shown = or_not_found(server.transaction(by).await)?;
        let signed = shown.and_then(|shown| answer::spend(&self.kept.coins[&id], by, &shown, self.domain));
        let Some(SignedTransaction { body, signature }) = signed else {
            self.note(
                id,
                server,
                &format!("it is said to be spent by {by}, which its owner is not shown to have signed"),
            );
            return Ok(());
        };
        let made = or_not_found(server.inclusion(answer::first_output(by)).await)?;
        let included = made.and_then(|made| answer::included(by, &made));
        let is_in_time = |block: BlockNumber| block <= self.newest.number;
        match included.filter(|included| is_in_time(included.place.block)) {
            Some(included) if self.is_committed(&included.header).await? => drop(self.look.spent.insert(id, by)),
            _ => {
                self.kept.sign(&SignedTransaction { body, signature }, self.domain);
                self.note(id, server, &format!("it is said to be spent by {by}, which is not shown to be in a block"));
            }
        }
        Ok(())
    }

    /// Returns whether the root chain has committed the block with this header.
    async fn is_committed(&mut self, header: &Header) -> Result<bool, Stop> {
        let number = header.number;
        if number == self.newest.number {
            return Ok(header.commitment() == self.newest.commitment);
        }
        let commitment = self.root.commitment_at(self.anchor, number).await?;
        Ok(commitment == Some(header.commitment()))
    }

    fn note(&mut self, id: OutputId, server: &Client, what: &str) {
        self.look.said.entry(id).or_default().push(format!("{}: {what}", server.url()));
    }

    fn all_unproven(&self) -> BTreeSet<OutputId> {
        self.kept.coins.keys().copied().filter(|id| !self.look.held.contains_key(id)).collect()
    }
}

fn lie(what: String) -> Stop {
    Stop::Server(Standing::Lying(what))
}

/// That a server does not have something is an answer.
fn or_not_found<T>(answer: Result<T, ClientError>) -> Result<Option<T>, Stop> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(ClientError::Problem { problem, .. }) if problem.code == Code::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
