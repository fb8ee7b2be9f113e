//! The sorted list of exit keys of one asset. §4.
//!
//! The contract keeps the list linked and walks it from a caller's hint; this model keeps the same keys and counts in a
//! map, since a hint never changes the outcome. A key whose exits are all gone stays listed until the head passes it.

use alloc::collections::BTreeMap;
use core::ops::Bound;

/// The keys of one asset's exits, in order, each with how many exits are pending under it. §4.
///
/// Keys are seconds of root-chain time and above zero. Every key listed is one that was added, and the head has not passed
/// it since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExitQueue {
    counts: BTreeMap<u64, u32>,
}

impl ExitQueue {
    /// Counts one more exit under `key`, and lists the key if it is not.
    pub fn add(&mut self, key: u64) {
        let count = self.counts.entry(key).or_default();
        // More than 2^32 exits under one key are out of reach: they would fill the root chain for longer than one MEP.
        *count = count.saturating_add(1);
    }

    /// Counts one exit less under `key` and returns how many are left, or `None` if there is none to take off.
    pub fn release(&mut self, key: u64) -> Option<u32> {
        let count = self.counts.get_mut(&key)?;
        *count = count.checked_sub(1)?;
        Some(*count)
    }

    /// Moves the head over keys that are not after `now` and have no exits, and clears them. Returns whether it moved.
    ///
    /// The contract does as many a call as its gas allows; here gas never runs out.
    pub fn move_head(&mut self, now: u64) -> bool {
        let listed_before = self.counts.len();
        while let Some(first) = self.counts.first_entry()
            && *first.key() <= now
            && *first.get() == 0
        {
            first.remove();
        }
        self.counts.len() < listed_before
    }

    /// Returns the first key, or `None` if the list is empty.
    #[must_use]
    pub fn head(&self) -> Option<u64> {
        self.counts.first_key_value().map(|(&key, _)| key)
    }

    /// Returns the key whose exits can be paid at `now`: the one that is the head with exits once the head has moved. §4.
    #[must_use]
    pub fn payable(&self, now: u64) -> Option<u64> {
        self.iter().find(|&(_, count)| count != 0).map(|(key, _)| key).filter(|&key| key <= now)
    }

    /// Returns how many exits are pending under `key`, or `None` if it is not listed.
    #[must_use]
    pub fn count(&self, key: u64) -> Option<u32> {
        self.counts.get(&key).copied()
    }

    /// Returns what a caller that starts an exit under `key` passes as the hint: the key itself if it is listed, otherwise
    /// the one before it, and 0 if there is none. §4.
    #[must_use]
    pub fn hint_for(&self, key: u64) -> u64 {
        self.counts.range(..=key).next_back().map_or(0, |(&listed, _)| listed)
    }

