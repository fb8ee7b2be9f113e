//! Rust and Solidity agree on every digest, id, root, proof and key, over random values. The seed is printed.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use k256::ecdsa::SigningKey;
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::output::{Deposit, Output, OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::receipt::Receipt;
use plasmid_exit_game::signature::{Domain, Signature};
use plasmid_exit_game::transaction::Transaction;
use plasmid_exit_game::tx_tree;
use plasmid_harness::world::World;
use plasmid_root_chain::bindings::Value;
use plasmid_root_chain::calls;
use plasmid_root_chain::node::At;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

const ROUNDS: usize = 100;

/// The contracts' libraries, callable one by one.
struct Oracle<'a> {
    world: &'a World,
    address: Address,
}

impl Oracle<'_> {
    async fn ask(&self, signature: &str, args: &[Value]) -> Bytes {
        let call = calls::call(self.address, signature, args).expect("the oracle has this function");
        let result = self.world.root.node().call(None, &call, At::Head).await;
        result.unwrap_or_else(|error| panic!("{signature}: {error:?}"))
    }

    async fn word(&self, signature: &str, args: &[Value]) -> B256 {
        let result = self.ask(signature, args).await;
        assert_eq!(result.len(), 32, "{signature} returns one word");
        B256::from_slice(&result)
    }

    async fn uint(&self, signature: &str, args: &[Value]) -> u64 {
        u64::try_from(U256::from_be_bytes(self.word(signature, args).await.0)).expect("a small number")
    }
}

fn word(random: &mut StdRng) -> B256 {
    let mut bytes = [0; 32];
    random.fill_bytes(&mut bytes);
    B256::new(bytes)
}

fn address(random: &mut StdRng) -> Address {
    Address::from_slice(&word(random)[12..])
}

fn output(random: &mut StdRng) -> Output {
    let asset = if random.random() { Address::ZERO } else { address(random) };
    Output { owner: address(random), asset, amount: random.random_range(1..=u128::MAX) }
}

fn transaction(random: &mut StdRng) -> Transaction {
    let (inputs, outputs) = (random.random_range(1..=16), random.random_range(1..=16));
    let inputs = (0..inputs).map(|_| OutputId(word(random))).collect();
    let outputs = (0..outputs).map(|_| output(random)).collect();
    Transaction::new(inputs, outputs, word(random)).expect("random ids differ")
}

fn bytes(value: &[u8]) -> Value {
    Value::Bytes(Bytes::copy_from_slice(value))
}

#[tokio::test]
async fn rust_and_solidity_agree_over_random_values() {
    let world = World::bare().await;
    let oracle = Oracle { world: &world, address: world.deploy_testing("CodecOracle", &[]).await };
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..ROUNDS {
        transactions(&oracle, &mut random).await;
        names(&oracle, &mut random).await;
        trees(&oracle, &mut random).await;
        keys(&oracle, &mut random).await;
    }
}

async fn transactions(oracle: &Oracle<'_>, random: &mut StdRng) {
    let body = transaction(random);
    let encoded = body.encode();
    assert_eq!(oracle.word("transactionHash(bytes)", &[bytes(&encoded)]).await, body.hash().0);
    let contract = address(random);
    let domain = Domain { chain_id: oracle.world.deployment.chain_id, contract };
    let digest = oracle.word("signingHash(bytes,address)", &[bytes(&encoded), contract.into()]).await;
    assert_eq!(digest, body.signing_hash(&domain));

    // One byte changed, or the length: canonical for both or for neither.
    let mut other = encoded.clone();
    let at = random.random_range(0..other.len());
    match random.random_range(0..8) {
        0 => other.truncate(at),
        1 => other.push(random.random()),
        2 => other[at % 3] = random.random_range(0..20),
        3 => drop(other.splice(3.., encoded[3..].iter().rev().copied())),
        _ => other[at] = random.random(),
    }
    let canonical = oracle.uint("isCanonical(bytes)", &[bytes(&other)]).await == 1;
    assert_eq!(canonical, Transaction::decode(&other).is_ok(), "{}", alloy_primitives::hex::encode(&other));

    let key = SigningKey::from_slice(keccak256(word(random)).as_slice()).expect("nearly every number is a key");
    let mut signature = Signature::sign(&key, digest).encode();
    if random.random_range(0..4) == 0 {
        let at = random.random_range(0..64);
        signature[at] = random.random();
    }
    let (r, vs) = (B256::from_slice(&signature[..32]), B256::from_slice(&signature[32..]));
    let args = [digest.into(), r.into(), vs.into()];
    let recovered = Address::from_word(oracle.word("recover(bytes32,bytes32,bytes32)", &args).await);
    let ours = Signature::decode(signature).ok().and_then(|signature| signature.recover(digest));
    assert_eq!(recovered, ours.unwrap_or(Address::ZERO));

    let number = BlockNumber::new(random.random_range(1..1 << 39)).expect("in range");
    let receipt =
        Receipt { number, first: random.random(), count: random.random(), root: word(random), by: random.random() };
    let args = [
        receipt.number.get().into(),
        u64::from(receipt.first).into(),
        u64::from(receipt.count).into(),
        receipt.root.into(),
        receipt.by.into(),
        contract.into(),
    ];
    let digest = oracle.word("receiptDigest(uint64,uint32,uint32,bytes32,uint64,address)", &args).await;
    assert_eq!(digest, receipt.signing_hash(&domain));
}

