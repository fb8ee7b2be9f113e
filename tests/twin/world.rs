//! The model and the contract side by side: each step is taken by both, and all that they show is compared. The exit game as
//! operators and watchers follow it hears of the contract's events alone, and has to come to the same.

mod accuse;
mod compare;
mod resolve;
mod unspent;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bytes, U256};
use plasmid_exit_game::exit::contract::{Call, Contract, Revert};
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::{InFlightStep, RootBlock, RootEvent, RootRef};
use plasmid_exit_game::fault::{FaultProof, check};
use plasmid_exit_game::game::{Game, GameState};
use plasmid_exit_game::output::{ETHER, Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::signature::Domain;
use plasmid_root_chain::events::decode_event;

use crate::action::{Action, Evidence, Flaw, Label, Step};
use crate::call::Function;
use crate::chain::Chain;
use crate::coverage::Coverage;
use crate::evm::{CHAIN_ID, Ended, Evm, FORTUNE, OPERATOR, OPERATOR_BOND, PEOPLE, PERIODS, STRANGER, parameters};
use crate::money::{Money, Receiver, Token};
use crate::reverts;

/// The numbers of the accounts beside the people and the operator.
pub(crate) const CONTRACT: u8 = OPERATOR + 1;
pub(crate) const NOBODY: u8 = OPERATOR + 2;
pub(crate) const ACCOUNTS: u8 = OPERATOR + 4;
/// Ether and two tokens; the fourth is an address without code.
pub(crate) const ASSETS: u8 = 3;
/// Receipts are for blocks less than so far above the next one.
pub(crate) const NUMBERS_AHEAD: u64 = 3;

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The contract was not called.
    Aside,
    Accepted,
    Refused,
}

/// Where the two disagree, or one of them breaks an invariant.
#[derive(Debug)]
pub(crate) struct Disagreement(pub(crate) String);

/// Both, and what lies around them.
pub(crate) struct World {
    evm: Evm,
    pub(crate) model: Contract,
    pub(crate) game: Game,
    pub(crate) money: Money,
    pub(crate) chain: Chain,
    pub(crate) now: u64,
    domain: Domain,
    /// Standard exits by the step that started them.
    pub(crate) records: BTreeMap<Label, ExitRecord>,
    /// Claims that a block's tree lacks the coin of a position, by the step that made them.
    pub(crate) claims: BTreeMap<Label, (BlockNumber, Position)>,
    /// The last data of each transaction's exit.
    data: BTreeMap<Label, Bytes>,
    paid: BTreeSet<OutputId>,
    freezes: BTreeMap<OutputId, u64>,
    /// What was announced, by whom it is to be shown.
    pub(crate) announced: Vec<(u8, Evidence)>,
    announcements: BTreeSet<B256>,
    pub(crate) coverage: Coverage,
}

impl World {
    pub(crate) fn new(evm: &Evm) -> Self {
        let evm = evm.clone();
        let domain = Domain { chain_id: CHAIN_ID, contract: evm.contract };
        let model = Contract::deploy(parameters(), OPERATOR_BOND, domain, evm.now).expect("the parameters are valid");
        let mut game = Game::new(PERIODS, 1);
        let (fault_part, receipt_part) = (parameters().fault_slash, OPERATOR_BOND - parameters().fault_slash);
        let funded = RootEvent::BondFunded { funder: STRANGER, fault_part, receipt_part };
        game.connect_block(&root_block(evm.number, evm.now, vec![funded])).expect("the first event of all");
        let mut money = Money::new(evm.contract, evm.tokens);
        money.give(ETHER, evm.contract, U256::from(OPERATOR_BOND));
        for &account in &evm.people {
            for asset in [ETHER, evm.tokens[0], evm.tokens[1]] {
                money.give(asset, account, FORTUNE);
            }
        }
        let now = evm.now;
        Self {
            evm,
            model,
            game,
            money,
            chain: Chain::default(),
            now,
            domain,
            records: BTreeMap::new(),
            claims: BTreeMap::new(),
            data: BTreeMap::new(),
            paid: BTreeSet::new(),
            freezes: BTreeMap::new(),
            announced: Vec::new(),
            announcements: BTreeSet::new(),
            coverage: Coverage::default(),
        }
    }

    /// Takes a step, on both.
    ///
    /// # Errors
    ///
    /// [`Disagreement`], told at full length.
    pub(crate) fn take(&mut self, step: &Step) -> Result<Taken, Disagreement> {
        self.now = self.now.max(step.at);
        self.next_root_block();
        let taken = self.try_take(step).and_then(|taken| self.compare().map(|()| taken));
        taken.map_err(|Disagreement(what)| Disagreement(format!("{step:?} at {}: {what}", self.now)))
    }

    fn next_root_block(&mut self) {
        (self.evm.now, self.evm.number) = (self.now, self.evm.number + 1);
        let empty = root_block(self.evm.number, self.now, Vec::new());
        self.game.connect_block(&empty).expect("a block without events contradicts nothing");
    }

