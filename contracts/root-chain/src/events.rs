//! The contract's logs as the protocol's facts, strictly: a log that is not one is an error, never passed over.

use alloy_primitives::Address;
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::facts::RootEvent;
use plasmid_exit_game::output::{Deposit, Output, OutputId};
use plasmid_exit_game::position::{BlockNumber, NONCE_BITS, Position};

use crate::bindings::{DecodeError, Fields, decode_root_chain_log, root_chain_event_topic};
use crate::node::{Log, Topics};

mod faults;
pub(crate) mod in_flight;
mod operations;
mod unspent;

/// `AssetStandard.Erc20`, the only standard of version 1 (§1.2).
const ERC20: u64 = 1;

/// The events that start, change and end exits, of anybody, the one that voids blocks, and the one after the chain's end.
const OF_EXITS: [&str; 17] = [
    "StandardExitStarted",
    "StandardExitChallenged",
    "ExitAssigned",
    "ExitPaid",
    "ExitReturned",
    "InFlightExitStarted",
    "InFlightExitImproved",
    "Piggybacked",
    "CanonicityChallenged",
    "CanonicityAnswered",
    "PieceChallenged",
    "InFlightExitDecided",
    "PiecePaid",
    "PieceReturned",
    "InFlightExitClosed",
    "FaultProven",
    "CoinWithdrawn",
];

/// Returns what a follower asks for that guards these owners' coins alone: all exits, convictions, and their own deposits. §7.
#[must_use]
pub fn interest_of(owners: &[Address]) -> Vec<Topics> {
    let exits = OF_EXITS.map(root_chain_event_topic).to_vec();
    let (deposited, owners) = (root_chain_event_topic("Deposited"), owners.iter().map(Address::into_word));
    vec![vec![Some(exits)], vec![Some(vec![deposited]), None, Some(owners.collect())]]
}

/// Decodes a log of `contract`.
///
/// # Errors
///
/// [`EventError`] if the log is of another contract, was taken away, or is not an event as RootChain writes it.
pub fn decode_event(contract: Address, log: &Log) -> Result<RootEvent, EventError> {
    if log.address != contract {
        return Err(EventError::Foreign { address: log.address });
    }
    if log.removed {
        return Err(EventError::Removed);
    }
    let (name, mut fields) = decode_root_chain_log(log)?;
    Ok(match name {
        "Deposited" => RootEvent::Deposited(deposit(&mut fields)?),
        "AssetRecorded" => {
            let asset = fields.address()?;
            if fields.uint::<u64>()? != ERC20 {
                return Err(fields.out_of_form().into());
            }
            RootEvent::AssetRecorded { asset }
        }
        "BlockSubmitted" => RootEvent::BlockSubmitted(header(&mut fields)?),
        "StandardExitStarted" => RootEvent::StandardExitStarted(exit_record(&mut fields)?),
        "StandardExitChallenged" => RootEvent::StandardExitChallenged {
            output_id: OutputId(fields.word()?),
            challenger: fields.address()?,
            spend: fields.bytes()?,
            signature: fields.bytes()?,
        },
        "ExitAssigned" => RootEvent::ExitAssigned { output_id: OutputId(fields.word()?), payee: fields.address()? },
        "ExitPaid" => RootEvent::ExitPaid {
            output_id: OutputId(fields.word()?),
            payee: fields.address()?,
            amount: fields.uint()?,
            paid: fields.uint()?,
            credited: fields.bool()?,
        },
        "ExitReturned" => RootEvent::ExitReturned { output_id: OutputId(fields.word()?), payee: fields.address()? },
        "ExitKeysCleared" => RootEvent::ExitKeysCleared { asset: fields.address()?, head: fields.uint()? },
        "Credited" => {
            RootEvent::Credited { account: fields.address()?, asset: fields.address()?, amount: fields.uint()? }
        }
        "Claimed" => RootEvent::Claimed {
            account: fields.address()?,
            asset: fields.address()?,
            to: fields.address()?,
            amount: fields.uint()?,
        },
        _ => {
            if let Some((tx_hash, step)) = in_flight::decode_step(name, &mut fields)? {
                return Ok(RootEvent::InFlight { tx_hash, step: Box::new(step) });
            }
            for decode in [faults::decode, unspent::decode, operations::decode] {
                if let Some(event) = decode(name, &mut fields)? {
                    return Ok(event);
                }
            }
            return Err(DecodeError::UnknownEvent { topic: log.topics.first().copied() }.into());
        }
    })
}

