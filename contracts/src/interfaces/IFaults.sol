// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "./IRootChain.sol";

/// @title Faults, a part of the root chain's contract
/// @notice Proofs that a block is invalid, which halt the chain, and that a receipt is broken, which do not. Both cost the
/// operator a slash, of which half is burned and half is the reward of who announced the proof first. `§` numbers cite
/// the protocol text; times and amounts are as in `IRootChain`.
///
/// A prover convicts or refuses: a defect in the accused data is the fault it looks for, a defect in what the accuser
/// shows reverts. It accepts evidence while the root-chain time is less than 2 MEP after the accused block's. The body
/// accused of R2 to R7 has to be canonical, and for R2 to R4 its witness too: whatever is not is R1's matter.
interface IFaults {
    // ------------------------------------------------------------------ data

    /// What made a coin: the transaction or the deposit that its output id commits to. §1.4.
    struct Creation {
        /// A canonical body; or a deposit's owner, asset and amount, 56 bytes without padding.
        bytes fields;
        /// Which of the body's outputs; or the deposit's nonce.
        uint64 index;
    }

    /// What stands where a placement says that an input was made. §1.7.
    struct Origin {
        /// The header of the block that the placement names; not read if it names block 0.
        IRootChain.Header header;
        /// Siblings of the leaf at the placement's index; not read if the block has fewer leaves.
        bytes32[] path;
        /// Hashes of the leaf's body and witness, both zero for an empty leaf.
        bytes32 txHash;
        bytes32 witnessHash;
        /// Their preimages, read where the hashes do not suffice.
        bytes body;
        bytes witness;
    }

    /// What the operator signs when it accepts transactions: leaves `first` to `first + count − 1` of block `number`, a
    /// tree with the root `root`, to be committed at time `by`. §1.10.
    struct Receipt {
        uint64 number;
        uint32 first;
        uint32 count;
        bytes32 root;
        uint64 by;
    }

    /// A leaf that a receipt promises and the block does not hold.
    struct BrokenPromise {
        /// The leaf's index in the block.
        uint32 index;
        bytes32 promised;
        /// Siblings of the promised leaf in the receipt's tree.
        bytes32[] promisedPath;
        /// What the block has in its place. Neither leaf is read where the block has none.
        bytes32 held;
        bytes32[] heldPath;
    }

    // ---------------------------------------------------------------- events

    /// Evidence that nobody has seen was announced: `H(sender 20 ‖ H(calldata of the proving call))`.
    event FaultAnnounced(bytes32 indexed announcement);

    /// A block was proven to break a rule, 1 to 9 for R1 to R9: it and all later ones are void. `evidence` is the hash of
    /// the proving call's calldata.
    event FaultProven(uint64 indexed number, uint8 rule, address indexed accuser, bytes32 evidence, uint256 slashed);

    /// The reward for a conviction was paid.
    event FaultRewarded(uint64 indexed number, address indexed accuser, uint256 amount);

    /// A receipt for a block was proven broken.
    event ReceiptSlashed(uint64 indexed number, address indexed accuser, bytes32 evidence, uint256 slashed);

    /// The reward for a broken receipt was paid.
    event ReceiptRewarded(uint64 indexed number, address indexed accuser, uint256 amount);

    // ---------------------------------------------------------------- errors

    /// The announcement was made before.
    error AlreadyAnnounced(bytes32 announcement);
    /// The evidence is sound, and shows no fault of this kind.
    error NotAFault();
    /// Evidence against the block or the receipt counted until this time.
    error TooLateToProve(uint64 until);
    /// The witness is not the one whose hash the leaf has.
    error NotTheWitness();
    /// The transaction has fewer inputs.
    error NoSuchInput(uint8 input);
    /// The header, leaf or preimage is not what stands where the placement says.
    error NotTheOrigin();
    /// The fields are not those that made the coin.
    error NotTheCreation(bytes32 outputId);
    /// Each input has one creation, and other than that many were shown.
    error WrongCreationCount(uint256 count, uint256 inputs);
    /// The block was convicted, and its reward is not this caller's or is paid.
    error AlreadyConvicted(uint64 number);
    /// The receipt promises nothing: no leaves, or leaves beyond what a block can have.
    error NotAPromise();
    /// The receipt is not signed by whose key is the operator's for its block.
    error NotSignedByOperator(address signer, address operator);
    /// The receipt is kept, as far as is shown.
    error NotBroken();
    /// A receipt for this block was slashed, and the reward is not this caller's or is paid.
    error AlreadySlashed(uint64 number);