    fn try_take(&mut self, step: &Step) -> Result<Taken, Disagreement> {
        if let Action::Blocks { count } = step.action {
            for _ in 0..count {
                self.now += 1;
                self.next_root_block();
                let next = BlockNumber::new(self.model.head().next_number).expect("there are few blocks");
                let by = self.number_of(self.model.operator_of(next)).unwrap_or(OPERATOR);
                let block =
                    Action::Block { by, txs: vec![], uncovered: 0, flaw: Flaw::None, lie: None, crooks: vec![] };
                self.try_take(&Step { id: step.id, at: self.now, action: block, spoil: None })?;
            }
            return Ok(Taken::Aside);
        }
        if !step.action.is_call() {
            self.change(step);
            return Ok(Taken::Aside);
        }
        let Some((by, value, mut function)) = self.function(&step.action) else { return Ok(Taken::Aside) };
        if let Some((at, how)) = step.spoil {
            function.spoil(at, how);
        }
        let caller = self.account(by % (OPERATOR + 1));
        let (model, money) = (self.model.clone(), self.money.clone());
        let verdict = match &function {
            Function::ProveFault { proof } => Some(self.verdict(proof)),
            _ => None,
        };
        let expected = self.expect(caller, value, &mut function);
        if let Some(verdict) = verdict
            && !expected.is_of(&verdict)
        {
            return Err(Disagreement(format!("the game's verdict is {verdict:?}, and the call ends in {expected:?}")));
        }
        let ended = self.evm.call(caller, self.evm.contract, value, function.calldata());
        let name = function.name();
        let taken = match (&expected, &ended) {
            (Expected::Done(events), Ended::Done(logs, _)) => {
                let logs: Result<Vec<_>, _> = logs.iter().map(|log| decode_event(self.evm.contract, log)).collect();
                if logs.as_ref() != Ok(events) {
                    return Err(Disagreement(format!("the model's events are {events:?}, the contract's {logs:?}")));
                }
                let events = events.clone();
                self.coverage.situations(&model, &self.chain, &events, self.now);
                self.follow(step, &events)?;
                Taken::Accepted
            }
            (Expected::Refused(reason), Ended::Refused(data)) if reverts::encode(reason) == *data => {
                self.coverage.refuse(reverts::name(reason));
                Taken::Refused
            }
            (Expected::NotAToken(token), Ended::Refused(data)) if reverts::not_a_token(*token) == *data => {
                self.coverage.refuse("NotAToken");
                Taken::Refused
            }
            (Expected::RefusedByToken, Ended::Refused(_) | Ended::Broken(_)) => Taken::Refused,
            (_, Ended::Broken(reason)) => {
                return Err(Disagreement(format!("the model ends in {expected:?}, the contract breaks: {reason:?}")));
            }
            _ => return Err(Disagreement(format!("the model ends in {expected:?}, the contract in {ended:?}"))),
        };
        if taken == Taken::Refused {
            if self.model != model {
                return Err(Disagreement("a call that is refused changes the model".to_owned()));
            }
            self.money = money;
        }
        self.coverage.call(name, taken == Taken::Accepted);
        Ok(taken)
    }

    /// Makes the call on the model, and moves its money.
    fn expect(&mut self, caller: Address, value: U256, function: &mut Function) -> Expected {
        self.money.reentered.clear();
        if let Function::DepositErc20 { token, amount, received, .. } = function {
            if !self.money.is_token(*token) {
                return Expected::NotAToken(*token);
            }
            match self.money.collect(*token, caller, U256::from(*amount)) {
                Some(arrived) => *received = arrived,
                None => return Expected::RefusedByToken,
            }
        }
        self.money.shift(ETHER, caller, self.evm.contract, value);
        let (call, money) = (Call { caller, now: self.now, root_block: self.evm.number }, &mut self.money);
        match function.on_model(&mut self.model, call, value, &mut |payment| money.pay(payment)) {
            Ok(events) => Expected::Done(events),
            Err(reason) => Expected::Refused(reason),
        }
    }

    /// Does what is no call of the contract.
    fn change(&mut self, step: &Step) {
        match &step.action {
            Action::Sign { signer, inputs, outputs, memo } => {
                let output = |&(owner, asset, amount): &(u8, u8, u128)| Output {
                    owner: self.account(owner),
                    asset: self.asset(asset),
                    amount,
                };
                let outputs = outputs.iter().map(output).collect();
                // What cannot be signed makes nothing.
                let _ = self.chain.sign(step.id, *signer, inputs, outputs, *memo, &self.domain);
            }
            Action::Behave { who, how } => {
                let account = self.account(who % PEOPLE);
                let receiver = Receiver::ALL[usize::from(*how) % Receiver::ALL.len()];
                self.money.behave(account, receiver);
                self.evm.behave(account, receiver);
            }
            Action::TokenBehave { token, how } => {
                let token = self.evm.tokens[usize::from(token % 2)];
                let behaviour = Token::ALL[usize::from(*how) % Token::ALL.len()];
                self.money.token_behave(token, behaviour);
                self.evm.token_behave(token, behaviour);
            }
            Action::TokenBlocks { token, who, blocked } => {
                let (token, account) = (self.evm.tokens[usize::from(token % 2)], self.account(who % PEOPLE));
                self.money.set_blocked(token, account, *blocked);
                self.evm.set_blocked(token, account, *blocked);
            }
            _ => {}
        }
    }

