//! One deployment of the contract: its facts and its views.

use alloy_primitives::{Address, B256, Bytes, U256};
use plasmid_exit_game::exit::in_flight::{Decision, OldestPlace, PieceSet};
use plasmid_exit_game::exit::key::Periods;
use plasmid_exit_game::facts::RootRef;
use plasmid_exit_game::fault::Conviction;
use plasmid_exit_game::output::{OutputId, TxHash};
use plasmid_exit_game::position::{BlockNumber, Position};
use plasmid_exit_game::signature::Domain;

use crate::bindings::{DecodeError, Fields, Value, decode_root_chain_result, encode_root_chain_call};
use crate::events;
use crate::node::{At, Call, GasLimit, Node, ReadError};

/// A RootChain contract at a node. Cheap to clone. Views answer for the newest block.
#[derive(Debug, Clone)]
pub struct RootChain {
    node: Node,
    contract: Address,
}

/// What a deployment fixes for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployment {
    /// The root chain's id.
    pub chain_id: u64,
    /// The contract's address.
    pub contract: Address,
    /// The root block that holds the deployment: nothing happened before it.
    pub block: RootRef,
    /// The first operator's key, that of block 1.
    pub operator: Address,
    /// The periods of the exit game.
    pub periods: Periods,
    /// What exits cost, and faults.
    pub bonds: Bonds,
}

impl Deployment {
    /// Returns the domain for which child-chain signatures are made. §1.6.
    #[must_use]
    pub fn domain(&self) -> Domain {
        Domain { chain_id: self.chain_id, contract: self.contract }
    }
}

/// What the calls of the exit game cost, and what the operator loses. §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bonds {
    /// What the owner of a standard exit puts up, in wei.
    pub exit_bond_wei: u128,
    /// The part of it that goes to whoever processes the exit, in wei.
    pub exit_bounty_wei: u128,
    /// What the starter of an in-flight exit puts up, and a challenger of its canonicity, in wei.
    pub in_flight_bond_wei: u128,
    /// What a piece's owner puts up, in wei, beside what each input of its transaction adds.
    pub piece_bond_wei: u128,
    /// What each input of the transaction adds to a piece's bond, in wei.
    pub piece_bond_per_input_wei: u128,
    /// The part of a piece's bond that goes to whoever processes it, in wei.
    pub piece_bounty_wei: u128,
    /// The part of each input's addition that does, in wei.
    pub piece_bounty_per_input_wei: u128,
    /// What the operator loses by an invalid block, in wei: half is burned, half is the accuser's reward. §3.
    pub fault_slash_wei: u128,
    /// What it loses by a broken receipt, in wei, once a block. §3.
    pub receipt_slash_wei: u128,
    /// What whoever claims that an unspent tree lacks a coin puts up, in wei. §3 (R9).
    pub missing_bond_wei: u128,
}

impl Bonds {
    /// Returns what `pieces` pieces of a transaction with `inputs` inputs cost, in wei; `None` if that passes 2^128. §2.
    #[must_use]
    pub fn of_pieces(&self, pieces: u32, inputs: usize) -> Option<u128> {
        let per_inputs = self.piece_bond_per_input_wei.checked_mul(inputs as u128)?;
        self.piece_bond_wei.checked_add(per_inputs)?.checked_mul(u128::from(pieces))
    }
}

/// The child chain as the contract knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildChain {
    /// Number of the next block.
    pub next_number: BlockNumber,
    /// Timestamp of the last block, or of the deployment, in seconds.
    pub last_timestamp: u64,
    /// Deposits that the last block covers.
    pub deposit_count: u64,
    /// Nonce of the next deposit.
    pub next_nonce: u64,
    /// First void block. §3.
    pub halted_from: Option<BlockNumber>,
    /// When `halted_from` last fell, in seconds.
    pub halted_at: Option<u64>,
    /// When the chain was closed, in seconds. §8.
    pub closed_at: Option<u64>,
}

/// A claim that a block's unspent tree lacks a coin: made once, on record for ever. §3 (R9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingClaim {
    /// Who made it.
    pub claimant: Address,
    /// What it says, until it ends.
    pub open: Option<OpenClaim>,
}

