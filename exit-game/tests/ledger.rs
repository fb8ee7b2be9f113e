//! The ledger applies every valid block, and names rule and evidence of every broken one (R1–R7). §3.

use alloy_primitives::{Address, B256, U256};
use k256::ecdsa::SigningKey;
use plasmid_exit_game::block::{BodyItem, Header};
use plasmid_exit_game::fault::{Fault, Rule};
use plasmid_exit_game::ledger::{BlockVerdict, Leaf, Ledger, RecoveredTransaction, unspent_updates};
use plasmid_exit_game::output::{Deposit, ETHER, Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, Place, Position, TxIndex};
use plasmid_exit_game::signature::{Domain, Signature, address_of};
use plasmid_exit_game::transaction::{PlacedTransaction, PlacedTransactionError, Transaction, Witness};
use plasmid_exit_game::tx_tree;
use plasmid_exit_game::utxo_tree::UtxoTree;
use proptest::prelude::*;

const DOMAIN: Domain = Domain { chain_id: 31337, contract: Address::repeat_byte(0xcc) };
const TOKEN: Address = Address::repeat_byte(0x70);

#[derive(Clone)]
struct Person(SigningKey);

impl Person {
    fn new(seed: u8) -> Self {
        Self(SigningKey::from_slice(&[seed; 32]).expect("a small number is a key"))
    }

    fn address(&self) -> Address {
        address_of(self.0.verifying_key())
    }

    fn gets(&self, amount: u128) -> Output {
        Output { owner: self.address(), asset: ETHER, amount }
    }

    /// Signs a spend of `inputs`, placed where the operator says.
    fn spends(&self, inputs: &[(OutputId, Position)], outputs: Vec<Output>) -> RecoveredTransaction {
        let mut inputs = inputs.to_vec();
        inputs.sort_unstable();
        let (ids, placement) = inputs.into_iter().unzip();
        let body = Transaction::new(ids, outputs, B256::ZERO).expect("a canonical body");
        let signature = Signature::sign(&self.0, body.signing_hash(&DOMAIN));
        RecoveredTransaction::recover(PlacedTransaction { body, witness: Witness { signature, placement } }, &DOMAIN)
    }
}

/// A chain of blocks that an honest operator would make of the leaves given.
#[derive(Clone, Default)]
struct Chain {
    ledger: Ledger,
    tree: UtxoTree,
    number: u64,
    deposits: Vec<Deposit>,
    covered: usize,
}

impl Chain {
    fn deposit(&mut self, output: Output) -> (OutputId, Position) {
        let deposit = Deposit { nonce: self.deposits.len() as u64, output };
        self.deposits.push(deposit);
        (deposit.output_id(), Position::of_deposit(deposit.nonce).expect("few deposits"))
    }

    fn header(&self, leaves: &[Leaf], utxo_root: B256) -> Header {
        let tx_root = tx_tree::root(&leaves.iter().map(leaf_hash).collect::<Vec<_>>());
        Header {
            number: BlockNumber::new(self.number + 1).expect("few blocks"),
            tx_root,
            utxo_root,
            tx_count: leaves.len() as u32,
            deposit_count: self.deposits.len() as u64,
            timestamp: 1_000 + self.number,
        }
    }

    /// Applies the block of `leaves` that covers all deposits, with the root that its bodies give.
    fn apply(&mut self, leaves: &[Leaf]) -> BlockVerdict {
        self.apply_frozen(leaves, |_| None)
    }

    fn apply_frozen(&mut self, leaves: &[Leaf], freeze_of: impl Fn(OutputId) -> Option<u64>) -> BlockVerdict {
        let covered = self.deposits[self.covered..].to_vec();
        let number = BlockNumber::new(self.number + 1).expect("few blocks");
        let root = self.tree.updated(unspent_updates(number, leaves, &covered)).root();
        let header = self.header(leaves, root);
        let verdict = self.ledger.apply_block(&header, leaves, &covered, &self.tree, freeze_of);
        if let BlockVerdict::Valid { tree } = &verdict {
            (self.tree, self.number, self.covered) = (tree.clone(), self.number + 1, self.deposits.len());
        }
        verdict
    }

