//! Periods of a deployment, and when an exit can be paid. §4.

/// The periods that all deadlines derive from, in seconds. Read from the contract, never constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Periods {
    /// MEP, the minimum exit period; above zero and below 2^32.
    pub minimum_exit_period: u64,
    /// How long after the last block anyone may close the chain; at least MEP and below 2^32.
    pub sunset: u64,
}

impl Periods {
    /// G = max(1, ⌊MEP/168⌋): exit keys are rounded up to it.
    #[must_use]
    pub fn granularity(&self) -> u64 {
        (self.minimum_exit_period / 168).max(1)
    }

    /// F = max(1, ⌊MEP/8⌋): the freeze delay.
    #[must_use]
    pub fn freeze_delay(&self) -> u64 {
        (self.minimum_exit_period / 8).max(1)
    }

    /// grace = max(1, ⌊MEP/28⌋): within it an operator serves the body of a block that it has committed.
    #[must_use]
    pub fn grace(&self) -> u64 {
        (self.minimum_exit_period / 28).max(1)
    }

    /// Returns the freeze of a coin whose standard exit has `key`: no block with a later timestamp may spend it. §3.1.
    #[must_use]
    pub fn freeze_of_standard_exit(&self, key: u64) -> u64 {
        key.saturating_sub(self.minimum_exit_period / 2)
    }

    /// Returns the freeze of every input of an in-flight exit that started at `start`, in seconds. §3.1.
    #[must_use]
    pub fn freeze_of_in_flight_input(&self, start: u64) -> u64 {
        start.saturating_add(self.freeze_delay())
    }

    /// Returns the freeze of a piggybacked output of an in-flight exit with `key`: it may be piggybacked as late as half an
    /// MEP before. §3.1.
    #[must_use]
    pub fn freeze_of_in_flight_output(&self, key: u64) -> u64 {
        key.saturating_sub(self.minimum_exit_period / 2).saturating_add(self.freeze_delay())
    }

    /// Returns when the first half of an in-flight exit that started at `start` is over, in seconds: from then on nobody
    /// improves it, piggybacks, or challenges its canonicity. §6.
    #[must_use]
    pub fn end_of_first_half(&self, start: u64) -> u64 {
        start.saturating_add(self.minimum_exit_period / 2)
    }

    /// Returns the last time, in seconds, at which an operator accepts the transaction of an open in-flight exit that
    /// started at `start`: half the way to its inputs' freeze. §3.1.
    #[must_use]
    pub fn last_acceptance_in_flight(&self, start: u64) -> u64 {
        start.saturating_add(self.freeze_delay() / 2)
    }

    /// Returns when a block of this timestamp can no more be convicted, and the operator's promises about its contents no
    /// more be called broken, in seconds. §3.
    #[must_use]
    pub fn end_of_convictions(&self, timestamp: u64) -> u64 {
        timestamp.saturating_add(self.minimum_exit_period.saturating_mul(2))
    }

    /// Returns from when on a block of this timestamp can no more be claimed to lack a coin, in seconds. R9.
    #[must_use]
    pub fn end_of_claims(&self, timestamp: u64) -> u64 {
        timestamp.saturating_add(self.minimum_exit_period)
    }

    /// Returns from when on a claim made at `claimed_at` is answered no more and convicts, in seconds. R9.
    #[must_use]
    pub fn end_of_answers(&self, claimed_at: u64) -> u64 {
        claimed_at.saturating_add(self.minimum_exit_period / 2)
    }

    /// Returns S, in seconds, of a chain that ended at `ended`: exits with keys until then are paid before any coin is
    /// withdrawn. §8.
    #[must_use]
    pub fn last_key_before_settlement(&self, ended: u64) -> u64 {
        ended.saturating_add(self.minimum_exit_period.saturating_mul(2))
    }

    /// Returns S + F, in seconds, of a chain that ended at `ended`: from then on coins are withdrawn. §8.
    #[must_use]
    pub fn start_of_settlement(&self, ended: u64) -> u64 {
        self.last_key_before_settlement(ended).saturating_add(self.freeze_delay())
    }

    /// Returns the key of an exit that starts at `start`, of a coin made at root-chain time `created`, which is `None` for
    /// a deposit. All in seconds. §4.
    ///
    /// The start plus one period, rounded up to the granularity; for a child-chain output at least its block's time plus
    /// two periods, so that outputs older than a bad block leave before it.
    #[must_use]
    pub fn exit_key(&self, start: u64, created: Option<u64>) -> u64 {
        let earliest = start.saturating_add(self.minimum_exit_period);
        let from_start = earliest.checked_next_multiple_of(self.granularity()).unwrap_or(u64::MAX);
        match created {
            None => from_start,
            Some(created) => from_start.max(created.saturating_add(self.minimum_exit_period.saturating_mul(2))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The claim of §4: what was made before a bad block and leaves in time is paid before anything made in or after it.
        #[test]
        fn older_coins_leave_first(
            mep in 1..2_000_000u64, bad in 5_000_000..6_000_000u64, age in 1..4_000_000u64, start in 0..4_000_000u64,
            late in 0..4_000_000u64, later in 0..4_000_000u64,
        ) {
            let periods = Periods { minimum_exit_period: mep, sunset: mep };
            let start_max = bad + mep - periods.granularity();
            let honest_start = (bad - age + 1 + start).min(start_max - 1);
            let (bound, created) = (bad + 2 * mep, bad - age);
            prop_assert!(periods.exit_key(honest_start, Some(created)) < bound);
            prop_assert!(periods.exit_key(honest_start, None) < bound);
            prop_assert!(periods.exit_key(bad + late + later, Some(bad + late)) >= bound);
        }
    }

    #[test]
    fn periods_of_a_devnet_are_those_of_the_text() {
        let periods = Periods { minimum_exit_period: 600, sunset: 4_800 };
        assert_eq!((periods.freeze_delay(), periods.granularity(), periods.grace()), (75, 3, 21));
        assert_eq!(periods.exit_key(1_000, None), 1_602);
        assert_eq!(periods.exit_key(1_000, Some(999)), 2_199);
        assert_eq!(periods.freeze_of_standard_exit(1_602), 1_302);
        assert_eq!(periods.freeze_of_in_flight_input(1_000), 1_075);
        assert_eq!(periods.freeze_of_in_flight_output(1_602), 1_377);
        assert_eq!((periods.end_of_claims(1_000), periods.end_of_answers(1_000)), (1_600, 1_300));
        assert_eq!((periods.last_key_before_settlement(1_000), periods.start_of_settlement(1_000)), (2_200, 2_275));
        assert_eq!((periods.end_of_first_half(1_000), periods.last_acceptance_in_flight(1_000)), (1_300, 1_037));
    }
}