/// What an open claim says. §3 (R9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenClaim {
    /// When it was made, in seconds.
    pub claimed_at: u64,
    /// What the tree must hold under the position. §1.8.
    pub value: B256,
}

/// What is left of what the operator put up. §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorBond {
    /// What faults are slashed from, in wei.
    pub fault_part_wei: u128,
    /// What broken receipts are slashed from, in wei.
    pub receipt_part_wei: u128,
}

/// What the contract keeps of an output id. §5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoinWord {
    /// The pending exit's record hash with its low 41 bits cleared; zero if the coin is not exiting.
    pub record_hash: B256,
    /// Whether [`RootChain::payee_of`] has the exit's payee.
    pub is_assigned: bool,
    /// 0 nothing, 1 a deposit, otherwise the freeze time of the settled coin.
    pub state: u64,
}

/// What the contract keeps of an open in-flight exit. §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlightWord {
    /// When it started, in seconds.
    pub start: u64,
    /// When its pieces can be paid, in seconds.
    pub key: u64,
    /// Piggybacked, and neither challenged away nor paid.
    pub live_pieces: PieceSet,
    /// What it pays, once the turn of its first piece came.
    pub decision: Option<Decision>,
    /// The oldest place that was shown.
    pub oldest: OldestPlace,
    /// Whose bond is held for the place that he showed.
    pub challenger: Option<Address>,
    /// Hash of its [`InFlightData`](plasmid_exit_game::exit::in_flight::InFlightData).
    pub data_hash: B256,
}

/// What the contract keeps of an asset. §1.2, §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssetWord {
    /// What may still be paid to exits.
    pub owed: u128,
    /// Whether the asset is known as an ERC-20; false for ether and for what was never deposited.
    pub is_erc20: bool,
}

/// A key of an asset's list. §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitKey {
    /// When its exits can be paid, in seconds.
    pub key: u64,
    /// How many are pending.
    pub count: u32,
}

impl RootChain {
    /// Names the contract at `contract`. Nothing is asked yet: [`deployment`](Self::deployment) tells whether it is
    /// there.
    #[must_use]
    pub fn new(node: Node, contract: Address) -> Self {
        Self { node, contract }
    }

    /// Returns the node that is asked.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Returns the contract's address.
    #[must_use]
    pub fn contract(&self) -> Address {
        self.contract
    }

    /// Returns what the deployment fixed.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoContract`] if there is none at this address, and [`ReadError`], as for every question.
    pub async fn deployment(&self) -> Result<Deployment, ReadError> {
        if self.node.code(self.contract).await?.is_empty() {
            return Err(ReadError::NoContract { contract: self.contract });
        }
        let number = self.view("deploymentBlock", &[], |fields| fields.uint()).await?;
        let block = self.node.block_by_number(number).await?;
        let block = block.ok_or(ReadError::Contradiction { what: "deployment block" })?.at;
        let periods = self
            .view("periods", &[], |fields| {
                let mut fields = fields.tuple()?;
                let minimum_exit_period = fields.uint()?;
                let derived: [u64; 3] = [fields.uint()?, fields.uint()?, fields.uint()?];
                let periods = Periods { minimum_exit_period, sunset: fields.uint()? };
                // What the model derives and what the contract derives must agree, or no deadline can be relied on.
                if derived != [periods.granularity(), periods.freeze_delay(), periods.grace()] {
                    return Err(fields.out_of_form());
                }
                Ok(periods)
            })
            .await?;
        let bonds = self
            .view("bonds", &[], |fields| {
                let mut fields = fields.tuple()?;
                Ok(Bonds {
                    exit_bond_wei: fields.uint()?,
                    exit_bounty_wei: fields.uint()?,
                    in_flight_bond_wei: fields.uint()?,
                    piece_bond_wei: fields.uint()?,
                    piece_bond_per_input_wei: fields.uint()?,
                    piece_bounty_wei: fields.uint()?,
                    piece_bounty_per_input_wei: fields.uint()?,
                    fault_slash_wei: fields.uint()?,
                    receipt_slash_wei: fields.uint()?,
                    missing_bond_wei: fields.uint()?,
                })
            })
            .await?;
        let operator = self.operator_of(BlockNumber::FIRST).await?;
        let chain_id = self.node.chain_id().await?;
        Ok(Deployment { chain_id, contract: self.contract, block, operator, periods, bonds })
    }

