//! What the sequences reached: calls, reasons for refusal, events, fields of words, and situations that matter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use plasmid_exit_game::exit::contract::Contract;
use plasmid_exit_game::exit::in_flight::{Decision, InputData};
use plasmid_exit_game::facts::{InFlightStep, RootEvent};
use plasmid_exit_game::fault::Rule;
use plasmid_exit_game::position::BlockNumber;

use crate::chain::Chain;
use crate::evm::PERIODS;
use crate::words::FIELDS;

/// Counts by name.
#[derive(Debug, Default, Clone)]
pub(crate) struct Coverage {
    /// Accepted and refused calls.
    calls: BTreeMap<&'static str, (u64, u64)>,
    refusals: BTreeMap<&'static str, u64>,
    events: BTreeMap<&'static str, u64>,
    fields: BTreeMap<&'static str, u64>,
    situations: BTreeMap<&'static str, u64>,
}

/// Where exits and claims are won or lost.
const SITUATIONS: [&str; 25] = [
    "improved to an earlier key under live pieces",
    "piggybacked in the last second",
    "competitor in the last second",
    "competitor older than one shown",
    "answered after the first half",
    "piece challenged after the first half",
    "decided at the very second of the key",
    "settled with an own exit pending",
    "closed at its first second",
    "closed unanswered",
    "closed non-canonical with a challenger",
    "closed void with a challenger",
    "claimed in the last second",
    "answered in the last second",
    "convicted by a claim at its first second",
    "convicted by a claim in the last second",
    "convicted once the chain was closed",
    "returned as the block is void",
    "returned at its first second",
    "withdrawn at the first second",
    "withdrawn by its payee",
    "withdrawn with an own exit pending",
    "withdrawn from a closed chain",
    "withdrawn from a closed chain since convicted",
    "withdrawn without any good block",
];

impl Coverage {
    pub(crate) fn call(&mut self, name: &'static str, accepted: bool) {
        let (taken, refused) = self.calls.entry(name).or_default();
        *(if accepted { taken } else { refused }) += 1;
    }

    pub(crate) fn refuse(&mut self, reason: &'static str) {
        *self.refusals.entry(reason).or_default() += 1;
    }

    pub(crate) fn event(&mut self, event: &RootEvent) {
        *self.events.entry(name_of(event)).or_default() += 1;
    }

    pub(crate) fn reach(&mut self, fields: BTreeSet<&'static str>) {
        fields.into_iter().for_each(|field| *self.fields.entry(field).or_default() += 1);
    }

    /// Counts which situations the events of a call tell of, `before` being the model before it.
    pub(crate) fn situations(&mut self, before: &Contract, chain: &Chain, events: &[RootEvent], now: u64) {
        for event in events {
            self.situations_of_trees(before, chain, event, now);
            let RootEvent::InFlight { tx_hash, step } = event else { continue };
            let exit = before.in_flight_exit(*tx_hash);
            let end = exit.map_or(0, |exit| PERIODS.end_of_first_half(exit.start));
            let is_last_second = now + 1 == end;
            let situation = match (&**step, exit) {
                (InFlightStep::Improved { key, .. }, Some(exit)) => (*key < exit.key && !exit.live_pieces.is_empty())
                    .then_some("improved to an earlier key under live pieces"),
                (InFlightStep::Piggybacked { .. }, _) => is_last_second.then_some("piggybacked in the last second"),
                (InFlightStep::CanonicityChallenged { .. }, _) if is_last_second => {
                    Some("competitor in the last second")
                }
                (InFlightStep::CanonicityChallenged { .. }, Some(exit)) => {
                    exit.challenger.map(|_| "competitor older than one shown")
                }
                (InFlightStep::CanonicityAnswered { .. }, _) => (now >= end).then_some("answered after the first half"),
                (InFlightStep::PieceChallenged { .. }, _) => {
                    (now >= end).then_some("piece challenged after the first half")
                }
                (InFlightStep::Decided(decision), Some(exit)) => {
                    let is_exiting = |input: &InputData| before.coin(input.output_id).exit().is_some();
                    let is_settled = *decision == Decision::Canonical && exit.data.inputs.iter().any(is_exiting);
                    if is_settled {
                        Some("settled with an own exit pending")
                    } else {
                        (now == exit.key).then_some("decided at the very second of the key")
                    }
                }
                (InFlightStep::Closed, Some(exit)) => match (exit.challenger, exit.decision) {
                    (Some(_), None) => Some("closed unanswered"),
                    (Some(_), Some(Decision::NonCanonical)) => Some("closed non-canonical with a challenger"),
                    (Some(_), Some(Decision::Void)) => Some("closed void with a challenger"),
                    _ => (now == end).then_some("closed at its first second"),
                },
                _ => None,
            };
            situation.into_iter().for_each(|situation| self.situation(situation));
        }
    }