/// Why a log is not a fact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Another contract wrote it.
    #[error("the log is of {address}")]
    Foreign {
        /// Who did.
        address: Address,
    },
    /// A reorganisation took it away.
    #[error("the log was taken away by a reorganisation")]
    Removed,
    /// Not an event as RootChain writes it: another contract, or a node that lies.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

fn deposit(fields: &mut Fields) -> Result<Deposit, DecodeError> {
    let nonce: u64 = fields.uint()?;
    let output = output(fields)?;
    if nonce >> NONCE_BITS != 0 {
        return Err(fields.out_of_form());
    }
    Ok(Deposit { nonce, output })
}

/// Reads a block's number.
fn block_number(fields: &mut Fields) -> Result<BlockNumber, DecodeError> {
    BlockNumber::new(fields.uint()?).ok_or_else(|| fields.out_of_form())
}

fn position(fields: &mut Fields) -> Result<Position, DecodeError> {
    Position::from_bits(fields.uint()?).ok_or_else(|| fields.out_of_form())
}

fn header(fields: &mut Fields) -> Result<Header, DecodeError> {
    Ok(Header {
        number: block_number(fields)?,
        tx_root: fields.word()?,
        utxo_root: fields.word()?,
        tx_count: fields.uint()?,
        deposit_count: fields.uint()?,
        timestamp: fields.uint()?,
    })
}

fn exit_record(fields: &mut Fields) -> Result<ExitRecord, DecodeError> {
    let output_id = OutputId(fields.word()?);
    let position = position(fields)?;
    Ok(ExitRecord { output_id, position, output: output(fields)?, key: fields.uint()? })
}

