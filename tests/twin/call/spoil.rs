//! One thing wrong with a call that might have been right.

use alloy_primitives::{Address, B256, Bytes};
use plasmid_exit_game::block::Header;
use plasmid_exit_game::exit::contract::{InclusionProof, InputProof, PieceRecord, Spend};
use plasmid_exit_game::exit::in_flight::PieceSet;
use plasmid_exit_game::exit::standard::ExitRecord;
use plasmid_exit_game::fault::{Creation, FaultProof, HeldKey, Origin, ShownBody, ShownCoin, ShownLeaf, SpentCoin};
use plasmid_exit_game::position::BlockNumber;
use plasmid_exit_game::receipt::{BrokenPromise, Receipt};

use super::Function;

impl Function {
    /// Spoils one thing that the call carries, the `at`-th of its kind in the way `how`, if it carries any.
    pub(crate) fn spoil(&mut self, at: u32, how: u32) {
        let mut parts: Vec<Part<'_>> = Vec::new();
        match self {
            Self::Deposit { .. }
            | Self::DepositErc20 { .. }
            | Self::StartStandardExitOfDeposit { .. }
            | Self::SubmitBlock { .. }
            | Self::Claim { .. }
            | Self::FundBond { .. }
            | Self::WithdrawBond { .. }
            | Self::ProposeOperator { .. }
            | Self::AcceptOperator { .. }
            | Self::CloseChain => {}
            Self::AnnounceFault { announcement } => parts.push(Part::Word(announcement)),
            Self::ProveFault { proof } => {
                if let FaultProof::Unbalanced { creations, .. } = &mut **proof
                    && how.is_multiple_of(4)
                {
                    creations.pop();
                }
                proof_parts(&mut parts, proof);
            }
            Self::ProveBrokenReceipt { receipt, signature, header, broken } => {
                let Receipt { first, count, root, .. } = receipt;
                parts.extend([Part::Number(first), Part::Number(count), Part::Word(root), Part::Bytes(signature)]);
                let BrokenPromise { index, promised, promised_path, held, held_path } = broken;
                parts.extend([Part::Header(header), Part::Number(index), Part::Word(promised), Part::Word(held)]);
                parts.extend([Part::Path(promised_path), Part::Path(held_path)]);
            }
            Self::StartStandardExit { body, proof, output_index, .. } => {
                parts.extend([Part::Bytes(body), Part::Inclusion(proof), Part::Index(output_index)]);
            }
            Self::ChallengeStandardExit { record, spend, signature } => {
                parts.extend([Part::Record(record), Part::Bytes(spend), Part::Bytes(signature)]);
            }
            Self::AssignExit { record, .. } => parts.push(Part::Record(record)),
            Self::ProcessExits { exits, pieces, .. } => {
                parts.extend(exits.iter_mut().map(Part::Record));
                for PieceRecord { body, data, pieces } in pieces {
                    parts.extend([Part::Bytes(body), Part::Bytes(data), Part::Pieces(pieces)]);
                }
            }
            Self::StartInFlightExit { body, signature, proofs } => {
                parts.extend([Part::Bytes(body), Part::Bytes(signature)]);
                spoil_proofs(&mut parts, proofs, how);
            }
            Self::ImproveInFlightExit { body, data, which, proofs, .. } => {
                parts.extend([Part::Bytes(body), Part::Bytes(data), Part::Pieces(which)]);
                spoil_proofs(&mut parts, proofs, how);
            }
            Self::Piggyback { body, data, pieces, .. } => {
                parts.extend([Part::Bytes(body), Part::Bytes(data), Part::Pieces(pieces)]);
            }
            Self::ChallengeNotCanonical { tx_hash, data, input_index, competitor } => {
                parts.extend([Part::Word(&mut tx_hash.0), Part::Bytes(data), Part::Index(input_index)]);
                let Spend { body, signature, inclusion } = competitor;
                parts.extend([Part::Bytes(body), Part::Bytes(signature), Part::Inclusion(inclusion)]);
            }
            Self::RespondNotCanonical { tx_hash, inclusion } => {
                parts.extend([Part::Word(&mut tx_hash.0), Part::Inclusion(inclusion)]);
            }
            Self::ChallengePieceSpent { body, data, piece, spend } => {
                parts.extend([Part::Bytes(body), Part::Bytes(data), Part::Index(piece)]);
                let Spend { body, signature, inclusion } = spend;
                parts.extend([Part::Bytes(body), Part::Bytes(signature), Part::Inclusion(inclusion)]);
            }
            Self::CloseInFlightExit { tx_hash, data } => {
                parts.extend([Part::Word(&mut tx_hash.0), Part::Bytes(data)]);
            }
            Self::ClaimMissing { header, coin } => {
                parts.push(Part::Header(header));
                parts.extend(coin_parts(coin));
            }
            Self::AnswerMissing { header, position, membership } => {
                parts.extend([Part::Header(header), Part::Position(position), Part::Bytes(membership)]);
            }
            Self::AnswerMissingSpent { position, spent, .. } => {
                parts.push(Part::Position(position));
                parts.extend(spent_parts(spent));
            }
            Self::ConvictMissing { header, position } | Self::ReclaimMissing { header, position } => {
                parts.extend([Part::Header(header), Part::Position(position)]);
            }
            Self::WithdrawSettled { header, membership, coin } => {
                parts.extend([Part::Header(header), Part::Bytes(membership)]);
                parts.extend(coin_parts(coin));
            }
            Self::WithdrawSettledDeposit { header, deposit } => {
                parts.extend([Part::Header(header), Part::Position(&mut deposit.nonce)]);
            }
        }
        if !parts.is_empty() {
            parts.swap_remove(at as usize % parts.len()).spoil(how);
        }
    }
}