    fn place(&self, index: u32) -> Place {
        Place { block: BlockNumber::new(self.number + 1).unwrap(), index: TxIndex::new(index).unwrap() }
    }
}

fn leaf_hash(leaf: &Leaf) -> B256 {
    leaf.transaction().map_or(tx_tree::EMPTY_LEAF, RecoveredTransaction::leaf)
}

fn coin(place: Place, transaction: &RecoveredTransaction, index: u8) -> (OutputId, Position) {
    (OutputId::of_output(transaction.hash, index), place.output(index).unwrap())
}

fn leaves(transactions: &[&RecoveredTransaction]) -> Vec<Leaf> {
    transactions.iter().map(|&transaction| Leaf::Transaction(transaction.clone())).collect()
}

/// The block is refused for this rule, and the ledger is as if it had never been shown.
fn assert_breaks(chain: &Chain, leaves: &[Leaf], index: u32, expected: Fault) {
    let mut after = chain.clone();
    match after.apply(leaves) {
        BlockVerdict::Invalid { index: at, fault } => assert_eq!((at.get(), fault), (index, expected)),
        verdict => panic!("{expected:?} was not found: {verdict:?}"),
    }
    assert!(after.ledger.coins().eq(chain.ledger.coins()), "an invalid block leaves no trace");
}

/// Alice has a deposit of 100, Bob one of 50, and Alice's first payment of 60 to Bob with 40 change is in block 1.
fn paid() -> (Chain, Person, Person, RecoveredTransaction, (OutputId, Position)) {
    let (alice, bob) = (Person::new(1), Person::new(2));
    let mut chain = Chain::default();
    let deposit = chain.deposit(alice.gets(100));
    let bobs = chain.deposit(bob.gets(50));
    let payment = alice.spends(&[deposit], vec![bob.gets(60), alice.gets(40)]);
    assert!(matches!(chain.apply(&leaves(&[&payment])), BlockVerdict::Valid { .. }));
    (chain, alice, bob, payment, bobs)
}

fn first_place() -> Place {
    Place { block: BlockNumber::FIRST, index: TxIndex::new(0).unwrap() }
}

#[test]
fn a_chain_of_spends_within_one_block_is_valid_and_leaves_only_the_last_coins() {
    let (mut chain, alice, bob, payment, _) = paid();
    let change = coin(first_place(), &payment, 1);
    let first = alice.spends(&[change], vec![bob.gets(40)]);
    let second = bob.spends(&[coin(chain.place(0), &first, 0)], vec![alice.gets(40)]);
    let last = coin(chain.place(2), &second, 0);
    let block = [Leaf::Transaction(first), Leaf::Empty, Leaf::Transaction(second)];
    assert!(matches!(chain.apply(&block), BlockVerdict::Valid { .. }));
    assert_eq!(chain.ledger.coin(last.0).map(|coin| (coin.position, coin.spender)), Some((last.1, None)));
    assert_eq!(chain.tree.get(change.1), None);
    assert!(chain.tree.prove(last.1).is_some());
}

#[test]
fn r1_a_leaf_that_does_not_decode() {
    let (chain, ..) = paid();
    let item = BodyItem::Preimage { body: b"no body", witness: b"no witness" };
    let leaf = Leaf::read(&item, |_| unreachable!("it does not decode")).expect("the preimage is there");
    let Leaf::NotCanonical(error) = leaf else { panic!("{leaf:?}") };
    assert!(matches!(error, PlacedTransactionError::Body(_)));
    assert_breaks(&chain, &[leaf], 0, Fault::NotCanonical(error));
}

