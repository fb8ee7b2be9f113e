//! What goes out comes back the same; nothing else comes in.

use alloy_primitives::{Bytes, address, b256, keccak256};
use k256::ecdsa::SigningKey;
use plasmid_exit_game::output::ETHER;
use plasmid_exit_game::position::{Place, TxIndex};
use plasmid_exit_game::receipt::{self, SignedReceipt};
use plasmid_exit_game::signature::Signature;
use plasmid_exit_game::transaction::{PlacedTransaction, Transaction, Witness};
use plasmid_exit_game::tx_tree;
use plasmid_exit_game::utxo_tree::{self, MembershipProof, UtxoTree};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::evidence::{DepositNonce, EvidenceCoin, EvidenceError};
use super::form::{Form, FormError, parse};
use super::*;

const OWNER: Address = address!("0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");

fn number(number: u64) -> BlockNumber {
    BlockNumber::new(number).unwrap()
}

fn output() -> Output {
    Output { owner: OWNER, asset: ETHER, amount: u128::MAX }
}

fn signature() -> Signature {
    Signature::sign(&SigningKey::from_slice(&[1; 32]).unwrap(), keccak256("x"))
}

/// A transaction that stands in the middle of a block of five, after which its first output is unspent.
fn included() -> (IncludedTransaction, Unspent) {
    let deposit = Position::of_deposit(1).unwrap();
    let body = Transaction::new(vec![OutputId(keccak256("in"))], vec![output(), output()], B256::ZERO).unwrap();
    let transaction = PlacedTransaction { body, witness: Witness { signature: signature(), placement: vec![deposit] } };
    let place = Place { block: number(7), index: TxIndex::new(2).unwrap() };
    let mut leaves = vec![keccak256("leaf"); 5];
    leaves[2] = tx_tree::leaf(transaction.body.hash(), transaction.witness.hash());
    let id = OutputId::of_output(transaction.body.hash(), 0);
    let (position, value) = (place.first_output(), utxo_tree::value(id, &output()));
    let tree = UtxoTree::default().updated([(deposit, Some(keccak256("other"))), (position, Some(value))]);
    let header = block::Header {
        number: number(7),
        tx_root: tx_tree::root(&leaves),
        utxo_root: tree.root(),
        tx_count: 5,
        deposit_count: 2,
        timestamp: 1_000,
    };
    let unspent =
        Unspent { block: number(7), header: header.into(), position, value, proof: tree.prove(position).unwrap() };
    (IncludedTransaction { header, place, path: tx_tree::path(&leaves, 2).unwrap(), transaction }, unspent)
}

/// Checks that a value reads back and that its JSON is read with no field more, none less and none of another kind.
fn strict<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> Value {
    let json = serde_json::to_value(value).unwrap();
    assert_eq!(&serde_json::from_value::<T>(json.clone()).unwrap(), value);
    let fields = json.as_object().unwrap();
    let refused = |json: Value| serde_json::from_value::<T>(json).unwrap_err();
    let mut more = fields.clone();
    more.insert("more".to_owned(), 1.into());
    refused(more.into());
    for (name, held) in fields {
        let mut other = fields.clone();
        other.insert(name.clone(), json!({"neither": ["this", "nor", "that"]}));
        refused(other.into());
        let mut less = fields.clone();
        less.remove(name);
        // What may be null may be absent too.
        if !held.is_null() && serde_json::from_value::<T>(less.into()).is_ok() {
            let mut null = fields.clone();
            null.insert(name.clone(), Value::Null);
            assert!(serde_json::from_value::<T>(null.into()).is_ok(), "{name}");
        }
        if let Value::String(text) = held
            && text.starts_with("0x")
        {
            for bad in
                [format!("{text}0"), format!("{text}zz"), text[2..].to_owned(), format!("0x{text}"), format!(" {text}")]
            {
                let mut other = fields.clone();
                other.insert(name.clone(), bad.into());
                assert!(serde_json::from_value::<T>(other.into()).is_err(), "{name}");
            }
        }
    }
    json
}

