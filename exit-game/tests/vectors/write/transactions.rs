//! Coins, transactions and signatures. §1.1–§1.6.

use alloy_primitives::{Address, B256, hex};
use plasmid_exit_game::output::{Deposit, KIND_OWNED, OUTPUT_LEN, Output, OutputId, TxHash};
use plasmid_exit_game::position::Position;
use plasmid_exit_game::signature::{Signature, address_of};
use plasmid_exit_game::transaction::{Transaction, VERSION, Witness};
use plasmid_exit_game::tx_tree;

use super::{domain, integer, key, output, place, position, word};
use crate::check;
use crate::row::Row;

/// secp256k1's order, half of it rounded down, and the x of its generator, whose y is even.
const ORDER: B256 = B256::new(hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));
const HALF_ORDER: B256 = B256::new(hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0"));
const ABOVE_HALF_ORDER: B256 = B256::new(hex!("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1"));
const GENERATOR_X: B256 = B256::new(hex!("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"));

pub(crate) fn positions() -> Vec<Row> {
    let edges = [(1, 0, 0), (1, 0, 15), (1, (1 << 20) - 1, 0), ((1 << 39) - 1, (1 << 20) - 1, 15), (0, 0, 0)];
    let others = (0..7).map(|i| (integer("block", &[i]) >> 25, integer("index", &[i]) as u32 >> 12, (i * 2) as u8));
    let row = |(block, index, output_index): (u64, u32, u8)| {
        Row::default()
            .integer("block", block)
            .integer("txIndex", index)
            .integer("outputIndex", output_index)
            .integer("position", place(block, index).output(output_index).unwrap().bits())
    };
    edges.into_iter().chain(others).map(row).collect()
}

pub(crate) fn output_ids() -> Vec<Row> {
    let row = |output_index: u8| {
        let tx_hash = TxHash(word("tx", &[u64::from(output_index) / 4]));
        Row::default()
            .bytes("txHash", tx_hash.0)
            .integer("outputIndex", output_index)
            .bytes("outputId", OutputId::of_output(tx_hash, output_index).0)
    };
    (0..16).map(row).collect()
}

pub(crate) fn deposits() -> Vec<Row> {
    let nonces = [0, 1, 2, 3, 4, 5, 6, 255, 256, 65_536, (1 << 39) + 7, (1 << 40) - 1];
    let row = |(seed, nonce): (u64, u64)| {
        let deposit = Deposit { nonce, output: output(seed) };
        Row::default()
            .integer("nonce", nonce)
            .bytes("owner", deposit.output.owner)
            .bytes("asset", deposit.output.asset)
            .integer("amount", deposit.output.amount)
            .integer("position", Position::of_deposit(nonce).unwrap().bits())
            .bytes("outputId", deposit.output_id().0)
    };
    (0..).zip(nonces).map(row).collect()
}

/// Returns the transaction with so many inputs and outputs that the seed makes.
fn transaction(seed: u64, inputs: u64, outputs: u64) -> Transaction {
    let inputs = (0..inputs).map(|i| OutputId(word("input", &[seed, i]))).collect();
    let outputs = (0..outputs).map(|i| output(seed * 5 + i)).collect();
    let memo = if seed.is_multiple_of(2) { B256::ZERO } else { word("memo", &[seed]) };
    Transaction::new(inputs, outputs, memo).expect("ids differ, outputs are valid")
}

pub(crate) fn transactions() -> Vec<Row> {
    let mixed = (1..=16).map(|inputs| (inputs, (inputs * 5) % 16 + 1));
    let shapes = [(1, 1), (1, 2), (2, 2), (2, 1), (4, 4), (1, 16), (16, 1), (16, 16)].into_iter().chain(mixed);
    let row = |(seed, (inputs, outputs)): (u64, (u64, u64))| {
        let (body, domain, key) = (transaction(seed, inputs, outputs), domain(seed), key(seed));
        let signing_hash = body.signing_hash(&domain);
        let signature = Signature::sign(&key, signing_hash);
        let placement: Vec<Position> = (0..inputs).map(|i| position(seed * 7 + i)).collect();
        let witness = Witness { signature, placement: placement.clone() };
        Row::default()
            .bytes("body", body.encode())
            .byte_strings("inputs", body.inputs().iter().map(|id| id.0))
            .byte_strings("owners", body.outputs().iter().map(|output| output.owner))
            .byte_strings("assets", body.outputs().iter().map(|output| output.asset))
            .integers("amounts", body.outputs().iter().map(|output| output.amount))
            .bytes("memo", body.memo())
            .bytes("txHash", body.hash().0)
            .integer("chainId", domain.chain_id)
            .bytes("contract", domain.contract)
            .bytes("signingHash", signing_hash)
            .bytes("signature", signature.encode())
            .bytes("signer", address_of(key.verifying_key()))
            .integers("placement", placement.iter().map(|position| position.bits()))
            .bytes("witness", witness.encode())
            .bytes("witnessHash", witness.hash())
            .bytes("leaf", tx_tree::leaf(body.hash(), witness.hash()))
    };
    (0..).zip(shapes).map(row).collect()
}

/// Bytes laid out like a body, whatever the parts.
fn raw_body(inputs: &[B256], outputs: &[[u8; OUTPUT_LEN]]) -> Vec<u8> {
    let mut bytes = vec![VERSION, inputs.len() as u8, outputs.len() as u8];
    inputs.iter().for_each(|input| bytes.extend_from_slice(input.as_slice()));
    outputs.iter().for_each(|output| bytes.extend_from_slice(output));
    bytes.extend_from_slice(word("memo", &[]).as_slice());
    bytes
}

pub(crate) fn bodies_not_canonical() -> Vec<Row> {
    let ids = |count: u64| -> Vec<B256> {
        let mut ids: Vec<B256> = (0..count).map(|i| word("input", &[i])).collect();
        ids.sort_unstable();
        ids
    };
    let outputs = |count: u64| -> Vec<[u8; OUTPUT_LEN]> { (1..=count).map(|i| output(i).encode()).collect() };
    let (good, good_ids, good_outputs) = (raw_body(&ids(2), &outputs(2)), ids(2), outputs(2));
    let with_byte = |offset: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[offset] = byte;
        bytes
    };
    let with_output = |index: usize, output: [u8; OUTPUT_LEN]| {
        let mut outputs = good_outputs.clone();
        outputs[index] = output;
        raw_body(&good_ids, &outputs)
    };
    let with_kind = |kind: u8| {
        let mut output = output(1).encode();
        assert_eq!(core::mem::replace(&mut output[0], kind), KIND_OWNED);
        output
    };
    let unowned = Output { owner: Address::ZERO, ..output(2) }.encode();
    let worthless = Output { amount: 0, ..output(2) }.encode();
    let bodies = [
        vec![],
        vec![VERSION],
        vec![VERSION, 1],
        vec![VERSION, 1, 1],
        good[..good.len() - 1].to_vec(),
        [&good[..], &[0]].concat(),
        with_byte(1, 1),
        with_byte(1, 3),
        with_byte(2, 1),
        with_byte(2, 3),
        with_byte(0, 0),
        with_byte(0, 2),
        raw_body(&[], &good_outputs),
        raw_body(&ids(17), &good_outputs),
        with_byte(1, 255),
        raw_body(&good_ids, &[]),
        raw_body(&good_ids, &outputs(17)),
        with_byte(2, 255),
        raw_body(&[good_ids[0], good_ids[0]], &good_outputs),
        raw_body(&[good_ids[1], good_ids[0]], &good_outputs),
        raw_body(&[&ids(15)[..], &[ids(15)[14]]].concat(), &good_outputs),
        with_output(0, with_kind(0)),
        with_output(1, with_kind(2)),
        with_output(0, with_kind(255)),
        with_output(0, unowned),
        with_output(1, unowned),
        with_output(0, worthless),
        with_output(1, worthless),
    ];
    let row = |body: Vec<u8>| {
        let reason = check::body_reason(Transaction::decode(&body).expect_err("not canonical"));
        Row::default().bytes("body", body).text("reason", reason)
    };
    bodies.into_iter().map(row).collect()
}

