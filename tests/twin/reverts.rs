//! The model's reasons as the contract's revert data.

use alloy_primitives::{Address, B256, Bytes};
use plasmid_exit_game::exit::contract::Revert;
use plasmid_exit_game::exit::in_flight::Decision;
use plasmid_root_chain::bindings::{Value, encode_call};

/// Returns the bytes with which the contract refuses a call for this reason.
pub(crate) fn encode(revert: &Revert) -> Bytes {
    let (signature, args) = parts(revert);
    encode_call(signature, &args).expect("the signature fits its arguments")
}

/// Returns the reason's name.
pub(crate) fn name(revert: &Revert) -> &'static str {
    let signature = parts(revert).0;
    signature.split('(').next().expect("splitting yields something")
}

fn parts(revert: &Revert) -> (&'static str, Vec<Value>) {
    let small = |number: u8| Value::from(u64::from(number));
    match *revert {
        Revert::InvalidParameters => ("InvalidParameters()", vec![]),
        Revert::ChainStopped { halted_from, closed_at } => (
            "ChainStopped(uint64,uint64)",
            vec![halted_from.map_or(0, |number| number.get()).into(), closed_at.unwrap_or(0).into()],
        ),
        Revert::ZeroAddress => ("ZeroAddress()", vec![]),
        Revert::AmountOutOfRange { amount } => ("AmountOutOfRange(uint256)", vec![amount.into()]),
        Revert::DepositsExhausted => ("DepositsExhausted()", vec![]),
        Revert::AssetTotalExceeded { asset, total } => {
            ("AssetTotalExceeded(address,uint256)", vec![asset.into(), total.into()])
        }
        Revert::NotOperator { caller } => ("NotOperator(address)", vec![caller.into()]),
        Revert::WrongBlockNumber { number, next_number } => {
            ("WrongBlockNumber(uint64,uint64)", vec![number.into(), next_number.into()])
        }
        Revert::WrongTxCount { tx_count, tx_root } => {
            ("WrongTxCount(uint32,bytes32)", vec![u64::from(tx_count).into(), tx_root.into()])
        }
        Revert::WrongDepositCount { deposit_count, covered, made } => {
            ("WrongDepositCount(uint64,uint64,uint64)", vec![deposit_count.into(), covered.into(), made.into()])
        }
        Revert::TimestampNotLater { timestamp, last_timestamp } => {
            ("TimestampNotLater(uint64,uint64)", vec![timestamp.into(), last_timestamp.into()])
        }
        Revert::SubmittedTooLate { timestamp, not_after } => {
            ("SubmittedTooLate(uint64,uint64)", vec![timestamp.into(), not_after.into()])
        }
        Revert::UnknownAnchor { anchor } => {
            ("UnknownAnchor(uint64,bytes32)", vec![anchor.number.into(), anchor.hash.into()])
        }
        Revert::WrongBond { sent, bond } => ("WrongBond(uint256,uint256)", vec![sent.into(), bond.into()]),
        Revert::NotCanonical => ("NotCanonical()", vec![]),
        Revert::NoSuchOutput { output_index } => ("NoSuchOutput(uint8)", vec![small(output_index)]),
        Revert::UnknownHeader { number } => ("UnknownHeader(uint64)", vec![number.get().into()]),
        Revert::VoidBlock { number } => ("VoidBlock(uint64)", vec![number.get().into()]),
        Revert::NotIncluded { number, index } => {
            ("NotIncluded(uint64,uint32)", vec![number.get().into(), u64::from(index).into()])
        }
        Revert::NotADeposit { output_id } => ("NotADeposit(bytes32)", vec![output_id.0.into()]),
        Revert::NotOwner { caller, owner } => ("NotOwner(address,address)", vec![caller.into(), owner.into()]),
        Revert::AlreadyExiting { output_id } => ("AlreadyExiting(bytes32)", vec![output_id.0.into()]),
        Revert::AlreadySettled { output_id, freeze } => {
            ("AlreadySettled(bytes32,uint64)", vec![output_id.0.into(), freeze.into()])
        }
        Revert::NotExiting { output_id } => ("NotExiting(bytes32)", vec![output_id.0.into()]),
        Revert::NotASpend { output_id } => ("NotASpend(bytes32)", vec![output_id.0.into()]),
        Revert::NotPayee { caller, payee } => ("NotPayee(address,address)", vec![caller.into(), payee.into()]),
        Revert::NothingToClaim { account, asset } => {
            ("NothingToClaim(address,address)", vec![account.into(), asset.into()])
        }
        Revert::ClaimFailed { asset, to, amount } => {
            ("ClaimFailed(address,address,uint256)", vec![asset.into(), to.into(), amount.into()])
        }
        Revert::AlreadyOpen { tx_hash } => ("AlreadyOpen(bytes32)", vec![tx_hash.0.into()]),
        Revert::NotOpen { tx_hash } => ("NotOpen(bytes32)", vec![tx_hash.0.into()]),
        Revert::WrongProofCount { proofs, inputs } => {
            ("WrongProofCount(uint256,uint256)", vec![(proofs as u64).into(), (inputs as u64).into()])
        }
        Revert::NotTheInput { output_id, position } => {
            ("NotTheInput(bytes32,uint64)", vec![output_id.0.into(), position.into()])
        }
        Revert::SeveralOwners { owner, other } => ("SeveralOwners(address,address)", vec![owner.into(), other.into()]),
        Revert::NotSigned { tx_hash } => ("NotSigned(bytes32)", vec![tx_hash.0.into()]),
        Revert::Unbalanced { tx_hash } => ("Unbalanced(bytes32)", vec![tx_hash.0.into()]),
        Revert::WrongData { tx_hash } => ("WrongData(bytes32)", vec![tx_hash.0.into()]),
        Revert::FirstHalfOver { timestamp, end } => {
            ("FirstHalfOver(uint64,uint64)", vec![timestamp.into(), end.into()])
        }
        Revert::NotOlder { shown, oldest } => ("NotOlder(uint64,uint64)", vec![shown.into(), oldest.into()]),
        Revert::NothingOlder => ("NothingOlder()", vec![]),
        Revert::NoPieces => ("NoPieces()", vec![]),
        Revert::NoSuchPiece { piece } => ("NoSuchPiece(uint8)", vec![small(piece)]),
        Revert::PieceLive { piece } => ("PieceLive(uint8)", vec![small(piece)]),
        Revert::PieceNotLive { piece } => ("PieceNotLive(uint8)", vec![small(piece)]),
        Revert::SeveralAssets { asset, other } => ("SeveralAssets(address,address)", vec![asset.into(), other.into()]),
        Revert::OwnTransaction { tx_hash } => ("OwnTransaction(bytes32)", vec![tx_hash.0.into()]),
        Revert::NothingToAnswer { tx_hash } => ("NothingToAnswer(bytes32)", vec![tx_hash.0.into()]),
        Revert::AlreadyDecided { tx_hash, decision } => {
            let decision = match decision {
                Decision::Canonical => 1,
                Decision::NonCanonical => 2,
                Decision::Void => 3,
            };
            ("AlreadyDecided(bytes32,uint8)", vec![tx_hash.0.into(), small(decision)])
        }
        Revert::IncludedTooLate { timestamp, freeze } => {
            ("IncludedTooLate(uint64,uint64)", vec![timestamp.into(), freeze.into()])
        }
        Revert::PiecesLive { pieces } => ("PiecesLive(uint32)", vec![u64::from(pieces.bits()).into()]),
        Revert::TooEarly { timestamp, earliest } => {
            ("TooEarly(uint64,uint64)", vec![timestamp.into(), earliest.into()])
        }
        Revert::AlreadyAnnounced { announcement } => ("AlreadyAnnounced(bytes32)", vec![announcement.into()]),
        Revert::NotAFault => ("NotAFault()", vec![]),
        Revert::TooLateToProve { until } => ("TooLateToProve(uint64)", vec![until.into()]),
        Revert::NotTheWitness => ("NotTheWitness()", vec![]),
        Revert::NoSuchInput { input } => ("NoSuchInput(uint8)", vec![small(input)]),
        Revert::NotTheOrigin => ("NotTheOrigin()", vec![]),
        Revert::NotTheCreation { output_id } => ("NotTheCreation(bytes32)", vec![output_id.0.into()]),
        Revert::WrongCreationCount { count, inputs } => {
            ("WrongCreationCount(uint256,uint256)", vec![(count as u64).into(), (inputs as u64).into()])
        }
        Revert::AlreadyConvicted { number } => ("AlreadyConvicted(uint64)", vec![number.get().into()]),
        Revert::NotAPromise => ("NotAPromise()", vec![]),
        Revert::NotSignedByOperator { signer, operator } => {
            ("NotSignedByOperator(address,address)", vec![signer.into(), operator.into()])
        }
        Revert::NotBroken => ("NotBroken()", vec![]),
        Revert::AlreadySlashed { number } => ("AlreadySlashed(uint64)", vec![number.get().into()]),
        Revert::BondShort { fault_part, receipt_part } => {
            ("BondShort(uint128,uint128)", vec![fault_part.into(), receipt_part.into()])
        }
        Revert::WrongParts { sent, parts } => ("WrongParts(uint256,uint256)", vec![sent.into(), parts.into()]),
        Revert::BondLocked => ("BondLocked()", vec![]),
        Revert::RotationPending { first_block } => ("RotationPending(uint64)", vec![first_block.into()]),
        Revert::NotProposed { caller } => ("NotProposed(address)", vec![caller.into()]),
        Revert::WrongFirstBlock { first_block, next_number } => {
            ("WrongFirstBlock(uint64,uint64)", vec![first_block.into(), next_number.into()])
        }
        Revert::NotHeld => ("NotHeld()", vec![]),
        Revert::NotTheValue => ("NotTheValue()", vec![]),
        Revert::LaterBlock { shown, number } => ("LaterBlock(uint64,uint64)", vec![shown.into(), number.into()]),
        Revert::TooLateToClaim { until } => ("TooLateToClaim(uint64)", vec![until.into()]),
        Revert::AlreadyClaimed { number, position } => {
            ("AlreadyClaimed(uint64,uint64)", vec![number.get().into(), position.bits().into()])
        }
        Revert::NotClaimed { number, position } => {
            ("NotClaimed(uint64,uint64)", vec![number.get().into(), position.into()])
        }
        Revert::TooLateToAnswer { until } => ("TooLateToAnswer(uint64)", vec![until.into()]),
        Revert::TooEarlyToConvict { from } => ("TooEarlyToConvict(uint64)", vec![from.into()]),
        Revert::ClaimRuns { until } => ("ClaimRuns(uint64)", vec![until.into()]),
        Revert::StillRunning => ("StillRunning()", vec![]),
        Revert::NotYetSettling { from } => ("NotYetSettling(uint64)", vec![from.into()]),
        Revert::NotTheLastBlock { shown, last } => {
            ("NotTheLastBlock(uint64,uint64)", vec![shown.get().into(), last.get().into()])
        }
        Revert::ExitsPending { asset, key } => ("ExitsPending(address,uint64)", vec![asset.into(), key.into()]),
        Revert::DepositCovered { nonce } => ("DepositCovered(uint64)", vec![nonce.into()]),
        Revert::NotYetSunset { sunset_at } => ("NotYetSunset(uint64)", vec![sunset_at.into()]),
    }
}

/// Returns the revert data of an address that has no code: what the model knows nothing of.
pub(crate) fn not_a_token(token: Address) -> Bytes {
    encode_call("NotAToken(address)", &[token.into()]).expect("the signature fits its argument")
}

/// Returns the first word of an account's storage that remembers a call which the lock refused.
pub(crate) fn locked() -> B256 {
    let data = encode_call("Locked()", &[]).expect("the signature has no arguments");
    B256::right_padding_from(&data)
}
