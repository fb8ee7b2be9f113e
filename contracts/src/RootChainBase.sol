// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "./interfaces/IRootChain.sol";
import {Commitments} from "./libraries/Commitments.sol";
import {KeyList} from "./libraries/KeyList.sol";
import {TransactionTree} from "./libraries/TransactionTree.sol";
import {Transfers} from "./libraries/Transfers.sol";
import {CoinState} from "./types/CoinState.sol";
import {Halt} from "./types/Halt.sol";
import {Head, newHead} from "./types/Head.sol";

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
    /// Commits every block.
    address internal immutable OPERATOR;

    // --------------------------------------------------------------- storage

    /// An asset other than ether, whose sum is in `Head`.
    struct Asset {
        /// What may still be paid to exits. §2.
        uint128 owed;
        IRootChain.AssetStandard standard;
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
                && parameters.sunset >= parameters.minimumExitPeriod && parameters.exitBounty <= parameters.exitBond,
            IRootChain.InvalidParameters()
        );
        OPERATOR = parameters.operator;
        MINIMUM_EXIT_PERIOD = parameters.minimumExitPeriod;
        SUNSET = parameters.sunset;
        EXIT_BOND = parameters.exitBond;
        EXIT_BOUNTY = parameters.exitBounty;
        _head = newHead(block.timestamp);
    }

    // ------------------------------------------------------------- internals

    /// Returns the first void block, or a number above all blocks. §3.
    function _firstVoidBlock() internal view returns (uint64) {
        uint64 haltedFrom = _head.isStopped() ? _halt.haltedFrom() : 0;
        return haltedFrom == 0 ? type(uint64).max : haltedFrom;
    }

    /// Refuses a proof that does not show the transaction in a committed block that is not void. §1.7, §3.
    function _requireIncluded(bytes32 txHash, IRootChain.InclusionProof calldata proof) internal view {
        IRootChain.Header calldata header = proof.header;
        require(_blocks[header.number] == Commitments.ofShownHeader(header), IRootChain.UnknownHeader(header.number));
        require(header.number < _firstVoidBlock(), IRootChain.VoidBlock(header.number));
        bytes32 leaf = TransactionTree.leaf(txHash, proof.witnessHash);
        require(
            proof.txIndex < header.txCount && proof.path.length == TransactionTree.depth(header.txCount)
                && TransactionTree.root(leaf, proof.txIndex, proof.path) == header.txRoot,
            IRootChain.NotIncluded(header.number, proof.txIndex)
        );
    }

    /// Pays an account, or credits it if that fails. Returns whether it was paid. §5.2.
    function _payOrCredit(address asset, address account, uint256 amount) internal returns (bool) {
        if (amount == 0 || Transfers.send(asset, account, amount)) return true;
        _claimable[account][asset] += amount;
        emit IRootChain.Credited(account, asset, amount);
        return false;
    }
}