#[test]
fn every_answer_reads_back_and_nothing_like_it_does() {
    let (included, unspent) = included();
    let inclusion = Inclusion::from(&included);
    let header = Header::from(included.header);
    assert_eq!(block::Header::from(header), included.header);
    let json = strict(&header);
    let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["depositCount", "number", "timestamp", "txCount", "txRoot", "utxoRoot"]);
    strict(&inclusion);
    strict(&unspent);
    let root = Some(RootBlock { number: 1, hash: B256::ZERO });
    let (state, verdict) = (BlockState::Final, Verdict::Unknown);
    let json =
        strict(&Block { number: number(7), state, verdict, tx_count: 5, deposit_count: 2, header: Some(header), root });
    assert_eq!((&json["state"], &json["verdict"], &json["number"]), (&"final".into(), &"unknown".into(), &7.into()));
    let position = Position::of_deposit(1).unwrap();
    let id = OutputId(B256::repeat_byte(0xab));
    let json = strict(&Coin { id, position, output: output(), state: CoinState::Exiting, spender: None });
    assert_eq!(
        json,
        json!({
            "id": format!("0x{}", "ab".repeat(32)),
            "position": "9223372036854775824",
            "output": "0x017e5f4552091a69125d5dfcb7b8c2659029395bdf0000000000000000000000000000000000000000\
                       ffffffffffffffffffffffffffffffff",
            "state": "exiting",
            "spender": null,
        })
    );
    let json = strict(&Fee { asset: OWNER, minimum: u128::MAX });
    assert_eq!(json["asset"], "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
    assert_eq!(json["minimum"], "340282366920938463463374607431768211455");
    strict(&Submission { body: Bytes::from_static(b"anything"), signature: [0xff; 64] });
    let query = strict(&UnspentQuery { block: BlockChoice::LATEST, ids: vec![id] });
    assert_eq!(query["block"], "latest");
    strict(&UnspentQuery { block: BlockChoice::Number(number(3)), ids: vec![] });
    strict(&Fees { address: OWNER, assets: vec![] });
    strict(&List { items: vec![1, 2], cursor: Some("x".to_owned()) });
    let heads = BlockHeads {
        accepted: number(4),
        closed: number(3),
        committed: number(2),
        final_: number(1),
        verified: number(2),
    };
    assert_eq!(strict(&heads)["final"], 1);
    let deposit = Some(DepositNonce { nonce: 1 });
    strict(&EvidenceCoin { id, position, output: output(), deposit, made: Some(inclusion), unspent: Some(unspent) });
}

#[test]
fn an_inclusion_proves_one_transaction_at_one_place() {
    let (included, _) = included();
    let good = Inclusion::from(&included);
    assert_eq!(good.verify(), Ok(included));
    let flip = |bytes: &Bytes, at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1;
        Bytes::from(bytes)
    };
    for at in 0..good.body.len() {
        assert!(Inclusion { body: flip(&good.body, at), ..good.clone() }.verify().is_err());
    }
    for at in 0..good.witness.len() {
        assert!(Inclusion { witness: flip(&good.witness, at), ..good.clone() }.verify().is_err());
    }
    for index in (0..8).filter(|&index| index != 2) {
        assert!(Inclusion { index: TxIndex::new(index).unwrap(), ..good.clone() }.verify().is_err());
    }
    for path in [vec![], good.path[1..].to_vec(), [good.path.clone(), vec![B256::ZERO]].concat()] {
        assert!(Inclusion { path, ..good.clone() }.verify().is_err());
    }
    let header = Header { tx_count: u32::MAX, ..good.header };
    assert!(Inclusion { header, ..good.clone() }.verify().is_err());
}

#[test]
fn an_unspent_proof_shows_one_coin_after_one_block() {
    let (included, good) = included();
    let id = OutputId::of_output(included.transaction.body.hash(), 0);
    assert_eq!(good.verify(id, &output()), Ok(()));
    let other = OutputId(B256::ZERO);
    assert_eq!(good.verify(other, &output()), Err(UnspentError::OtherCoin { id: other }));
    assert!(good.verify(id, &Output { amount: 1, ..output() }).is_err());
    assert!(Unspent { block: number(8), ..good.clone() }.verify(id, &output()).is_err());
    let elsewhere = Unspent { position: Position::of_deposit(1).unwrap(), ..good.clone() };
    assert!(matches!(elsewhere.verify(id, &output()), Err(UnspentError::NotHeld { .. })));
    let header = Header { utxo_root: B256::ZERO, ..good.header };
    assert!(Unspent { header, ..good }.verify(id, &output()).is_err());
}

#[test]
fn a_receipt_promises_its_leaf() {
    let leaves = [keccak256("a"), keccak256("b"), keccak256("c")];
    let receipt = receipt::Receipt { number: number(7), first: 4, count: 3, root: tx_tree::root(&leaves), by: 9 };
    let path = tx_tree::path(&leaves, 1).unwrap();
    let signed = SignedReceipt { receipt, signature: signature(), index: TxIndex::new(5).unwrap(), path };
    let good = Receipt::new(&signed, leaves[1]);
    strict(&good);
    assert_eq!(good.signed(), Ok(signed));
    let bad = [
        Receipt { leaf: leaves[0], ..good.clone() },
        Receipt { first: 6, ..good.clone() },
        Receipt { first: u32::MAX, count: u32::MAX, ..good.clone() },
        Receipt { count: 0, ..good.clone() },
        Receipt { path: vec![], ..good.clone() },
    ];
    assert!(bad.iter().all(|receipt| receipt.signed().is_err()));
}

