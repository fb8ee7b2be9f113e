//! Where evidence comes from: the root chain, the wallet, a file, the servers. All but the root chain is asked, never believed.
//!
//! What is shown counts where the root chain has committed to it: a deposit that it took, an inclusion under a header that it
//! has, in a block that is not void. Of several proofs the oldest counts: a stranger who shows a younger copy of a payment must
//! not make what it paid younger. §6

use std::collections::BTreeMap;

use alloy_primitives::Address;
use anyhow::Context as _;
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::game::Game;
use plasmid_exit_game::output::{Deposit, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::{OUTPUTS_MAX, PlacedTransaction, Transaction, Witness};
use plasmid_exit_game::tx_tree;
use plasmid_node::client::{Client, ClientError};
use plasmid_node::wire::evidence::{CoinOrigin, DepositNonce, Evidence, EvidenceCoin, EvidenceTransaction};
use plasmid_node::wire::{IncludedTransaction, Inclusion, Receipt};

use super::proof;
use crate::holdings::{self, Spend};
use crate::session::Session;
use crate::wallet::store::{SentTransaction, Wallet, signed_for};

/// Everybody who may know something of the account's coins and payments.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    pub(crate) session: &'a Session,
    pub(crate) servers: Vec<Client>,
    pub(crate) wallet: Wallet,
    /// The contract's events up to the head.
    pub(crate) game: Game,
    pub(crate) void_from: Option<BlockNumber>,
    /// What the wallet's owner has signed.
    pub(crate) sent: Vec<SentTransaction>,
    /// Which coins were signed for, by that and by the file's payments.
    pub(crate) signed: BTreeMap<OutputId, Vec<TxHash>>,
    /// Every coin that wallet or file shows, as often as they do.
    pub(crate) coins: BTreeMap<OutputId, Vec<EvidenceCoin>>,
    /// The file's payments, those that are shown in full.
    pub(crate) payments: BTreeMap<TxHash, EvidenceTransaction>,
    /// Every deposit.
    pub(crate) deposits: BTreeMap<OutputId, Deposit>,
}

impl<'a> Sources<'a> {
    /// Opens the wallet of `owner` and reads the root chain's events.
    pub(crate) async fn open(session: &'a Session, owner: Address, file: Option<&Evidence>) -> anyhow::Result<Self> {
        let wallet = session.wallet(owner).await?;
        let sent = wallet.sent()?;
        let mut signed = signed_for(&sent).context("read the wallet's own transactions")?;
        let mut coins: BTreeMap<OutputId, Vec<EvidenceCoin>> = BTreeMap::new();
        let of_file = file.into_iter().flat_map(|file| {
            file.transactions.iter().flat_map(|transaction| &transaction.inputs).chain(&file.coins).cloned()
        });
        for coin in wallet.coins()?.into_values().chain(of_file) {
            coins.entry(coin.id).or_default().push(coin);
        }
        let mut payments = BTreeMap::new();
        for payment in file.into_iter().flat_map(|file| &file.transactions) {
            if let Err(fault) = proof::check_transaction(payment, &session.deployment.domain()) {
                eprintln!("{} in the file: {:#}", payment.tx_hash, anyhow::Error::from(fault));
                continue;
            }
            for input in &payment.inputs {
                let by = signed.entry(input.id).or_default();
                if !by.contains(&payment.tx_hash) {
                    by.push(payment.tx_hash);
                }
            }
            payments.insert(payment.tx_hash, payment.clone());
        }
        let game = session.game().await?;
        let deposits = game.deposits(0, u64::MAX).map(|deposit| (deposit.output_id(), *deposit)).collect();
        Ok(Self {
            session,
            servers: session.servers().unwrap_or_default(),
            wallet,
            void_from: holdings::void_from(session).await?,
            game,
            sent,
            signed,
            coins,
            payments,
            deposits,
        })
    }

    // ------------------------------------------------------------- proofs

    /// Returns the oldest proof that wallet, file or root chain has of a coin's creation, or why none holds.
    pub(crate) fn known(&self, id: OutputId) -> Result<EvidenceCoin, String> {
        if let Some(deposit) = self.deposits.get(&id) {
            return of_deposit(id, deposit).ok_or_else(|| format!("deposit {} has no position", deposit.nonce));
        }
        let mut known = Err("neither wallet nor file has a proof of its creation".to_owned());
        for coin in self.coins.get(&id).into_iter().flatten() {
            known = older(known, self.proven(EvidenceCoin { unspent: None, ..coin.clone() }));
        }
        known
    }

    /// Returns the oldest proof that anybody has of a coin's creation, or why none holds.
    pub(crate) async fn creation(&self, id: OutputId) -> Result<EvidenceCoin, String> {
        let mut creation = self.known(id);
        if self.deposits.contains_key(&id) {
            return creation;
        }
        for server in &self.servers {
            match server.inclusion(id).await {
                Ok(made) => creation = older(creation, made_by(id, made).and_then(|coin| self.proven(coin))),
                Err(error) => tell(server, format_args!("where {id} was made"), &error),
            }
        }
        creation
    }