    fn situations_of_trees(&mut self, before: &Contract, chain: &Chain, event: &RootEvent, now: u64) {
        let head = before.head();
        let open = |number, position| before.missing_claim(number, position).and_then(|claim| claim.open);
        let timestamp = |number: BlockNumber| chain.block(number.get()).map_or(0, |block| block.header.timestamp);
        let reached = match *event {
            RootEvent::MissingClaimed { number, .. } => {
                let is_last = now + 1 == PERIODS.end_of_claims(timestamp(number));
                vec![is_last.then_some("claimed in the last second")]
            }
            RootEvent::MissingAnswered { number, position, .. } => {
                let end = open(number, position).map(|open| PERIODS.end_of_answers(open.claimed_at));
                vec![(end == Some(now + 1)).then_some("answered in the last second")]
            }
            RootEvent::MissingConvicted { number, position, .. } => {
                let first = open(number, position).map(|open| PERIODS.end_of_answers(open.claimed_at));
                let is_last = now + 1 == PERIODS.end_of_convictions(timestamp(number));
                vec![
                    (first == Some(now)).then_some("convicted by a claim at its first second"),
                    is_last.then_some("convicted by a claim in the last second"),
                ]
            }
            RootEvent::MissingReturned { number, .. } => {
                let is_void = head.halt.is_some_and(|halt| halt.from <= number);
                let is_first = !is_void && now == PERIODS.end_of_convictions(timestamp(number));
                vec![
                    is_void.then_some("returned as the block is void"),
                    is_first.then_some("returned at its first second"),
                ]
            }
            RootEvent::FaultProven { .. } => {
                vec![head.closed_at.map(|_| "convicted once the chain was closed")]
            }
            RootEvent::CoinWithdrawn { output_id, .. } => {
                let (coin, ended) = (before.coin(output_id), head.halt.map(|halt| halt.at).max(head.closed_at));
                let is_first = ended.is_some_and(|ended| PERIODS.start_of_settlement(ended) == now);
                let after = match (head.closed_at, head.halt) {
                    (Some(_), None) => Some("withdrawn from a closed chain"),
                    (Some(_), Some(_)) => Some("withdrawn from a closed chain since convicted"),
                    (None, _) => None,
                };
                let first_after = head.halt.map_or(head.next_number, |halt| halt.from.get());
                vec![
                    is_first.then_some("withdrawn at the first second"),
                    coin.is_assigned().then_some("withdrawn by its payee"),
                    coin.exit().map(|_| "withdrawn with an own exit pending"),
                    (first_after == 1).then_some("withdrawn without any good block"),
                    after,
                ]
            }
            _ => vec![],
        };
        reached.into_iter().flatten().for_each(|situation| self.situation(situation));
    }

    fn situation(&mut self, situation: &'static str) {
        *self.situations.entry(situation).or_default() += 1;
    }

    /// Counts another's beside one's own.
    pub(crate) fn add(&mut self, other: &Self) {
        for (name, (accepted, refused)) in &other.calls {
            let sum = self.calls.entry(name).or_default();
            *sum = (sum.0 + accepted, sum.1 + refused);
        }
        let add = |sums: &mut BTreeMap<&'static str, u64>, counts: &BTreeMap<&'static str, u64>| {
            counts.iter().for_each(|(name, count)| *sums.entry(name).or_default() += count);
        };
        add(&mut self.refusals, &other.refusals);
        add(&mut self.events, &other.events);
        add(&mut self.fields, &other.fields);
        add(&mut self.situations, &other.situations);
    }

    /// Returns how many calls were accepted, and how many there were.
    pub(crate) fn accepted(&self) -> (u64, u64) {
        self.calls.values().fold((0, 0), |(accepted, all), (a, r)| (accepted + a, all + a + r))
    }

