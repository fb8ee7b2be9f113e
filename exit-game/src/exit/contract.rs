//! The contract on the root chain, call by call: deposits, blocks, exits and the money that they move. §2–§6, §8.
//!
//! [`Contract`] follows the protocol text, as the Solidity does, and a test holds the two against each other: the same
//! calls are refused for the same reason, emit the same events and leave the same words. What it leaves to others: gas,
//! the lock, the tokens' own books, and the wei and tokens that the contract's account holds.

mod evidence;
mod faults;
mod in_flight;
mod ledger;
mod missing;
mod operations;
mod processing;
mod revert;
mod settlement;
mod standard_exits;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use alloy_primitives::{Address, B256, U256};

pub use self::evidence::{InclusionProof, InputProof, Spend};
pub use self::faults::{ANNOUNCEMENT_AGE, ShownReceipt, announcement_of};
pub use self::in_flight::OpenExit;
pub use self::ledger::{Anchor, Submission};
pub use self::missing::{ClaimState, OpenClaim};
pub use self::operations::{OperatorBond, OperatorKey, ROTATION_DISTANCE};
pub use self::processing::PieceRecord;
pub use self::revert::Revert;
use crate::exit::key::Periods;
use crate::exit::queue::ExitQueue;
use crate::exit::standard::CoinState;
use crate::facts::RootEvent;
use crate::fault::Conviction;
use crate::output::{ETHER, OutputId, TxHash};
use crate::position::{BlockNumber, Position};
use crate::signature::Domain;

/// What a deployment fixes for ever. §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Commits the first blocks; not zero.
    pub operator: Address,
    /// MEP and sunset.
    pub periods: Periods,
    /// Wei that a standard exit's owner puts up.
    pub exit_bond: u128,
    /// The part of it that goes to whoever processes the exit; at most the bond.
    pub exit_bounty: u128,
    /// Wei that an in-flight exit's starter puts up, and a challenger of its canonicity.
    pub in_flight_bond: u128,
    /// Wei that a piece's owner puts up.
    pub piece_bond: u128,
    /// What each input of the piece's transaction adds to it.
    pub piece_bond_per_input: u128,
    /// The part of `piece_bond` that goes to whoever processes the piece; at most all of it.
    pub piece_bounty: u128,
    /// The part of `piece_bond_per_input` that does; at most all of it.
    pub piece_bounty_per_input: u128,
    /// Wei that a conviction takes of the operator's bond, and the least that its part for faults has.
    pub fault_slash: u128,
    /// Wei that a broken receipt takes, likewise.
    pub receipt_slash: u128,
    /// Wei that whoever claims a coin missing from an unspent tree puts up. R9.
    pub missing_bond: u128,
}

impl Parameters {
    /// Returns the bond of a piece of a transaction with so many inputs, in wei. §2.
    #[must_use]
    pub fn bond_of_piece(&self, inputs: usize) -> U256 {
        grown(self.piece_bond, self.piece_bond_per_input, inputs)
    }

    /// Returns the part of that bond which goes to whoever processes the piece, in wei. §2.
    #[must_use]
    pub fn bounty_of_piece(&self, inputs: usize) -> U256 {
        grown(self.piece_bounty, self.piece_bounty_per_input, inputs)
    }
}

/// Returns `amount` with `per_input` for each input; at most 17 times 2^128.
fn grown(amount: u128, per_input: u128, inputs: usize) -> U256 {
    U256::from(per_input).saturating_mul(U256::from(inputs)).saturating_add(U256::from(amount))
}

/// Who calls, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The account that calls.
    pub caller: Address,
    /// Timestamp of the root block that executes the call, in seconds; below 2^40, in which the contract's words keep times.
    pub now: u64,
    /// Number of that root block.
    pub root_block: u64,
}

/// A transfer out of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    /// In which asset.
    pub asset: Address,
    /// To whom.
    pub to: Address,
    /// How much, above zero.
    pub amount: U256,
}

/// How a [`Payment`] went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// It was received.
    Received,
    /// The receiver or the token refused it, with the full gas share at hand. §5.2.
    Failed,
}