pub(crate) fn witnesses_not_canonical() -> Vec<Row> {
    let good = Witness {
        signature: Signature::sign(&key(0), word("digest", &[0])),
        placement: vec![position(0), position(1)],
    };
    let good = good.encode();
    let with_word = |offset: usize, word: B256| {
        let mut bytes = good.clone();
        bytes[offset..offset + 32].copy_from_slice(word.as_slice());
        bytes
    };
    let with_position = |index: usize, bits: u64| {
        let mut bytes = good.clone();
        bytes[64 + 8 * index..72 + 8 * index].copy_from_slice(&bits.to_be_bytes());
        bytes
    };
    let odd_zero = B256::new(hex!("8000000000000000000000000000000000000000000000000000000000000000"));
    let witnesses = [
        (2, vec![]),
        (2, good[..good.len() - 1].to_vec()),
        (2, [&good[..], &[0]].concat()),
        (1, good.clone()),
        (3, good.clone()),
        (2, with_word(0, B256::ZERO)),
        (2, with_word(0, ORDER)),
        (2, with_word(0, B256::repeat_byte(0xff))),
        (2, with_word(32, B256::ZERO)),
        (2, with_word(32, odd_zero)),
        (2, with_word(32, ABOVE_HALF_ORDER)),
        (2, with_word(32, ABOVE_HALF_ORDER | odd_zero)),
        (2, with_word(32, B256::repeat_byte(0xff))),
        (2, with_position(0, 1 << 63 | 1)),
        (2, with_position(1, 1 << 63 | 5 << 4 | 8)),
    ];
    let row = |(inputs, witness): (u8, Vec<u8>)| {
        let reason = check::witness_reason(Witness::decode(&witness, inputs.into()).expect_err("not canonical"));
        Row::default().integer("inputs", inputs).bytes("witness", witness).text("reason", reason)
    };
    witnesses.into_iter().map(row).collect()
}

