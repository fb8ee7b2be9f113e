// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ExitProcessing} from "./ExitProcessing.sol";
import {Ledger} from "./Ledger.sol";
import {RootChainBase} from "./RootChainBase.sol";
import {StandardExits} from "./StandardExits.sol";
import {IInFlightExits} from "./interfaces/IInFlightExits.sol";
import {IOperations} from "./interfaces/IOperations.sol";
import {IRootChain} from "./interfaces/IRootChain.sol";
import {IUnspentTree} from "./interfaces/IUnspentTree.sol";
import {ExitTiming} from "./libraries/ExitTiming.sol";
import {KeyList} from "./libraries/KeyList.sol";
import {Transfers} from "./libraries/Transfers.sol";
import {CoinState} from "./types/CoinState.sol";
import {Halt} from "./types/Halt.sol";
import {Head, newHead} from "./types/Head.sol";
import {InFlightState} from "./types/InFlightState.sol";
import {PieceSet} from "./types/PieceSet.sol";
import {Position} from "./types/Position.sol";

/// @title Plasmid's contract on the root chain
/// @notice See `IRootChain` for what each call does. There is no upgrade and no administrator.
///
/// What it assumes:
/// - Tokens: the balance of this contract falls by its own transfers alone. A token that shrinks balances, blocks
///   accounts, or fails, harms those who hold it and nobody else; what arrives at a deposit is measured.
/// - Clocks: root-block timestamps never fall, and follow real time closely against MEP.
/// - Safety: for each bad exit and each invalid block somebody watches, and gets a transaction into the root chain
///   within the periods of the protocol text. The operator is trusted with nothing but liveness.
/// - Liveness: none of the operator's. Anybody may start the exit of an own coin, and anybody may process.
/// - Cryptography: keccak-256 has no collisions, in its first 215 bits either, and secp256k1 signatures are not forged.
///
/// What it does seldom is code of its own, a facet, which runs on this contract's storage: one contract would pass the
/// root chain's limit on code. `IInFlightExits`, `IFaults`, `IOperations` and `IUnspentTree` are called at this address.
contract RootChain is IInFlightExits, Ledger, StandardExits, ExitProcessing {
    using KeyList for KeyList.List;

    // ------------------------------------------------------------ immutables

    /// The root block from which on its events are found.
    uint64 private immutable DEPLOYMENT_BLOCK;
    /// The facets of these names, deployed with the same parameters.
    address private immutable IN_FLIGHT_EXITS;
    address private immutable FAULTS;
    address private immutable OPERATIONS;
    address private immutable UNSPENT_TREE;

    // ----------------------------------------------------------- constructor

    /// The value sent is the operator's bond: one slash for its part for faults, the rest for broken receipts. §3.
    constructor(Parameters memory parameters, Facets memory facets) payable RootChainBase(parameters) {
        require(
            facets.inFlightExits.code.length != 0 && facets.faults.code.length != 0
                && facets.operations.code.length != 0 && facets.unspentTree.code.length != 0
                && msg.value <= type(uint128).max && msg.value >= FAULT_SLASH + RECEIPT_SLASH,
            InvalidParameters()
        );
        DEPLOYMENT_BLOCK = uint64(block.number);
        IN_FLIGHT_EXITS = facets.inFlightExits;
        FAULTS = facets.faults;
        OPERATIONS = facets.operations;
        UNSPENT_TREE = facets.unspentTree;
        _head = newHead(block.timestamp);
        _operatorKey.account = parameters.operator;
        uint128 receiptPart = uint128(msg.value - FAULT_SLASH);
        _operatorBond = OperatorBond({faultPart: parameters.faultSlash, receiptPart: receiptPart});
        emit IOperations.BondFunded(msg.sender, parameters.faultSlash, receiptPart);
    }

    // -------------------------------------------------------- in-flight exits

    /// @inheritdoc IInFlightExits
    function startInFlightExit(bytes calldata, bytes calldata, InputProof[] calldata) external payable {
        _delegate(IN_FLIGHT_EXITS);
    }

    /// @inheritdoc IInFlightExits
    function improveInFlightExit(bytes calldata, bytes calldata, PieceSet, InputProof[] calldata, uint64[] calldata)
        external
    {
        _delegate(IN_FLIGHT_EXITS);
    }

    /// @inheritdoc IInFlightExits
    function piggyback(bytes calldata, bytes calldata, PieceSet, uint64) external payable {
        _delegate(IN_FLIGHT_EXITS);
    }

    /// @inheritdoc IInFlightExits
    function challengeNotCanonical(bytes32, bytes calldata, uint8, Spend calldata) external payable {
        _delegate(IN_FLIGHT_EXITS);
    }

    /// @inheritdoc IInFlightExits
    function respondNotCanonical(bytes32, InclusionProof calldata) external {
        _delegate(IN_FLIGHT_EXITS);
    }

    /// @inheritdoc IInFlightExits
    function challengePieceSpent(bytes calldata, bytes calldata, uint8, Spend calldata) external {
        _delegate(IN_FLIGHT_EXITS);
    }

    /// @inheritdoc IInFlightExits
    function closeInFlightExit(bytes32, bytes calldata) external {
        _delegate(IN_FLIGHT_EXITS);
    }

    // -------------------------------------------------------- all other calls

    /// Faults, operations and the unspent tree. Not a function here each, because every call pays for the search among a
    /// contract's functions: an id that is none of theirs ends in a facet that has none such.
    fallback() external payable {
        _delegate(_facetOf(msg.sig));
    }

    /// Ether comes with a call that says what for.
    receive() external payable {
        revert();
    }

    // ----------------------------------------------------------------- views

    /// @inheritdoc IRootChain
    function blocks(uint64 number) external view returns (bytes32 commitment) {
        return _blocks[number];
    }

    /// @inheritdoc IRootChain
    function coin(bytes32 outputId) external view returns (bytes32 recordHash, bool assigned, uint64 state) {
        CoinState coinState = _coins[outputId];
        return (coinState.recordHash(), coinState.isAssigned(), coinState.state());
    }

    /// @inheritdoc IRootChain
    function payeeOf(bytes32 outputId) external view returns (address payee) {
        return _payees[outputId];
    }

    /// @inheritdoc IRootChain
    function inFlightExit(bytes32 txHash) external view returns (InFlightExit memory) {
        OpenExit storage open = _inFlightExits[txHash];
        InFlightState state = open.state;
        return InFlightExit({
            start: state.start(),
            key: state.key(),
            livePieces: state.livePieces(),
            decision: state.decision(),
            oldestPlace: state.oldestPlace(),
            placeHolder: state.placeHolder(),
            challenger: open.challenger,
            dataHash: open.dataHash
        });
    }

    /// @inheritdoc IRootChain
    function assetOf(address asset) external view returns (uint128 owed, AssetStandard standard) {
        if (asset == Transfers.ETHER) return (uint128(_head.etherOwed()), AssetStandard.Unknown);
        return (_assets[asset].owed, _assets[asset].standard);
    }

    /// @inheritdoc IRootChain
    function exitKeys(address asset, uint64 from, uint256 limit) external view returns (ExitKey[] memory keys) {
        return _exitKeys[asset].keysAfter(from, limit);
    }

    /// @inheritdoc IRootChain
    function claimable(address account, address asset) external view returns (uint256 amount) {
        return _claimable[account][asset];
    }

    /// @inheritdoc IRootChain
    function head() external view returns (ChainHead memory) {
        Head h = _head;
        Halt halt = _halt;
        return ChainHead({
            nextNumber: h.nextNumber(),
            lastTimestamp: h.lastTimestamp(),
            depositCount: h.depositCount(),
            nextNonce: h.nextNonce(),
            haltedFrom: halt.haltedFrom(),
            haltedAt: halt.haltedAt(),
            closedAt: halt.closedAt()
        });
    }

    /// @inheritdoc IRootChain
    function operatorOf(uint64 number) external view returns (address operator) {
        return _operatorOf(number);
    }

    /// @inheritdoc IRootChain
    function proposedOperator() external view returns (address next) {
        return _operatorKey.nextFirstBlock == 0 ? _nextOperator : address(0);
    }

    /// @inheritdoc IRootChain
    function operatorBond() external view returns (uint128 faultPart, uint128 receiptPart) {
        return (_operatorBond.faultPart, _operatorBond.receiptPart);
    }

    /// @inheritdoc IRootChain
    function announcements(bytes32 announcement) external view returns (uint64 rootBlock) {
        return _announcements[announcement];
    }

    /// @inheritdoc IRootChain
    function convictions(uint64 number) external view returns (uint64 rootBlock, uint128 reward) {
        return (_convictions[number].rootBlock, _convictions[number].reward);
    }

    /// @inheritdoc IRootChain
    function slashedReceipts(uint64 number) external view returns (uint64 rootBlock, uint128 reward) {
        return (_slashedReceipts[number].rootBlock, _slashedReceipts[number].reward);
    }

    /// @inheritdoc IRootChain
    function missingClaims(uint64 number, Position position)
        external
        view
        returns (address claimant, uint64 claimedAt, bytes32 value)
    {
        MissingClaim storage missing = _missingClaims[number][position];
        return (missing.claimant, missing.claimedAt, missing.value);
    }

    /// @inheritdoc IRootChain
    function deploymentBlock() external view returns (uint64 number) {
        return DEPLOYMENT_BLOCK;
    }

    /// @inheritdoc IRootChain
    function periods() external view returns (Periods memory) {
        return Periods({
            minimumExitPeriod: uint64(MINIMUM_EXIT_PERIOD),
            granularity: uint64(ExitTiming.granularity(MINIMUM_EXIT_PERIOD)),
            freezeDelay: uint64(ExitTiming.freezeDelay(MINIMUM_EXIT_PERIOD)),
            grace: uint64(ExitTiming.grace(MINIMUM_EXIT_PERIOD)),
            sunset: uint64(SUNSET)
        });
    }

    /// @inheritdoc IRootChain
    function bonds() external view returns (Bonds memory) {
        return Bonds({
            exitBond: uint128(EXIT_BOND),
            exitBounty: uint128(EXIT_BOUNTY),
            inFlightBond: uint128(IN_FLIGHT_BOND),
            pieceBond: uint128(PIECE_BOND),
            pieceBondPerInput: uint128(PIECE_BOND_PER_INPUT),
            pieceBounty: uint128(PIECE_BOUNTY),
            pieceBountyPerInput: uint128(PIECE_BOUNTY_PER_INPUT),
            faultSlash: uint128(FAULT_SLASH),
            receiptSlash: uint128(RECEIPT_SLASH),
            missingBond: uint128(MISSING_BOND)
        });
    }

    // -------------------------------------------------------------- internals

    /// Returns the facet with a function of this id, if any but in-flight exits' has one.
    function _facetOf(bytes4 id) private view returns (address) {
        if (
            id == IUnspentTree.proveFaultHeldSpent.selector || id == IUnspentTree.proveFaultHeldNotMade.selector
                || id == IUnspentTree.proveFaultHeldNotDeposited.selector || id == IUnspentTree.claimMissing.selector
                || id == IUnspentTree.answerMissing.selector || id == IUnspentTree.answerMissingSpent.selector
                || id == IUnspentTree.convictMissing.selector || id == IUnspentTree.reclaimMissing.selector
                || id == IUnspentTree.withdrawSettled.selector || id == IUnspentTree.withdrawSettledDeposit.selector
        ) return UNSPENT_TREE;
        if (
            id == IOperations.fundBond.selector || id == IOperations.withdrawBond.selector
                || id == IOperations.proposeOperator.selector || id == IOperations.acceptOperator.selector
                || id == IOperations.closeChain.selector
        ) return OPERATIONS;
        return FAULTS;
    }

    /// Runs a facet's function of the same name, with this call's arguments, on this contract's storage, and ends the
    /// call with its result.
    function _delegate(address facet) private {
        assembly ("memory-safe") {
            let data := mload(0x40)
            calldatacopy(data, 0, calldatasize())
            let success := delegatecall(gas(), facet, data, calldatasize(), 0, 0)
            returndatacopy(data, 0, returndatasize())
            if iszero(success) { revert(data, returndatasize()) }
            return(data, returndatasize())
        }
    }
}