/// Answers how each payment goes, in the order in which they are made.
pub type Pay<'a> = dyn FnMut(Payment) -> PaymentOutcome + 'a;

/// The child chain as the contract knows it. §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// Number of the next block; 2^39 when there is none left.
    pub next_number: u64,
    /// Timestamp of the last block, or of the deployment, in seconds.
    pub last_timestamp: u64,
    /// Deposits that the last block covers.
    pub deposit_count: u64,
    /// Nonce of the next deposit, which is the number of deposits so far.
    pub next_nonce: u64,
    /// Whether a block was proven invalid.
    pub halt: Option<Halt>,
    /// When the chain was closed, in seconds. §8.
    pub closed_at: Option<u64>,
}

impl ChainHead {
    fn halted_from(&self) -> Option<BlockNumber> {
        self.halt.map(|halt| halt.from)
    }
}

/// From where on blocks are void. §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halt {
    /// The first void block.
    pub from: BlockNumber,
    /// When `from` last fell, in seconds.
    pub at: u64,
}

/// The contract's storage. §2, §5.1, §6.
///
/// A call that is refused changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    parameters: Parameters,
    domain: Domain,
    head: ChainHead,
    commitments: BTreeMap<BlockNumber, B256>,
    coins: BTreeMap<OutputId, CoinState>,
    payees: BTreeMap<OutputId, Address>,
    /// What each asset that was ever deposited may still pay to exits.
    owed: BTreeMap<Address, u128>,
    exit_keys: BTreeMap<Address, ExitQueue>,
    claimable: BTreeMap<(Address, Address), U256>,
    in_flight: BTreeMap<TxHash, OpenExit>,
    operator_key: OperatorKey,
    next_operator: Address,
    former_keys: Vec<OperatorKey>,
    bond: OperatorBond,
    announcements: BTreeMap<B256, u64>,
    convictions: BTreeMap<BlockNumber, Conviction>,
    slashed_receipts: BTreeMap<BlockNumber, Conviction>,
    missing_claims: BTreeMap<(BlockNumber, Position), ClaimState>,
}

impl Contract {
    /// Returns a contract deployed at `now`, in seconds, whose transactions are signed for `domain`, with `bond` wei of the
    /// operator's: one slash for its part for faults, the rest for broken receipts. §3.
    ///
    /// # Errors
    ///
    /// [`Revert::InvalidParameters`] if the operator is zero, MEP is zero, the sunset is shorter than MEP, a bounty larger
    /// than its bond, or the operator's bond less than a slash of each kind.
    pub fn deploy(parameters: Parameters, bond: u128, domain: Domain, now: u64) -> Result<Self, Revert> {
        let Periods { minimum_exit_period, sunset } = parameters.periods;
        let valid = !parameters.operator.is_zero()
            && minimum_exit_period != 0
            && sunset >= minimum_exit_period
            && parameters.exit_bounty <= parameters.exit_bond
            && parameters.piece_bounty <= parameters.piece_bond
            && parameters.piece_bounty_per_input <= parameters.piece_bond_per_input;
        let receipt_part = bond.checked_sub(parameters.fault_slash).filter(|part| *part >= parameters.receipt_slash);
        let Some(receipt_part) = receipt_part.filter(|_| valid) else { return Err(Revert::InvalidParameters) };
        let account = parameters.operator;
        let head = ChainHead {
            next_number: BlockNumber::FIRST.get(),
            last_timestamp: now,
            deposit_count: 0,
            next_nonce: 0,
            halt: None,
            closed_at: None,
        };
        Ok(Self {
            parameters,
            domain,
            head,
            commitments: BTreeMap::new(),
            coins: BTreeMap::new(),
            payees: BTreeMap::new(),
            owed: BTreeMap::from([(ETHER, 0)]),
            exit_keys: BTreeMap::new(),
            claimable: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            operator_key: OperatorKey { account, first_block: 0, next_first_block: None },
            next_operator: Address::ZERO,
            former_keys: Vec::new(),
            bond: OperatorBond { fault_part: parameters.fault_slash, receipt_part },
            announcements: BTreeMap::new(),
            convictions: BTreeMap::new(),
            slashed_receipts: BTreeMap::new(),
            missing_claims: BTreeMap::new(),
        })
    }