/// Signatures of keys, then those that are out of range or belong to no key. `signer` is zero where there is none.
pub(crate) fn signatures() -> Vec<Row> {
    let odd = |s: B256| {
        let mut s = s;
        s[0] |= 0x80;
        s
    };
    let join = |r: B256, s: B256| -> [u8; 64] { [r.as_slice(), s.as_slice()].concat().try_into().unwrap() };
    let one = B256::with_last_byte(1);
    let mut cases: Vec<(B256, [u8; 64])> = Vec::new();
    for seed in 0..8 {
        let digest = word("digest", &[seed]);
        let signature = Signature::sign(&key(seed), digest).encode();
        cases.push((digest, signature));
        let mut other_parity = signature;
        other_parity[32] ^= 0x80;
        cases.push((digest, other_parity));
    }
    let digest = word("digest", &[0]);
    for (seed, digest) in [(1, B256::ZERO), (2, B256::repeat_byte(0xff))] {
        cases.push((digest, Signature::sign(&key(seed), digest).encode()));
    }
    // An r that is no x of a point, and a digest for which the recovered point is infinity.
    cases.extend((1..=6).map(|r| (digest, join(B256::with_last_byte(r), one))));
    cases.extend([(one, GENERATOR_X, one), (digest, GENERATOR_X, HALF_ORDER)].map(|(d, r, s)| (d, join(r, s))));
    for s in [B256::ZERO, HALF_ORDER, ABOVE_HALF_ORDER] {
        cases.extend([(digest, join(GENERATOR_X, s)), (digest, join(GENERATOR_X, odd(s)))]);
    }
    for r in [B256::ZERO, ORDER, B256::repeat_byte(0xff)] {
        cases.push((digest, join(r, one)));
    }
    let row = |(digest, signature): (B256, [u8; 64])| {
        let decoded = Signature::decode(signature);
        let signer = decoded.ok().and_then(|signature| signature.recover(digest));
        Row::default()
            .bytes("digest", digest)
            .bytes("signature", signature)
            .flag("canonical", decoded.is_ok())
            .bytes("signer", signer.unwrap_or_default())
    };
    cases.into_iter().map(row).collect()
}
