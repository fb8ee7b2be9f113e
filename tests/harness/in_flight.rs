//! In-flight exits as people make them, honest or not, and the books that must balance whatever they did. §6.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, U256};
use plasmid_exit_game::exit::in_flight::{InFlightData, Piece, PieceSet, SignedTransaction};
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_exit_game::output::{ETHER, OutputId};
use plasmid_root_chain::calls::{InclusionProof, InputProof, PieceRecord, Spend};
use plasmid_root_chain::client::InFlightWord;
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::node::{Landed, LogRange};
use plasmid_root_chain::sender::SendError;

use crate::people::{Coin, Person, Signed};
use crate::world::World;

/// Most keys of an asset that are looked at.
const KEYS_MAX: u64 = 100;

impl World {
    /// Starts the exit of a payment whose inputs these made, and returns how the contract keeps it.
    pub async fn start_in_flight(&self, starter: &Person, payment: &Signed, inputs: &[InputProof]) -> InFlightWord {
        let bond = self.deployment.bonds.in_flight_bond_wei;
        self.send(starter, &self.root.start_in_flight_exit(&payment.shown(), inputs, bond)).await;
        self.until("the in-flight exit is started", || async {
            self.root.in_flight_exit(payment.body.hash()).await.ok()?
        })
        .await
    }

    /// Claims pieces of one asset for their owner.
    pub async fn piggyback(&self, owner: &Person, payment: &Signed, pieces: &[Piece]) -> Landed {
        let claimed = self.try_piggyback(owner, payment, pieces).await;
        claimed.unwrap_or_else(|error| panic!("{} cannot piggyback: {error:?}", owner.name))
    }

    /// As [`Self::piggyback`], for claims that may be refused.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the contract's reason.
    pub async fn try_piggyback(&self, who: &Person, payment: &Signed, pieces: &[Piece]) -> Result<Landed, SendError> {
        let data = self.in_flight_data(payment).await;
        let bond = self.deployment.bonds.of_pieces(pieces.len() as u32, payment.body.inputs().len());
        let pieces = pieces.iter().copied().collect();
        let call = self.root.piggyback(&payment.body, Some(&data), pieces, 0, bond.expect("few wei"));
        self.try_send(who, &call).await
    }

    /// Shows a competitor over input `input`, included or not.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the contract's reason.
    pub async fn challenge_not_canonical(
        &self,
        challenger: &Person,
        payment: &Signed,
        input: u8,
        competitor: &Signed,
        inclusion: Option<InclusionProof>,
    ) -> Result<Landed, SendError> {
        let (data, bond) = (self.in_flight_data(payment).await, self.deployment.bonds.in_flight_bond_wei);
        let competitor = Spend { transaction: competitor.shown(), inclusion };
        let call = self.root.challenge_not_canonical(payment.body.hash(), &data, input, &competitor, bond);
        self.try_send(challenger, &call).await
    }

    /// Ends an exit that is over.
    pub async fn close_in_flight(&self, who: &Person, payment: &Signed) -> Landed {
        let data = self.in_flight_data(payment).await;
        self.send(who, &self.root.close_in_flight_exit(payment.body.hash(), &data)).await
    }

    /// Processes whatever pieces of these payments' exits are live in one asset, and returns the contract's events.
    pub async fn process_pieces(&self, asset: Address, payments: &[&Signed]) -> Vec<RootEvent> {
        let mut records = Vec::new();
        for payment in payments {
            let word = self.root.in_flight_exit(payment.body.hash()).await.expect("the root chain answers");
            let pieces = word.expect("an open exit").live_pieces;
            records.push(PieceRecord { body: payment.body.clone(), data: self.in_flight_data(payment).await, pieces });
        }
        let landed = self.send(&self.people.processor, &self.root.process_exits(asset, &[], &records)).await;
        self.events(&landed)
    }

