//! Named people with a key each, funded on the root chain.

use alloy_primitives::{Address, B256, keccak256};
use plasmid_exit_game::output::{Output, OutputId};
use plasmid_exit_game::position::Position;
use plasmid_exit_game::signature::{Domain, Signature};
use plasmid_exit_game::transaction::{PlacedTransaction, Transaction, Witness};
use plasmid_root_chain::account::Account;

use crate::anvil::FUNDED_KEYS;

/// Somebody with a key.
#[derive(Debug, Clone)]
pub struct Person {
    /// What stories call them.
    pub name: &'static str,
    /// Their private key, `0x…`.
    pub key: &'static str,
    account: Account,
}

/// The people of all stories. Each has 10,000 ether on a fresh root chain.
#[derive(Debug, Clone)]
pub struct People {
    /// Produces blocks, honestly or not.
    pub operator: Person,
    /// Runs the watcher.
    pub watcher: Person,
    /// Honest.
    pub alice: Person,
    /// Honest.
    pub bob: Person,
    /// Honest.
    pub carol: Person,
    /// A thief.
    pub mallory: Person,
    /// Processes exits for their bounty.
    pub processor: Person,
}

impl People {
    /// Returns them.
    #[must_use]
    pub fn new() -> Self {
        Self {
            operator: Person::new("operator", 0),
            watcher: Person::new("watcher", 1),
            alice: Person::new("alice", 2),
            bob: Person::new("bob", 3),
            carol: Person::new("carol", 4),
            mallory: Person::new("mallory", 5),
            processor: Person::new("processor", 6),
        }
    }
}

impl Default for People {
    fn default() -> Self {
        Self::new()
    }
}

/// A coin as its owner knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coin {
    /// Its name.
    pub id: OutputId,
    /// Where it was made.
    pub position: Position,
    /// Owner, asset and amount.
    pub output: Output,
}

impl Person {
    fn new(name: &'static str, index: usize) -> Self {
        let key = FUNDED_KEYS[index];
        Self { name, key, account: Account::from_hex(key).expect("a key of anvil's") }
    }

    /// Returns number `index` of a crowd of people nobody knows by name, with no ether on the root chain.
    ///
    /// # Panics
    ///
    /// If its key is none, which no story sees.
    #[must_use]
    pub fn of_crowd(index: u32) -> Self {
        // Lives as long as the test, as everybody's key does.
        let key = format!("{}", keccak256(format!("number {index} of the crowd"))).leak();
        Self { name: "somebody", key, account: Account::from_hex(key).expect("hardly any word is no key") }
    }

    /// Returns the address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.account.address()
    }

    /// Returns the account, to send root-chain transactions from.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Returns an output of `amount` of `asset` to this person.
    #[must_use]
    pub fn gets(&self, asset: Address, amount: u128) -> Output {
        Output { owner: self.address(), asset, amount }
    }

    /// Signs a spend of `coins` into `outputs`.
    ///
    /// # Panics
    ///
    /// If that is no canonical body.
    #[must_use]
    pub fn sign(&self, domain: &Domain, coins: &[Coin], outputs: Vec<Output>) -> Signed {
        let inputs = coins.iter().map(|coin| coin.id).collect();
        self.sign_body(domain, Transaction::new(inputs, outputs, B256::ZERO).expect("a canonical body"), coins)
    }

    /// Signs any body; `coins` tell where its inputs were made.
    #[must_use]
    pub fn sign_body(&self, domain: &Domain, body: Transaction, coins: &[Coin]) -> Signed {
        let signature = self.account.sign_digest(body.signing_hash(domain));
        let placement = body
            .inputs()
            .iter()
            .filter_map(|id| coins.iter().find(|coin| coin.id == *id).map(|coin| coin.position))
            .collect();
        Signed { body, signature, placement }
    }
}

/// A signed transaction with the placement that an honest operator would give it.
#[derive(Debug, Clone)]
pub struct Signed {
    /// What is signed.
    pub body: Transaction,
    /// By the inputs' owner, or whoever pretends to be.
    pub signature: Signature,
    /// Where the inputs were made.
    pub placement: Vec<Position>,
}

impl Signed {
    /// Returns body and witness as a leaf's preimage.
    #[must_use]
    pub fn placed(&self) -> PlacedTransaction {
        let witness = Witness { signature: self.signature, placement: self.placement.clone() };
        PlacedTransaction { body: self.body.clone(), witness }
    }
}
