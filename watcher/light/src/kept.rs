//! What a light watcher keeps: its owners' coins, the payments that made or spend them, and everything that their exits show.
//!
//! Nothing comes in unproven: a coin's creation is checked under a header that the root chain has before it is kept, so that an
//! exit needs the root chain and this alone. §7

use std::collections::BTreeMap;

use alloy_primitives::Address;
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::output::{Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Position, PositionKind};
use plasmid_exit_game::signature::Domain;
use plasmid_exit_game::transaction::{PlacedTransaction, Witness};
use plasmid_node::wire::evidence::{DepositNonce, EvidenceCoin, EvidenceTransaction};
use plasmid_node::wire::{IncludedTransaction, Inclusion, RootBlock, Unspent, form};
use serde::{Deserialize, Serialize};

/// Most coins that are guarded: whoever floods an owner with coins must not take its memory.
pub const COINS_MAX: usize = 10_000;

/// All that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whose coins are guarded, in order.
    pub owners: Vec<Address>,
    /// The root block after which following goes on: nothing before it is still open.
    pub resume: Option<RootBlock>,
    /// The last block up to which every coin was accounted for: blocks up to it count as valid, later ones do not. §7
    pub sound: BlockNumber,
    /// Since when no server has the newest block, in seconds of root-chain time.
    pub unserved_since: Option<u64>,
    /// The coins.
    pub coins: BTreeMap<OutputId, GuardedCoin>,
    /// The payments that made them, and those over them that their owners signed.
    pub payments: BTreeMap<TxHash, Payment>,
    /// Servers that gave a false proof, by address, and what it was.
    pub distrusted: BTreeMap<String, String>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            owners: Vec::new(),
            resume: None,
            sound: BlockNumber::ZERO,
            unserved_since: None,
            coins: BTreeMap::new(),
            payments: BTreeMap::new(),
            distrusted: BTreeMap::new(),
        }
    }
}

/// A coin that is guarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuardedCoin {
    /// Its name.
    #[serde(with = "form")]
    pub id: OutputId,
    /// Where it was made.
    #[serde(with = "form")]
    pub position: Position,
    /// Owner, asset and amount.
    #[serde(with = "form")]
    pub output: Output,
    /// The payment that made it; none for a deposit.
    #[serde(with = "form")]
    pub made_by: Option<TxHash>,
    /// The newest proof that it is unspent: a settlement after a halt asks for it. §8
    pub unspent: Option<Unspent>,
    /// That the newest block's tree holds it is not proven.
    pub unproven: Option<Unproven>,
}

/// Nobody has shown what became of a coin in the newest block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unproven {
    /// When that was first asked for, in seconds of root-chain time.
    pub since: u64,
    /// What the servers said instead, one line each; empty if nobody said anything.
    pub said: Vec<String>,
}

impl GuardedCoin {
    /// Returns a coin of which nobody was asked yet.
    #[must_use]
    pub fn new(id: OutputId, position: Position, output: Output, made_by: Option<TxHash>) -> Self {
        Self { id, position, output, made_by, unspent: None, unproven: None }
    }

    /// Returns the last block in whose tree it was shown.
    #[must_use]
    pub fn held(&self) -> Option<BlockNumber> {
        self.unspent.as_ref().map(|unspent| unspent.block)
    }

    /// Returns whether the tree of block `number`, which covers `deposit_count` deposits, has to hold it. §1.8
    #[must_use]
    pub fn is_made_by(&self, number: BlockNumber, deposit_count: u64) -> bool {
        match self.position.kind() {
            PositionKind::Deposit(nonce) => nonce < deposit_count,
            PositionKind::Output(place, _) => place.block <= number,
        }
    }
}

/// A payment with everything that its in-flight exit shows, or that a challenge by it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Body and witness; a signed payment that nobody has placed yet has its inputs' positions for its placement.
    pub transaction: PlacedTransaction,
    /// Who signed it; `None` if the signature is none.
    pub signer: Option<Address>,
    /// Where it stands, if that was shown under a header that the root chain has.
    pub included: Option<IncludedTransaction>,
    /// Its inputs, by what made each; fewer than it has until a server showed all.
    pub inputs: Vec<EvidenceCoin>,
}

impl Payment {
    /// Returns an included payment whose inputs are yet to be shown.
    #[must_use]
    pub fn included(included: IncludedTransaction, domain: &Domain) -> Self {
        let transaction = included.transaction.clone();
        Self { signer: signer(&transaction, domain), transaction, included: Some(included), inputs: Vec::new() }
    }

    /// Returns body and signature.
    #[must_use]
    pub fn signed(&self) -> SignedTransaction {
        self.transaction.clone().into()
    }

    /// Returns whether what made each of its inputs is known.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.inputs.len() == self.transaction.body.inputs().len()
    }

    /// Returns whether the coin is one of its inputs.
    #[must_use]
    pub fn spends(&self, id: OutputId) -> bool {
        self.transaction.body.inputs().contains(&id)
    }
}

fn signer(transaction: &PlacedTransaction, domain: &Domain) -> Option<Address> {
    transaction.witness.signature.recover(transaction.body.signing_hash(domain))
}