    /// Returns the listed keys in order with their counts, those without exits included.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        self.iter_after(0)
    }

    /// Returns as [`Self::iter`] those after the key `from`: the contract's view `exitKeys`.
    pub fn iter_after(&self, from: u64) -> impl Iterator<Item = (u64, u32)> {
        self.counts.range((Bound::Excluded(from), Bound::Unbounded)).map(|(&key, &count)| (key, count))
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// The list as the contract links it: each listed key with its follower and its count, key zero before all others.
    #[derive(Default)]
    struct LinkedKeys {
        nodes: BTreeMap<u64, (u64, u32)>,
    }

    impl LinkedKeys {
        fn next(&self, key: u64) -> u64 {
            self.nodes.get(&key).map_or(0, |node| node.0)
        }

        fn add(&mut self, key: u64, hint: u64) {
            if !self.nodes.contains_key(&key) {
                let mut previous = if hint < key && self.nodes.contains_key(&hint) { hint } else { 0 };
                while self.next(previous) != 0 && self.next(previous) < key {
                    previous = self.next(previous);
                }
                let next = self.next(previous);
                self.nodes.entry(previous).or_default().0 = key;
                self.nodes.insert(key, (next, 0));
            }
            self.nodes.get_mut(&key).unwrap().1 += 1;
        }

        fn release(&mut self, key: u64) -> Option<u32> {
            let count = &mut self.nodes.get_mut(&key).filter(|_| key != 0)?.1;
            *count = count.checked_sub(1)?;
            Some(*count)
        }

        fn move_head(&mut self, now: u64) -> bool {
            let old = self.next(0);
            let mut first = old;
            while first != 0 && first <= now && self.nodes[&first].1 == 0 {
                first = self.nodes.remove(&first).unwrap().0;
            }
            if first != old {
                self.nodes.get_mut(&0).unwrap().0 = first;
            }
            first != old
        }

        fn keys(&self) -> Vec<(u64, u32)> {
            let first = Some(self.next(0)).filter(|&key| key != 0);
            core::iter::successors(first, |&key| Some(self.next(key)).filter(|&key| key != 0))
                .map(|key| (key, self.nodes[&key].1))
                .collect()
        }
    }

    #[derive(Debug, Clone)]
    enum Move {
        Add { key: u64, hint: u64 },
        Release(u64),
        Clear(u64),
    }

    fn any_move() -> impl Strategy<Value = Move> {
        prop_oneof![
            3 => (1..24u64, 0..26u64).prop_map(|(key, hint)| Move::Add { key, hint }),
            3 => (0..26u64).prop_map(Move::Release),
            1 => (0..26u64).prop_map(Move::Clear),
        ]
    }

    proptest! {
        #[test]
        fn the_list_is_the_contracts_whatever_the_hints(moves in prop::collection::vec(any_move(), 0..120)) {
            let (mut queue, mut linked) = (ExitQueue::default(), LinkedKeys::default());
            for step in moves {
                match step {
                    Move::Add { key, hint } => {
                        queue.add(key);
                        linked.add(key, hint);
                    }
                    Move::Release(key) => prop_assert_eq!(queue.release(key), linked.release(key)),
                    Move::Clear(now) => prop_assert_eq!(queue.move_head(now), linked.move_head(now)),
                }
                let keys = linked.keys();
                prop_assert_eq!(queue.iter().collect::<Vec<_>>(), keys.clone());
                prop_assert_eq!(queue.head(), keys.first().map(|&(key, _)| key));
                for key in 1..26 {
                    let after: Vec<_> = keys.iter().copied().filter(|&(listed, _)| listed > key).collect();
                    prop_assert_eq!(queue.iter_after(key).collect::<Vec<_>>(), after);
                    let mut moved = queue.clone();
                    moved.move_head(key);
                    let payable = moved.head().filter(|&head| head <= key && moved.count(head) != Some(0));
                    prop_assert_eq!(queue.payable(key), payable);
                }
            }
        }

        #[test]
        fn the_right_hint_is_the_key_or_the_one_before_it(keys in prop::collection::btree_set(1..64u64, 0..20)) {
            let mut queue = ExitQueue::default();
            keys.iter().for_each(|&key| queue.add(key));
            for key in 1..64 {
                let hint = queue.hint_for(key);
                prop_assert!(hint == 0 || keys.contains(&hint));
                prop_assert!(hint <= key && keys.iter().all(|&listed| listed <= hint || listed > key));
            }
        }

        #[test]
        fn the_list_drains(keys in prop::collection::vec(1..64u64, 0..60)) {
            let mut queue = ExitQueue::default();
            keys.iter().for_each(|&key| queue.add(key));
            let mut paid = Vec::new();
            while let Some(key) = queue.payable(64) {
                prop_assert_eq!(queue.head(), Some(key), "what is payable is the head");
                queue.release(key).unwrap();
                queue.move_head(64);
                paid.push(key);
            }
            let mut sorted = keys;
            sorted.sort_unstable();
            prop_assert_eq!(paid, sorted);
            prop_assert_eq!(queue, ExitQueue::default());
        }
    }

    #[test]
    fn the_head_waits_for_time_and_for_exits() {
        let mut queue = ExitQueue::default();
        queue.add(10);
        queue.add(20);
        queue.add(20);
        assert_eq!((queue.payable(9), queue.payable(10)), (None, Some(10)));

        assert!(!queue.move_head(100), "an exit is pending under the head");
        assert_eq!(queue.release(10), Some(0));
        assert_eq!(queue.head(), Some(10), "a key without exits stays listed");
        assert_eq!((queue.payable(19), queue.payable(20)), (None, Some(20)));
        assert!(!queue.move_head(9), "the head does not pass a key before its time");
        assert!(queue.move_head(10));
        assert_eq!(queue.head(), Some(20));

        assert_eq!(queue.release(10), None, "not listed any more");
        assert_eq!((queue.release(20), queue.release(20), queue.release(20)), (Some(1), Some(0), None));
        queue.add(20);
        assert_eq!(queue.count(20), Some(1), "a listed key without exits takes new ones");
    }
}
