//! The compiled contract in revm, with the accounts and tokens around it.

use std::path::Path;
use std::sync::LazyLock;

use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use k256::ecdsa::SigningKey;
use plasmid_exit_game::exit::contract::Parameters;
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::facts::RootRef;
use plasmid_exit_game::signature::address_of;
use plasmid_root_chain::bindings::{Value, encode_call, encode_creation};
use plasmid_root_chain::node::Log;
use revm::context::result::{ExecutionResult, HaltReason, Output};
use revm::context::{CfgEnv, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::database_interface::Database;
use revm::primitives::TxKind;
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};
use revm::{Context, ExecuteCommitEvm, MainBuilder, MainContext};

use crate::money::{Receiver, Token};

/// G is 3 seconds, F is 75, grace is 21. The sunset is so short that a block can be convicted once the chain is closed.
pub(crate) const PERIODS: Periods = Periods { minimum_exit_period: 600, sunset: 900 };
pub(crate) const MEP: u64 = PERIODS.minimum_exit_period;
pub(crate) const CHAIN_ID: u64 = 31_337;
/// Time of the deployment, in seconds.
pub(crate) const DEPLOYED_AT: u64 = 1_000_000;
/// Those who own coins.
pub(crate) const PEOPLE: u8 = 4;
/// The number of the operator among the accounts.
pub(crate) const OPERATOR: u8 = PEOPLE;
/// An account that has neither a key nor code.
pub(crate) const STRANGER: Address = Address::repeat_byte(0x57);
/// Gas of a call: what one transaction may have (EIP-7825).
const GAS: u64 = 1 << 24;
/// What everybody has of everything: more than the contract takes.
pub(crate) const FORTUNE: U256 = U256::from_limbs([0, 0, 1 << 8, 0]);

static KEYS: LazyLock<Vec<SigningKey>> = LazyLock::new(|| {
    let key = |number: u8| SigningKey::from_slice(keccak256([number]).as_slice()).expect("not above the order");
    (0..=OPERATOR).map(key).collect()
});

/// Returns the key of a person or the operator.
pub(crate) fn key_of(number: u8) -> &'static SigningKey {
    &KEYS[usize::from(number)]
}

/// Returns what is fixed for ever.
pub(crate) fn parameters() -> Parameters {
    Parameters {
        operator: address_of(key_of(OPERATOR).verifying_key()),
        periods: PERIODS,
        exit_bond: 1_000,
        exit_bounty: 100,
        in_flight_bond: 5_000,
        piece_bond: 2_000,
        piece_bond_per_input: 300,
        piece_bounty: 200,
        piece_bounty_per_input: 30,
        fault_slash: 9_001,
        receipt_slash: 3_000,
        missing_bond: 700,
    }
}

/// The operator's, of which all beyond a fault's slash is for receipts.
pub(crate) const OPERATOR_BOND: u128 = 9_001 + 2 * 3_000;

/// How a call of the contract ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With these logs of the contract, and what it returned.
    Done(Vec<Log>, Bytes),
    /// It was refused, with this revert data.
    Refused(Bytes),
    /// It ran out of gas, or worse.
    Broken(HaltReason),
}

/// The root chain with one deployment.
#[derive(Clone)]
pub(crate) struct Evm {
    db: CacheDB<EmptyDB>,
    pub(crate) number: u64,
    pub(crate) now: u64,
    pub(crate) contract: Address,
    pub(crate) tokens: [Address; 2],
    /// Those who own coins, and the operator.
    pub(crate) people: Vec<Address>,
}