    /// Returns the coin if what is shown proves its creation.
    fn proven(&self, coin: EvidenceCoin) -> Result<EvidenceCoin, String> {
        let origin = coin.verify().map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
        match origin {
            CoinOrigin::Deposit(deposit) if !self.deposits.contains_key(&coin.id) => {
                Err(format!("the root chain knows no deposit {} with these fields", deposit.nonce))
            }
            CoinOrigin::Deposit(_) => Ok(coin),
            CoinOrigin::Transaction(included) => self.committed(&included).map(|()| coin),
        }
    }

    /// Tells why an inclusion proves nothing on this root chain, if it does not.
    fn committed(&self, included: &IncludedTransaction) -> Result<(), String> {
        let block = included.place.block;
        if let Some(from) = self.void_from.filter(|&from| block >= from) {
            return Err(format!("blocks from {from} on are void: only the payment that made it can exit, in flight"));
        }
        match self.game.header(block) {
            Some((header, _)) if *header == included.header => Ok(()),
            Some(_) => Err(format!("the root chain has another block {block} than the proof shows")),
            None => Err(format!("the root chain has no block {block}")),
        }
    }

    /// Returns the oldest inclusion of a transaction in a block that is not void, if wallet or file shows one.
    pub(crate) fn known_inclusion(&self, tx_hash: TxHash) -> Option<IncludedTransaction> {
        let of_payment = self.payments.get(&tx_hash).and_then(|payment| payment.made.as_ref());
        let shown = self.made(tx_hash).chain(of_payment);
        shown.filter_map(|made| self.included(tx_hash, made)).min_by_key(|included| included.place)
    }

    /// Returns the oldest inclusion of a transaction in a block that is not void, if anybody shows one.
    pub(crate) async fn inclusion(&self, tx_hash: TxHash) -> Option<IncludedTransaction> {
        let mut oldest = self.known_inclusion(tx_hash);
        for server in &self.servers {
            match server.inclusion(OutputId::of_output(tx_hash, 0)).await {
                Ok(made) => {
                    let shown = self.included(tx_hash, &made);
                    oldest = oldest.into_iter().chain(shown).min_by_key(|included| included.place);
                }
                Err(error) => tell(server, format_args!("whether {tx_hash} is included"), &error),
            }
        }
        oldest
    }

    fn included(&self, tx_hash: TxHash, made: &Inclusion) -> Option<IncludedTransaction> {
        let included = made.verify().ok().filter(|included| included.transaction.body.hash() == tx_hash)?;
        self.committed(&included).is_ok().then_some(included)
    }

    /// What wallet and file show for the creation of a transaction's outputs.
    fn made(&self, tx_hash: TxHash) -> impl Iterator<Item = &Inclusion> {
        let outputs = (0..OUTPUTS_MAX as u8).map(move |index| OutputId::of_output(tx_hash, index));
        outputs.filter_map(|id| self.coins.get(&id)).flatten().filter_map(|coin| coin.made.as_ref())
    }

    // ----------------------------------------------------------- payments

    /// Returns a payment's body and signature as the first that knows it has them. Whose signature it is, is still to be seen.
    async fn signed_transaction(&self, tx_hash: TxHash) -> Option<SignedTransaction> {
        let is_it = |signed: &SignedTransaction| signed.body.hash() == tx_hash;
        let of_wallet =
            self.sent.iter().filter(|sent| sent.tx_hash == tx_hash).filter_map(|sent| {
                Some(SignedTransaction { body: sent.transaction().ok()?, signature: sent.signature })
            });
        let of_payment = self.payments.get(&tx_hash).map(|payment| (&payment.body, &payment.witness));
        let of_coins = self.made(tx_hash).map(|made| (&made.body, &made.witness));
        let shown = of_payment
            .into_iter()
            .chain(of_coins)
            .filter_map(|(body, witness)| PlacedTransaction::decode(body, witness).ok().map(SignedTransaction::from));
        if let Some(signed) = of_wallet.chain(shown).find(is_it) {
            return Some(signed);
        }
        for server in &self.servers {
            match server.transaction(tx_hash).await {
                Ok(answer) => {
                    let body = Transaction::decode(&answer.body).ok();
                    let signed = body.map(|body| SignedTransaction { body, signature: answer.signature });
                    if let Some(signed) = signed.filter(is_it) {
                        return Some(signed);
                    }
                }
                Err(error) => tell(server, format_args!("what {tx_hash} is"), &error),
            }
        }
        None
    }

