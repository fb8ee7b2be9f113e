//! Evidence against the operator, announced and shown, its bond and key, and the end of the chain.

use plasmid_exit_game::exit::contract::ROTATION_DISTANCE;
use plasmid_exit_game::position::BlockNumber;
use rand::RngExt;

use super::{Choices, one_in};
use crate::action::{Accusation, Action, Evidence, Kind, ReceiptRef};
use crate::evm::{OPERATOR, PEOPLE, PERIODS};
use crate::world::{ACCOUNTS, NUMBERS_AHEAD};

/// So many accusations are looked at for one that holds.
const TRIES: usize = 40;

impl Choices<'_> {
    pub(super) fn faults(&mut self) {
        let is_halted = self.world.model.head().halt.is_some();
        let (by, accuser) = (self.anybody(), self.person());
        if let Some(accusation) = self.accusation() {
            let what = Evidence::Fault(accusation);
            self.add(3, Action::Announce { by, accuser, what: what.clone() });
            let is_wanted = !is_halted && one_in(self.random, 8);
            self.add(if is_wanted { 8 } else { 1 }, Action::Prove { by, what });
        }
        let receipt = Evidence::Receipt(self.receipt());
        self.add(1, Action::Announce { by, accuser, what: receipt.clone() });
        self.add(1, Action::Prove { by, what: receipt });
        // What was announced is shown by whom it was announced for, now and then by another.
        if let Some((accuser, what)) = self.pick(&self.world.announced) {
            let by = if one_in(self.random, 4) { self.anybody() } else { accuser };
            self.add(6, Action::Prove { by, what: what.clone() });
            if one_in(self.random, 8) {
                self.add(1, Action::Announce { by, accuser, what });
            }
        }
    }

    /// An accusation, mostly one that holds if such a one is found.
    fn accusation(&mut self) -> Option<Accusation> {
        if self.world.chain.blocks.is_empty() {
            return None;
        }
        let mut accusation = self.any_accusation();
        if one_in(self.random, 3) {
            return Some(accusation);
        }
        for _ in 0..TRIES {
            let proof = self.world.proof(&accusation);
            if proof.is_some_and(|proof| self.world.verdict(&proof).is_ok()) {
                break;
            }
            accusation = self.any_accusation();
        }
        Some(accusation)
    }

    fn any_accusation(&mut self) -> Accusation {
        // Young blocks are convicted more often, so that older ones are left.
        let blocks = self.world.chain.blocks.len() as u64;
        let mut number = || {
            let number = self.random.random_range(0..blocks);
            if self.random.random() { number.max(self.random.random_range(0..blocks)) } else { number }
        };
        let (number, other) = (number(), number());
        Accusation {
            kind: self.pick(&Kind::ALL).expect("there are some"),
            place: (number, self.random.random_range(0..4)),
            input: if one_in(self.random, 12) { self.random.random() } else { self.random.random_range(0..2) },
            other: (other, self.random.random_range(0..4)),
            nth: self.random.random(),
        }
    }

    /// A receipt of a block that is, or is to come; it may be kept.
    fn receipt(&mut self) -> ReceiptRef {
        let world = self.world;
        let next_number = world.model.head().next_number;
        let number = self.random.random_range(0..next_number + NUMBERS_AHEAD);
        let block = world.chain.block(number);
        let committed = block.map_or(self.at, |block| block.header.timestamp);
        let freeze_delay = PERIODS.freeze_delay();
        let late = [freeze_delay + 1, freeze_delay, 0, 2 * freeze_delay];
        let by = committed.saturating_sub(self.pick(&late).expect("there are four"));
        let first = self.random.random_range(0..2);
        let count = if one_in(self.random, 20) { self.random.random() } else { self.random.random_range(0..5) };
        let shown = self.random.random_range(0..6);
        let operator = BlockNumber::new(number).map(|number| self.number(world.model.operator_of(number)));
        let signer = operator.filter(|_| !one_in(self.random, 15)).unwrap_or(self.random.random_range(0..PEOPLE));
        let altered = self.random.random::<bool>().then_some(shown);
        let with_header = block.is_some() != one_in(self.random, 15);
        ReceiptRef { number, first, count, by, altered, shown, signer, with_header }
    }

    pub(super) fn operations(&mut self) {
        let world = self.world;
        let (operator, head) = (self.operator(), *world.model.head());
        let (by, to) = (self.anybody(), self.random.random_range(0..ACCOUNTS));
        let is_over = head.halt.is_some() || head.closed_at.is_some();
        let short = world.model.is_bond_short() && !is_over;
        let (fault_part, receipt_part) = (self.random.random_range(0..9_000), self.random.random_range(0..4_000));
        let wei = self.wei();
        self.add(if short { 8 } else { 1 }, Action::FundBond { by, fault_part, receipt_part, wei });

        let next = if one_in(self.random, 6) { to } else { self.person() };
        self.add(1, Action::ProposeOperator { by: operator, next });
        let proposed = world.model.next_operator();
        let is_accepted = world.model.operator_key().next_first_block.is_some();
        if !proposed.is_zero() && !is_accepted {
            let first_block = head.next_number + ROTATION_DISTANCE + self.random.random_range(0..4);
            let by = self.number(proposed);
            self.add(3, Action::AcceptOperator { by, first_block });
        } else if one_in(self.random, 4) {
            let first_block = self.random.random_range(0..1 << 40);
            self.add(1, Action::AcceptOperator { by, first_block });
        }
        // An accepted key's first block comes now and then.
        if is_accepted && !is_over && !short && one_in(self.random, 40) {
            let count = ROTATION_DISTANCE as u32 + 2;
            self.add(40, Action::Blocks { count });
        }
        let is_sunset = self.at >= head.last_timestamp + PERIODS.sunset && !is_over;
        if is_sunset || one_in(self.random, 8) {
            self.add(if is_sunset { 4 } else { 1 }, Action::CloseChain { by });
        }
        let is_unlocked = head.closed_at.is_some_and(|closed_at| self.at >= PERIODS.end_of_convictions(closed_at));
        if is_unlocked || head.closed_at.is_some() || one_in(self.random, 8) {
            self.add(if is_unlocked { 6 } else { 1 }, Action::WithdrawBond { by: operator, to });
        }
    }

    /// The number of whoever commits the next block.
    pub(super) fn operator(&self) -> u8 {
        let next = BlockNumber::new(self.world.model.head().next_number).expect("there are few blocks");
        self.world.number_of(self.world.model.operator_of(next)).unwrap_or(OPERATOR)
    }
}