/// Something that a call carries.
enum Part<'a> {
    Bytes(&'a mut Bytes),
    Inclusion(&'a mut InclusionProof),
    Record(&'a mut ExitRecord),
    Pieces(&'a mut PieceSet),
    Index(&'a mut u8),
    Word(&'a mut B256),
    Position(&'a mut u64),
    Number(&'a mut u32),
    Header(&'a mut Header),
    Path(&'a mut Vec<B256>),
}

impl Part<'_> {
    fn spoil(self, how: u32) {
        let (way, rest) = (how % 8, how / 8);
        match self {
            Self::Bytes(bytes) => {
                let mut spoilt = bytes.to_vec();
                let at = (rest as usize) % spoilt.len().max(1);
                match way {
                    0 => spoilt.truncate(at),
                    1 => spoilt.push(0),
                    2 => spoilt.clear(),
                    3 if spoilt.len() >= 3 => spoilt[at % 3] ^= 1 + (rest % 32) as u8,
                    _ if !spoilt.is_empty() => spoilt[at] ^= 1 + (rest % 255) as u8,
                    _ => {}
                }
                *bytes = spoilt.into();
            }
            Self::Inclusion(proof) => match way {
                0 => proof.index ^= 1 + rest % 3,
                1 | 2 => Part::Path(&mut proof.path).spoil(how),
                3 => proof.witness_hash = B256::repeat_byte(3),
                4..=6 => Part::Header(&mut proof.header).spoil(how),
                _ => *proof = InclusionProof::NONE,
            },
            Self::Record(record) => match way {
                0 => record.key = record.key.wrapping_add(1),
                1 => record.key = 0,
                2 => record.output.amount = record.output.amount.wrapping_add(1),
                3 => record.output.owner = Address::repeat_byte(9),
                4 => record.output.asset = Address::repeat_byte(9),
                _ => record.output_id.0.0[31] ^= 1,
            },
            Self::Pieces(pieces) => *pieces = PieceSet::from_bits(pieces.bits() ^ 1 << (rest % 32)),
            Self::Index(index) => *index = index.wrapping_add((rest % 40) as u8),
            Self::Word(word) => word.0[31] ^= 1,
            Self::Number(number) => *number ^= 1 << (rest % 22),
            Self::Header(header) => match way {
                0 | 4 => header.timestamp = header.timestamp.wrapping_sub(1),
                1 | 5 => header.number = BlockNumber::new(u64::from(rest % 9)).expect("a small number"),
                2 | 6 => header.tx_count += 1,
                _ => *header = Header::NONE,
            },
            Self::Path(path) => match way {
                0 | 1 => path.push(B256::ZERO),
                2 | 3 => path.truncate(path.len().saturating_sub(1)),
                _ => path.iter_mut().take(1).for_each(|sibling| sibling.0[31] ^= 1),
            },
            Self::Position(position) => *position ^= 1 << (rest % 64),
        }
    }
}

fn proof_parts<'a>(parts: &mut Vec<Part<'a>>, proof: &'a mut FaultProof) {
    let of_leaf = |ShownLeaf { body, witness, inclusion }: &'a mut ShownLeaf| {
        [Part::Bytes(body), Part::Bytes(witness), Part::Inclusion(inclusion)]
    };
    let of_body = |ShownBody { body, inclusion }: &'a mut ShownBody| [Part::Bytes(body), Part::Inclusion(inclusion)];
    let of_held = |HeldKey { header, position, value, proof }: &'a mut HeldKey| {
        [Part::Header(header), Part::Position(position), Part::Word(value), Part::Bytes(proof)]
    };
    match proof {
        FaultProof::NotCanonical { leaf } => parts.extend(of_leaf(leaf)),
        FaultProof::NotBefore { leaf, input } => {
            parts.extend(of_leaf(leaf));
            parts.push(Part::Index(input));
        }
        FaultProof::NotMade { leaf, input, origin } => {
            parts.extend(of_leaf(leaf));
            parts.push(Part::Index(input));
            parts.extend(origin_parts(origin));
        }
        FaultProof::NotDeposited { leaf, input, creation } | FaultProof::NotSigned { leaf, input, creation } => {
            parts.extend(of_leaf(leaf));
            parts.push(Part::Index(input));
            parts.extend(creation_parts(creation));
        }
        FaultProof::Unbalanced { spend, creations } => {
            parts.extend(of_body(spend));
            creations.iter_mut().for_each(|creation| parts.extend(creation_parts(creation)));
        }
        FaultProof::DoubleSpend { spend, other, output_id } => {
            parts.extend(of_body(spend));
            parts.extend(of_body(other));
            parts.push(Part::Word(&mut output_id.0));
        }
        FaultProof::Settled { spend, input } => {
            parts.extend(of_body(spend));
            parts.push(Part::Index(input));
        }
        FaultProof::Exiting { spend, input, exit } => {
            parts.extend(of_body(spend));
            parts.extend([Part::Index(input), Part::Record(exit)]);
        }
        FaultProof::ExitingInFlight { spend, input, exit_body, piece } => {
            parts.extend(of_body(spend));
            parts.extend([Part::Index(input), Part::Bytes(exit_body), Part::Index(piece)]);
        }
        FaultProof::HeldSpent { held, spent } => {
            parts.extend(of_held(held));
            parts.extend(spent_parts(spent));
        }
        FaultProof::HeldNotMade { held, origin } => {
            parts.extend(of_held(held));
            parts.extend(origin_parts(origin));
        }
        FaultProof::HeldNotDeposited { held, creation } => {
            parts.extend(of_held(held));
            parts.extend(creation_parts(creation));
        }
    }
}

fn creation_parts(Creation { fields, index }: &mut Creation) -> [Part<'_>; 2] {
    [Part::Bytes(fields), Part::Position(index)]
}

fn origin_parts(origin: &mut Origin) -> [Part<'_>; 6] {
    let Origin { header, path, tx_hash, witness_hash, body, witness } = origin;
    let (header, path, tx_hash) = (Part::Header(header), Part::Path(path), Part::Word(tx_hash));
    [header, path, tx_hash, Part::Word(witness_hash), Part::Bytes(body), Part::Bytes(witness)]
}

fn coin_parts(ShownCoin { creation, inclusion }: &mut ShownCoin) -> [Part<'_>; 3] {
    let [fields, index] = creation_parts(creation);
    [fields, index, Part::Inclusion(inclusion)]
}

fn spent_parts(SpentCoin { output_id, output, spend }: &mut SpentCoin) -> [Part<'_>; 4] {
    let ShownBody { body, inclusion } = spend;
    [Part::Word(&mut output_id.0), Part::Bytes(output), Part::Bytes(body), Part::Inclusion(inclusion)]
}

fn spoil_proofs<'a>(parts: &mut Vec<Part<'a>>, proofs: &'a mut Vec<InputProof>, how: u32) {
    match how % 16 {
        0 => proofs.truncate(proofs.len().saturating_sub(1)),
        1 => proofs.extend(proofs.first().cloned()),
        2 => proofs.reverse(),
        _ => {}
    }
    for InputProof { position, creation, inclusion } in proofs {
        parts.extend([Part::Position(position), Part::Bytes(creation), Part::Inclusion(inclusion)]);
    }
}