impl Kept {
    /// Guards a coin, by the payment that made it if one did. Does nothing for a coin that is kept, or beyond [`COINS_MAX`].
    pub fn guard(&mut self, coin: GuardedCoin, made_by: Option<Payment>) {
        if self.coins.len() >= COINS_MAX || self.coins.contains_key(&coin.id) {
            return;
        }
        if let Some(payment) = made_by {
            let kept = self.payments.entry(payment.transaction.body.hash()).or_insert_with(|| payment.clone());
            // One that was only signed so far is included now.
            kept.included = payment.included;
            kept.transaction = payment.transaction;
        }
        self.coins.insert(coin.id, coin);
    }

    /// Keeps a payment that the owner of its inputs signed, if all of them are guarded coins: they leave with it, if they must,
    /// and not without it.
    pub fn sign(&mut self, signed: &SignedTransaction, domain: &Domain) {
        let SignedTransaction { body, signature } = signed;
        let inputs: Option<Vec<_>> = body.inputs().iter().map(|id| self.evidence(*id)).collect();
        let Some(inputs) = inputs else { return };
        let placement = inputs.iter().map(|input| input.position).collect();
        let transaction =
            PlacedTransaction { body: body.clone(), witness: Witness { signature: *signature, placement } };
        let signer = signer(&transaction, domain);
        if signer.is_some() && inputs.iter().all(|input| Some(input.output.owner) == signer) {
            let payment = Payment { transaction, signer, included: None, inputs };
            self.payments.entry(body.hash()).or_insert(payment);
        }
    }

    /// Returns what shows the creation of a guarded coin, `None` for one that is not guarded.
    #[must_use]
    pub fn evidence(&self, id: OutputId) -> Option<EvidenceCoin> {
        let GuardedCoin { position, output, made_by, .. } = *self.coins.get(&id)?;
        let blank = EvidenceCoin { id, position, output, deposit: None, made: None, unspent: None };
        Some(match (position.kind(), made_by) {
            (PositionKind::Deposit(nonce), _) => EvidenceCoin { deposit: Some(DepositNonce { nonce }), ..blank },
            (PositionKind::Output(..), made_by) => {
                let included = self.payments.get(&made_by?)?.included.as_ref()?;
                EvidenceCoin { made: Some(Inclusion::from(included)), ..blank }
            }
        })
    }

    /// Returns a kept payment over the coin that its owner signed.
    #[must_use]
    pub fn spend_of(&self, id: OutputId, owner: Address) -> Option<(&TxHash, &Payment)> {
        self.payments.iter().find(|(_, payment)| payment.signer == Some(owner) && payment.spends(id))
    }

    /// Lets go of payments that neither made a guarded coin nor spend one.
    pub fn forget_payments(&mut self) {
        let Self { coins, payments, .. } = self;
        payments.retain(|hash, payment| {
            let mut inputs = payment.transaction.body.inputs().iter();
            inputs.any(|id| coins.contains_key(id)) || coins.values().any(|coin| coin.made_by == Some(*hash))
        });
    }
}

/// What is kept, as it stands in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Written {
    #[serde(with = "form")]
    owners: Vec<Address>,
    resume: Option<RootBlock>,
    #[serde(with = "form")]
    sound: BlockNumber,
    unserved_since: Option<u64>,
    coins: Vec<GuardedCoin>,
    payments: Vec<EvidenceTransaction>,
    distrusted: BTreeMap<String, String>,
}

impl From<&Kept> for Written {
    fn from(kept: &Kept) -> Self {
        let Kept { owners, resume, sound, unserved_since, coins, payments, distrusted } = kept;
        let payment = |(tx_hash, payment): (&TxHash, &Payment)| EvidenceTransaction {
            tx_hash: *tx_hash,
            body: payment.transaction.body.encode().into(),
            witness: payment.transaction.witness.encode().into(),
            made: payment.included.as_ref().map(Inclusion::from),
            receipt: None,
            inputs: payment.inputs.clone(),
        };
        Self {
            owners: owners.clone(),
            resume: *resume,
            sound: *sound,
            unserved_since: *unserved_since,
            coins: coins.values().cloned().collect(),
            payments: payments.iter().map(payment).collect(),
            distrusted: distrusted.clone(),
        }
    }
}

impl Written {
    /// Returns what was kept, or `None` if a payment does not decode: the file is damaged.
    pub(crate) fn read(self, domain: &Domain) -> Option<Kept> {
        let Self { owners, resume, sound, unserved_since, coins, payments, distrusted } = self;
        let payment = |written: EvidenceTransaction| {
            let transaction = PlacedTransaction::decode(&written.body, &written.witness).ok()?;
            let included = written.made.map(|made| made.verify().ok()).map_or(Some(None), |made| made.map(Some))?;
            let signer = signer(&transaction, domain);
            Some((transaction.body.hash(), Payment { transaction, signer, included, inputs: written.inputs }))
        };
        Some(Kept {
            owners,
            resume,
            sound,
            unserved_since,
            coins: coins.into_iter().map(|coin| (coin.id, coin)).collect(),
            payments: payments.into_iter().map(payment).collect::<Option<_>>()?,
            distrusted,
        })
    }
}