    /// Notes what events tell, and that no coin is paid twice.
    fn follow(&mut self, step: &Step, events: &[RootEvent]) -> Result<(), Disagreement> {
        let followed = self.game.connect_block(&root_block(self.evm.number, self.now, events.to_vec()));
        followed.map_err(|error| Disagreement(format!("the game does not follow the events {events:?}: {error}")))?;
        for event in events {
            self.coverage.event(event);
            match event {
                RootEvent::Deposited(deposit) => {
                    self.chain.deposits.insert(step.id, *deposit);
                }
                RootEvent::BlockSubmitted(header) => {
                    let Action::Block { txs, crooks, lie, .. } = &step.action else { continue };
                    let number = header.number.get();
                    let leaves = self.chain.leaves(number, txs, crooks);
                    let unspent = self.chain.unspent(number, &leaves, header.deposit_count, *lie);
                    self.chain.include(*header, leaves, unspent);
                }
                RootEvent::FaultAnnounced { announcement } => {
                    self.announcements.insert(*announcement);
                    if let Action::Announce { accuser, what, .. } = &step.action {
                        self.announced.push((*accuser, what.clone()));
                    }
                }
                RootEvent::StandardExitStarted(record) => {
                    self.records.insert(step.id, *record);
                }
                RootEvent::MissingClaimed { number, position, .. } => {
                    self.claims.insert(step.id, (*number, *position));
                }
                RootEvent::ExitPaid { output_id, .. } | RootEvent::CoinWithdrawn { output_id, .. } => {
                    self.note_paid(*output_id)?;
                }
                RootEvent::InFlight { tx_hash, step } => match &**step {
                    InFlightStep::Started { data, .. } | InFlightStep::Improved { data, .. } => {
                        let tx = self.chain.transactions.iter().find(|(_, signed)| signed.tx_hash == *tx_hash);
                        if let Some((&label, _)) = tx {
                            self.data.insert(label, data.encode().into());
                        }
                    }
                    InFlightStep::PiecePaid { output_id, .. } => self.note_paid(*output_id)?,
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(())
    }

    /// Returns what a proof would do now, as far as events tell.
    pub(crate) fn verdict(&self, proof: &FaultProof) -> Result<BlockNumber, Revert> {
        check(proof, &GameState { game: &self.game, domain: &self.domain })
    }

    fn note_paid(&mut self, output_id: OutputId) -> Result<(), Disagreement> {
        if self.paid.insert(output_id) { Ok(()) } else { Err(Disagreement(format!("{output_id} is paid twice"))) }
    }

    /// Returns the last data of a transaction's exit; none if it never had one.
    fn data_of(&self, tx: Label) -> Bytes {
        self.data.get(&tx).cloned().unwrap_or_default()
    }

    /// Returns an account by its number.
    pub(crate) fn account(&self, number: u8) -> Address {
        match number % ACCOUNTS {
            CONTRACT => self.evm.contract,
            NOBODY => Address::ZERO,
            number => self.evm.people.get(usize::from(number)).copied().unwrap_or(STRANGER),
        }
    }

    /// Returns an asset by its number.
    pub(crate) fn asset(&self, number: u8) -> Address {
        match number % (ASSETS + 1) {
            0 => ETHER,
            ASSETS => STRANGER,
            number => self.evm.tokens[usize::from(number - 1)],
        }
    }

    /// Returns the number of an account or asset with this address.
    pub(crate) fn number_of(&self, account: Address) -> Option<u8> {
        (0..ACCOUNTS).find(|&number| self.account(number) == account)
    }
}

fn root_block(number: u64, timestamp: u64, events: Vec<RootEvent>) -> RootBlock {
    RootBlock { at: RootRef { number, hash: B256::ZERO }, parent: B256::ZERO, timestamp, events }
}

/// How the model says that a call ends.
#[derive(Debug)]
enum Expected {
    Done(Vec<RootEvent>),
    Refused(Revert),
    /// There is no code at the token's address.
    NotAToken(Address),
    /// The token reverts in its own words.
    RefusedByToken,
}

impl Expected {
    /// Returns whether a proof with this verdict ends so. A reward may still be another's.
    fn is_of(&self, verdict: &Result<BlockNumber, Revert>) -> bool {
        match (self, verdict) {
            (Self::Done(_), Ok(_)) => true,
            (Self::Refused(Revert::AlreadyConvicted { number }), Ok(convicted)) => number == convicted,
            (Self::Refused(reason), Err(error)) => reason == error,
            _ => false,
        }
    }
}