    /// Returns everything that an in-flight exit of a payment shows, each input by its oldest proof, or why there is none. §6.1
    ///
    /// `included` is its inclusion, if one is known.
    pub(crate) async fn payment(
        &self,
        tx_hash: TxHash,
        included: Option<&IncludedTransaction>,
    ) -> Result<EvidenceTransaction, String> {
        // The signature in a bad block's leaf may be any: it is the last resort.
        let signed = match self.signed_transaction(tx_hash).await {
            None => included.map(|included| included.transaction.clone().into()),
            signed => signed,
        };
        let unknown = "neither wallet, file nor server has its body and signature: add --evidence FILE, --operator-url URL or \
                       --watcher-url URL, or ask the payer for a file of `plasmid evidence export`";
        let SignedTransaction { body, signature } = signed.ok_or(unknown)?;
        let mut inputs = Vec::with_capacity(body.inputs().len());
        for &id in body.inputs() {
            inputs.push(self.creation(id).await.map_err(|reason| format!("its input {id}: {reason}"))?);
        }
        let witness = Witness { signature, placement: inputs.iter().map(|input| input.position).collect() };
        // A promise of a leaf with another placement is no part of what this exit shows.
        let leaf = tx_tree::leaf(tx_hash, witness.hash());
        let payment = EvidenceTransaction {
            tx_hash,
            body: body.encode().into(),
            witness: witness.encode().into(),
            made: included.map(Inclusion::from),
            receipt: self.receipts(tx_hash).find(|receipt| receipt.leaf == leaf).cloned(),
            inputs,
        };
        match proof::check_transaction(&payment, &self.session.deployment.domain()) {
            Ok(()) => Ok(payment),
            Err(fault) => Err(format!("{:#}", anyhow::Error::from(fault))),
        }
    }

    fn receipts(&self, tx_hash: TxHash) -> impl Iterator<Item = &Receipt> {
        let sent = self.sent.iter().filter(move |sent| sent.tx_hash == tx_hash);
        let of_wallet = sent.filter_map(|sent| sent.accepted().map(|accepted| &accepted.receipt));
        of_wallet.chain(self.payments.get(&tx_hash).and_then(|payment| payment.receipt.as_ref()))
    }

    // ------------------------------------------------------------- spends

    /// Returns a spend of a coin with its owner's signature, included or not, if anybody shows one.
    pub(crate) async fn signed_spend(&self, id: OutputId, owner: Address) -> Option<SignedTransaction> {
        for server in &self.servers {
            let spend = async { holdings::proven_spend(self.session, server, &server.coin(id).await?).await };
            match spend.await {
                Ok(Some(Spend { body, signature, .. }))
                    if body.inputs().contains(&id) && self.is_by(&body, &signature, owner) =>
                {
                    return Some(SignedTransaction { body, signature });
                }
                Ok(_) => {}
                Err(error) => tell(server, format_args!("whether {id} is spent"), &error),
            }
        }
        None
    }

    /// Returns a transaction that spends a coin with its owner's signature in a block that is not void, if anybody shows one.
    pub(crate) async fn included_spend(&self, id: OutputId, owner: Address) -> Option<IncludedTransaction> {
        let spend = self.signed_spend(id, owner).await?;
        let included = self.inclusion(spend.body.hash()).await?;
        // In its leaf stands the signature that the block's operator took, which may be another one.
        let signature = &included.transaction.witness.signature;
        self.is_by(&included.transaction.body, signature, owner).then_some(included)
    }

    fn is_by(&self, body: &Transaction, signature: &Signature, owner: Address) -> bool {
        signature.recover(body.signing_hash(&self.session.deployment.domain())) == Some(owner)
    }

    /// Returns the last block up to which the watcher found all valid, if one is named and answers.
    pub(crate) async fn verified(&self) -> anyhow::Result<Option<BlockNumber>> {
        let Some(watcher) = self.session.watcher()? else { return Ok(None) };
        match watcher.status().await {
            Ok(status) => Ok(Some(status.block.verified)),
            Err(error) => {
                eprintln!("{}: which blocks are valid is not known: {error}", watcher.url());
                Ok(None)
            }
        }
    }
}

/// Returns whichever proof is older; a reason only if neither holds.
fn older(one: Result<EvidenceCoin, String>, other: Result<EvidenceCoin, String>) -> Result<EvidenceCoin, String> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok(if other.position < one.position { other } else { one }),
        (Ok(proven), Err(_)) | (Err(_), Ok(proven)) => Ok(proven),
        (Err(_), Err(reason)) => Err(reason),
    }
}

fn of_deposit(id: OutputId, deposit: &Deposit) -> Option<EvidenceCoin> {
    let (position, output) = (Position::of_deposit(deposit.nonce)?, deposit.output);
    let deposit = Some(DepositNonce { nonce: deposit.nonce });
    Some(EvidenceCoin { id, position, output, deposit, made: None, unspent: None })
}

/// Returns the coin's entry by the inclusion of what made it.
fn made_by(id: OutputId, made: Inclusion) -> Result<EvidenceCoin, String> {
    let included = made.verify().map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
    let body = &included.transaction.body;
    let hash = body.hash();
    let found = (0u8..).zip(body.outputs()).find(|&(index, _)| OutputId::of_output(hash, index) == id);
    let found = found.and_then(|(index, &output)| Some((included.place.output(index)?, output)));
    let (position, output) = found.ok_or("what a server shows did not make it")?;
    Ok(EvidenceCoin { id, position, output, deposit: None, made: Some(made), unspent: None })
}

/// Says what a server cannot tell; not to know is no failure.
fn tell(server: &Client, what: std::fmt::Arguments<'_>, error: &ClientError) {
    if !holdings::is_not_found(error) {
        eprintln!("{}: {what} is not known: {error}", server.url());
    }
}
