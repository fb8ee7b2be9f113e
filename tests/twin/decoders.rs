//! The decoders of bodies and witnesses, Rust's and Solidity's, on the same bytes: what one accepts, so does the other. The
//! contract's are asked by the prover of R1, which convicts exactly what is not canonical.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::{InclusionProof, Revert, Submission};
use plasmid_exit_game::fault::{FaultProof, ShownLeaf};
use plasmid_exit_game::output::TxHash;
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::transaction::{PlacedTransaction, PlacedTransactionError};
use plasmid_exit_game::tx_tree;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::call::{Function, anchor_for_model};
use crate::evm::{Ended, Evm, OPERATOR, STRANGER};
use crate::reverts;

/// Leaves of one block.
const LEAVES: u64 = 1_024;
const DECODINGS: u64 = 20 * LEAVES;

#[test]
fn both_decode_alike() {
    let mut evm = Evm::deploy(&crate::artifacts());
    let seed = crate::number("PLASMID_TWIN_SEED").unwrap_or_else(|| rand::rng().random_range(0..1 << 48));
    let blocks = crate::number("PLASMID_TWIN_DECODINGS").unwrap_or(DECODINGS).div_ceil(LEAVES);
    println!("decoders: seed {seed}, {blocks} blocks of {LEAVES} leaves");
    let mut random = StdRng::seed_from_u64(seed);
    let [mut canonical, mut bad_bodies, mut bad_witnesses] = [0u64; 3];
    for number in 1..=blocks {
        let leaves: Vec<_> = (0..LEAVES).map(|_| leaf(&mut random)).collect();
        for (body, witness, inclusion) in commit(&mut evm, number, leaves) {
            let decoded = PlacedTransaction::decode(&body, &witness);
            match decoded {
                Ok(_) => canonical += 1,
                Err(PlacedTransactionError::Body(_)) => bad_bodies += 1,
                Err(PlacedTransactionError::Witness(_)) => bad_witnesses += 1,
            }
            let leaf = ShownLeaf { body, witness, inclusion };
            let shown = format!("body {}, witness {}", leaf.body, leaf.witness);
            let proof = Box::new(FaultProof::NotCanonical { leaf });
            let refusal = evm.refusal(STRANGER, Function::ProveFault { proof }.calldata());
            let expected = decoded.is_ok().then(|| reverts::encode(&Revert::NotAFault));
            assert_eq!(refusal, expected, "{decoded:?}: {shown}");
        }
    }
    println!(
        "decoders: {canonical} canonical leaves, {bad_bodies} bad bodies, {bad_witnesses} bad witnesses, no disagreement"
    );
    assert!(canonical.min(bad_bodies).min(bad_witnesses) * 10 > blocks * LEAVES, "each kind is a tenth at least");
}

/// Commits a block of these leaves, a second after the last, and returns each with its proof.
fn commit(evm: &mut Evm, number: u64, leaves: Vec<(Bytes, Bytes)>) -> Vec<(Bytes, Bytes, InclusionProof)> {
    (evm.now, evm.number) = (evm.now + 1, evm.number + 1);
    let hash = |(body, witness): &(Bytes, Bytes)| tx_tree::leaf(TxHash(keccak256(body)), keccak256(witness));
    let hashes: Vec<B256> = leaves.iter().map(hash).collect();
    let anchor = evm.anchor();
    let submission = Submission {
        number,
        tx_root: tx_tree::root(&hashes),
        utxo_root: B256::ZERO,
        tx_count: LEAVES as u32,
        deposit_count: 0,
        anchor: anchor_for_model(anchor, anchor),
        not_after: evm.now,
    };
    let header = Header {
        number: BlockNumber::new(number).expect("a small number"),
        tx_root: submission.tx_root,
        utxo_root: submission.utxo_root,
        tx_count: submission.tx_count,
        deposit_count: submission.deposit_count,
        timestamp: evm.now,
    };
    let call = Function::SubmitBlock { submission, anchor }.calldata();
    let ended = evm.call(evm.people[usize::from(OPERATOR)], evm.contract, U256::ZERO, call);
    assert!(matches!(ended, Ended::Done(..)), "{ended:?}");
    let proven = (0..).zip(leaves).zip(tx_tree::all_paths(&hashes)).map(|((index, (body, witness)), path)| {
        let inclusion = InclusionProof { header, index, witness_hash: keccak256(&witness), path };
        (body, witness, inclusion)
    });
    proven.collect()
}

/// Returns body and witness, canonical ones or nearly.
fn leaf(random: &mut StdRng) -> (Bytes, Bytes) {
    let (mut body, mut witness) = canonical(random);
    match random.random_range(0..8) {
        0 | 1 => {}
        2 | 3 => spoil(random, &mut body),
        4..=6 => spoil(random, &mut witness),
        _ => {
            spoil(random, &mut body);
            spoil(random, &mut witness);
        }
    }
    (body.into(), witness.into())
}

/// Returns bytes that are canonical but for what a random number can hit.
fn canonical(random: &mut StdRng) -> (Vec<u8>, Vec<u8>) {
    let count = |random: &mut StdRng| if random.random() { 1 } else { random.random_range(1..=16u8) };
    let (inputs, outputs) = (count(random), count(random));
    let mut ids: Vec<[u8; 32]> = (0..inputs).map(|_| random.random()).collect();
    ids.sort_unstable();
    let mut body = vec![1, inputs, outputs];
    body.extend(ids.concat());
    for _ in 0..outputs {
        body.push(1);
        body.extend(random.random::<[u8; 32]>());
        body.extend(random.random::<[u8; 24]>());
    }
    body.extend(random.random::<[u8; 32]>());

    let mut witness = random.random::<[u8; 64]>().to_vec();
    // s in the lower half; a signature is not checked for its signer here.
    witness[32] &= 0xbf;
    for _ in 0..inputs {
        let bits: u64 = random.random();
        let deposit = 1 << 63 | (bits >> 24) << 4;
        let position = if random.random() { bits >> 1 } else { deposit & !(0xff << 44 | 0x7ff << 52) | 1 << 63 };
        witness.extend(position.to_be_bytes());
    }
    (body, witness)
}

/// Spoils bytes: cut short, lengthened, one changed, a part zeroed or filled, or all of them others.
fn spoil(random: &mut StdRng, bytes: &mut Vec<u8>) {
    let at = random.random_range(0..bytes.len());
    let end = (at + random.random_range(1..=32)).min(bytes.len());
    match random.random_range(0..9) {
        0 => bytes.truncate(at),
        1 => bytes.push(random.random()),
        2 => bytes[at] ^= 1 << random.random_range(0..8),
        3 => bytes[at % 3] = random.random_range(0..20),
        4 => bytes[at..end].fill(0),
        5 => bytes[at..end].fill(0xff),
        6 => bytes.copy_within(at..end, 0),
        7 => {
            let len = random.random_range(0..400);
            *bytes = (0..len).map(|_| random.random()).collect();
        }
        _ => bytes[at] = random.random(),
    }
}
