//! What the watcher does on the root chain by itself. §7.
//!
//! An act that is due is sent and looked after until it is final; as long as it stays due it is tried again. Nothing is
//! remembered across restarts: what is still due then is decided anew from the root chain.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use plasmid_exit_game::exit::in_flight::duty::Duty;
use plasmid_exit_game::exit::in_flight::guard::{OwnDuty, Payout};
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::fault::FaultProof;
use plasmid_exit_game::output::OutputId;
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::signature::Domain;
use plasmid_node::archive::Archive;
use plasmid_node::chain::Chain;
use plasmid_node::kill_point;
use plasmid_root_chain::calls::announcement_of;
use plasmid_root_chain::client::{Bonds, Deployment, RootChain};
use plasmid_root_chain::events::decode_event;
use plasmid_root_chain::node::{Call, Landed};
use plasmid_root_chain::sender::Sender;
use tokio::task::{AbortHandle, JoinSet};

use crate::alarms::{Alarm, AlarmKind};
use crate::duty::{self, ActId, Challenge, Charge, Due, Guard, Leave, Start};
use crate::evidence::{ActError, Spends, reading};
use crate::finding::Finding;
use crate::history::History;
use crate::in_flight::{Creation, Owning, Showing, process_call, start_call};
use crate::leaving;
use crate::metrics::{ActOutcome, Metrics, MissingOutcome, Outcome};
use crate::missing::{self, Missing, MissingAct, MissingDuty};
use crate::proving::{Case, Step};

/// Most acts on their way at a time, those apart that the root chain shows done; the most urgent go first.
const ACTS_MAX: usize = 16;
/// Failures in a row after which somebody must know.
const FAILURES_ALARMING: u32 = 3;
/// Pause after a failure; it doubles with each.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Who acts. One account has one sender, whatever it does.
#[derive(Debug, Default)]
pub struct Accounts {
    /// Who challenges. Without one, what is due is an alarm.
    pub challenger: Option<Arc<Sender>>,
    /// Whose coins leave when a block is bad.
    pub guarded: Vec<Arc<Sender>>,
}

/// Sends what is due and stays with it.
#[derive(Debug)]
pub struct Responder {
    root_chain: RootChain,
    challenger: Option<Arc<Sender>>,
    /// Every account that acts.
    senders: BTreeMap<Address, Arc<Sender>>,
    guard: Guard,
    /// What is proven at present.
    case: Option<Case>,
    archive: Archive,
    domain: Domain,
    bonds: Bonds,
    finality_depth: u64,
    metrics: Metrics,
    running: JoinSet<(ActId, Result<Landed, ActError>)>,
    sent: BTreeMap<ActId, AbortHandle>,
    failed: BTreeMap<ActId, Failure>,
}

#[derive(Debug)]
struct Failure {
    count: u32,
    retry_at: Instant,
    what: String,
}

