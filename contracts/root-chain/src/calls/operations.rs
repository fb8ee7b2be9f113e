//! The calls of the operator, and those about it: its bond, its keys, the end of the chain. §2, §3, §8.

use alloy_primitives::Address;
use plasmid_exit_game::position::BlockNumber;

use crate::client::RootChain;
use crate::node::Call;

/// How far ahead of the next block the operator's key is fixed: a new one's first block is further. §2.
pub const KEY_LEAD_BLOCKS: u64 = 300;

impl RootChain {
    /// Adds to the parts of the operator's bond, both in wei; anybody may. §3.
    #[must_use]
    pub fn fund_bond(&self, fault_part_wei: u128, receipt_part_wei: u128) -> Call {
        // A sum beyond 128 bits is more ether than there is: the call is refused as any that nobody can pay.
        let value = fault_part_wei.saturating_add(receipt_part_wei);
        self.transact("fundBond", &[fault_part_wei.into(), receipt_part_wei.into()], value)
    }

    /// Pays what is left of the bond to `to`, 2·MEP after the chain was closed; the operator's alone. §3.
    #[must_use]
    pub fn withdraw_bond(&self, to: Address) -> Call {
        self.transact("withdrawBond", &[to.into()], 0)
    }

    /// Proposes the operator's next key; zero takes the proposal back. The operator's alone. §2.
    #[must_use]
    pub fn propose_operator(&self, next: Address) -> Call {
        self.transact("proposeOperator", &[next.into()], 0)
    }

    /// Accepts, as the proposed key, to be the operator's from block `first_block` on. §2.
    #[must_use]
    pub fn accept_operator(&self, first_block: BlockNumber) -> Call {
        self.transact("acceptOperator", &[first_block.get().into()], 0)
    }

    /// Closes a chain that had no block for the sunset time; anybody may. §8.
    #[must_use]
    pub fn close_chain(&self) -> Call {
        self.transact("closeChain", &[], 0)
    }
}