    /// Returns which of these reasons, of all fields, and of the situations were never reached.
    pub(crate) fn missing<'a>(&self, reasons: &'a [String]) -> [Vec<&'a str>; 3] {
        let reasons = reasons.iter().map(String::as_str).filter(|reason| !self.refusals.contains_key(reason)).collect();
        let fields = FIELDS.into_iter().filter(|field| !self.fields.contains_key(field)).collect();
        let situations = SITUATIONS.into_iter().filter(|situation| !self.situations.contains_key(situation)).collect();
        [reasons, fields, situations]
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = |counts: &BTreeMap<&'static str, u64>| {
            counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        let calls = self.calls.iter().map(|(name, (accepted, refused))| format!("{name} {accepted}+{refused}"));
        writeln!(f, "  calls, accepted+refused: {}", calls.collect::<Vec<_>>().join(", "))?;
        writeln!(f, "  refused for: {}", counts(&self.refusals))?;
        writeln!(f, "  events: {}", counts(&self.events))?;
        writeln!(f, "  fields: {}", counts(&self.fields))?;
        write!(f, "  situations: {}", counts(&self.situations))
    }
}

fn name_of(event: &RootEvent) -> &'static str {
    match event {
        RootEvent::Deposited(_) => "Deposited",
        RootEvent::AssetRecorded { .. } => "AssetRecorded",
        RootEvent::BlockSubmitted(_) => "BlockSubmitted",
        RootEvent::StandardExitStarted(_) => "StandardExitStarted",
        RootEvent::StandardExitChallenged { .. } => "StandardExitChallenged",
        RootEvent::ExitAssigned { .. } => "ExitAssigned",
        RootEvent::ExitPaid { paid, amount, .. } if paid < amount => "ExitPaid short",
        RootEvent::ExitPaid { .. } => "ExitPaid",
        RootEvent::ExitReturned { .. } => "ExitReturned",
        RootEvent::ExitKeysCleared { .. } => "ExitKeysCleared",
        RootEvent::Credited { .. } => "Credited",
        RootEvent::Claimed { .. } => "Claimed",
        RootEvent::FaultAnnounced { .. } => "FaultAnnounced",
        RootEvent::FaultProven { rule, .. } => match rule {
            Rule::R1 => "FaultProven R1",
            Rule::R2 => "FaultProven R2",
            Rule::R3 => "FaultProven R3",
            Rule::R4 => "FaultProven R4",
            Rule::R5 => "FaultProven R5",
            Rule::R6 => "FaultProven R6",
            Rule::R7 => "FaultProven R7",
            Rule::R8 => "FaultProven R8",
            Rule::R9 => "FaultProven R9",
        },
        RootEvent::FaultRewarded { .. } => "FaultRewarded",
        RootEvent::ReceiptSlashed { .. } => "ReceiptSlashed",
        RootEvent::ReceiptRewarded { .. } => "ReceiptRewarded",
        RootEvent::BondFunded { .. } => "BondFunded",
        RootEvent::BondWithdrawn { .. } => "BondWithdrawn",
        RootEvent::OperatorProposed { .. } => "OperatorProposed",
        RootEvent::OperatorAccepted { .. } => "OperatorAccepted",
        RootEvent::ChainClosed => "ChainClosed",
        RootEvent::MissingClaimed { .. } => "MissingClaimed",
        RootEvent::MissingAnswered { .. } => "MissingAnswered",
        RootEvent::MissingConvicted { .. } => "MissingConvicted",
        RootEvent::MissingReturned { .. } => "MissingReturned",
        RootEvent::CoinWithdrawn { paid, amount, .. } if paid < amount => "CoinWithdrawn short",
        RootEvent::CoinWithdrawn { .. } => "CoinWithdrawn",
        RootEvent::InFlight { step, .. } => match &**step {
            InFlightStep::Started { .. } => "InFlightExitStarted",
            InFlightStep::Improved { .. } => "InFlightExitImproved",
            InFlightStep::Piggybacked { .. } => "Piggybacked",
            InFlightStep::CanonicityChallenged { .. } => "CanonicityChallenged",
            InFlightStep::CanonicityAnswered { .. } => "CanonicityAnswered",
            InFlightStep::PieceChallenged { .. } => "PieceChallenged",
            InFlightStep::Decided(_) => "InFlightExitDecided",
            InFlightStep::PiecePaid { paid, amount, .. } if paid < amount => "PiecePaid short",
            InFlightStep::PiecePaid { .. } => "PiecePaid",
            InFlightStep::PieceReturned { .. } => "PieceReturned",
            InFlightStep::Closed => "InFlightExitClosed",
        },
    }
}
