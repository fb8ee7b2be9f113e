//! Whether the root chain's node can be believed: its events against each other, and its logs against its state.
//!
//! A node that indexes its logs late, or leaves some out, shows a chain in which nothing happens. It gives itself away in the
//! contract's own counters. Whether they are honest a single node cannot prove; several nodes are the remedy for that.

use plasmid_exit_game::position::BlockNumber;

/// How far the child chain is: what the events say, or what the contract says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The last committed block.
    pub blocks: BlockNumber,
    /// Deposits made.
    pub deposits: u64,
}

impl Count {
    fn lacks(&self, other: &Self) -> bool {
        self.blocks < other.blocks || self.deposits < other.deposits
    }
}

/// What speaks against the node.
#[derive(Debug, Default)]
pub struct Distrust {
    why: Option<String>,
    /// How often it was caught since it was last believed.
    caught: u32,
    /// What the contract said last, where the events were behind it.
    ahead: Option<Count>,
}

impl Distrust {
    /// Returns why the node is not believed, if it is not.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// Notes that the node was caught, and returns how often it was since it was last believed.
    pub fn catch(&mut self, why: String) -> u32 {
        self.why = Some(why);
        self.caught = self.caught.saturating_add(1);
        self.ahead = None;
        self.caught
    }

    /// Compares what the events say at the head with what the contract said. Returns whether something was left out: the
    /// events still lack what the contract had when it was asked before.
    pub fn compare(&mut self, events: Count, contract: Count) -> bool {
        let is_left_out = self.ahead.is_some_and(|before| events.lacks(&before));
        self.ahead = events.lacks(&contract).then_some(contract);
        if self.ahead.is_none() {
            self.why = None;
            self.caught = 0;
        }
        is_left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(blocks: u64, deposits: u64) -> Count {
        Count { blocks: BlockNumber::new(blocks).unwrap(), deposits }
    }

    #[test]
    fn a_node_whose_logs_stay_behind_its_state_is_caught() {
        let mut distrust = Distrust::default();
        assert!(!distrust.compare(count(3, 5), count(3, 5)));
        assert!(!distrust.compare(count(3, 5), count(4, 5)), "the contract may have been asked a block later");
        assert!(!distrust.compare(count(4, 5), count(5, 5)), "it was");
        assert!(distrust.compare(count(4, 5), count(6, 5)));
        assert_eq!(distrust.catch("logs".to_owned()), 1);
        assert!(!distrust.compare(count(6, 4), count(6, 5)));
        assert!(distrust.compare(count(6, 4), count(6, 5)));
        assert_eq!(distrust.catch("logs".to_owned()), 2);
        assert_eq!(distrust.why(), Some("logs"));
        assert!(!distrust.compare(count(6, 5), count(6, 5)));
        assert_eq!(distrust.why(), None);
        assert!(!distrust.compare(count(7, 6), count(6, 5)), "a reorganisation, or a node that lags");
    }
}