    /// Waits until the payment's exit is open and as wanted, and returns how the contract keeps it.
    pub async fn until_in_flight(
        &self,
        payment: &Signed,
        what: &str,
        is_wanted: impl Fn(&InFlightWord) -> bool,
    ) -> InFlightWord {
        let look = || async { self.root.in_flight_exit(payment.body.hash()).await.ok()?.filter(&is_wanted) };
        self.until(&format!("of an in-flight exit, {what}"), look).await
    }

    /// Waits until nothing is left of the payment's exit.
    pub async fn until_closed(&self, payment: &Signed) {
        self.until("the in-flight exit is closed", || async {
            self.root.in_flight_exit(payment.body.hash()).await.ok()?.is_none().then_some(())
        })
        .await;
    }

    /// Waits until a coin that was exiting is not.
    pub async fn until_challenged(&self, coin: &Coin) {
        self.until("the standard exit is challenged", || async {
            self.root.coin(coin.id).await.ok()?.record_hash.is_zero().then_some(())
        })
        .await;
    }

    /// Waits until somebody has started the standard exit of a coin, and returns its record.
    pub async fn until_exiting(&self, coin: OutputId) -> ExitRecord {
        self.until("the coin's exit is started", || async {
            self.history().await.into_iter().rev().find_map(|event| match event {
                RootEvent::StandardExitStarted(record) if record.output_id == coin => Some(record),
                _ => None,
            })
        })
        .await
    }

    /// Returns the data of the payment's newest exit as they stand.
    async fn in_flight_data(&self, payment: &Signed) -> InFlightData {
        let data = self.history().await.into_iter().rev().find_map(|event| match event {
            RootEvent::InFlight { tx_hash, step } if tx_hash == payment.body.hash() => match *step {
                InFlightStep::Started { data, .. } | InFlightStep::Improved { data, .. } => Some(data),
                _ => None,
            },
            _ => None,
        });
        data.expect("the exit was started")
    }

    /// Returns every event of the contract, in order.
    pub async fn history(&self) -> Vec<RootEvent> {
        let (node, contract) = (self.root.node(), self.deployment.contract);
        let head = node.head().await.expect("the root chain answers").at.number;
        let logs = node.logs(contract, LogRange::Numbers(0, head)).await.expect("the root chain answers");
        logs.iter().map(|log| decode_event(contract, log).expect("our own events decode")).collect()
    }

    /// Returns the books, which balance whatever was done: no coin is paid twice, no asset pays more than was deposited,
    /// and beside what it owes and credits the contract holds the operator's bond and the rewards that wait, nothing else.
    ///
    /// # Panics
    ///
    /// If they do not, or if an exit is open yet, whose bonds the contract holds; or if the story's trouble never came.
    pub async fn books(&self) -> Books {
        assert!(self.has_had_its_trouble(), "the story was not disturbed");
        let books = Books::of(&self.history().await);
        for (&asset, &deposited) in &books.deposited {
            let paid = books.payments.iter().filter(|paid| paid.asset == asset).map(|paid| paid.amount).sum::<u128>();
            assert!(paid <= deposited, "{paid} of {asset} paid, {deposited} deposited");
            let owed = self.root.asset(asset).await.expect("the root chain answers").owed;
            assert_eq!(owed, deposited - paid, "what may still be paid of {asset}");
            let keys = self.root.exit_keys(asset, 0, KEYS_MAX).await.expect("the root chain answers");
            assert!(keys.iter().all(|key| key.count == 0), "nothing waits to be paid: {keys:?}");
            let credits = books.credits.get(&asset).copied().unwrap_or_default();
            let held = self.balance(asset, self.deployment.contract).await;
            let operators = if asset == ETHER { books.operators } else { U256::ZERO };
            assert_eq!(held, U256::from(owed) + credits + operators, "no bond of an exit is left in {asset}");
        }
        assert!(books.deposited.contains_key(&ETHER), "bonds are ether");
        let mut paid = BTreeSet::new();
        assert!(books.payments.iter().all(|payment| paid.insert(payment.output_id)), "no coin is paid twice");
        books
    }
}