#[test]
fn evidence_shows_how_a_coin_was_made() {
    let (included, unspent) = included();
    let id = OutputId::of_output(included.transaction.body.hash(), 0);
    let (position, made) = (included.place.first_output(), Some(Inclusion::from(&included)));
    let good = EvidenceCoin { id, position, output: output(), deposit: None, made, unspent: Some(unspent) };
    assert!(good.verify().is_ok());
    let second = included.place.output(1).unwrap();
    for bad in [
        EvidenceCoin { id: OutputId(B256::ZERO), unspent: None, ..good.clone() },
        EvidenceCoin { position: second, unspent: None, ..good.clone() },
        EvidenceCoin { position: second, ..good.clone() },
        EvidenceCoin { output: Output { amount: 1, ..output() }, unspent: None, ..good.clone() },
    ] {
        assert!(matches!(bad.verify(), Err(EvidenceError::OtherCoin { .. } | EvidenceError::Unspent { .. })));
    }
    let both = EvidenceCoin { deposit: Some(DepositNonce { nonce: 1 }), ..good.clone() };
    assert_eq!(both.verify(), Err(EvidenceError::Origin { id }));

    let deposit = plasmid_exit_game::output::Deposit { nonce: 1, output: output() };
    let (id, position) = (deposit.output_id(), Position::of_deposit(1).unwrap());
    let good =
        EvidenceCoin { id, position, deposit: Some(DepositNonce { nonce: 1 }), made: None, unspent: None, ..good };
    assert!(good.verify().is_ok());
    assert!(EvidenceCoin { deposit: Some(DepositNonce { nonce: u64::MAX }), ..good }.verify().is_err());
}

#[test]
fn each_thing_has_one_form_but_for_small_letters() {
    assert_eq!(parse::<Address>("0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"), Ok(OWNER));
    assert_eq!(parse::<Address>("0x7E5F4552091A69125D5DFCB7B8C2659029395BDF"), Ok(OWNER));
    assert_eq!(parse::<Address>("0x7E5f4552091A69125d5DfCb7b8C2659029395Bdf"), Err(FormError::Checksum));
    assert_eq!(parse::<Address>("0x7e5f"), Err(FormError::Length { expected: 20, actual: 2 }));
    let hash = b256!("0x00000000000000000000000000000000000000000000000000000000000000ab");
    assert_eq!(parse::<B256>(&hash.write()), Ok(hash));
    for bad in ["", "0x", "0x0", "0xgg", "ab", "0x0xab", "0X00", " 0x00", "0x00 "] {
        assert!(parse::<B256>(bad).is_err(), "{bad}");
    }
    assert_eq!(parse::<u128>("0"), Ok(0));
    for bad in ["", "-1", "+1", "01", "1.0", "1e3", "0x1", " 1", "340282366920938463463374607431768211456", "1_000"] {
        assert_eq!(parse::<u128>(bad), Err(FormError::Decimal), "{bad}");
    }
    assert!(parse::<Position>("9223372036854775809").is_err(), "a deposit has no output index");
    assert!(parse::<Position>("18446744073709551616").is_err());
    assert!(
        serde_json::from_value::<Header>(json!({
            "number": 1u64 << 39, "txRoot": B256::ZERO.write(), "utxoRoot": B256::ZERO.write(),
            "txCount": 0, "depositCount": 0, "timestamp": 0,
        }))
        .is_err()
    );
}

proptest! {
    #[test]
    fn bytes_read_back_and_bad_text_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
        let bytes = Bytes::from(bytes);
        prop_assert_eq!(parse::<Bytes>(&bytes.write()), Ok(bytes));
        for text in [text.clone(), format!("0x{text}")] {
            let _ = (parse::<Bytes>(&text), parse::<Address>(&text), parse::<Output>(&text), parse::<Signature>(&text));
            let _ = (parse::<MembershipProof>(&text), parse::<Position>(&text), parse::<u128>(&text), parse::<TxHash>(&text));
        }
    }

    #[test]
    fn bad_json_never_panics(text in "[\\[{\"a-z:0-9x,}\\]]{0,60}") {
        let _ = (serde_json::from_str::<Submission>(&text).is_ok(), serde_json::from_str::<UnspentQuery>(&text).is_ok());
        let _ = (serde_json::from_str::<Inclusion>(&text).is_ok(), serde_json::from_str::<Answer<Unspent>>(&text).is_ok());
    }
}