#[test]
fn r2_an_input_from_the_same_place_or_a_later_one() {
    let (chain, alice, bob, payment, _) = paid();
    let (change, _) = coin(first_place(), &payment, 1);
    for placement in [chain.place(0).output(0).unwrap(), chain.place(5).output(3).unwrap()] {
        let spend = alice.spends(&[(change, placement)], vec![bob.gets(40)]);
        assert_breaks(&chain, &leaves(&[&spend]), 0, Fault::NotBefore { input: 0, placement });
    }
}

#[test]
fn r3_an_input_that_is_not_where_the_placement_says() {
    let (chain, alice, bob, payment, bobs) = paid();
    let (change, position) = coin(first_place(), &payment, 1);
    let elsewhere = [
        first_place().output(0).unwrap(),
        first_place().output(9).unwrap(),
        Position::from_bits(0).unwrap(),
        bobs.1,
        Position::of_deposit(77).unwrap(),
    ];
    for placement in elsewhere {
        let spend = alice.spends(&[(change, placement)], vec![bob.gets(40)]);
        let fault = Fault::NoSuchInput { input: 0, output_id: change, placement };
        assert_breaks(&chain, &leaves(&[&spend]), 0, fault);
    }
    let never_made = OutputId(B256::repeat_byte(9));
    let spend = alice.spends(&[(never_made, position)], vec![bob.gets(40)]);
    let fault = Fault::NoSuchInput { input: 0, output_id: never_made, placement: position };
    assert_breaks(&chain, &leaves(&[&spend]), 0, fault);
}

#[test]
fn r4_a_coin_that_its_owner_did_not_sign_away() {
    let (chain, alice, bob, payment, bobs) = paid();
    let change = coin(first_place(), &payment, 1);
    let theft = bob.spends(&[change], vec![bob.gets(40)]);
    let fault = Fault::NotSignedByOwner { input: 0, owner: alice.address(), signer: Some(bob.address()) };
    assert_breaks(&chain, &leaves(&[&theft]), 0, fault);

    let joint = alice.spends(&[change, bobs], vec![bob.gets(90)]);
    let input = joint.transaction.body.inputs().iter().position(|id| *id == bobs.0).unwrap();
    let fault = Fault::NotSignedByOwner { input, owner: bob.address(), signer: Some(alice.address()) };
    assert_breaks(&chain, &leaves(&[&joint]), 0, fault);
}

#[test]
fn r5_value_made_lost_or_turned_into_another_asset() {
    let (chain, alice, bob, payment, _) = paid();
    let change = coin(first_place(), &payment, 1);
    for amount in [39, 41, u128::MAX] {
        let spend = alice.spends(&[change], vec![bob.gets(amount)]);
        let fault = Fault::Unbalanced { asset: ETHER, inputs: U256::from(40), outputs: U256::from(amount) };
        assert_breaks(&chain, &leaves(&[&spend]), 0, fault);
    }
    let overflow = alice.spends(&[change], vec![bob.gets(u128::MAX), bob.gets(41)]);
    let outputs = U256::from(u128::MAX) + U256::from(41);
    let fault = Fault::Unbalanced { asset: ETHER, inputs: U256::from(40), outputs };
    assert_breaks(&chain, &leaves(&[&overflow]), 0, fault);
    let minted = Output { asset: TOKEN, ..bob.gets(1) };
    let spend = alice.spends(&[change], vec![bob.gets(40), minted]);
    let fault = Fault::Unbalanced { asset: TOKEN, inputs: U256::ZERO, outputs: U256::from(1) };
    assert_breaks(&chain, &leaves(&[&spend]), 0, fault);
}