impl World {
    /// Returns what is left of the operator's bond.
    pub async fn operator_bond(&self) -> U256 {
        let bond = self.root.operator_bond().await.expect("the root chain answers");
        U256::from(bond.fault_part_wei) + U256::from(bond.receipt_part_wei)
    }
}

impl Signed {
    /// Returns what a spend is shown by.
    #[must_use]
    pub fn shown(&self) -> SignedTransaction {
        SignedTransaction { body: self.body.clone(), signature: self.signature }
    }
}

/// Returns a set of pieces.
#[must_use]
pub fn pieces(of: &[Piece]) -> PieceSet {
    of.iter().copied().collect()
}

/// What was deposited, paid and credited since the deployment.
#[derive(Debug, Default)]
pub struct Books {
    deposited: BTreeMap<Address, u128>,
    payments: Vec<Payment>,
    credits: BTreeMap<Address, U256>,
    /// What the operator's bond is, and the rewards that wait for accusers.
    operators: U256,
}

#[derive(Debug)]
struct Payment {
    output_id: OutputId,
    payee: Address,
    asset: Address,
    amount: u128,
}

impl Books {
    /// Returns what somebody was paid of an asset, bonds aside.
    #[must_use]
    pub fn paid(&self, person: &Person, asset: Address) -> u128 {
        let theirs = self.payments.iter().filter(|paid| paid.payee == person.address() && paid.asset == asset);
        theirs.map(|paid| paid.amount).sum()
    }

    fn of(events: &[RootEvent]) -> Self {
        let (mut books, mut assets) = (Self::default(), BTreeMap::new());
        for event in events {
            match event {
                RootEvent::Deposited(deposit) => {
                    *books.deposited.entry(deposit.output.asset).or_default() += deposit.output.amount;
                }
                RootEvent::StandardExitStarted(record) => {
                    assets.insert(record.output_id, record.output.asset);
                }
                RootEvent::ExitPaid { output_id, payee, paid, .. } => books.pay(&assets, *output_id, *payee, *paid),
                RootEvent::CoinWithdrawn { output_id, payee, asset, paid, .. } => {
                    assets.insert(*output_id, *asset);
                    books.pay(&assets, *output_id, *payee, *paid);
                }
                RootEvent::Credited { asset, amount, .. } => *books.credits.entry(*asset).or_default() += *amount,
                RootEvent::Claimed { asset, amount, .. } => *books.credits.entry(*asset).or_default() -= *amount,
                RootEvent::BondFunded { fault_part, receipt_part, .. } => {
                    books.operators += U256::from(*fault_part) + U256::from(*receipt_part);
                }
                // Half of a slash is burned at once. §3.
                RootEvent::FaultProven { slashed, .. } | RootEvent::ReceiptSlashed { slashed, .. } => {
                    books.operators -= slashed - slashed / U256::from(2);
                }
                RootEvent::FaultRewarded { amount, .. }
                | RootEvent::ReceiptRewarded { amount, .. }
                | RootEvent::BondWithdrawn { amount, .. } => books.operators -= *amount,
                RootEvent::InFlight { tx_hash, step } => match &**step {
                    InFlightStep::Started { data, transaction, .. } => {
                        assets.extend(data.inputs.iter().map(|input| (input.output_id, input.asset)));
                        let outputs = transaction.body.outputs().iter().zip(0..);
                        assets.extend(outputs.map(|(output, at)| (OutputId::of_output(*tx_hash, at), output.asset)));
                    }
                    InFlightStep::PiecePaid { output_id, payee, paid, .. } => {
                        books.pay(&assets, *output_id, *payee, *paid);
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        books
    }

    fn pay(&mut self, assets: &BTreeMap<OutputId, Address>, output_id: OutputId, payee: Address, amount: u128) {
        let asset = assets[&output_id];
        self.payments.push(Payment { output_id, payee, asset, amount });
    }
}