    /// Returns what the deployment fixed.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Returns the head of the child chain.
    #[must_use]
    pub fn head(&self) -> &ChainHead {
        &self.head
    }

    /// Returns the commitment of a block. §1.9.
    #[must_use]
    pub fn commitment(&self, number: BlockNumber) -> Option<B256> {
        self.commitments.get(&number).copied()
    }

    /// Returns the word of an output id. §5.1.
    #[must_use]
    pub fn coin(&self, output_id: OutputId) -> CoinState {
        self.coins.get(&output_id).copied().unwrap_or_default()
    }

    /// Returns to whom the coin's last assigned exit was handed. Counts only while its word says assigned.
    #[must_use]
    pub fn payee(&self, output_id: OutputId) -> Option<Address> {
        self.payees.get(&output_id).copied()
    }

    /// Returns what an asset may still pay to exits, in base units; `None` for a token that was never deposited. §2.
    #[must_use]
    pub fn owed(&self, asset: Address) -> Option<u128> {
        self.owed.get(&asset).copied()
    }

    /// Returns the keys of an asset's exits; `None` before its first exit. §4.
    #[must_use]
    pub fn exit_keys(&self, asset: Address) -> Option<&ExitQueue> {
        self.exit_keys.get(&asset)
    }

    /// Returns the account's credit in an asset, in base units. §5.2.
    #[must_use]
    pub fn claimable(&self, account: Address, asset: Address) -> U256 {
        self.claimable.get(&(account, asset)).copied().unwrap_or_default()
    }

    /// Returns the open in-flight exit of a transaction. §6.
    #[must_use]
    pub fn in_flight_exit(&self, tx_hash: TxHash) -> Option<&OpenExit> {
        self.in_flight.get(&tx_hash)
    }

    /// Returns the root block in which an announcement was first made. §3.
    #[must_use]
    pub fn announcement(&self, announcement: B256) -> Option<u64> {
        self.announcements.get(&announcement).copied()
    }

    /// Returns the conviction of a block. §3.
    #[must_use]
    pub fn conviction(&self, number: BlockNumber) -> Option<Conviction> {
        self.convictions.get(&number).copied()
    }

    /// Returns when a receipt for a block was slashed. §3.
    #[must_use]
    pub fn slashed_receipt(&self, number: BlockNumber) -> Option<Conviction> {
        self.slashed_receipts.get(&number).copied()
    }

    /// Returns what is kept of a claim that the unspent tree of block `number` lacks the coin made at `position`. R9.
    #[must_use]
    pub fn missing_claim(&self, number: BlockNumber, position: Position) -> Option<ClaimState> {
        self.missing_claims.get(&(number, position)).copied()
    }

    /// Returns whether block `number` is void. §3.
    fn is_void(&self, number: BlockNumber) -> bool {
        self.head.halted_from().is_some_and(|from| from <= number)
    }

    fn check_not_void(&self, number: BlockNumber) -> Result<(), Revert> {
        if self.is_void(number) { Err(Revert::VoidBlock { number }) } else { Ok(()) }
    }

    /// Makes a payment, or credits it if it fails. Nothing happens for an amount of zero. §5.2.
    fn pay_or_credit(&mut self, payment: Payment, pay: &mut Pay<'_>, events: &mut Vec<RootEvent>) -> PaymentOutcome {
        if payment.amount.is_zero() {
            return PaymentOutcome::Received;
        }
        let outcome = pay(payment);
        match outcome {
            PaymentOutcome::Received => {}
            PaymentOutcome::Failed => {
                let Payment { asset, to: account, amount } = payment;
                let credit = self.claimable.entry((account, asset)).or_default();
                // No account is credited 2^256: each amount has left what an asset owes or was a bond in ether.
                *credit = credit.saturating_add(amount);
                events.push(RootEvent::Credited { account, asset, amount });
            }
        }
        outcome
    }
}

/// Refuses a value sent that is not the bond, both in wei.
fn check_bond(sent: U256, bond: U256) -> Result<(), Revert> {
    if sent == bond { Ok(()) } else { Err(Revert::WrongBond { sent, bond }) }
}