#[test]
fn r6_a_coin_spent_twice_within_a_block_across_blocks_and_by_the_same_transaction() {
    let (mut chain, alice, bob, payment, _) = paid();
    let change = coin(first_place(), &payment, 1);
    let (spend, other) =
        (alice.spends(&[change], vec![bob.gets(40)]), alice.spends(&[change], vec![bob.gets(1), bob.gets(39)]));
    let twice = |first| Fault::DoubleSpend { input: 0, output_id: change.0, first };
    assert_breaks(&chain, &leaves(&[&spend, &other]), 1, twice(chain.place(0)));
    assert_breaks(&chain, &leaves(&[&spend, &spend]), 1, twice(chain.place(0)));
    let first = chain.place(0);
    assert!(matches!(chain.apply(&leaves(&[&spend])), BlockVerdict::Valid { .. }));
    assert_breaks(&chain, &leaves(&[&other]), 0, twice(first));
}

#[test]
fn r7_a_coin_spent_after_its_freeze_but_not_at_that_very_second() {
    let (chain, alice, bob, payment, _) = paid();
    let change = coin(first_place(), &payment, 1);
    let block = leaves(&[&alice.spends(&[change], vec![bob.gets(40)])]);
    let timestamp = chain.header(&block, B256::ZERO).timestamp;
    let frozen_at = |freeze| move |id: OutputId| (id == change.0).then_some(freeze);
    assert!(matches!(chain.clone().apply_frozen(&block, frozen_at(timestamp)), BlockVerdict::Valid { .. }));
    match chain.clone().apply_frozen(&block, frozen_at(timestamp - 1)) {
        BlockVerdict::Invalid { fault, .. } => assert_eq!(fault.rule(), Rule::R7),
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn a_wrong_unspent_root_is_told_from_a_broken_rule() {
    let (mut chain, alice, bob, payment, _) = paid();
    let block = leaves(&[&alice.spends(&[coin(first_place(), &payment, 1)], vec![bob.gets(40)])]);
    let header = chain.header(&block, B256::repeat_byte(1));
    let before = chain.ledger.clone();
    let verdict = chain.ledger.apply_block(&header, &block, &[], &chain.tree, |_| None);
    assert!(matches!(verdict, BlockVerdict::WrongUnspentRoot { .. }));
    assert!(chain.ledger.coins().eq(before.coins()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Honest blocks are never refused, conserve value, and can be taken back exactly.
    #[test]
    fn random_valid_chains_are_valid_conserve_value_and_revert(
        moves in prop::collection::vec((any::<prop::sample::Index>(), 1..4usize, any::<u8>()), 1..40), per_block in 1..6usize,
    ) {
        let people: Vec<Person> = (1..=4).map(Person::new).collect();
        let mut chain = Chain::default();
        let mut coins: Vec<(usize, (OutputId, Position), u128)> = (0..4)
            .map(|who| (who, chain.deposit(people[who].gets(1_000)), 1_000))
            .collect();
        for block in moves.chunks(per_block) {
            let before = chain.clone();
            let mut transactions = Vec::new();
            for (which, parts, to) in block {
                let (owner, input, amount) = coins.swap_remove(which.index(coins.len()));
                let to = usize::from(*to) % people.len();
                let parts = (*parts as u128).min(amount);
                let amounts: Vec<u128> = (0..parts).map(|i| amount / parts + u128::from(i < amount % parts)).collect();
                let outputs = amounts.iter().map(|&amount| people[to].gets(amount)).collect();
                let transaction = people[owner].spends(&[input], outputs);
                let place = chain.place(transactions.len() as u32);
                coins.extend(amounts.iter().enumerate().map(|(i, &amount)| (to, coin(place, &transaction, i as u8), amount)));
                transactions.push(Leaf::Transaction(transaction));
            }
            let is_valid = matches!(chain.apply(&transactions), BlockVerdict::Valid { .. });
            prop_assert!(is_valid);
            let unspent: u128 = chain.ledger.coins().filter(|(_, c)| c.spender.is_none()).map(|(_, c)| c.output.amount).sum();
            prop_assert_eq!(unspent, 4_000);

            let mut reverted = chain.ledger.clone();
            reverted.revert_block(&transactions, &before.deposits[before.covered..]);
            prop_assert!(reverted.coins().eq(before.ledger.coins()));
        }
    }
}