    // --------------------------------------------------------------- reveals

    /// @notice Announces evidence, so that the reward is the sender's who shows it at least two root blocks later. §3.
    /// @param announcement `H(sender 20 ‖ H(calldata of the proving call))`.
    function announceFault(bytes32 announcement) external;

    // --------------------------------------------------------------- provers

    /// @notice R1: the leaf's body or witness is not canonical.
    function proveFaultNotCanonical(
        bytes calldata body,
        bytes calldata witness,
        IRootChain.InclusionProof calldata proof
    ) external;

    /// @notice R2: an input is said to be made at the transaction's own or a later place.
    function proveFaultNotBefore(
        bytes calldata body,
        bytes calldata witness,
        IRootChain.InclusionProof calldata proof,
        uint8 input
    ) external;

    /// @notice R3: an input does not exist at the earlier place of the child chain where the placement says.
    function proveFaultNotMade(
        bytes calldata body,
        bytes calldata witness,
        IRootChain.InclusionProof calldata proof,
        uint8 input,
        Origin calldata origin
    ) external;

    /// @notice R3: an input is not the deposit that the placement says, or no block covers that yet.
    /// @param creation Shows what the id is otherwise: the hash of a body (32 bytes) with an output index, or a deposit's
    /// fields with another nonce. Empty if the nonce is not covered or the id was never deposited.
    function proveFaultNotDeposited(
        bytes calldata body,
        bytes calldata witness,
        IRootChain.InclusionProof calldata proof,
        uint8 input,
        Creation calldata creation
    ) external;

    /// @notice R4: the signature is not that of an input's owner.
    function proveFaultNotSigned(
        bytes calldata body,
        bytes calldata witness,
        IRootChain.InclusionProof calldata proof,
        uint8 input,
        Creation calldata creation
    ) external;

    /// @notice R5: for an asset, the inputs' sum is not the outputs'.
    /// @param creations What made each input.
    function proveFaultUnbalanced(
        bytes calldata body,
        IRootChain.InclusionProof calldata proof,
        Creation[] calldata creations
    ) external;

    /// @notice R6: two transactions spend one coin; the block of the later is convicted, in whatever order they are shown.
    function proveFaultDoubleSpend(
        bytes calldata body,
        IRootChain.InclusionProof calldata proof,
        bytes calldata otherBody,
        IRootChain.InclusionProof calldata otherProof,
        bytes32 outputId
    ) external;

    /// @notice R7: an input is settled, and was frozen before the block.
    function proveFaultSettled(bytes calldata body, IRootChain.InclusionProof calldata proof, uint8 input) external;

    /// @notice R7: a pending standard exit froze an input before the block.
    function proveFaultExiting(
        bytes calldata body,
        IRootChain.InclusionProof calldata proof,
        uint8 input,
        IRootChain.ExitRecord calldata exit
    ) external;

    /// @notice R7: an open in-flight exit froze an input before the block.
    /// @param exitBody The exit's transaction.
    /// @param piece Which of its inputs, or live outputs, the coin is.
    function proveFaultExitingInFlight(
        bytes calldata body,
        IRootChain.InclusionProof calldata proof,
        uint8 input,
        bytes calldata exitBody,
        uint8 piece
    ) external;

    /// @notice Slashes a receipt that the operator broke. §3.
    /// @param signature The operator's, 64 bytes (EIP-2098).
    /// @param header The block's; all zero if it is not committed.
    /// @param broken Read if the block was committed in time.
    function proveBrokenReceipt(
        Receipt calldata receipt,
        bytes calldata signature,
        IRootChain.Header calldata header,
        BrokenPromise calldata broken
    ) external;
}
