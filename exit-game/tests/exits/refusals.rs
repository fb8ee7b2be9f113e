//! Calls that the contract refuses, in the order in which it asks. §2, §5.2.

use alloy_primitives::{Address, B256, U256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::{Anchor, Contract, InclusionProof, Parameters, Revert, Submission};
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::RootRef;
use plasmid_exit_game::output::{Deposit, ETHER};
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::signature::Domain;
use proptest::prelude::*;

use crate::world::{BOND, Coin, MEP, Made, OPERATOR_BOND, PERIODS, TOKEN, World, address, output, parameters};

/// Asserts that `call` is refused for `reason` and changes nothing.
fn refused<T: std::fmt::Debug + PartialEq>(
    world: &mut World,
    reason: Revert,
    call: impl FnOnce(&mut World) -> Result<T, Revert>,
) {
    let before = world.contract.clone();
    assert_eq!(call(world), Err(reason));
    assert_eq!(world.contract, before, "{reason}");
}

#[test]
fn a_deployment_that_contradicts_the_text_is_refused() {
    let good =
        Parameters { exit_bond: 2, exit_bounty: 2, piece_bond_per_input: 0, piece_bounty_per_input: 0, ..parameters() };
    let domain = Domain { chain_id: 1, contract: Address::repeat_byte(1) };
    let periods = |minimum_exit_period, sunset| Periods { minimum_exit_period, sunset };
    assert!(Contract::deploy(good, OPERATOR_BOND, domain, 1).is_ok());
    for bad in [
        Parameters { operator: Address::ZERO, ..good },
        Parameters { periods: periods(0, MEP), ..good },
        Parameters { periods: periods(MEP, MEP - 1), ..good },
        Parameters { exit_bounty: 3, ..good },
        Parameters { piece_bounty: good.piece_bond + 1, ..good },
        Parameters { piece_bounty_per_input: 1, ..good },
    ] {
        assert_eq!(Contract::deploy(bad, OPERATOR_BOND, domain, 1), Err(Revert::InvalidParameters));
    }
}

#[test]
fn deposits_out_of_range_are_refused() {
    let mut world = World::new();
    let alice = address("alice");
    let (ether_max, token_max) = ((1u128 << 95) - 1, u128::MAX);
    let over = |asset, total| Revert::AssetTotalExceeded { asset, total };
    let (one, zero) = (U256::ONE, U256::ZERO);
    refused(&mut world, Revert::AmountOutOfRange { amount: zero }, |w| w.contract.deposit(zero, alice));
    refused(&mut world, Revert::AmountOutOfRange { amount: zero }, |w| w.contract.deposit_erc20(TOKEN, zero, alice));
    refused(&mut world, Revert::ZeroAddress, |w| w.contract.deposit(one, Address::ZERO));
    let above = U256::from(ether_max) + one;
    refused(&mut world, over(ETHER, above), |w| w.contract.deposit(above, alice));
    world.deposit("alice", ETHER, ether_max - 1);
    refused(&mut world, over(ETHER, above), |w| w.contract.deposit(U256::from(2), alice));
    world.deposit("alice", ETHER, 1);
    world.deposit("alice", TOKEN, token_max);
    refused(&mut world, over(TOKEN, U256::ONE << 128), |w| w.contract.deposit_erc20(TOKEN, one, alice));
    refused(&mut world, over(TOKEN, U256::MAX), |w| w.contract.deposit_erc20(TOKEN, U256::MAX, alice));
    assert_eq!(world.contract.head().next_nonce, 3);
}

#[test]
fn blocks_are_refused_in_the_contracts_order() {
    let mut world = World::new();
    world.deposit("alice", ETHER, 5);
    world.commit(&[]);
    world.deposit("alice", ETHER, 5);
    let now = world.now;
    let unknown = RootRef { number: 7, hash: B256::repeat_byte(7) };
    let mut submission = Submission {
        number: 3,
        tx_root: B256::ZERO,
        utxo_root: B256::ZERO,
        tx_count: (1 << 20) + 1,
        deposit_count: 0,
        anchor: Anchor::Unknown(unknown),
        not_after: now,
    };
    let submit = |world: &mut World, caller: &str, submission: &Submission| {
        world.contract.submit_block(world.call(caller), submission)
    };
    let not_operator = Revert::NotOperator { caller: address("alice") };
    refused(&mut world, not_operator, |w| submit(w, "alice", &submission));
    let wrong_number = Revert::WrongBlockNumber { number: 3, next_number: 2 };
    refused(&mut world, wrong_number, |w| submit(w, "operator", &submission));
    submission.number = 2;
    for (tx_count, tx_root) in [((1 << 20) + 1, B256::repeat_byte(1)), (1, B256::ZERO), (0, B256::repeat_byte(1))] {
        (submission.tx_count, submission.tx_root) = (tx_count, tx_root);
        refused(&mut world, Revert::WrongTxCount { tx_count, tx_root }, |w| submit(w, "operator", &submission));
    }
    (submission.tx_count, submission.tx_root) = (1 << 20, B256::repeat_byte(1));
    for deposit_count in [0, 3] {
        submission.deposit_count = deposit_count;
        let wrong_count = Revert::WrongDepositCount { deposit_count, covered: 1, made: 2 };
        refused(&mut world, wrong_count, |w| submit(w, "operator", &submission));
    }
    submission.deposit_count = 2;
    let not_later = Revert::TimestampNotLater { timestamp: now, last_timestamp: now };
    refused(&mut world, not_later, |w| submit(w, "operator", &submission));
    world.now += 1;
    let too_late = Revert::SubmittedTooLate { timestamp: now + 1, not_after: now };
    refused(&mut world, too_late, |w| submit(w, "operator", &submission));
    submission.not_after = now + 1;
    refused(&mut world, Revert::UnknownAnchor { anchor: unknown }, |w| submit(w, "operator", &submission));
    submission.anchor = Anchor::Known;
    submit(&mut world, "operator", &submission).unwrap();
}

#[test]
fn a_chain_that_is_halted_or_closed_takes_no_deposits_and_no_blocks() {
    let alice = address("alice");
    let mut halted = World::new();
    halted.commit(&[]);
    halted.halt(1).unwrap();
    let mut closed = World::new();
    closed.now += PERIODS.sunset;
    closed.contract.close_chain(closed.call("anyone")).unwrap();
    let reasons = [
        Revert::ChainStopped { halted_from: Some(BlockNumber::FIRST), closed_at: None },
        Revert::ChainStopped { halted_from: None, closed_at: Some(closed.now) },
    ];
    for (mut world, reason) in [halted, closed].into_iter().zip(reasons) {
        let submission = world.submission(&[]);
        refused(&mut world, reason, |w| w.contract.deposit(U256::ONE, alice));
        refused(&mut world, reason, |w| w.contract.deposit_erc20(TOKEN, U256::ONE, alice));
        refused(&mut world, reason, |w| w.contract.submit_block(w.call("operator"), &submission));
    }
}

#[test]
fn a_halt_falls_to_older_blocks_and_never_rises() {
    let mut world = World::new();
    let from = |world: &World| world.contract.head().halt.map(|halt| (halt.from.get(), halt.at));
    (0..7).for_each(|_| drop(world.commit(&[])));
    world.halt(5).unwrap();
    let first = world.now;
    world.now += 10;
    assert_eq!(world.halt(7), Err(Revert::VoidBlock { number: BlockNumber::new(7).unwrap() }));
    assert_eq!(from(&world), Some((5, first)));
    world.halt(4).unwrap();
    assert_eq!(from(&world), Some((4, first + 10)));
    world.now += PERIODS.sunset;
    let stopped = Revert::ChainStopped { halted_from: BlockNumber::new(4), closed_at: None };
    assert_eq!(world.contract.close_chain(world.call("anyone")), Err(stopped), "a halted chain is not closed");
}

/// One coin of alice's in block 1, at index 1 of 3.
fn coin_in_a_block(world: &mut World) -> Coin {
    let deposit = world.deposit("alice", ETHER, 500);
    let amounts = [100, 200, 300];
    let txs = amounts.map(|amount| world.sign("alice", &[&deposit], vec![output("alice", ETHER, amount)]));
    world.commit(&txs).remove(1).remove(0)
}

#[test]
fn starts_are_refused_in_the_contracts_order() {
    let mut world = World::new();
    let coin = coin_in_a_block(&mut world);
    let Made::Output { body, proof, .. } = coin.made.clone() else { panic!("made in a block") };
    let header = proof.header;
    let number = header.number;
    let start = |world: &mut World, caller: &str, value: u128, body: &[u8], index: u8, proof: &InclusionProof| {
        let call = world.call(caller);
        world.contract.start_standard_exit(call, U256::from(value), body, index, proof)
    };
    let forged = InclusionProof { header: Header { utxo_root: B256::ZERO, ..header }, ..proof.clone() };
    let uncommitted = InclusionProof { header: Header { number: number.next().unwrap(), ..header }, ..proof.clone() };
    refused(&mut world, Revert::NotCanonical, |w| start(w, "bob", 0, &body[1..], 1, &forged));
    refused(&mut world, Revert::NoSuchOutput { output_index: 1 }, |w| start(w, "bob", 0, &body, 1, &forged));
    refused(&mut world, Revert::UnknownHeader { number }, |w| start(w, "bob", 0, &body, 0, &forged));
    let next = Revert::UnknownHeader { number: number.next().unwrap() };
    refused(&mut world, next, |w| start(w, "bob", 0, &body, 0, &uncommitted));

    let wrong_proofs = [
        InclusionProof { index: 0, ..proof.clone() },
        InclusionProof { index: 5, ..proof.clone() },
        InclusionProof { index: u32::MAX, ..proof.clone() },
        InclusionProof { witness_hash: B256::ZERO, ..proof.clone() },
        InclusionProof { path: proof.path[..1].to_vec(), ..proof.clone() },
        InclusionProof { path: [&proof.path[..], &[B256::ZERO]].concat(), ..proof.clone() },
    ];
    for wrong in wrong_proofs {
        let reason = Revert::NotIncluded { number, index: wrong.index };
        refused(&mut world, reason, |w| start(w, "bob", 0, &body, 0, &wrong));
    }
    let not_owner = Revert::NotOwner { caller: address("bob"), owner: address("alice") };
    refused(&mut world, not_owner, |w| start(w, "bob", 0, &body, 0, &proof));
    for sent in [0, BOND - 1, BOND + 1] {
        let wrong_bond = Revert::WrongBond { sent: U256::from(sent), bond: U256::from(BOND) };
        refused(&mut world, wrong_bond, |w| start(w, "alice", sent, &body, 0, &proof));
    }
    world.start("alice", &coin).unwrap();
    let exiting = Revert::AlreadyExiting { output_id: coin.id };
    refused(&mut world, exiting, |w| start(w, "alice", BOND, &body, 0, &proof));
    world.halt(1).unwrap();
    refused(&mut world, Revert::VoidBlock { number }, |w| start(w, "alice", BOND, &body, 0, &proof));
}

#[test]
fn only_the_callers_own_deposits_as_they_were_made_exit() {
    let mut world = World::new();
    world.deposit("alice", ETHER, 500);
    let start = |world: &mut World, caller: &str, nonce, asset, amount| {
        world.contract.start_standard_exit_of_deposit(world.call(caller), U256::ZERO, nonce, asset, amount)
    };
    for (caller, nonce, asset, amount) in [
        ("bob", 0, ETHER, 500),
        ("alice", 1, ETHER, 500),
        ("alice", u64::MAX, ETHER, 500),
        ("alice", 0, TOKEN, 500),
        ("alice", 0, ETHER, 501),
    ] {
        let output_id = Deposit { nonce, output: output(caller, asset, amount) }.output_id();
        refused(&mut world, Revert::NotADeposit { output_id }, |w| start(w, caller, nonce, asset, amount));
    }
    let wrong_bond = Revert::WrongBond { sent: U256::ZERO, bond: U256::from(BOND) };
    refused(&mut world, wrong_bond, |w| start(w, "alice", 0, ETHER, 500));
}

#[test]
fn a_challenge_needs_the_owners_signed_spend_of_the_very_coin() {
    let mut world = World::new();
    let coins = [world.deposit("alice", ETHER, 500), world.deposit("alice", ETHER, 500)];
    let record = world.start("alice", &coins[0]).unwrap();
    let [spend, other] = [0, 1].map(|i| world.sign("alice", &[&coins[i]], vec![output("bob", ETHER, 1)]));
    let stranger = world.sign("bob", &[&coins[0]], vec![output("bob", ETHER, 1)]);
    let (body, signature) = (spend.body.encode(), spend.witness.signature.encode());
    let mut high_s = signature;
    high_s[32] |= 0x7f;

    let not_a_spend = Revert::NotASpend { output_id: record.output_id };
    refused(&mut world, not_a_spend, |w| w.challenge("bob", &record, &other));
    refused(&mut world, not_a_spend, |w| w.challenge("bob", &record, &stranger));
    refused(&mut world, not_a_spend, |w| w.challenge_with("bob", &record, &body[1..], &signature));
    refused(&mut world, not_a_spend, |w| w.challenge_with("bob", &record, &[&body[..], &[0]].concat(), &signature));
    refused(&mut world, not_a_spend, |w| w.challenge_with("bob", &record, &body, &signature[1..]));
    refused(&mut world, not_a_spend, |w| w.challenge_with("bob", &record, &body, &[&signature[..], &[0]].concat()));
    refused(&mut world, not_a_spend, |w| w.challenge_with("bob", &record, &body, &high_s));

    let forged = ExitRecord { key: record.key + 3, ..record };
    let not_exiting = Revert::NotExiting { output_id: record.output_id };
    refused(&mut world, not_exiting, |w| w.challenge("bob", &forged, &spend));
    refused(&mut world, not_exiting, |w| w.assign("alice", &forged, "bob"));
    let not_payee = Revert::NotPayee { caller: address("bob"), payee: address("alice") };
    refused(&mut world, not_payee, |w| w.assign("bob", &record, "bob"));
    refused(&mut world, Revert::ZeroAddress, |w| w.contract.assign_exit(w.call("alice"), &record, Address::ZERO));
    world.challenge("bob", &record, &spend).unwrap();
}

proptest! {
    #[test]
    fn no_bytes_and_no_proof_start_or_end_an_exit_by_chance(
        cut in any::<prop::sample::Index>(), byte in any::<u8>(), output_index in any::<u8>(), index in any::<u32>(),
        tx_count in any::<u32>(), path in prop::collection::vec(any::<[u8; 32]>(), 0..24), noise in any::<[u8; 64]>(),
    ) {
        let mut world = World::new();
        let coin = coin_in_a_block(&mut world);
        let record = world.start("alice", &coin).unwrap();
        let spend = world.sign("alice", &[&coin], vec![output("bob", ETHER, 1)]);
        let Made::Output { body, proof, .. } = coin.made else { panic!("made in a block") };
        let before = world.contract.clone();

        let mut spoilt = body.clone();
        spoilt[cut.index(body.len())] ^= byte | 1;
        let path: Vec<B256> = path.into_iter().map(B256::new).collect();
        let header = Header { tx_count, ..proof.header };
        let proofs = [
            InclusionProof { index, ..proof.clone() },
            InclusionProof { path, ..proof.clone() },
            InclusionProof { header, index, ..proof.clone() },
            proof,
        ];
        for proof in &proofs {
            for bytes in [&spoilt, &body] {
                let (call, bond) = (world.call("alice"), U256::from(BOND));
                let started = world.contract.start_standard_exit(call, bond, bytes, output_index, proof);
                prop_assert!(started.is_err(), "the one coin of that body is exiting already");
            }
        }
        prop_assert!(world.challenge_with("bob", &record, &spend.body.encode(), &noise).is_err());
        prop_assert!(world.challenge_with("bob", &record, &spoilt, &spend.witness.signature.encode()).is_err());
        prop_assert_eq!(world.contract, before);
    }
}