    /// Returns the child chain's head and whether it is halted or closed.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn child_chain(&self) -> Result<ChildChain, ReadError> {
        self.child_chain_at(At::Head).await
    }

    /// Returns the same as it was, or will be, at another place of the root chain.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question; nodes forget the states of blocks that are more than 127 below the head.
    pub async fn child_chain_at(&self, at: At) -> Result<ChildChain, ReadError> {
        let block_number = |fields: &mut Fields| BlockNumber::new(fields.uint()?).ok_or_else(|| fields.out_of_form());
        let time = |fields: &mut Fields| Ok(Some(fields.uint::<u64>()?).filter(|&time| time != 0));
        self.view_at(at, "head", &[], |fields| {
            let mut fields = fields.tuple()?;
            Ok(ChildChain {
                next_number: block_number(&mut fields)?,
                last_timestamp: fields.uint()?,
                deposit_count: fields.uint()?,
                next_nonce: fields.uint()?,
                halted_from: Some(block_number(&mut fields)?).filter(|&number| number != BlockNumber::ZERO),
                halted_at: time(&mut fields)?,
                closed_at: time(&mut fields)?,
            })
        })
        .await
    }

    /// Returns the commitment of a block, or `None` if there is no such block. §1.9.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn commitment(&self, number: BlockNumber) -> Result<Option<B256>, ReadError> {
        self.commitment_at(At::Head, number).await
    }

    /// Returns the same as it was at another place of the root chain.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question; nodes forget the states of blocks that are more than 127 below the head.
    pub async fn commitment_at(&self, at: At, number: BlockNumber) -> Result<Option<B256>, ReadError> {
        let word = self.view_at(at, "blocks", &[number.get().into()], Fields::word).await?;
        Ok(Some(word).filter(|word| !word.is_zero()))
    }

    /// Returns the word of an output id. §5.1.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn coin(&self, output_id: OutputId) -> Result<CoinWord, ReadError> {
        self.view("coin", &[output_id.0.into()], |fields| {
            Ok(CoinWord { record_hash: fields.word()?, is_assigned: fields.bool()?, state: fields.uint()? })
        })
        .await
    }

    /// Returns to whom the coin's last assigned exit was handed. Counts only while [`coin`](Self::coin) says assigned.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn payee_of(&self, output_id: OutputId) -> Result<Address, ReadError> {
        self.view("payeeOf", &[output_id.0.into()], Fields::address).await
    }

    /// Returns what the contract keeps of a transaction's in-flight exit, or `None` if none is open. §6.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn in_flight_exit(&self, tx_hash: TxHash) -> Result<Option<InFlightWord>, ReadError> {
        self.view("inFlightExit", &[tx_hash.0.into()], |fields| {
            let mut fields = fields.tuple()?;
            let (start, key) = (fields.uint()?, fields.uint()?);
            let live_pieces = PieceSet::from_bits(fields.uint()?);
            let decision = events::in_flight::decision(&mut fields)?;
            let place = events::in_flight::competitors_place(&mut fields)?;
            let oldest = match (fields.uint::<u64>()?, place) {
                (0, _) => OldestPlace::Nobodys,
                (1, place) => OldestPlace::Competitors(place),
                (2, Some(place)) => OldestPlace::Own(place),
                (2.., _) => return Err(fields.out_of_form()),
            };
            let challenger = Some(fields.address()?).filter(|challenger| !challenger.is_zero());
            let word =
                InFlightWord { start, key, live_pieces, decision, oldest, challenger, data_hash: fields.word()? };
            Ok((start != 0).then_some(word))
        })
        .await
    }

    /// Returns what the contract keeps of an asset. §1.2, §2.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn asset(&self, asset: Address) -> Result<AssetWord, ReadError> {
        self.view("assetOf", &[asset.into()], |fields| {
            let owed = fields.uint()?;
            match fields.uint::<u64>()? {
                0 => Ok(AssetWord { owed, is_erc20: false }),
                1 => Ok(AssetWord { owed, is_erc20: true }),
                _ => Err(fields.out_of_form()),
            }
        })
        .await
    }

    /// Returns up to `limit` keys of an asset's list in order, those after `from`: a listed key, or zero for the head.
    /// §4.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn exit_keys(&self, asset: Address, from: u64, limit: u64) -> Result<Vec<ExitKey>, ReadError> {
        self.view("exitKeys", &[asset.into(), from.into(), limit.into()], |fields| {
            let keys = fields.tuples()?.into_iter();
            keys.map(|mut key| Ok(ExitKey { key: key.uint()?, count: key.uint()? })).collect()
        })
        .await
    }

    /// Returns the account's credit in an asset. §2.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn claimable(&self, account: Address, asset: Address) -> Result<U256, ReadError> {
        self.view("claimable", &[account.into(), asset.into()], Fields::uint).await
    }

    /// Returns the operator's key for a block number. §2.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn operator_of(&self, number: BlockNumber) -> Result<Address, ReadError> {
        self.view("operatorOf", &[number.get().into()], Fields::address).await
    }

    /// Returns the key that may accept to be the operator's next, or `None` if none is proposed. §2.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn proposed_operator(&self) -> Result<Option<Address>, ReadError> {
        let proposed = self.view("proposedOperator", &[], Fields::address).await?;
        Ok(Some(proposed).filter(|proposed| !proposed.is_zero()))
    }

    /// Returns what is left of the operator's bond. §3.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn operator_bond(&self) -> Result<OperatorBond, ReadError> {
        self.view("operatorBond", &[], |fields| {
            Ok(OperatorBond { fault_part_wei: fields.uint()?, receipt_part_wei: fields.uint()? })
        })
        .await
    }

    /// Returns the number of the root block that holds the first announcement of evidence, if there is one. §3.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn announcement(&self, announcement: B256) -> Result<Option<u64>, ReadError> {
        let root_block = self.view("announcements", &[announcement.into()], Fields::uint).await?;
        Ok(Some(root_block).filter(|&root_block| root_block != 0))
    }

    /// Returns the conviction of a block, if it was proven invalid. §3.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn conviction(&self, number: BlockNumber) -> Result<Option<Conviction>, ReadError> {
        self.view("convictions", &[number.get().into()], conviction).await
    }

    /// Returns the same of a block's receipts, if one was proven broken. §3.
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn slashed_receipt(&self, number: BlockNumber) -> Result<Option<Conviction>, ReadError> {
        self.view("slashedReceipts", &[number.get().into()], conviction).await
    }

    /// Returns the claim that a block's unspent tree lacks the coin at a position, if there ever was one. §3 (R9).
    ///
    /// # Errors
    ///
    /// [`ReadError`], as for every question.
    pub async fn missing_claim(
        &self,
        number: BlockNumber,
        position: Position,
    ) -> Result<Option<MissingClaim>, ReadError> {
        self.view("missingClaims", &[number.get().into(), position.bits().into()], |fields| {
            let (claimant, claimed_at, value) = (fields.address()?, fields.uint()?, fields.word()?);
            let open = (claimed_at != 0).then_some(OpenClaim { claimed_at, value });
            Ok((!claimant.is_zero()).then_some(MissingClaim { claimant, open }))
        })
        .await
    }

    async fn view<T>(
        &self,
        function: &'static str,
        args: &[Value],
        read: impl FnOnce(&mut Fields) -> Result<T, DecodeError>,
    ) -> Result<T, ReadError> {
        self.view_at(At::Head, function, args, read).await
    }

    async fn view_at<T>(
        &self,
        at: At,
        function: &'static str,
        args: &[Value],
        read: impl FnOnce(&mut Fields) -> Result<T, DecodeError>,
    ) -> Result<T, ReadError> {
        let data = encode_root_chain_call(function, args);
        let call = Call { to: Some(self.contract), data, value_wei: U256::ZERO, gas: GasLimit::Estimated };
        let result: Bytes = self.node.call(None, &call, at).await?;
        let mut fields = decode_root_chain_result(function, &result)?;
        Ok(read(&mut fields)?)
    }
}

fn conviction(fields: &mut Fields) -> Result<Option<Conviction>, DecodeError> {
    let conviction = Conviction { root_block: fields.uint()?, reward: fields.uint()? };
    Ok((conviction.root_block != 0).then_some(conviction))
}