fn output(fields: &mut Fields) -> Result<Output, DecodeError> {
    let output = Output { owner: fields.address()?, asset: fields.address()?, amount: fields.uint()? };
    output.check().map_err(|_| fields.out_of_form())?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, Bytes, U64, U256, keccak256};
    use plasmid_exit_game::fault::Rule;

    use super::*;

    const CONTRACT: Address = Address::repeat_byte(0xcc);

    fn log(signature: &str, topics: &[B256], data: &[B256]) -> Log {
        let data: Vec<u8> = data.iter().flat_map(|word| word.0).collect();
        Log {
            address: CONTRACT,
            topics: [keccak256(signature)].iter().chain(topics).copied().collect(),
            data: data.into(),
            block_number: U64::from(1),
            block_hash: B256::ZERO,
            transaction_hash: B256::ZERO,
            log_index: U64::ZERO,
            removed: false,
        }
    }

    fn deposited(nonce: U256, amount: U256) -> Log {
        let (owner, asset) = (Address::repeat_byte(1).into_word(), Address::ZERO.into_word());
        log("Deposited(uint64,address,address,uint128)", &[nonce.into(), owner, asset], &[amount.into()])
    }

    #[test]
    fn a_log_is_a_fact_only_as_the_contract_writes_it() {
        let good = deposited(U256::from(7), U256::from(9));
        let output = Output { owner: Address::repeat_byte(1), asset: Address::ZERO, amount: 9 };
        assert_eq!(decode_event(CONTRACT, &good), Ok(RootEvent::Deposited(Deposit { nonce: 7, output })));

        let dirty = B256::repeat_byte(1);
        let form = EventError::Decode(DecodeError::Form { of: "Deposited".to_owned() });
        let topics = |at: usize, topic: B256| {
            let mut topics = good.topics.clone();
            topics[at] = topic;
            topics
        };
        for wrong in [
            deposited(U256::from(1) << NONCE_BITS, U256::from(9)),
            deposited(U256::from(1) << 64, U256::from(9)),
            deposited(U256::from(7), U256::ZERO),
            deposited(U256::from(7), U256::from(1) << 128),
            Log { topics: topics(2, dirty), ..good.clone() },
            Log { topics: topics(2, B256::ZERO), ..good.clone() },
            Log { topics: good.topics[..3].to_vec(), ..good.clone() },
            Log { topics: [&good.topics[..], &[dirty]].concat(), ..good.clone() },
            Log { data: Bytes::new(), ..good.clone() },
            Log { data: good.data.slice(..31), ..good.clone() },
            Log { data: [&good.data[..], &[0]].concat().into(), ..good.clone() },
        ] {
            assert_eq!(decode_event(CONTRACT, &wrong), Err(form.clone()), "{wrong:?}");
        }

        let unknown = |topic| Err(EventError::Decode(DecodeError::UnknownEvent { topic }));
        assert_eq!(decode_event(CONTRACT, &Log { topics: topics(0, dirty), ..good.clone() }), unknown(Some(dirty)));
        assert_eq!(decode_event(CONTRACT, &Log { topics: vec![], ..good.clone() }), unknown(None));
        assert_eq!(decode_event(CONTRACT, &Log { removed: true, ..good.clone() }), Err(EventError::Removed));
        let foreign = decode_event(Address::ZERO, &good);
        assert_eq!(foreign, Err(EventError::Foreign { address: CONTRACT }));
    }

    #[test]
    fn a_guard_asks_for_exits_and_its_owners_deposits() {
        let interest = interest_of(&[Address::repeat_byte(1)]);
        let has = |log: &Log| {
            let fits = |(topic, of): (&B256, &Option<Vec<B256>>)| of.as_ref().is_none_or(|of| of.contains(topic));
            interest.iter().filter(|topics| log.topics.iter().zip(*topics).all(fits)).count()
        };
        let mine = deposited(U256::from(7), U256::from(9));
        assert_eq!(has(&mine), 1);
        let other = Address::repeat_byte(2).into_word();
        assert_eq!(has(&Log { topics: vec![mine.topics[0], mine.topics[1], other, mine.topics[3]], ..mine }), 0);
        assert_eq!(has(&log("StandardExitChallenged(bytes32,address,bytes,bytes)", &[other, other], &[])), 1);
        assert_eq!(has(&log("ChainClosed()", &[], &[])), 0);
    }

    #[test]
    fn bytes_in_a_log_are_bounded_by_it() {
        let word = |number: u64| B256::from(U256::from(number));
        let signature = "StandardExitChallenged(bytes32,address,bytes,bytes)";
        let topics = [word(1), Address::repeat_byte(2).into_word()];
        let good = [word(64), word(128), word(1), B256::right_padding_from(&[7]), word(0)];
        let event = decode_event(CONTRACT, &log(signature, &topics, &good)).unwrap();
        let RootEvent::StandardExitChallenged { spend, signature: signed, .. } = event else { panic!("{event:?}") };
        assert_eq!((&spend[..], &signed[..]), (&[7][..], &[][..]));
        for (at, value) in [(0, 65), (0, 1 << 40), (1, 96), (1, u64::MAX), (2, 33), (2, u64::from(u32::MAX)), (4, 1)] {
            let mut wrong = good;
            wrong[at] = word(value);
            assert!(decode_event(CONTRACT, &log(signature, &topics, &wrong)).is_err(), "word {at} = {value}");
        }
    }

    #[test]
    fn a_conviction_is_of_a_block_and_by_a_rule() {
        let word = |number: u64| B256::from(U256::from(number));
        let (accuser, evidence) = (Address::repeat_byte(2).into_word(), B256::repeat_byte(3));
        let proven = |number: u64, rule: u64| {
            let signature = "FaultProven(uint64,uint8,address,bytes32,uint256)";
            decode_event(CONTRACT, &log(signature, &[word(number), accuser], &[word(rule), evidence, word(9)]))
        };
        let number = BlockNumber::new(5).unwrap();
        let (accuser, slashed) = (Address::repeat_byte(2), U256::from(9));
        let rules = [Rule::R1, Rule::R2, Rule::R3, Rule::R4, Rule::R5, Rule::R6, Rule::R7, Rule::R8, Rule::R9];
        for (bits, rule) in (1..).zip(rules) {
            assert_eq!(proven(5, bits), Ok(RootEvent::FaultProven { number, rule, accuser, evidence, slashed }));
        }
        for (number, rule) in [(5, 0), (5, 10), (5, 255), (5, 256), (1 << 39, 1), (u64::MAX, 1)] {
            let form = EventError::Decode(DecodeError::Form { of: "FaultProven".to_owned() });
            assert_eq!(proven(number, rule), Err(form), "block {number}, rule {rule}");
        }
    }

    #[test]
    fn what_the_operator_does_is_told_in_full_and_nothing_else() {
        let word = |number: u64| B256::from(U256::from(number));
        let (account, dirty) = (Address::repeat_byte(2), B256::repeat_byte(2));
        let accepted = "OperatorAccepted(address,uint64)";
        let funded = "BondFunded(address,uint128,uint128)";
        let decode = |signature, topics: &[B256], data: &[B256]| decode_event(CONTRACT, &log(signature, topics, data));
        let first_block = BlockNumber::new(302).unwrap();
        let event = RootEvent::OperatorAccepted { operator: account, first_block };
        assert_eq!(decode(accepted, &[account.into_word()], &[word(302)]), Ok(event));
        let event = RootEvent::BondFunded { funder: account, fault_part: 1, receipt_part: 0 };
        assert_eq!(decode(funded, &[account.into_word()], &[word(1), word(0)]), Ok(event));
        assert_eq!(decode("ChainClosed()", &[], &[]), Ok(RootEvent::ChainClosed));
        for (signature, topics, data) in [
            (accepted, vec![dirty], vec![word(302)]),
            (accepted, vec![account.into_word()], vec![word(1 << 39)]),
            (accepted, vec![account.into_word()], vec![]),
            (accepted, vec![], vec![account.into_word(), word(302)]),
            (funded, vec![account.into_word()], vec![dirty, word(0)]),
            (funded, vec![account.into_word()], vec![word(1), word(0), word(0)]),
            ("ChainClosed()", vec![word(1)], vec![]),
            ("ChainClosed()", vec![], vec![word(1)]),
            ("FaultAnnounced(bytes32)", vec![], vec![word(1)]),
            ("ReceiptSlashed(uint64,address,bytes32,uint256)", vec![word(1 << 39), word(2)], vec![word(3), word(4)]),
        ] {
            assert!(decode(signature, &topics, &data).is_err(), "{signature} {topics:?} {data:?}");
        }
    }

    #[test]
    fn a_claim_is_about_a_position_in_a_block() {
        let word = |number: u64| B256::from(U256::from(number));
        let (account, id, value) = (Address::repeat_byte(2), B256::repeat_byte(3), B256::repeat_byte(4));
        let decode = |signature, topics: &[B256], data: &[B256]| decode_event(CONTRACT, &log(signature, topics, data));
        let claimed = "MissingClaimed(uint64,uint64,bytes32,bytes32,address)";
        let deposit = Position::of_deposit(7).unwrap();
        let event = RootEvent::MissingClaimed {
            number: BlockNumber::new(5).unwrap(),
            position: deposit,
            output_id: OutputId(id),
            value,
            claimant: account,
        };
        let topics = [word(5), id, account.into_word()];
        assert_eq!(decode(claimed, &topics, &[word(deposit.bits()), value]), Ok(event));
        let withdrawn = "CoinWithdrawn(bytes32,address,address,uint128,uint128,bool)";
        let asset = Address::ZERO;
        let event = RootEvent::CoinWithdrawn {
            output_id: OutputId(id),
            payee: account,
            asset,
            amount: 9,
            paid: 8,
            credited: true,
        };
        let of_coin = [id, account.into_word(), asset.into_word()];
        assert_eq!(decode(withdrawn, &of_coin, &[word(9), word(8), word(1)]), Ok(event));

        let answered = "MissingAnswered(uint64,uint64,address)";
        let no_position = deposit.bits() | 1;
        for (signature, topics, data) in [
            (claimed, topics.to_vec(), vec![word(no_position), value]),
            (claimed, vec![word(1 << 39), id, account.into_word()], vec![word(1), value]),
            (claimed, vec![word(5), id], vec![word(1), value]),
            (claimed, topics.to_vec(), vec![word(1)]),
            (answered, vec![word(5), B256::repeat_byte(1)], vec![word(1)]),
            (answered, vec![word(5), account.into_word()], vec![B256::repeat_byte(1)]),
            (withdrawn, of_coin.to_vec(), vec![word(9), word(8), word(2)]),
            (withdrawn, of_coin.to_vec(), vec![B256::from(U256::from(1) << 128), word(8), word(1)]),
            (withdrawn, of_coin[..2].to_vec(), vec![word(9), word(8), word(1)]),
        ] {
            assert!(decode(signature, &topics, &data).is_err(), "{signature} {topics:?} {data:?}");
        }
    }

    /// Credits of a token that lies about its balances add up to more than 128 bits.
    #[test]
    fn a_credit_beyond_any_honest_token_does_not_stop_those_who_follow() {
        let (account, asset) = (Address::repeat_byte(1).into_word(), Address::repeat_byte(2).into_word());
        let claimed = log("Claimed(address,address,address,uint256)", &[account, asset], &[account, U256::MAX.into()]);
        let event = decode_event(CONTRACT, &claimed);
        assert!(matches!(event, Ok(RootEvent::Claimed { amount: U256::MAX, .. })), "{event:?}");
    }
}
