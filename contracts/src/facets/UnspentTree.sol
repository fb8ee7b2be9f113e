// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Convictions} from "../Convictions.sol";
import {RootChainBase} from "../RootChainBase.sol";
import {IFaults} from "../interfaces/IFaults.sol";
import {IRootChain} from "../interfaces/IRootChain.sol";
import {IUnspentTree} from "../interfaces/IUnspentTree.sol";
import {Creations} from "../libraries/Creations.sol";
import {ExitTiming} from "../libraries/ExitTiming.sol";
import {KeyList} from "../libraries/KeyList.sol";
import {Membership} from "../libraries/Membership.sol";
import {TransactionCodec} from "../libraries/TransactionCodec.sol";
import {Transfers} from "../libraries/Transfers.sol";
import {CoinState} from "../types/CoinState.sol";
import {Halt} from "../types/Halt.sol";
import {Position, depositPosition} from "../types/Position.sol";

/// @title The unspent tree: what it must not hold, what it must not lack, and what it is worth in the end
/// @notice §1.8, §3 (R8, R9), §8. A facet: `RootChain` runs its code on the storage of its own. Called by itself, it has no
/// block, so that nothing can be proven, claimed or withdrawn.
contract UnspentTree is IUnspentTree, Convictions {
    using Creations for IFaults.Creation;
    using KeyList for KeyList.List;
    using TransactionCodec for bytes;

    /// A coin by what made it.
    struct Coin {
        Position position;
        bytes32 outputId;
        address owner;
        address asset;
        uint128 amount;
    }

    constructor(IRootChain.Parameters memory parameters) RootChainBase(parameters) {}

    // -------------------------------------------------------------------- R8

    /// @inheritdoc IUnspentTree
    function proveFaultHeldSpent(
        HeldKey calldata held,
        bytes32 outputId,
        bytes calldata output,
        bytes calldata body,
        IRootChain.InclusionProof calldata proof
    ) external locked {
        uint64 number = _accuse(held);
        _requireValue(held.value, outputId, output);
        Position place = _placeIn(_committedNumber(proof.header), body.hashOf(), proof);
        require(body.isCanonical(), IRootChain.NotCanonical());
        _convictIf(place.blockNumber() <= number && body.spends(outputId), held.header, 8);
    }

    /// @inheritdoc IUnspentTree
    function proveFaultHeldNotMade(HeldKey calldata held, IFaults.Origin calldata origin) external locked {
        uint64 number = _accuse(held);
        Position position = Position.wrap(held.position);
        require(!position.isDeposit(), IFaults.NotAFault());
        bool isMade = position.blockNumber() <= number && _isMadeAt(position, held.value, origin);
        _convictIf(!isMade, held.header, 8);
    }

    /// @inheritdoc IUnspentTree
    function proveFaultHeldNotDeposited(HeldKey calldata held, IFaults.Creation calldata creation) external locked {
        _accuse(held);
        Position position = Position.wrap(held.position);
        require(position.isDeposit(), IFaults.NotAFault());
        uint64 nonce = position.depositNonce();
        bool isCovered = position.isAt(depositPosition(nonce)) && nonce < held.header.depositCount;
        _convictIf(!isCovered || !_isDepositsValue(nonce, held.value, creation), held.header, 8);
    }

    /// Refuses what the tree of a block that can be convicted does not hold. Returns the block's number.
    function _accuse(HeldKey calldata held) private view returns (uint64 number) {
        number = _committedNumber(held.header);
        _requireConvictable(held.header);
        require(Membership.holds(held.header.utxoRoot, held.position, held.value, held.proof), NotHeld());
    }

    /// Returns whether the transaction at a position of the child chain makes the output with this value there.
    function _isMadeAt(Position position, bytes32 value, IFaults.Origin calldata origin) private view returns (bool) {
        uint8 index = position.outputIn();
        if (!_hasLeaf(position, origin) || !_makesOutput(origin, index)) return false;
        return value == _treeValue(_outputOf(position, origin.body, index));
    }

    /// Returns whether the deposit with this nonce, which has to be shown, makes the output with this value.
    function _isDepositsValue(uint64 nonce, bytes32 value, IFaults.Creation calldata creation)
        private
        view
        returns (bool)
    {
        require(creation.isDeposit(), IFaults.NotTheCreation(0));
        Coin memory coin = _depositOf(creation);
        require(creation.index == nonce && _coins[coin.outputId].state() != 0, IFaults.NotTheCreation(coin.outputId));
        return value == _treeValue(coin);
    }

    // -------------------------------------------------------------------- R9

    /// @inheritdoc IUnspentTree
    function claimMissing(
        IRootChain.Header calldata header,
        IFaults.Creation calldata creation,
        IRootChain.InclusionProof calldata proof
    ) external payable locked {
        uint64 number = _committedNumber(header);
        _requireNotVoid(number);
        uint64 until = uint64(header.timestamp + MINIMUM_EXIT_PERIOD);
        require(block.timestamp < until, TooLateToClaim(until));
        require(msg.value == MISSING_BOND, IRootChain.WrongBond(msg.value, MISSING_BOND));
        Coin memory coin = _madeUntil(header, creation, proof);
        MissingClaim storage claim = _missingClaims[number][coin.position];
        require(claim.claimant == address(0), AlreadyClaimed(number, Position.unwrap(coin.position)));
        bytes32 value = _treeValue(coin);
        claim.claimant = msg.sender;
        claim.claimedAt = uint64(block.timestamp);
        claim.value = value;
        emit MissingClaimed(number, coin.position, coin.outputId, value, msg.sender);
    }

    /// @inheritdoc IUnspentTree
    function answerMissing(IRootChain.Header calldata header, uint64 position, bytes calldata membership)
        external
        locked
    {
        uint64 number = _committedNumber(header);
        bytes32 value = _requireAnswerable(number, position);
        require(Membership.holds(header.utxoRoot, position, value, membership), NotHeld());
        _answer(number, position);
    }

    /// @inheritdoc IUnspentTree
    function answerMissingSpent(
        uint64 number,
        uint64 position,
        bytes32 outputId,
        bytes calldata output,
        bytes calldata body,
        IRootChain.InclusionProof calldata proof
    ) external locked {
        _requireValue(_requireAnswerable(number, position), outputId, output);
        Position place = _placeIn(_committedNumber(proof.header), body.hashOf(), proof);
        require(place.blockNumber() <= number, LaterBlock(place.blockNumber(), number));
        require(body.isCanonical(), IRootChain.NotCanonical());
        require(body.spends(outputId), IRootChain.NotASpend(outputId));
        _answer(number, position);
    }

    /// @inheritdoc IUnspentTree
    function convictMissing(IRootChain.Header calldata header, uint64 position) external locked {
        uint64 number = _committedNumber(header);
        uint64 from = _endOfAnswers(_requireClaim(number, position));
        _requireNotVoid(number);
        require(block.timestamp >= from, TooEarlyToConvict(from));
        _requireInTime(header);
        address claimant = _endClaim(number, position);
        emit MissingConvicted(number, Position.wrap(position), claimant);
        Conviction memory conviction = _convict(number, 9, claimant, keccak256(msg.data));
        uint128 reward = conviction.reward;
        conviction.reward = 0;
        _convictions[number] = conviction;
        if (reward != 0) emit IFaults.FaultRewarded(number, claimant, reward);
        _payOrCredit(Transfers.ETHER, claimant, MISSING_BOND + reward);
    }

    /// @inheritdoc IUnspentTree
    function reclaimMissing(IRootChain.Header calldata header, uint64 position) external locked {
        uint64 number = _committedNumber(header);
        _requireClaim(number, position);
        uint64 until = _endOfConvictions(header);
        require(number >= _firstVoidBlock() || block.timestamp >= until, ClaimRuns(until));
        address claimant = _endClaim(number, position);
        emit MissingReturned(number, Position.wrap(position), claimant);
        _payOrCredit(Transfers.ETHER, claimant, MISSING_BOND);
    }

    /// Returns the claimed value, while the claim can be answered.
    function _requireAnswerable(uint64 number, uint64 position) private view returns (bytes32 value) {
        MissingClaim storage claim = _requireClaim(number, position);
        _requireNotVoid(number);
        uint64 until = _endOfAnswers(claim);
        require(block.timestamp < until, TooLateToAnswer(until));
        return claim.value;
    }

    /// Refuses a claim that is not open.
    function _requireClaim(uint64 number, uint64 position) private view returns (MissingClaim storage claim) {
        claim = _missingClaims[number][Position.wrap(position)];
        require(claim.claimedAt != 0, NotClaimed(number, position));
    }

    /// Returns from when on a claim convicts and is answered no more.
    function _endOfAnswers(MissingClaim storage claim) private view returns (uint64) {
        return uint64(claim.claimedAt + MINIMUM_EXIT_PERIOD / 2);
    }

    function _answer(uint64 number, uint64 position) private {
        _endClaim(number, position);
        emit MissingAnswered(number, Position.wrap(position), msg.sender);
        _payOrCredit(Transfers.ETHER, msg.sender, MISSING_BOND);
    }

    /// Ends a claim for good: its claimant stays on record, so that it is not made again.
    function _endClaim(uint64 number, uint64 position) private returns (address claimant) {
        MissingClaim storage claim = _missingClaims[number][Position.wrap(position)];
        claimant = claim.claimant;
        claim.claimedAt = 0;
        claim.value = 0;
    }

    // ------------------------------------------------------------ settlement

    /// @inheritdoc IUnspentTree
    function withdrawSettled(
        IRootChain.Header calldata header,
        bytes calldata membership,
        IFaults.Creation calldata creation,
        IRootChain.InclusionProof calldata proof
    ) external locked {
        uint256 end = _requireSettling(header.number);
        _committedNumber(header);
        Coin memory coin = _madeUntil(header, creation, proof);
        bytes32 value = _treeValue(coin);
        require(Membership.holds(header.utxoRoot, Position.unwrap(coin.position), value, membership), NotHeld());
        _withdraw(coin, end);
    }

    /// @inheritdoc IUnspentTree
    function withdrawSettledDeposit(
        IRootChain.Header calldata header,
        uint64 nonce,
        address owner,
        address asset,
        uint128 amount
    ) external locked {
        uint256 end = _requireSettling(header.number);
        // Without a good block, none covers a deposit.
        if (header.number != 0) {
            _committedNumber(header);
            require(nonce >= header.depositCount, DepositCovered(nonce));
        }
        bytes32 outputId = TransactionCodec.depositId(nonce, owner, asset, amount);
        require(_coins[outputId].state() != 0, IRootChain.NotADeposit(outputId));
        _withdraw(Coin(depositPosition(nonce), outputId, owner, asset, amount), end);
    }

    /// Refuses a block that is not the last good one of a chain whose settlement has begun. Returns S: exits with keys until
    /// then come first. §8.
    function _requireSettling(uint64 number) private view returns (uint256 end) {
        Halt halt = _halt;
        require(Halt.unwrap(halt) != 0, StillRunning());
        uint256 ended = halt.haltedAt() > halt.closedAt() ? halt.haltedAt() : halt.closedAt();
        end = ended + 2 * MINIMUM_EXIT_PERIOD;
        uint64 from = uint64(end + ExitTiming.freezeDelay(MINIMUM_EXIT_PERIOD));
        require(block.timestamp >= from, NotYetSettling(from));
        uint64 firstAfter = halt.haltedFrom() == 0 ? _head.nextNumber() : halt.haltedFrom();
        require(number == firstAfter - 1, NotTheLastBlock(number, firstAfter - 1));
    }

    /// Settles a coin and pays what its asset can cover. §5.2.
    function _withdraw(Coin memory coin, uint256 end) private {
        bytes32 outputId = coin.outputId;
        CoinState coinState = _coins[outputId];
        require(!coinState.isSettled(), IRootChain.AlreadySettled(outputId, coinState.state()));
        address payee = coinState.isAssigned() ? _payees[outputId] : coin.owner;
        require(msg.sender == payee, IRootChain.NotPayee(msg.sender, payee));
        _requireNoExitsUntil(end, coin.asset);

        _coins[outputId] = coinState.withSettlement(block.timestamp);
        uint256 owed = _owed(coin.asset);
        uint128 paid = coin.amount < owed ? coin.amount : uint128(owed);
        _setOwed(coin.asset, owed - paid);
        bool delivered = _payOrCredit(coin.asset, payee, paid);
        emit CoinWithdrawn(outputId, payee, coin.asset, coin.amount, paid, !delivered);
    }

    /// Moves the head of an asset's list, and refuses if a key until `end` is left.
    function _requireNoExitsUntil(uint256 end, address asset) private {
        KeyList.List storage keys = _exitKeys[asset];
        (, bool moved) = keys.moveHead(end);
        uint64 first = keys.first();
        require(first == 0 || first > end, ExitsPending(asset, first));
        if (moved) emit IRootChain.ExitKeysCleared(asset, first);
    }

    // ----------------------------------------------------------------- coins

    /// Returns a coin that was made in the block or before, and refuses anything else.
    function _madeUntil(
        IRootChain.Header calldata header,
        IFaults.Creation calldata creation,
        IRootChain.InclusionProof calldata proof
    ) private view returns (Coin memory coin) {
        if (creation.isDeposit()) {
            coin = _depositOf(creation);
            require(_coins[coin.outputId].state() != 0, IRootChain.NotADeposit(coin.outputId));
            require(creation.index < header.depositCount, LaterBlock(creation.index, header.depositCount));
            return coin;
        }
        require(creation.isOutput(), IRootChain.NotCanonical());
        Position place = _placeIn(_committedNumber(proof.header), creation.fields.hashOf(), proof);
        require(place.blockNumber() <= header.number, LaterBlock(place.blockNumber(), header.number));
        uint8 index = uint8(creation.index);
        return _outputOf(place.ofOutput(index), creation.fields, index);
    }

    function _depositOf(IFaults.Creation calldata creation) private pure returns (Coin memory coin) {
        coin.position = depositPosition(creation.index);
        coin.outputId = creation.depositId();
        (coin.owner, coin.asset, coin.amount) = creation.depositOf();
    }

    function _outputOf(Position position, bytes calldata body, uint8 index) private pure returns (Coin memory coin) {
        coin.position = position;
        coin.outputId = TransactionCodec.outputId(body.hashOf(), index);
        (coin.owner, coin.asset, coin.amount) = body.outputAt(index);
    }

    /// Returns what the tree holds of a coin.
    function _treeValue(Coin memory coin) private pure returns (bytes32) {
        return Creations.treeValue(coin.outputId, coin.owner, coin.asset, coin.amount);
    }

    function _requireValue(bytes32 value, bytes32 outputId, bytes calldata output) private pure {
        require(keccak256(abi.encodePacked(outputId, output)) == value, NotTheValue());
    }

    function _requireNotVoid(uint64 number) private view {
        require(number < _firstVoidBlock(), IRootChain.VoidBlock(number));
    }
}
