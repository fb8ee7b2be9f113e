//! What a server's answer is worth: pure, from the answer and a header that the root chain has. §1.8, §7
//!
//! A server is asked, never believed. A proof that does not prove is a lie, whoever sent it; a server that is behind, or that
//! says it has no proof, is not lying: others are asked.

use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::in_flight::SignedTransaction;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::signature::Domain;
use plasmid_exit_game::transaction::Transaction;
use plasmid_node::problem::{Code, Problem};
use plasmid_node::wire::evidence::{CoinOrigin, EvidenceCoin};
use plasmid_node::wire::{Answer, Block, Coin, IncludedTransaction, Inclusion, TransactionAnswer, Unspent, Verdict};

use crate::kept::GuardedCoin;
use crate::verdict::Newest;

/// How a server stands to the newest block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has verified it.
    AtHead,
    /// It has not got so far, or says that the block is not valid.
    Behind {
        /// The last block that it has verified.
        verified: BlockNumber,
        /// What it says of the newest: `unknown` where it has nothing to say.
        says: Verdict,
    },
    /// It gave a false proof.
    Lying(String),
    /// It gave no answer.
    Unreachable(String),
}

/// What a server said of one coin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The tree holds it, with proof.
    Held(Unspent),
    /// It is spent by this transaction, which is yet to be shown.
    Spent(TxHash),
    /// There is no proof of it.
    Denied(String),
    /// A false proof.
    Lie(String),
}

/// Tells how a server that shows `block` for the newest stands to it; which block it has verified instead is yet to be asked.
#[must_use]
pub fn standing(block: Option<&Block>, newest: &Newest) -> Standing {
    let behind = |says| Standing::Behind { verified: BlockNumber::ZERO, says };
    let Some(block) = block else { return behind(Verdict::Unknown) };
    match (block.header, block.verdict) {
        (Some(header), _) if Header::from(header).commitment() != newest.commitment => {
            Standing::Lying(format!("it shows another block {} than the root chain has", newest.number))
        }
        (Some(_), Verdict::Valid) => Standing::AtHead,
        (_, says) => behind(says),
    }
}

/// Judges the answer about `coin` in the tree of the block with `header`, which the root chain has.
#[must_use]
pub fn hear(coin: &GuardedCoin, header: &Header, answer: Answer<Unspent>) -> Heard {
    let unspent = match answer {
        Answer::Done(unspent) => unspent,
        Answer::Problem(Problem { code: Code::AlreadySpent, spender: Some(spender), .. }) => {
            return Heard::Spent(spender);
        }
        Answer::Problem(problem) => return Heard::Denied(problem.to_string()),
    };
    if Header::from(unspent.header) != *header || unspent.position != coin.position {
        return Heard::Lie(format!("its proof of coin {} is not for block {}", coin.id, header.number));
    }
    match unspent.verify(coin.id, &coin.output) {
        Ok(()) => Heard::Held(unspent),
        Err(error) => Heard::Lie(error.to_string()),
    }
}

/// Returns the coin that a server lists, with the payment that made it, if `made` proves its creation; the header is yet to be
/// compared with the root chain's.
///
/// # Errors
///
/// What is wrong with the proof.
pub fn created(coin: &Coin, made: Inclusion) -> Result<(GuardedCoin, IncludedTransaction), String> {
    let Coin { id, position, output, .. } = *coin;
    let evidence = EvidenceCoin { id, position, output, deposit: None, made: Some(made), unspent: None };
    match evidence.verify() {
        Ok(CoinOrigin::Transaction(included)) => {
            let made_by = Some(included.transaction.body.hash());
            Ok((GuardedCoin::new(id, position, output, made_by), *included))
        }
        Ok(CoinOrigin::Deposit(_)) => Err(format!("it shows no payment that made coin {id}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the spend that a server shows, if it is one: a body over the coin with its owner's signature.
#[must_use]
pub fn spend(
    coin: &GuardedCoin,
    tx_hash: TxHash,
    answer: &TransactionAnswer,
    domain: &Domain,
) -> Option<SignedTransaction> {
    let body = Transaction::decode(&answer.body).ok()?;
    let signer = answer.signature.recover(body.signing_hash(domain));
    let is_spend = body.hash() == tx_hash && body.inputs().contains(&coin.id) && signer == Some(coin.output.owner);
    is_spend.then_some(SignedTransaction { body, signature: answer.signature })
}

/// Returns the place that `made` proves of the transaction; the header is yet to be compared with the root chain's.
#[must_use]
pub fn included(tx_hash: TxHash, made: &Inclusion) -> Option<IncludedTransaction> {
    made.verify().ok().filter(|included| included.transaction.body.hash() == tx_hash)
}

/// Returns the name by which servers give the inclusion of a transaction.
#[must_use]
pub fn first_output(tx_hash: TxHash) -> OutputId {
    OutputId::of_output(tx_hash, 0)
}