impl Responder {
    /// Returns a responder that acts with these accounts and follows each act to `finality_depth`.
    #[must_use]
    pub fn new(
        root_chain: RootChain,
        deployment: &Deployment,
        accounts: Accounts,
        archive: Archive,
        finality_depth: u64,
        metrics: Metrics,
    ) -> Self {
        let address = |sender: &Arc<Sender>| sender.account().address();
        let all = accounts.guarded.iter().chain(&accounts.challenger);
        let senders: BTreeMap<_, _> = all.map(|sender| (address(sender), sender.clone())).collect();
        let guard = Guard {
            owners: accounts.guarded.iter().map(address).collect(),
            accounts: senders.keys().copied().collect(),
            bounty_wei: deployment.bonds.exit_bounty_wei,
            piece_bounty_wei: deployment.bonds.piece_bounty_wei,
        };
        Self {
            root_chain,
            challenger: accounts.challenger,
            senders,
            guard,
            case: None,
            archive,
            domain: deployment.domain(),
            bonds: deployment.bonds,
            finality_depth,
            metrics,
            running: JoinSet::new(),
            sent: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }

    /// Returns who acts.
    #[must_use]
    pub fn accounts(&self) -> &[Address] {
        &self.guard.accounts
    }

    /// Sends what is due and not on its way; stops what a reorganisation made pointless.
    ///
    /// `bad` is the first bad block with what was found of it, `proof` the evidence against it, `lacking` a coin that its
    /// unspent tree seems to lack.
    pub fn act(
        &mut self,
        chain: &Chain,
        history: &History,
        bad: Option<&(BlockNumber, Finding)>,
        proof: Option<&FaultProof>,
        lacking: Option<Missing>,
    ) {
        self.plead(proof);
        let conviction = self.case.as_ref().and_then(|case| Some((case.step(chain.game(), &self.domain)?, case)));
        let due = duty::due(chain, history, &self.guard, &Charge { bad, conviction, lacking });
        let ids: BTreeSet<_> = due.iter().map(Due::id).collect();
        let is_due = |id: &ActId| ids.contains(id);
        self.sent.retain(|id, task| {
            // What is neither due nor done never was: it must not be sent again or paid dearer.
            let is_done = id.is_done(chain.game());
            if is_done {
                kill_point::reached("act-landed");
                if let Some(point) = kill_point_of(id) {
                    kill_point::reached(point);
                }
            }
            let is_kept = is_due(id) || is_done;
            if !is_kept {
                task.abort();
            }
            is_kept
        });
        self.failed.retain(|id, _| is_due(id));
        let mut waiting = self.sent.keys().filter(|id| !id.is_done(chain.game())).count();
        for act in &due {
            let id = act.id();
            if waiting >= ACTS_MAX {
                break;
            }
            if !self.is_to_send(&id) {
                continue;
            }
            waiting += 1;
            match act {
                Due::Convict(step, case) => self.convict(id, *step, case),
                Due::Missing(duty) => self.act_on_missing(id, duty, chain, history),
                Due::Challenge(challenge) => self.challenge(id, challenge, history),
                Due::InFlight(duty) => self.defend(id, duty, chain, history),
                Due::Own(duty) => self.act_for_owner(id, duty, chain),
                Due::Start(start) => self.start(id, start, chain),
                Due::Leave(leave) => self.leave(id, leave, chain),
                Due::Process(payout) => self.process(id, payout, chain),
            }
        }
    }

    /// Waits until an act has come to its end; for ever if none is on its way. May be dropped while it waits.
    pub async fn finished(&mut self) {
        match self.running.join_next().await {
            None => std::future::pending().await,
            Some(Err(error)) if error.is_cancelled() => {}
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            Some(Ok((id, outcome))) => {
                self.sent.remove(&id);
                match outcome {
                    Ok(landed) => {
                        kill_point::reached("act-final");
                        self.count(&id, Outcome::Landed);
                        self.count_rewards(&landed);
                        self.failed.remove(&id);
                        tracing::info!(subject = %id.subject(), transaction = %landed.transaction, "{id} is final");
                    }
                    Err(error) => self.fail(id, crate::error_chain(&error)),
                }
            }
        }
    }

    /// Returns the alarms about acts that do not get through.
    #[must_use]
    pub fn alarms(&self, now: u64) -> Vec<Alarm> {
        let failing = self.failed.iter().filter(|(_, failure)| failure.count >= FAILURES_ALARMING);
        let alarm = |(id, failure): (&ActId, &Failure)| {
            let message = format!("{id} does not get through: {}", failure.what);
            Alarm::new(AlarmKind::ActFails, &format!("{:x}", id.subject()), now, message)
        };
        failing.map(alarm).collect()
    }

    /// Returns the coins whose standard exits are being challenged.
    pub fn challenged(&self) -> impl Iterator<Item = OutputId> {
        self.sent.keys().filter_map(|id| match id {
            ActId::Challenge { output_id, .. } => Some(*output_id),
            ActId::Announce { .. }
            | ActId::Prove { .. }
            | ActId::Missing(_)
            | ActId::Leave { .. }
            | ActId::InFlight { .. }
            | ActId::Start { .. }
            | ActId::Own { .. }
            | ActId::Process { .. } => None,
        })
    }

    fn is_to_send(&self, id: &ActId) -> bool {
        let is_waiting = self.failed.get(id).is_some_and(|failure| failure.retry_at > Instant::now());
        !self.sent.contains_key(id) && !is_waiting
    }

    /// Makes a case of the evidence, as the challenger announces it.
    fn plead(&mut self, proof: Option<&FaultProof>) {
        if self.case.as_ref().map(|case| &case.proof) != proof {
            // Without an account nobody can announce it: that is an alarm.
            let accuser = self.challenger.as_ref().map(|sender| sender.account().address()).unwrap_or_default();
            self.case = proof.map(|proof| {
                let announcement = announcement_of(accuser, &self.root_chain.prove_fault(proof));
                Case { proof: proof.clone(), announcement }
            });
        }
    }

    fn convict(&mut self, id: ActId, step: Step, case: &Case) {
        let Some(sender) = self.challenger_of(&id) else { return };
        let call = match step {
            Step::Announce => self.root_chain.announce_fault(case.announcement),
            Step::Prove => self.root_chain.prove_fault(&case.proof),
        };
        self.send(id, sender, std::future::ready(Ok(call)));
    }

    fn act_on_missing(&mut self, id: ActId, duty: &MissingDuty, chain: &Chain, history: &History) {
        let Some(sender) = self.challenger_of(&id) else { return };
        let Some(showing) = missing::Showing::of(duty, chain, history) else { return self.lose(id) };
        let (root_chain, bond_wei) = (self.root_chain.clone(), self.bonds.missing_bond_wei);
        self.send(id, sender, reading(move || showing.call(&root_chain, bond_wei)));
    }

    fn challenge(&mut self, id: ActId, challenge: &Challenge, history: &History) {
        let Some(sender) = self.challenger_of(&id) else { return };
        let (root_chain, record) = (self.root_chain.clone(), challenge.exit.record);
        let sources = challenge.spends.iter().copied();
        let spends = Spends::of(record.output_id, record.output.owner, sources, &self.archive, history, self.domain);
        self.send(id, sender, async move {
            let spend = reading(move || spends.read()).await?;
            Ok(root_chain.challenge_standard_exit(&record, &spend.body.encode(), &spend.signature))
        });
    }

    fn defend(&mut self, id: ActId, duty: &Duty, chain: &Chain, history: &History) {
        let Some(sender) = self.challenger_of(&id) else { return };
        let Some(showing) = Showing::of(duty, chain, history, self.domain) else { return self.lose(id) };
        let (root_chain, bond_wei) = (self.root_chain.clone(), self.bonds.in_flight_bond_wei);
        self.send(id, sender, reading(move || showing.call(&root_chain, bond_wei)));
    }

    fn act_for_owner(&mut self, id: ActId, duty: &OwnDuty, chain: &Chain) {
        let Some(sender) = self.senders.get(&duty.owner).cloned() else { return };
        let Some(owning) = Owning::of(duty, chain) else { return self.lose(id) };
        self.send(id, sender, owning.call(self.root_chain.clone(), self.bonds));
    }

    fn start(&mut self, id: ActId, start: &Start, chain: &Chain) {
        let Some(sender) = self.senders.get(&start.owner).cloned() else { return };
        let inputs = start.payment.body.inputs().iter().map(|&input| Creation::of(input, chain));
        let Some(inputs) = inputs.collect::<Option<Vec<_>>>() else { return self.lose(id) };
        self.send(id, sender, start_call(self.root_chain.clone(), self.bonds, start.payment.clone(), inputs));
    }

    fn leave(&mut self, id: ActId, leave: &Leave, chain: &Chain) {
        let Some(sender) = self.senders.get(&leave.coin.output.owner).cloned() else { return };
        let body = leave.coin.position.block().and_then(|block| chain.body(block));
        let (root_chain, bond_wei, leave) = (self.root_chain.clone(), self.bonds.exit_bond_wei, leave.clone());
        self.send(id, sender, async move { leaving::exit_call(&root_chain, bond_wei, &leave, body).await });
    }

    fn process(&mut self, id: ActId, payout: &Payout, chain: &Chain) {
        let Some(sender) = self.senders.get(&payout.owner).cloned() else { return };
        let Some(call) = process_call(&self.root_chain, chain.game(), payout) else { return };
        self.send(id, sender, std::future::ready(Ok(call)));
    }

    /// What the act has to show is not there.
    fn lose(&mut self, id: ActId) {
        self.fail(id, crate::error_chain(&ActError::Lost));
    }

    /// Who challenges; that there is nobody is a failure of the act.
    fn challenger_of(&mut self, id: &ActId) -> Option<Arc<Sender>> {
        if self.challenger.is_none() {
            let failure = Failure {
                count: FAILURES_ALARMING,
                retry_at: Instant::now() + RETRY_MAX,
                what: "there is no account to do it".to_owned(),
            };
            self.failed.insert(id.clone(), failure);
        }
        self.challenger.clone()
    }

    fn send(
        &mut self,
        id: ActId,
        sender: Arc<Sender>,
        call: impl Future<Output = Result<Call, ActError>> + Send + 'static,
    ) {
        tracing::warn!(subject = %id.subject(), "sending {id}");
        kill_point::reached("act-decided");
        self.count(&id, Outcome::Sent);
        let depth = self.finality_depth;
        let name = id.clone();
        let task = self.running.spawn(async move {
            let landed = async { Ok(sender.send_until_final(&call.await?, depth).await?) };
            (name, landed.await)
        });
        self.sent.insert(id, task);
    }

    fn fail(&mut self, id: ActId, what: String) {
        self.count(&id, Outcome::Failed);
        tracing::warn!(subject = %id.subject(), "{id} does not get through: {what}");
        let count = self.failed.get(&id).map_or(1, |failure| failure.count.saturating_add(1));
        let pause = RETRY_FIRST.saturating_mul(1 << (count - 1).min(6)).min(RETRY_MAX);
        self.failed.insert(id, Failure { count, retry_at: Instant::now() + pause, what });
    }

    fn count(&self, id: &ActId, outcome: Outcome) {
        self.metrics.acts.get_or_create(&ActOutcome { outcome }).inc();
        if matches!(id, ActId::Prove { .. } | ActId::Missing(MissingDuty { act: MissingAct::Convict, .. })) {
            self.metrics.convictions.get_or_create(&ActOutcome { outcome }).inc();
        }
        if let ActId::Missing(MissingDuty { act, .. }) = *id {
            self.metrics.missing_acts.get_or_create(&MissingOutcome { act, outcome }).inc();
        }
    }

    fn count_rewards(&self, landed: &Landed) {
        let contract = self.root_chain.contract();
        let events = landed.logs.iter().filter_map(|log| decode_event(contract, log).ok());
        let is_ours = |event: &RootEvent| matches!(event, RootEvent::FaultRewarded { accuser, .. } if self.senders.contains_key(accuser));
        let rewards = events.filter(is_ours).count();
        self.metrics.rewards.inc_by(rewards as u64);
    }
}

/// Where a test may kill the program once the act is done.
fn kill_point_of(id: &ActId) -> Option<&'static str> {
    match id {
        ActId::Announce { .. } => Some("fault-announced"),
        ActId::Prove { .. } => Some("fault-proven"),
        ActId::Missing(MissingDuty { act: MissingAct::Claim, .. }) => Some("missing-claimed"),
        _ => None,
    }
}