impl Evm {
    /// Deploys the contract of the artifacts in a folder, and what is around it.
    pub(crate) fn deploy(artifacts: &Path) -> Self {
        let people: Vec<Address> = (0..=OPERATOR).map(|number| address_of(key_of(number).verifying_key())).collect();
        let mut evm = Self {
            db: CacheDB::new(EmptyDB::default()),
            number: 1,
            now: DEPLOYED_AT,
            contract: Address::ZERO,
            tokens: [Address::ZERO; 2],
            people: people.clone(),
        };
        let parameters = parameters();
        let fixed = Value::Tuple(vec![
            parameters.operator.into(),
            parameters.periods.minimum_exit_period.into(),
            parameters.periods.sunset.into(),
            parameters.exit_bond.into(),
            parameters.exit_bounty.into(),
            parameters.in_flight_bond.into(),
            parameters.piece_bond.into(),
            parameters.piece_bond_per_input.into(),
            parameters.piece_bounty.into(),
            parameters.piece_bounty_per_input.into(),
            parameters.fault_slash.into(),
            parameters.receipt_slash.into(),
            parameters.missing_bond.into(),
        ]);
        let artifact = |name: &str| {
            let path = artifacts.join(name);
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let bond = AccountInfo { balance: U256::from(OPERATOR_BOND), ..AccountInfo::default() };
        evm.db.insert_account_info(STRANGER, bond);
        let facets = ["InFlightExits.json", "Faults.json", "Operations.json", "UnspentTree.json"];
        let facets = facets.map(|name| evm.create(0, &artifact(name), std::slice::from_ref(&fixed)).into());
        let args = [fixed, Value::Tuple(facets.into())];
        evm.contract = evm.create(OPERATOR_BOND, &artifact("RootChain.json"), &args);
        let token = artifact("testing/HostileToken.json");
        evm.tokens = [evm.create(0, &token, &[]), evm.create(0, &token, &[])];
        let receiver = evm.create(0, &artifact("testing/HostileReceiver.json"), &[0u64.into()]);

        // People are accounts with keys that have handed their code over to a hostile receiver (EIP-7702).
        for (number, &account) in (0..).zip(&people) {
            let mut info = AccountInfo { balance: FORTUNE, nonce: 1, ..AccountInfo::default() };
            if number != OPERATOR {
                let code = Bytecode::new_eip7702(receiver);
                (info.code_hash, info.code) = (code.hash_slow(), Some(code));
            }
            evm.db.insert_account_info(account, info);
            for token in evm.tokens {
                evm.must(account, token, "mint(address,uint256)", &[account.into(), FORTUNE.into()]);
                evm.must(account, token, "approve(address,uint256)", &[evm.contract.into(), U256::MAX.into()]);
            }
        }
        let reentry = encode_call("claim(address,address)", &[Address::ZERO.into(), STRANGER.into()]).expect("a call");
        for account in people[..usize::from(PEOPLE)].iter().copied().chain(evm.tokens) {
            let args = [evm.contract.into(), Value::Bytes(reentry.clone())];
            evm.must(STRANGER, account, "reenter(address,bytes)", &args);
            evm.must(STRANGER, account, "behave(uint8)", &[0u64.into()]);
        }
        evm
    }

    /// Returns the root block before the one that executes the next call.
    pub(crate) fn anchor(&mut self) -> RootRef {
        let number = self.number - 1;
        let hash = self.db.block_hash(number).expect("an empty database knows every hash");
        RootRef { number, hash }
    }

    /// Calls an address from an account.
    pub(crate) fn call(&mut self, caller: Address, to: Address, value: U256, data: Bytes) -> Ended {
        match self.transact(caller, TxKind::Call(to), value, data) {
            ExecutionResult::Success { logs, output, .. } => {
                let log = |(index, log): (usize, alloy_primitives::Log)| Log {
                    address: log.address,
                    topics: log.data.topics().to_vec(),
                    data: log.data.data,
                    block_number: U64::from(self.number),
                    block_hash: B256::ZERO,
                    transaction_hash: B256::ZERO,
                    log_index: U64::from(index),
                    removed: false,
                };
                let logs = logs.into_iter().filter(|log| log.address == self.contract).enumerate().map(log).collect();
                Ended::Done(logs, output.into_data())
            }
            ExecutionResult::Revert { output, .. } => Ended::Refused(output),
            ExecutionResult::Halt { reason, .. } => Ended::Broken(reason),
        }
    }

    /// Returns with what data a call would be refused, `None` if it would not, and leaves everything as it is.
    pub(crate) fn refusal(&mut self, caller: Address, data: Bytes) -> Option<Bytes> {
        let mut aside = Self { db: self.db.clone(), people: Vec::new(), ..*self };
        match aside.call(caller, self.contract, U256::ZERO, data) {
            Ended::Done(..) => None,
            Ended::Refused(data) => Some(data),
            Ended::Broken(reason) => panic!("the contract breaks: {reason:?}"),
        }
    }

    pub(crate) fn behave(&mut self, account: Address, receiver: Receiver) {
        self.must(account, account, "behave(uint8)", &[(receiver as u64).into()]);
    }

    pub(crate) fn token_behave(&mut self, token: Address, behaviour: Token) {
        self.must(STRANGER, token, "behave(uint8)", &[(behaviour as u64).into()]);
    }

    pub(crate) fn set_blocked(&mut self, token: Address, account: Address, blocked: bool) {
        self.must(account, token, "blockAccount(address,bool)", &[account.into(), Value::Bool(blocked)]);
    }

    /// Returns the error that the last call out of a payment to this account met, as its view returns it.
    pub(crate) fn reentry_error(&mut self, account: Address) -> B256 {
        B256::from_slice(&self.must(Address::ZERO, account, "reentryError()", &[]))
    }

    /// Returns all words of an account that are not zero.
    pub(crate) fn words(&self, account: Address) -> impl Iterator<Item = (U256, U256)> {
        let account = self.db.cache.accounts.get(&account);
        account.into_iter().flat_map(|account| &account.storage).map(|(&s, &w)| (s, w)).filter(|(_, w)| !w.is_zero())
    }

    /// Returns what an account has of ether.
    pub(crate) fn ether_of(&self, account: Address) -> U256 {
        self.db.cache.accounts.get(&account).map_or(U256::ZERO, |account| account.info.balance)
    }

    /// Returns what an account has of a token.
    pub(crate) fn tokens_of(&self, token: Address, account: Address) -> U256 {
        // `balanceOf` is the token's second variable.
        let slot = keccak256([account.into_word().0, U256::ONE.to_be_bytes()].concat());
        let token = self.db.cache.accounts.get(&token).expect("it was deployed");
        token.storage.get(&U256::from_be_bytes(slot.0)).copied().unwrap_or_default()
    }

    /// Deploys a contract from a stranger's account with so many wei.
    fn create(&mut self, wei: u128, artifact: &str, args: &[Value]) -> Address {
        let code = encode_creation(artifact, args).expect("the artifact's constructor takes these");
        match self.transact(STRANGER, TxKind::Create, U256::from(wei), code) {
            ExecutionResult::Success { output: Output::Create(_, Some(address)), .. } => address,
            other => panic!("a deployment failed: {other:?}"),
        }
    }

    /// Makes a call that is not under test, and returns its result.
    fn must(&mut self, caller: Address, to: Address, signature: &str, args: &[Value]) -> Bytes {
        match self.call(caller, to, U256::ZERO, encode_call(signature, args).expect("a call")) {
            Ended::Done(_, output) => output,
            other => panic!("{signature}: {other:?}"),
        }
    }

    fn transact(&mut self, caller: Address, kind: TxKind, value: U256, data: Bytes) -> ExecutionResult {
        let mut cfg = CfgEnv::new();
        cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
        cfg.chain_id = CHAIN_ID;
        cfg.disable_nonce_check = true;
        let (number, now) = (self.number, self.now);
        let mut evm = Context::mainnet()
            .with_db(&mut self.db)
            .with_cfg(cfg)
            .modify_block_chained(|block| {
                block.number = U256::from(number);
                block.timestamp = U256::from(now);
            })
            .build_mainnet();
        let transaction =
            TxEnv { caller, kind, value, data, gas_limit: GAS, chain_id: Some(CHAIN_ID), ..TxEnv::default() };
        evm.transact_commit(transaction).expect("a valid transaction over a database that does not fail")
    }
}
