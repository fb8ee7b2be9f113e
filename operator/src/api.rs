//! The operator's own routes: transactions in, answers out, fees.
//!
//! A handler does what can be done beside others (decoding, recovery, proofs) and leaves every decision to the writer.

use std::sync::Arc;

use alloy_primitives::Address;
use bytes::Bytes;
use plasmid_exit_game::fault::Rule;
use plasmid_exit_game::output::TxHash;
use plasmid_exit_game::position::Place;
use plasmid_exit_game::signature::{Domain, SIGNATURE_LEN};
use plasmid_exit_game::transaction::BODY_LEN_MAX;
use plasmid_node::chain::SharedChain;
use plasmid_node::http::{Response, body, json_body, refusing, respond};
use plasmid_node::problem::{Code, Problem};
use plasmid_node::wire::{self, Answer, Submission};
use plasmid_root_chain::client::Deployment;
use tokio::sync::Semaphore;
use warp::Filter;
use warp::filters::BoxedFilter;

use crate::admission::{Admitted, FeePolicy, admit, batch_len_max, split_batch};
use crate::block_builder::read;
use crate::metrics::Metrics;
use crate::receipts::Receipts;
use crate::sequencer::{Refusal, Stop};
use crate::writer::{Answered, QueueError, WriterHandle};

/// Most transactions of one POST.
pub const BATCH_ITEMS_MAX: usize = 1_000;
/// Transactions of a batch that are recovered before others have their turn: a flood of batches must not keep out a payment.
const TURN_ITEMS: usize = 32;
/// Most bytes of a JSON submission: the longest body and signature in hex, and room for spaces and names.
const JSON_LEN_MAX: usize = 2 * (BODY_LEN_MAX + SIGNATURE_LEN) + 1_024;

/// What the routes answer from.
#[derive(Debug, Clone)]
pub struct Api {
    writer: WriterHandle,
    receipts: Receipts,
    chain: SharedChain,
    domain: Domain,
    first_key: Address,
    fees: Arc<FeePolicy>,
    metrics: Arc<Metrics>,
    /// So many turns are decoded and recovered at a time: as many as there are processors, in the order of their coming.
    recovering: Arc<Semaphore>,
}

impl Api {
    /// Returns the routes' state.
    #[must_use]
    pub fn new(
        writer: WriterHandle,
        receipts: Receipts,
        chain: SharedChain,
        deployment: &Deployment,
        fees: Arc<FeePolicy>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let recovering = Arc::new(Semaphore::new(processors));
        let (domain, first_key) = (deployment.domain(), deployment.operator);
        Self { writer, receipts, chain, domain, first_key, fees, metrics, recovering }
    }

    /// Returns POST `/v1/transactions`, POST `/v1/transactions/batch` and GET `/v1/fees`.
    #[must_use]
    pub fn routes(self) -> BoxedFilter<(Response,)> {
        let api = warp::any().map(move || self.clone());
        let one = warp::path!("v1" / "transactions")
            .and(warp::post())
            .and(api.clone())
            .and(json_body::<Submission>(JSON_LEN_MAX))
            .then(|api: Self, request: Result<Submission, Problem>| async move { respond(api.submit(request).await) });
        let many = warp::path!("v1" / "transactions" / "batch")
            .and(warp::post())
            .and(api.clone())
            .and(body(batch_len_max(BATCH_ITEMS_MAX)))
            .then(|api: Self, request: Result<Bytes, Problem>| async move {
                let answers = api.submit_batch(request).await;
                refusing(answers.as_deref().map_or(0, count_forged), respond(answers))
            });
        let fees = warp::path!("v1" / "fees")
            .and(warp::get())
            .and(api)
            .map(|api: Self| respond(Ok(wire::Fees::from(&*api.fees))));
        one.or(many).unify().or(fees).unify().boxed()
    }

    /// Returns the receipt that the transaction got, for the common routes; none where another key signed it.
    #[must_use]
    pub fn receipt(&self, tx_hash: TxHash) -> Option<wire::Receipt> {
        let place = read(&self.chain).transaction(tx_hash)?.place;
        if self.other_key(place).is_some() {
            return None;
        }
        let answer =
            self.receipts.answer_at(place).inspect_err(|error| tracing::error!(%error, "no receipt")).ok()??;
        Some(answer.receipt)
    }

    async fn submit(&self, request: Result<Submission, Problem>) -> Result<wire::Accepted, Problem> {
        let Submission { body, signature } =
            request.inspect_err(|problem| self.metrics.observe_refusal(problem.code))?;
        let item = self.admit_all(move |admit| admit(&body, signature)).await;
        self.answer(vec![item]).await.remove(0).into_result()
    }

    async fn submit_batch(&self, request: Result<Bytes, Problem>) -> Result<Vec<Answer<wire::Accepted>>, Problem> {
        let is_whole = |bytes: Bytes| split_batch(&bytes, BATCH_ITEMS_MAX).map(drop).map(|()| bytes);
        let bytes = request.and_then(is_whole).inspect_err(|problem| self.metrics.observe_refusal(problem.code))?;
        let mut items = Vec::new();
        loop {
            let (bytes, first) = (bytes.clone(), items.len());
            let turn: Vec<_> = self
                .admit_all(move |admit| {
                    let items = split_batch(&bytes, BATCH_ITEMS_MAX).unwrap_or_default();
                    let turn = items.into_iter().skip(first).take(TURN_ITEMS);
                    turn.map(|(body, signature)| admit(body, signature)).collect()
                })
                .await;
            if turn.is_empty() {
                return Ok(self.answer(items).await);
            }
            items.extend(turn);
        }
    }