async fn names(oracle: &Oracle<'_>, random: &mut StdRng) {
    let (hash, index) = (TxHash(word(random)), random.random_range(0..16u8));
    let id = oracle.word("outputId(bytes32,uint8)", &[hash.0.into(), u64::from(index).into()]).await;
    assert_eq!(id, OutputId::of_output(hash, index).0);

    let deposit = Deposit { nonce: random.random_range(0..1 << 40), output: output(random) };
    let Output { owner, asset, amount } = deposit.output;
    let args = [deposit.nonce.into(), owner.into(), asset.into(), amount.into()];
    assert_eq!(oracle.word("depositId(uint64,address,address,uint128)", &args).await, deposit.output_id().0);
}

async fn trees(oracle: &Oracle<'_>, random: &mut StdRng) {
    let (hash, witness) = (TxHash(word(random)), word(random));
    let leaf = oracle.word("leaf(bytes32,bytes32)", &[hash.0.into(), witness.into()]).await;
    assert_eq!(leaf, tx_tree::leaf(hash, witness));

    let leaves: Vec<B256> = (0..random.random_range(1..40)).map(|_| word(random)).collect();
    let index = random.random_range(0..leaves.len());
    let path = tx_tree::path(&leaves, index).expect("the leaf is there");
    assert_eq!(oracle.uint("treeDepth(uint32)", &[(leaves.len() as u64).into()]).await, path.len() as u64);
    let siblings = Value::List(path.iter().map(|&sibling| sibling.into()).collect());
    let root =
        oracle.word("root(bytes32,uint32,bytes32[])", &[leaves[index].into(), (index as u64).into(), siblings]).await;
    assert_eq!(root, tx_tree::root(&leaves));

    let header = Header {
        number: BlockNumber::new(random.random_range(1..1 << 39)).expect("in range"),
        tx_root: word(random),
        utxo_root: word(random),
        tx_count: random.random(),
        deposit_count: random.random(),
        timestamp: random.random(),
    };
    let fields = Value::Tuple(vec![
        header.number.get().into(),
        header.tx_root.into(),
        header.utxo_root.into(),
        u64::from(header.tx_count).into(),
        header.deposit_count.into(),
        header.timestamp.into(),
    ]);
    let signature = "headerCommitment((uint64,bytes32,bytes32,uint32,uint64,uint64))";
    assert_eq!(oracle.word(signature, &[fields]).await, header.commitment());
}

async fn keys(oracle: &Oracle<'_>, random: &mut StdRng) {
    let minimum_exit_period = random.random_range(1..=4_000_000);
    let periods = Periods { minimum_exit_period, sunset: minimum_exit_period };
    let (start, created) = (random.random_range(0..1 << 36), random.random_range(0..1 << 36));
    for is_deposit in [false, true] {
        let args = [start.into(), created.into(), Value::Bool(is_deposit), minimum_exit_period.into()];
        let key = oracle.uint("exitKey(uint64,uint64,bool,uint64)", &args).await;
        assert_eq!(key, periods.exit_key(start, (!is_deposit).then_some(created)));
    }

    let position = Position::from_bits(random.random::<u64>() & !(0xf | 1 << 63)).expect("a child-chain position");
    let record =
        ExitRecord { output_id: OutputId(word(random)), position, output: output(random), key: random.random() };
    let fields = Value::Tuple(vec![
        record.output_id.0.into(),
        record.position.bits().into(),
        record.output.owner.into(),
        record.output.asset.into(),
        record.output.amount.into(),
        record.key.into(),
    ]);
    let hash = oracle.word("recordHash((bytes32,uint64,address,address,uint128,uint64))", &[fields]).await;
    assert_eq!(hash, record.hash());
}
