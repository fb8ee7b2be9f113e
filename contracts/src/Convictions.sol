// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {RootChainBase} from "./RootChainBase.sol";
import {IFaults} from "./interfaces/IFaults.sol";
import {IRootChain} from "./interfaces/IRootChain.sol";
import {Commitments} from "./libraries/Commitments.sol";
import {TransactionCodec} from "./libraries/TransactionCodec.sol";
import {TransactionTree} from "./libraries/TransactionTree.sol";
import {Transfers} from "./libraries/Transfers.sol";
import {WitnessCodec} from "./libraries/WitnessCodec.sol";
import {Position} from "./types/Position.sol";

/// @title Convictions: halt, slash, reward
/// @notice §3.
abstract contract Convictions is RootChainBase {
    using TransactionCodec for bytes;
    using WitnessCodec for bytes;

    /// An announcement is good once it is so many root blocks old.
    uint256 private constant ANNOUNCEMENT_AGE = 2;
    /// Where burnt ether goes: nobody has its key.
    address private constant NOBODY = address(0);

    /// Refuses a block that is void without having been convicted, or whose time to be convicted is over.
    function _requireConvictable(IRootChain.Header calldata header) internal view {
        uint64 number = header.number;
        if (number >= _firstVoidBlock()) {
            Conviction memory conviction = _convictions[number];
            require(conviction.rootBlock != 0, IRootChain.VoidBlock(number));
            require(conviction.reward != 0, IFaults.AlreadyConvicted(number));
        }
        _requireInTime(header);
    }

    /// Refuses a block whose time to be convicted is over.
    function _requireInTime(IRootChain.Header calldata header) internal view {
        uint64 until = _endOfConvictions(header);
        require(block.timestamp < until, IFaults.TooLateToProve(until));
    }

    /// Returns until when the block can be convicted.
    function _endOfConvictions(IRootChain.Header calldata header) internal view returns (uint64) {
        return uint64(header.timestamp + 2 * MINIMUM_EXIT_PERIOD);
    }

    /// Halts the chain at the accused block if the fault is there, and pays the reward if it is the caller's; refuses the
    /// call if it does neither.
    function _convictIf(bool isFault, IRootChain.Header calldata header, uint8 rule) internal {
        require(isFault, IFaults.NotAFault());
        uint64 number = header.number;
        bytes32 evidence = keccak256(msg.data);
        Conviction memory conviction = _convictions[number];
        bool isNew = conviction.rootBlock == 0;
        if (isNew) conviction = _convict(number, rule, msg.sender, evidence);
        uint128 reward = _takeReward(conviction, evidence);
        require(isNew || reward != 0, IFaults.AlreadyConvicted(number));
        _convictions[number] = conviction;
        if (reward == 0) return;
        emit IFaults.FaultRewarded(number, msg.sender, reward);
        _payOrCredit(Transfers.ETHER, msg.sender, reward);
    }

    /// Halts the chain at a block, takes the slash and burns half of it.
    function _convict(uint64 number, uint8 rule, address accuser, bytes32 evidence)
        internal
        returns (Conviction memory)
    {
        _halt = _halt.withHalt(number, block.timestamp);
        uint128 slashed = _atMost(FAULT_SLASH, _operatorBond.faultPart);
        _operatorBond.faultPart -= slashed;
        _updateStopped();
        emit IFaults.FaultProven(number, rule, accuser, evidence, slashed);
        return _burnHalf(slashed);
    }

    /// Burns half of a slash, rounded up, and returns what is kept of it now: the other half waits.
    function _burnHalf(uint128 slashed) internal returns (Conviction memory) {
        uint128 reward = slashed / 2;
        _payOrCredit(Transfers.ETHER, NOBODY, slashed - reward);
        return Conviction({rootBlock: uint64(block.number), reward: reward});
    }

    /// Takes the reward out if the caller announced this evidence in time, and returns it.
    function _takeReward(Conviction memory conviction, bytes32 evidence) internal view returns (uint128 reward) {
        uint256 announcedIn = _announcements[keccak256(abi.encodePacked(msg.sender, evidence))];
        if (announcedIn == 0 || announcedIn + ANNOUNCEMENT_AGE > conviction.rootBlock) return 0;
        reward = conviction.reward;
        conviction.reward = 0;
    }

    function _atMost(uint256 slash, uint128 part) internal pure returns (uint128) {
        return slash < part ? uint128(slash) : part;
    }

    // ---------------------------------------------------------------- places

    /// Returns whether there is a leaf that is not empty where a position of the child chain says. R3, R8.
    function _hasLeaf(Position position, IFaults.Origin calldata origin) internal view returns (bool) {
        uint64 number = position.blockNumber();
        if (number == 0) return false;
        IRootChain.Header calldata header = origin.header;
        require(header.number == number && _blocks[number] == Commitments.ofShownHeader(header), IFaults.NotTheOrigin());
        uint32 txIndex = position.transactionIn();
        if (txIndex >= header.txCount) return false;
        bool isEmpty = origin.txHash == 0 && origin.witnessHash == 0;
        bytes32 leaf = isEmpty ? bytes32(0) : TransactionTree.leaf(origin.txHash, origin.witnessHash);
        require(TransactionTree.holds(header, txIndex, leaf, origin.path), IFaults.NotTheOrigin());
        return !isEmpty;
    }

    /// Returns whether the leaf's transaction is canonical and makes the output. R3, R8.
    function _makesOutput(IFaults.Origin calldata origin, uint8 index) internal pure returns (bool) {
        bytes calldata body = origin.body;
        require(body.hashOf() == origin.txHash, IFaults.NotTheOrigin());
        if (!body.isCanonical() || index >= body.outputCount()) return false;
        require(keccak256(origin.witness) == origin.witnessHash, IFaults.NotTheOrigin());
        return origin.witness.isCanonical(TransactionCodec.inputCount(body));
    }
}