    /// Runs `work`, which admits transactions, on a thread for such work.
    async fn admit_all<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Fn(&[u8], [u8; SIGNATURE_LEN]) -> Result<Admitted, Problem>) -> T + Send + 'static,
    ) -> T {
        let _turn = self.recovering.acquire().await;
        let (domain, fees) = (self.domain, self.fees.clone());
        let admitted =
            tokio::task::spawn_blocking(move || work(&|body: &[u8], signature| admit(body, signature, &domain, &fees)));
        admitted.await.expect("admission takes any bytes")
    }

    /// Has the writer decide on what was admitted, and answers each item in its place.
    async fn answer(&self, items: Vec<Result<Admitted, Problem>>) -> Vec<Answer<wire::Accepted>> {
        let (mut requests, mut refused) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for item in items {
            match item {
                Ok(admitted) => {
                    requests.push(admitted);
                    refused.push(None);
                }
                Err(problem) => refused.push(Some(problem)),
            }
        }
        let count = requests.len();
        let decided = match count {
            0 => Vec::new(),
            _ => match self.writer.submit(requests).await {
                Ok(answers) => answers.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error); count],
            },
        };
        self.metrics.set_waiting(self.writer.waiting());
        let has_repeats = decided.iter().any(|answered| matches!(answered, Ok(Answered::Repeated(_))));
        let api = self.clone();
        let write_answers = move || api.write_answers(refused, decided);
        // What was answered before is read from the log.
        if has_repeats {
            tokio::task::spawn_blocking(write_answers).await.expect("the log gives answers or errors")
        } else {
            write_answers()
        }
    }

    /// Puts answers and refusals in the order of the requests.
    fn write_answers(
        &self,
        refused: Vec<Option<Problem>>,
        decided: Vec<Result<Answered, QueueError>>,
    ) -> Vec<Answer<wire::Accepted>> {
        let mut decided = decided.into_iter();
        let answers = refused.into_iter().map(|refused| {
            let answer = match refused {
                Some(problem) => Err(problem),
                None => match decided.next().expect("one for each request") {
                    Ok(answered) => self.answer_one(answered),
                    Err(error) => Err(queue_problem(error)),
                },
            };
            match answer {
                Ok(accepted) => Answer::Done(accepted),
                Err(problem) => {
                    self.metrics.observe_refusal(problem.code);
                    Answer::Problem(problem)
                }
            }
        });
        answers.collect()
    }

    /// Returns whose the block of `place` is, if it is not this key's: its receipts cannot be signed again.
    fn other_key(&self, place: Place) -> Option<Stop> {
        let operator = read(&self.chain).game().operator_of(place.block, self.first_key);
        (operator != self.receipts.key()).then_some(Stop::OtherKey { number: place.block, operator })
    }

    fn answer_one(&self, answered: Answered) -> Result<wire::Accepted, Problem> {
        let unreadable = || Problem::new(Code::NotReady, "the first answer cannot be read from the log");
        match answered {
            Answered::Accepted(batch, place) => Ok(batch.answer(place.index).expect("the batch holds the place")),
            Answered::Repeated(place) => match (self.other_key(place), self.receipts.answer_at(place)) {
                (Some(stop), _) => {
                    let what = format!("accepted before, as {place}, with a receipt that only its key repeats: {stop}");
                    Err(Problem::new(stop.code(), what))
                }
                (None, Ok(answer)) => answer.ok_or_else(unreadable),
                (None, Err(error)) => {
                    tracing::error!(%error, "an answer cannot be repeated");
                    Err(unreadable())
                }
            },
            Answered::Refused(refusal) => Err(refusal_problem(&refusal)),
        }
    }
}

/// Counts what nobody signed, or what is no transaction. The others may be honest: they depend on the state.
fn count_forged(answers: &[Answer<wire::Accepted>]) -> usize {
    let is_forged = |problem: &Problem| matches!(problem.code, Code::NotCanonical | Code::BadSignature);
    answers.iter().filter(|answer| matches!(answer, Answer::Problem(problem) if is_forged(problem))).count()
}

fn queue_problem(error: QueueError) -> Problem {
    match error {
        QueueError::Full => Problem::new(Code::Busy, error),
        QueueError::Stopped => Problem::new(Code::NotReady, error),
    }
}

fn refusal_problem(refusal: &Refusal) -> Problem {
    let problem = |code| Problem::new(code, refusal);
    match refusal {
        Refusal::Stopped(stop) => problem(stop.code()),
        Refusal::UnknownInput { .. } => problem(Code::UnknownInput).with_rule(Rule::R3),
        Refusal::BadSignature { .. } => problem(Code::BadSignature).with_rule(Rule::R4),
        Refusal::FeeTooLow => problem(Code::FeeTooLow),
        Refusal::AlreadySpent { spender, .. } => problem(Code::AlreadySpent).with_spender(*spender).with_rule(Rule::R6),
        Refusal::Exiting { .. } => problem(Code::Exiting).with_rule(Rule::R7),
        Refusal::Unbalanced(_) => problem(Code::Unbalanced).with_rule(Rule::R5),
    }
}
