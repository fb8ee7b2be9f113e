// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {RootChainBase} from "./RootChainBase.sol";
import {IRootChain} from "./interfaces/IRootChain.sol";
import {IToken} from "./interfaces/IToken.sol";
import {Commitments} from "./libraries/Commitments.sol";
import {TransactionCodec} from "./libraries/TransactionCodec.sol";
import {Transfers} from "./libraries/Transfers.sol";
import {DEPOSITED_COIN} from "./types/CoinState.sol";
import {Halt} from "./types/Halt.sol";
import {ETHER_OWED_LIMIT, Head} from "./types/Head.sol";

/// @title Deposits, blocks and credits
/// @notice §2.
abstract contract Ledger is IRootChain, RootChainBase {
    /// Deposits and blocks are numbered below these. §1.1.
    uint64 private constant NONCE_LIMIT = 1 << 40;
    uint64 private constant BLOCK_NUMBER_LIMIT = 1 << 39;
    uint32 private constant TX_COUNT_MAX = 1 << 20;

    // -------------------------------------------------------------- deposits

    /// @inheritdoc IRootChain
    function deposit(address owner) external payable locked returns (uint64 nonce) {
        Head h = _head;
        uint256 owed = h.etherOwed() + msg.value;
        require(owed < ETHER_OWED_LIMIT, AssetTotalExceeded(Transfers.ETHER, owed));
        return _recordDeposit(h.withEtherOwed(owed), owner, Transfers.ETHER, msg.value);
    }

    /// @inheritdoc IRootChain
    function depositErc20(address token, uint256 amount, address owner) external locked returns (uint64 nonce) {
        return _depositErc20(token, amount, owner);
    }

    /// @inheritdoc IRootChain
    function depositErc20WithPermit(address token, uint256 amount, address owner, Permit calldata permit)
        external
        locked
        returns (uint64 nonce)
    {
        // Whoever sees the permit can show it first, and then this one fails.
        try IToken(token).permit(msg.sender, address(this), amount, permit.deadline, permit.v, permit.r, permit.s) {}
            catch {}
        return _depositErc20(token, amount, owner);
    }

    function _depositErc20(address token, uint256 amount, address owner) private returns (uint64 nonce) {
        if (_assets[token].standard == AssetStandard.Unknown) {
            require(token.code.length != 0, NotAToken(token));
            _assets[token].standard = AssetStandard.Erc20;
            emit AssetRecorded(token, AssetStandard.Erc20);
        }
        uint256 balanceBefore = IToken(token).balanceOf(address(this));
        IToken(token).transferFrom(msg.sender, address(this), amount);
        uint256 received = IToken(token).balanceOf(address(this)) - balanceBefore;
        uint256 owed = _assets[token].owed + received;
        require(owed <= type(uint128).max, AssetTotalExceeded(token, owed));
        _assets[token].owed = uint128(owed);
        return _recordDeposit(_head, owner, token, received);
    }

    /// Makes the coin of a deposit that has been counted in what its asset owes: ether's in `h`, the head to write.
    function _recordDeposit(Head h, address owner, address asset, uint256 amount) private returns (uint64 nonce) {
        nonce = h.nextNonce();
        if (h.isStopped()) _requireRunning();
        require(owner != address(0), ZeroAddress());
        require(amount != 0 && amount <= type(uint128).max, AmountOutOfRange(amount));
        // The last nonce stays free, so that the number of deposits fits into 40 bits as well.
        require(nonce < NONCE_LIMIT - 1, DepositsExhausted());
        _head = h.withDeposit();
        _coins[TransactionCodec.depositId(nonce, owner, asset, uint128(amount))] = DEPOSITED_COIN;
        emit Deposited(nonce, owner, asset, uint128(amount));
    }

    // ---------------------------------------------------------------- blocks

    /// @inheritdoc IRootChain
    function submitBlock(
        uint64 number,
        bytes32 txRoot,
        bytes32 utxoRoot,
        uint32 txCount,
        uint64 depositCount,
        uint64 anchorNumber,
        bytes32 anchorHash,
        uint64 notAfter
    ) external locked {
        Head h = _head;
        require(msg.sender == _operatorOfNextBlock(), NotOperator(msg.sender));
        if (h.isStopped()) {
            _requireRunning();
            revert BondShort(_operatorBond.faultPart, _operatorBond.receiptPart);
        }
        require(number == h.nextNumber() && number < BLOCK_NUMBER_LIMIT, WrongBlockNumber(number, h.nextNumber()));
        require(txCount <= TX_COUNT_MAX && (txCount == 0) == (txRoot == 0), WrongTxCount(txCount, txRoot));
        require(
            depositCount >= h.depositCount() && depositCount <= h.nextNonce(),
            WrongDepositCount(depositCount, h.depositCount(), h.nextNonce())
        );
        require(block.timestamp > h.lastTimestamp(), TimestampNotLater(uint64(block.timestamp), h.lastTimestamp()));
        require(block.timestamp <= notAfter, SubmittedTooLate(uint64(block.timestamp), notAfter));
        // `blockhash` is zero for all but the last 256 root blocks.
        require(anchorHash != 0 && blockhash(anchorNumber) == anchorHash, UnknownAnchor(anchorNumber, anchorHash));

        uint64 timestamp = uint64(block.timestamp);
        _head = h.withBlock(timestamp, depositCount);
        _blocks[number] = Commitments.ofHeader(Header(number, txRoot, utxoRoot, txCount, depositCount, timestamp));
        emit BlockSubmitted(number, txRoot, utxoRoot, txCount, depositCount, timestamp);
    }

    // --------------------------------------------------------------- credits

    /// @inheritdoc IRootChain
    function claim(address asset, address to) external locked {
        uint256 amount = _claimable[msg.sender][asset];
        require(amount != 0, NothingToClaim(msg.sender, asset));
        require(to != address(0), ZeroAddress());
        _claimable[msg.sender][asset] = 0;
        emit Claimed(msg.sender, asset, to, amount);
        require(Transfers.sendWithAllGas(asset, to, amount), ClaimFailed(asset, to, amount));
    }

    /// Refuses what a chain that is halted or closed takes no more. §3, §8.
    function _requireRunning() private view {
        Halt halt = _halt;
        require(Halt.unwrap(halt) == 0, ChainStopped(halt.haltedFrom(), halt.closedAt()));
    }
}
