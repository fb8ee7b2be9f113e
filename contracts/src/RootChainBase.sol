// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "./interfaces/IRootChain.sol";
import {Commitments} from "./libraries/Commitments.sol";
import {KeyList} from "./libraries/KeyList.sol";
import {TransactionTree} from "./libraries/TransactionTree.sol";
import {Transfers} from "./libraries/Transfers.sol";
import {CoinState} from "./types/CoinState.sol";
import {Halt} from "./types/Halt.sol";
import {Head} from "./types/Head.sol";
import {InFlightState} from "./types/InFlightState.sol";
import {Position, outputPosition} from "./types/Position.sol";

/// @title The storage and immutables of the root chain's contracts
/// @notice All of them have this layout in common, so that code which runs by DELEGATECALL finds the same words.
abstract contract RootChainBase {
    // ------------------------------------------------------------ immutables

    /// MEP, in seconds.
    uint256 internal immutable MINIMUM_EXIT_PERIOD;
    /// Seconds without a block after which anyone may close the chain.
    uint256 internal immutable SUNSET;
    /// Wei held from the start of a standard exit on.
    uint256 internal immutable EXIT_BOND;
    /// The part of it that goes to whoever processes the exit.
    uint256 internal immutable EXIT_BOUNTY;
    /// Wei held from the start of an in-flight exit on, and as much from a canonicity challenge on.
    uint256 internal immutable IN_FLIGHT_BOND;
    /// Wei held for a piggybacked piece, and what each input of its transaction adds.
    uint256 internal immutable PIECE_BOND;
    uint256 internal immutable PIECE_BOND_PER_INPUT;
    /// The parts of them that go to whoever processes the piece.
    uint256 internal immutable PIECE_BOUNTY;
    uint256 internal immutable PIECE_BOUNTY_PER_INPUT;
    /// What a conviction, and a broken receipt, takes of the operator's bond: each part's minimum.
    uint256 internal immutable FAULT_SLASH;
    uint256 internal immutable RECEIPT_SLASH;
    /// Wei held for a claim that a block's unspent tree lacks a coin.
    uint256 internal immutable MISSING_BOND;

    // --------------------------------------------------------------- storage

    /// An asset other than ether, whose sum is in `Head`.
    struct Asset {
        /// What may still be paid to exits. §2.
        uint128 owed;
        IRootChain.AssetStandard standard;
    }

    /// An in-flight exit; all zero if none is open. §6.
    struct OpenExit {
        InFlightState state;
        /// Whose bond is held for the oldest place, zero if none is.
        address challenger;
        /// Hash of its data.
        bytes32 dataHash;
    }

    /// The operator's key, and which blocks are its. §2.
    struct OperatorKey {
        address account;
        uint40 firstBlock;
        /// The first block that is the next key's, zero if none is accepted.
        uint40 nextFirstBlock;
    }

    /// The operator's bond: what faults take, and what broken receipts take. §3.
    struct OperatorBond {
        uint128 faultPart;
        uint128 receiptPart;
    }

    /// When a block was convicted, or a receipt for it slashed; all zero if never. §3.
    struct Conviction {
        /// Number of the root block.
        uint64 rootBlock;
        /// What waits for whoever announced the evidence.
        uint128 reward;
    }

    /// A claim that a block's unspent tree lacks a coin. R9.
    struct MissingClaim {
        address claimant;
        /// In seconds; zero once the claim has ended, and so is its value.
        uint64 claimedAt;
        /// What the tree must hold. §1.8.
        bytes32 value;
    }

    Head internal _head;
    Halt internal _halt;
    /// Header commitments. §1.9.
    mapping(uint64 number => bytes32 commitment) internal _blocks;
    mapping(bytes32 outputId => CoinState) internal _coins;
    /// Counts only while the coin's word says assigned.
    mapping(bytes32 outputId => address payee) internal _payees;
    mapping(address asset => Asset) internal _assets;
    mapping(address asset => KeyList.List) internal _exitKeys;
    mapping(address account => mapping(address asset => uint256 amount)) internal _claimable;
    mapping(bytes32 txHash => OpenExit) internal _inFlightExits;
    /// The key of the last block, unless its next key's first block is the next one.
    OperatorKey internal _operatorKey;
    /// Who comes after it: proposed, and accepted once the key names the first block.
    address internal _nextOperator;
    /// The keys before, oldest first.
    OperatorKey[] internal _formerKeys;
    OperatorBond internal _operatorBond;
    /// The root block of each first announcement. §3.
    mapping(bytes32 announcement => uint64 rootBlock) internal _announcements;
    mapping(uint64 number => Conviction) internal _convictions;
    mapping(uint64 number => Conviction) internal _slashedReceipts;
    mapping(uint64 number => mapping(Position => MissingClaim)) internal _missingClaims;

    bool private transient _isLocked;

    /// One lock over every call that changes state. §2.
    modifier locked() {
        require(!_isLocked, IRootChain.Locked());
        _isLocked = true;
        _;
        _isLocked = false;
    }

    // ----------------------------------------------------------- constructor

    constructor(IRootChain.Parameters memory parameters) {
        require(
            parameters.operator != address(0) && parameters.minimumExitPeriod != 0
                && parameters.sunset >= parameters.minimumExitPeriod && parameters.exitBounty <= parameters.exitBond
                && parameters.pieceBounty <= parameters.pieceBond
                && parameters.pieceBountyPerInput <= parameters.pieceBondPerInput,
            IRootChain.InvalidParameters()
        );
        MINIMUM_EXIT_PERIOD = parameters.minimumExitPeriod;
        SUNSET = parameters.sunset;
        EXIT_BOND = parameters.exitBond;
        EXIT_BOUNTY = parameters.exitBounty;
        IN_FLIGHT_BOND = parameters.inFlightBond;
        PIECE_BOND = parameters.pieceBond;
        PIECE_BOND_PER_INPUT = parameters.pieceBondPerInput;
        PIECE_BOUNTY = parameters.pieceBounty;
        PIECE_BOUNTY_PER_INPUT = parameters.pieceBountyPerInput;
        FAULT_SLASH = parameters.faultSlash;
        RECEIPT_SLASH = parameters.receiptSlash;
        MISSING_BOND = parameters.missingBond;
    }

    // ------------------------------------------------------------- internals

    /// Returns whose key is the operator's for a block. §2.
    function _operatorOf(uint64 number) internal view returns (address) {
        OperatorKey memory key = _operatorKey;
        if (key.nextFirstBlock != 0 && number >= key.nextFirstBlock) return _nextOperator;
        for (uint256 i = _formerKeys.length; number < key.firstBlock && i > 0; --i) {
            key = _formerKeys[i - 1];
        }
        return key.account;
    }

    /// Returns whose key is the operator's for the next block, and lets the next key's time begin. §2.
    function _operatorOfNextBlock() internal returns (address) {
        OperatorKey memory key = _operatorKey;
        if (key.nextFirstBlock != 0 && _head.nextNumber() >= key.nextFirstBlock) {
            _formerKeys.push(key);
            key = OperatorKey({account: _nextOperator, firstBlock: key.nextFirstBlock, nextFirstBlock: 0});
            _operatorKey = key;
            _nextOperator = address(0);
        }
        return key.account;
    }

    /// Says in the head whether blocks are refused: the chain is halted or closed, or a part of the bond too small. §3.
    function _updateStopped() internal {
        bool isEnded = Halt.unwrap(_halt) != 0;
        _head = _head.withStopped(isEnded || _isBondShort());
    }

    function _isBondShort() internal view returns (bool) {
        OperatorBond memory bond = _operatorBond;
        return bond.faultPart < FAULT_SLASH || bond.receiptPart < RECEIPT_SLASH;
    }

    /// Returns the first void block, or a number above all blocks. §3.
    function _firstVoidBlock() internal view returns (uint64) {
        uint64 haltedFrom = _head.isStopped() ? _halt.haltedFrom() : 0;
        return haltedFrom == 0 ? type(uint64).max : haltedFrom;
    }

    /// Returns the place of a transaction in a committed block that is not void, and refuses a proof that does not show
    /// it there. §1.7, §3.
    function _includedPlace(bytes32 txHash, IRootChain.InclusionProof calldata proof) internal view returns (Position) {
        uint64 number = _committedNumber(proof.header);
        require(number < _firstVoidBlock(), IRootChain.VoidBlock(number));
        return _placeIn(number, txHash, proof);
    }

    /// Returns the number of a header, and refuses one that is not that of a committed block. §1.9.
    function _committedNumber(IRootChain.Header calldata header) internal view returns (uint64 number) {
        number = header.number;
        require(_blocks[number] == Commitments.ofShownHeader(header), IRootChain.UnknownHeader(number));
    }

    /// Returns the place of a transaction in the block with this header and number, and refuses a proof that does not
    /// show it there. §1.7.
    function _placeIn(uint64 number, bytes32 txHash, IRootChain.InclusionProof calldata proof)
        internal
        pure
        returns (Position)
    {
        uint32 txIndex = proof.txIndex;
        bytes32 leaf = TransactionTree.leaf(txHash, proof.witnessHash);
        require(TransactionTree.holds(proof.header, txIndex, leaf, proof.path), IRootChain.NotIncluded(number, txIndex));
        return outputPosition(number, txIndex, 0);
    }

    /// Returns whether a coin of this position is void if block `firstVoidBlock` is the first that is. §3.
    function _isVoid(Position position, uint256 firstVoidBlock) internal pure returns (bool) {
        return !position.isDeposit() && position.blockNumber() >= firstVoidBlock;
    }

    /// Returns the bond of a piece of a transaction with this many inputs. §2.
    function _pieceBond(uint256 inputs) internal view returns (uint256) {
        return PIECE_BOND + inputs * PIECE_BOND_PER_INPUT;
    }

    /// Pays an account, or credits it if that fails. Returns whether it was paid. §5.2.
    function _payOrCredit(address asset, address account, uint256 amount) internal returns (bool) {
        if (amount == 0 || Transfers.send(asset, account, amount)) return true;
        _claimable[account][asset] += amount;
        emit IRootChain.Credited(account, asset, amount);
        return false;
    }

    /// Returns what an asset may still pay to exits. §2.
    function _owed(address asset) internal view returns (uint256) {
        return asset == Transfers.ETHER ? _head.etherOwed() : _assets[asset].owed;
    }

    function _setOwed(address asset, uint256 owed) internal {
        if (asset == Transfers.ETHER) _head = _head.withEtherOwed(owed);
        else _assets[asset].owed = uint128(owed);
    }
}
