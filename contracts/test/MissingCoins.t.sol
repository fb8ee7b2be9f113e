// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../src/interfaces/IFaults.sol";
import {IOperations} from "../src/interfaces/IOperations.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {IUnspentTree} from "../src/interfaces/IUnspentTree.sol";
import {FAULT_SLASH} from "./RootChainTest.sol";
import {UnspentTest} from "./UnspentTest.sol";
import {vm} from "./Vm.sol";
import {HostileReceiver} from "./mocks/HostileReceiver.sol";

/// @title R9: what an unspent tree must not lack
contract MissingCoinsTest is UnspentTest {
    uint256 private constant REWARD = FAULT_SLASH / 2;

    /// Answers, and has nothing but what that earns.
    address private immutable _answerer = address(0xa45);

    // ---------------------------------------------------------------- claims

    function test_R9_aClaimIsPutOnRecordWithItsBond() public {
        (IRootChain.Header memory header, Coin memory coin) = _lacking();
        uint256 vault = _vault();
        vm.deal(accuser, MISSING_BOND);
        vm.expectEmit(address(rootChain));
        emit IUnspentTree.MissingClaimed(header.number, coin.proof.position, coin.id, _valueOf(coin), accuser);
        _sendWith(accuser, MISSING_BOND, _claimCall(header, coin));
        vm.assertEq(_vault(), vault + MISSING_BOND, "the bond is held");
        _assertClaim(Claim(header, coin, 0), accuser, _now(), _valueOf(coin));
        vm.assertEq(rootChain.bonds().missingBond, MISSING_BOND, "what it takes");
    }

    /// A deposit that the block covers, and a coin of a block long before.
    function test_R9_aClaimTakesWhateverTheTreeMustHold() public {
        (Coin memory made,) = _madeAndHeld(alice, ETHER, 1 ether);
        Coin memory deposit = _deposited(bob, address(token), 7);
        _advance(3 * MEP);
        IRootChain.Header memory header = _commitTree();
        _claim(header, made);
        _claim(header, deposit);
        // And of one of the blocks that follow it as well.
        _claim(_commitTree(), deposit);
    }

    function test_R9_aClaimIsMadeLessThanMepAfterTheBlock() public {
        (IRootChain.Header memory header, Coin memory coin) = _lacking();
        uint64 until = header.timestamp + uint64(MEP);
        uint256 snapshot = vm.snapshotState();
        _advanceTo(until - 1);
        _claim(header, coin);
        vm.revertToState(snapshot);
        _advanceTo(until);
        // Whatever is sent.
        _assertRefused(accuser, _claimCall(header, coin), _reason(IUnspentTree.TooLateToClaim.selector, until));
    }

    function test_R9_aClaimTakesItsBondAndNothingElse() public {
        (IRootChain.Header memory header, Coin memory coin) = _lacking();
        uint256[3] memory sent = [uint256(0), MISSING_BOND - 1, MISSING_BOND + 1];
        for (uint256 i = 0; i < sent.length; ++i) {
            bytes memory reason = _reason(IRootChain.WrongBond.selector, sent[i], MISSING_BOND);
            _assertRefusedWith(alice, sent[i], _claimCall(header, coin), reason);
        }
    }

    function test_R9_aClaimIsMadeOncePerPositionAndBlock() public {
        (IRootChain.Header memory header, Coin memory coin) = _lacking();
        Claim memory claim = _claim(header, coin);
        bytes memory already = _reason(IUnspentTree.AlreadyClaimed.selector, header.number, _keyOf(coin));
        _assertRefusedWith(alice, MISSING_BOND, _claimCall(header, coin), already);
        // Nor again when it has ended.
        (claim,) = _answered();
        already = _reason(IUnspentTree.AlreadyClaimed.selector, claim.header.number, _keyOf(claim.coin));
        _assertRefusedWith(alice, MISSING_BOND, _claimCall(claim.header, claim.coin), already);
    }

    function test_R9_aClaimShowsABlockThatIsThereAndNotVoid() public {
        Placed memory earlier = _include(_payment(keccak256("input"), carol, ETHER, 1));
        (IRootChain.Header memory header, Coin memory coin) = _lacking();
        header.depositCount += 1;
        bytes memory unknown = _reason(IRootChain.UnknownHeader.selector, header.number);
        _assertRefusedWith(alice, MISSING_BOND, _claimCall(header, coin), unknown);
        header.depositCount -= 1;
        _send(accuser, _proofAgainst(earlier));
        bytes memory void = _reason(IRootChain.VoidBlock.selector, header.number);
        _assertRefusedWith(alice, MISSING_BOND, _claimCall(header, coin), void);
    }

    function test_R9_aClaimShowsACoinThatWasMadeUntilThen() public {
        IRootChain.Header memory header = _commitTree();
        (Coin memory later, Leaf memory maker) = _madeAndHeld(alice, ETHER, 1 ether);
        uint64 number = maker.proof.header.number;
        bytes memory reason = _reason(IUnspentTree.LaterBlock.selector, number, header.number);
        _assertRefusedWith(alice, MISSING_BOND, _claimCall(header, later), reason);
        Coin memory deposit = _deposited(alice, ETHER, 1 ether);
        uint64 nonce = deposit.proof.position.depositNonce();
        reason = _reason(IUnspentTree.LaterBlock.selector, nonce, maker.proof.header.depositCount);
        _assertRefusedWith(alice, MISSING_BOND, _claimCall(maker.proof.header, deposit), reason);
    }

    function test_R9_aClaimShowsATransactionWithItsInclusion() public {
        (IRootChain.Header memory header, Coin memory coin) = _lacking();
        Coin memory wrong = abi.decode(abi.encode(coin), (Coin));
        wrong.proof.creation = bytes.concat(coin.proof.creation, hex"00");
        bytes memory notCanonical = _reason(IRootChain.NotCanonical.selector);
        _assertRefusedWith(alice, MISSING_BOND, _claimCall(header, wrong), notCanonical);
        wrong.proof.creation = "";
        _assertRefusedWith(alice, MISSING_BOND, _claimCall(header, wrong), notCanonical);
        wrong = abi.decode(abi.encode(coin), (Coin));
        wrong.proof.position = wrong.proof.position.ofOutput(1);
        _assertRefusedWith(alice, MISSING_BOND, _claimCall(header, wrong), notCanonical);
        wrong = abi.decode(abi.encode(coin), (Coin));
        wrong.proof.inclusion.header.timestamp += 1;
        uint64 number = coin.proof.inclusion.header.number;
        bytes memory unknown = _reason(IRootChain.UnknownHeader.selector, number);
        _assertRefusedWith(alice, MISSING_BOND, _claimCall(header, wrong), unknown);
        wrong.proof.inclusion.header.timestamp -= 1;
        wrong.proof.inclusion.txIndex = 1;
        bytes memory notIncluded = _reason(IRootChain.NotIncluded.selector, number, 1);
        _assertRefusedWith(alice, MISSING_BOND, _claimCall(header, wrong), notIncluded);
    }

    function test_R9_aClaimShowsADepositThatWasMade() public {
        Coin memory coin = _deposited(alice, ETHER, 1 ether);
        IRootChain.Header memory header = _commitTree();
        coin.proof.creation = bytes.concat(bytes20(bob), bytes20(ETHER), bytes16(uint128(1 ether)));
        bytes memory reason = _reason(IRootChain.NotADeposit.selector, uint256(_depositId(0, bob, ETHER, 1 ether)));
        _assertRefusedWith(alice, MISSING_BOND, _claimCall(header, coin), reason);
    }

    // --------------------------------------------------------------- answers

    function test_R9_theCoinsMembershipAnswers() public {
        (Claim memory claim, bytes memory membership) = _unfounded();
        uint256 vault = _vault();
        vm.expectEmit(address(rootChain));
        emit IUnspentTree.MissingAnswered(claim.header.number, claim.coin.proof.position, _answerer);
        _send(_answerer, _answerCall(claim, membership));
        vm.assertEq(_answerer.balance, MISSING_BOND, "the bond is the answerer's");
        vm.assertEq(_vault(), vault - MISSING_BOND, "vault");
        _assertEnded(claim);
    }

    function test_R9_aSpendAnswers() public {
        (Claim memory claim, Leaf memory spend) = _spent();
        vm.expectEmit(address(rootChain));
        emit IUnspentTree.MissingAnswered(claim.header.number, claim.coin.proof.position, _answerer);
        _send(_answerer, _answerSpentCall(claim, spend));
        vm.assertEq(_answerer.balance, MISSING_BOND, "the bond is the answerer's");
        _assertEnded(claim);
    }

    /// In the claimed block or before it, and not after it.
    function test_R9_aSpendOfALaterBlockAnswersNothing() public {
        (Claim memory claim, Leaf memory spend) = _spent();
        claim = _claim(_commitTree(), claim.coin);
        _send(_answerer, _answerSpentCall(claim, spend));
        (IRootChain.Header memory header, Coin memory coin) = _lacking();
        claim = _claim(header, coin);
        spend = _commitSpend(coin);
        uint64 number = spend.proof.header.number;
        bytes memory reason = _reason(IUnspentTree.LaterBlock.selector, number, header.number);
        _assertRefused(_answerer, _answerSpentCall(claim, spend), reason);
    }

    function test_R9_aDepositsClaimIsAnsweredLikewise() public {
        (Coin memory coin, IRootChain.Header memory header) = _depositedAndHeld(alice, ETHER, 1 ether);
        _send(_answerer, _answerCall(_claim(header, coin), _membership(coin)));
        _drop(coin);
        Leaf memory spend = _commitSpend(coin);
        _send(_answerer, _answerSpentCall(_claim(spend.proof.header, coin), spend));
        vm.assertEq(_answerer.balance, 2 * MISSING_BOND, "both bonds");
    }

    function test_R9_answersCountLessThanHalfAnMepAfterTheClaim() public {
        (Claim memory claim, bytes memory membership) = _unfounded();
        uint64 until = claim.claimedAt + uint64(HALF);
        bytes memory reason = _reason(IUnspentTree.TooLateToAnswer.selector, until);
        uint256 snapshot = vm.snapshotState();
        _advanceTo(until - 1);
        _send(_answerer, _answerCall(claim, membership));
        vm.revertToState(snapshot);
        _advanceTo(until);
        _assertRefused(_answerer, _answerCall(claim, ""), reason);
        _send(_answerer, _convictCall(claim));

        vm.revertToState(snapshot);
        Leaf memory spend;
        (claim, spend) = _spent();
        _advanceTo(claim.claimedAt + HALF - 1);
        snapshot = vm.snapshotState();
        _send(_answerer, _answerSpentCall(claim, spend));
        vm.revertToState(snapshot);
        _advance(1);
        reason = _reason(IUnspentTree.TooLateToAnswer.selector, _now());
        _assertRefused(_answerer, _answerSpentCall(claim, spend), reason);
    }

    function test_R9_anAnswerShowsTheClaimedBlocksTree() public {
        (Claim memory claim, bytes memory membership) = _unfounded();
        bytes memory notHeld = _reason(IUnspentTree.NotHeld.selector);
        _assertRefused(_answerer, _answerCall(claim, bytes.concat(membership, hex"00")), notHeld);
        // Another tree, which holds the coin as well.
        (Coin memory other,) = _depositedAndHeld(bob, ETHER, 1 ether);
        _assertRefused(_answerer, _answerCall(claim, _membership(claim.coin)), notHeld);
        _assertRefused(_answerer, _answerCall(claim, _membership(other)), notHeld);
        claim.header.utxoRoot = keccak256("another root");
        bytes memory unknown = _reason(IRootChain.UnknownHeader.selector, claim.header.number);
        _assertRefused(_answerer, _answerCall(claim, membership), unknown);
    }

    /// A tree that holds another value under the coin's position lacks the coin.
    function test_R9_aTreeWithAnotherValueIsNoAnswer() public {
        (Coin memory coin,) = _madeAndHeld(alice, ETHER, 1 ether);
        _hold(_keyOf(coin), keccak256("another value"));
        Claim memory claim = _claim(_commitTree(), coin);
        bytes memory call = _answerCall(claim, _membership(coin));
        _assertRefused(_answerer, call, _reason(IUnspentTree.NotHeld.selector));
    }

    function test_R9_anAnswerShowsTheCoinsSpend() public {
        (Claim memory claim, Leaf memory spend) = _spent();
        Claim memory other = abi.decode(abi.encode(claim), (Claim));
        other.coin.output.amount += 1;
        _assertRefused(_answerer, _answerSpentCall(other, spend), _reason(IUnspentTree.NotTheValue.selector));
        other.coin.output.amount -= 1;
        other.coin.id = keccak256("another coin");
        _assertRefused(_answerer, _answerSpentCall(other, spend), _reason(IUnspentTree.NotTheValue.selector));

        spend.proof.header.timestamp += 1;
        bytes memory unknown = _reason(IRootChain.UnknownHeader.selector, spend.proof.header.number);
        _assertRefused(_answerer, _answerSpentCall(claim, spend), unknown);
        spend.proof.header.timestamp -= 1;
        spend.proof.txIndex = 1;
        _assertRefused(_answerer, _answerSpentCall(claim, spend), _notIncludedIn(spend));
        // The transaction that made it stands in a block before, and spends something else.
        Leaf memory maker = Leaf(claim.coin.proof.creation, "", claim.coin.proof.inclusion);
        bytes memory notASpend = _reason(IRootChain.NotASpend.selector, uint256(claim.coin.id));
        _assertRefused(_answerer, _answerSpentCall(claim, maker), notASpend);
    }

    function test_R9_aSpendThatIsNotCanonicalIsNoAnswer() public {
        (Coin memory coin,) = _madeAndHeld(alice, ETHER, 1 ether);
        (bytes memory body, bytes memory witness) = _preimage(ALICE_KEY, coin);
        Leaf memory spend = _commitLeaf(bytes.concat(body, hex"00"), witness);
        Claim memory claim = _claim(spend.proof.header, coin);
        _assertRefused(_answerer, _answerSpentCall(claim, spend), _reason(IRootChain.NotCanonical.selector));
    }

    function test_R9_anAnswererThatRefusesEtherIsCredited() public {
        (Claim memory claim, bytes memory membership) = _unfounded();
        HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.Reverts);
        _send(address(receiver), _answerCall(claim, membership));
        vm.assertEq(rootChain.claimable(address(receiver), ETHER), MISSING_BOND, "credit");
    }

    // ----------------------------------------------------------- convictions

    function test_R9_aClaimThatNobodyAnswersConvicts() public {
        (Claim memory claim,) = _founded();
        uint64 number = claim.header.number;
        _advanceTo(claim.claimedAt + HALF);
        uint256 burned = address(0).balance;
        bytes memory call = _convictCall(claim);
        // Whoever says so, and has announced it, the claimant has it all.
        _announce(alice, call);
        _rootBlocks(2);
        uint256 vault = address(rootChain).balance;
        uint256 balance = alice.balance;
        vm.expectEmit(address(rootChain));
        emit IUnspentTree.MissingConvicted(number, claim.coin.proof.position, accuser);
        vm.expectEmit(address(rootChain));
        emit IFaults.FaultProven(number, 9, accuser, keccak256(call), FAULT_SLASH);
        vm.expectEmit(address(rootChain));
        emit IFaults.FaultRewarded(number, accuser, REWARD);
        _send(alice, call);

        vm.assertEq(accuser.balance, MISSING_BOND + REWARD, "the claimant");
        vm.assertEq(alice.balance, balance, "who said so");
        vm.assertEq(address(0).balance, burned + FAULT_SLASH - REWARD, "burned");
        vm.assertEq(address(rootChain).balance, vault - FAULT_SLASH - MISSING_BOND, "vault");
        vm.assertEq(rootChain.head().haltedFrom, number, "halted from");
        vm.assertEq(rootChain.head().haltedAt, _now(), "halted at");
        (uint64 rootBlock, uint128 reward) = rootChain.convictions(number);
        vm.assertEq(rootBlock, vm.getBlockNumber(), "convicted in");
        vm.assertEq(reward, 0, "nothing waits");
        _assertEnded(claim);
        _assertRefused(alice, call, _notClaimed(claim));
    }

    /// From the end of the answers to the end of all convictions.
    function test_R9_convictionsCountFromHalfAnMepAfterTheClaim() public {
        (Claim memory claim,) = _founded();
        uint64 from = claim.claimedAt + uint64(HALF);
        uint64 until = claim.header.timestamp + 2 * uint64(MEP);
        _advanceTo(from - 1);
        _assertRefused(alice, _convictCall(claim), _reason(IUnspentTree.TooEarlyToConvict.selector, from));
        uint256 snapshot = vm.snapshotState();
        _advance(1);
        _send(alice, _convictCall(claim));
        vm.revertToState(snapshot);
        _advanceTo(until - 1);
        snapshot = vm.snapshotState();
        _send(alice, _convictCall(claim));
        vm.revertToState(snapshot);
        _advance(1);
        _assertRefused(alice, _convictCall(claim), _reason(IFaults.TooLateToProve.selector, until));
    }

    function test_R9_aClaimOfTheLastSecondConvicts() public {
        (IRootChain.Header memory header, Coin memory coin) = _lacking();
        _advanceTo(header.timestamp + MEP - 1);
        Claim memory claim = _claim(header, coin);
        _advanceTo(claim.claimedAt + HALF);
        _send(alice, _convictCall(claim));
        vm.assertEq(rootChain.head().haltedFrom, header.number, "halted from");
    }

    function test_R9_onlyAnOpenClaimConvicts() public {
        (Claim memory claim, bytes memory membership) = _unfounded();
        Claim memory none = abi.decode(abi.encode(claim), (Claim));
        none.header = _commitTree();
        _advanceTo(claim.claimedAt + HALF - 1);
        _assertRefused(alice, _convictCall(none), _notClaimed(none));
        _assertRefused(alice, _answerCall(none, membership), _notClaimed(none));
        _assertRefused(alice, _reclaimCall(none), _notClaimed(none));
        _send(_answerer, _answerCall(claim, membership));
        _advance(1);
        _assertRefused(alice, _convictCall(claim), _notClaimed(claim));
        _assertRefused(alice, _reclaimCall(claim), _notClaimed(claim));
        claim.header.txCount += 1;
        bytes memory unknown = _reason(IRootChain.UnknownHeader.selector, claim.header.number);
        _assertRefused(alice, _convictCall(claim), unknown);
        _assertRefused(alice, _reclaimCall(claim), unknown);
    }

    /// The block is convicted as by any proof: once, and by no other.
    function test_R9_aBlockConvictedByAClaimIsConvictedByNothingElse() public {
        Accusation memory a = _guilty(Prover.Unbalanced);
        Coin memory coin = _outputOf(a.accused, 0, Output(bob, ETHER, 2 ether));
        bytes memory call = _callOf(a);
        _announce(alice, call);
        Claim memory claim = _claim(a.accused.proof.header, coin);
        _advanceTo(claim.claimedAt + HALF);
        _rootBlocks(2);
        _send(bob, _convictCall(claim));
        _assertRefused(alice, call, _reason(IFaults.AlreadyConvicted.selector, claim.header.number));
    }

    function test_R9_aConvictionPaysWhatIsLeftOfTheBond() public {
        (Claim memory claim,) = _founded();
        Accusation memory later = _guilty(Prover.NotCanonical);
        _assertConvicts(later);
        _advanceTo(claim.claimedAt + HALF);
        vm.recordLogs();
        _send(alice, _convictCall(claim));
        vm.assertEq(accuser.balance, MISSING_BOND, "the own bond alone");
        vm.assertEq(vm.getRecordedLogs().length, 2, "no reward is told");
        vm.assertEq(rootChain.head().haltedFrom, claim.header.number, "halted earlier");
    }

    function test_R9_aClaimantThatRefusesEtherIsCredited() public {
        HostileReceiver receiver = new HostileReceiver(HostileReceiver.Behaviour.BurnsGas);
        (IRootChain.Header memory header, Coin memory coin) = _lacking();
        _claimAs(address(receiver), header, coin);
        _advance(HALF);
        _send(alice, _convictCall(Claim(header, coin, 0)));
        vm.assertEq(rootChain.claimable(address(receiver), ETHER), MISSING_BOND + REWARD, "credit");
    }

    /// A sunset no longer than the periods of a claim.
    function test_R9_aClosedChainIsConvictedAsWell() public {
        IRootChain.Parameters memory parameters = _parameters();
        parameters.sunset = MEP;
        rootChain = _deploy(parameters);
        (IRootChain.Header memory header, Coin memory coin) = _lacking();
        _advanceTo(header.timestamp + MEP - 1);
        Claim memory claim = _claim(header, coin);
        _advance(1);
        _send(alice, abi.encodeCall(IOperations.closeChain, ()));
        uint64 closedAt = _now();
        _advanceTo(claim.claimedAt + HALF);
        _send(alice, _convictCall(claim));
        vm.assertEq(rootChain.head().haltedFrom, header.number, "halted from");
        vm.assertEq(rootChain.head().closedAt, closedAt, "closed at");
    }

    // ----------------------------------------------------------- bonds return

    /// Void since, whether by an earlier block or by its own conviction.
    function test_R9_aClaimOnAVoidBlockReturnsItsBond() public {
        Placed memory earlier = _include(_payment(keccak256("input"), carol, ETHER, 1));
        (Claim memory claim, bytes memory membership) = _unfounded();
        bytes memory runs = _reason(IUnspentTree.ClaimRuns.selector, claim.header.timestamp + 2 * uint64(MEP));
        _assertRefused(accuser, _reclaimCall(claim), runs);
        _send(accuser, _proofAgainst(earlier));
        bytes memory void = _reason(IRootChain.VoidBlock.selector, claim.header.number);
        _assertRefused(_answerer, _answerCall(claim, membership), void);
        _assertRefused(_answerer, _answerSpentCall(claim, Leaf("", "", claim.coin.proof.inclusion)), void);
        _assertRefused(_answerer, _convictCall(claim), void);

        uint256 vault = _vault();
        vm.expectEmit(address(rootChain));
        emit IUnspentTree.MissingReturned(claim.header.number, claim.coin.proof.position, accuser);
        _send(bob, _reclaimCall(claim));
        vm.assertEq(accuser.balance, MISSING_BOND, "the claimant");
        vm.assertEq(_vault(), vault - MISSING_BOND, "vault");
        _assertEnded(claim);
        _assertRefused(bob, _reclaimCall(claim), _notClaimed(claim));
    }

    function test_R9_theOtherClaimsOnAConvictedBlockReturnTheirBonds() public {
        (Claim memory claim, Coin memory other) = _founded();
        Claim memory second = _claim(claim.header, other);
        _advanceTo(claim.claimedAt + HALF);
        _send(alice, _convictCall(claim));
        _send(alice, _reclaimCall(second));
        vm.assertEq(accuser.balance, 2 * MISSING_BOND + REWARD, "both bonds and one reward");
    }

    function test_R9_aClaimByWhichNobodyConvictedReturnsItsBond() public {
        (Claim memory claim,) = _founded();
        uint64 until = claim.header.timestamp + 2 * uint64(MEP);
        _advanceTo(until - 1);
        _assertRefused(accuser, _reclaimCall(claim), _reason(IUnspentTree.ClaimRuns.selector, until));
        _advance(1);
        _send(accuser, _reclaimCall(claim));
        vm.assertEq(accuser.balance, MISSING_BOND, "the claimant");
        vm.assertEq(rootChain.head().haltedFrom, 0, "nothing is convicted");
    }

    // ------------------------------------------------------------------- gas

    function test_R9_noCallEndsOtherwiseForWantOfGas() public {
        (Claim memory claim, bytes memory membership) = _unfounded();
        _assertSameForAnyGas(_answerCall(claim, membership));
        (Claim memory spent, Leaf memory spend) = _spent();
        _assertSameForAnyGas(_answerSpentCall(spent, spend));
        _advanceTo(claim.claimedAt + HALF + 100);
        _assertSameForAnyGas(_convictCall(claim));
        _advanceTo(spent.header.timestamp + 2 * MEP);
        _assertSameForAnyGas(_reclaimCall(claim));
    }

    // -------------------------------------------------------------- internals

    /// Commits a block whose tree lacks a coin of alice's.
    function _lacking() private returns (IRootChain.Header memory header, Coin memory coin) {
        (coin,) = _madeAndHeld(alice, ETHER, 1 ether);
        _drop(coin);
        header = _commitTree();
    }

    /// A true claim, and another coin that the block lacks.
    function _founded() private returns (Claim memory claim, Coin memory other) {
        other = _deposited(bob, ETHER, 1 ether);
        (IRootChain.Header memory header, Coin memory coin) = _lacking();
        claim = _claim(header, coin);
    }

    /// A claim on a coin that the tree holds, and the coin's membership.
    function _unfounded() private returns (Claim memory claim, bytes memory membership) {
        (Coin memory coin,) = _madeAndHeld(alice, ETHER, 1 ether);
        claim = _claim(_commitTree(), coin);
        membership = _membership(coin);
    }

    /// A claim on a coin that the block spends.
    function _spent() private returns (Claim memory claim, Leaf memory spend) {
        (Coin memory coin,) = _madeAndHeld(alice, ETHER, 1 ether);
        _drop(coin);
        spend = _commitSpend(coin);
        claim = _claim(spend.proof.header, coin);
    }

    function _answered() private returns (Claim memory claim, bytes memory membership) {
        (claim, membership) = _unfounded();
        _send(_answerer, _answerCall(claim, membership));
    }

    function _notClaimed(Claim memory claim) private pure returns (bytes memory) {
        return _reason(IUnspentTree.NotClaimed.selector, claim.header.number, _keyOf(claim.coin));
    }

    /// Its claimant stays on record.
    function _assertEnded(Claim memory claim) private view {
        _assertClaim(claim, accuser, 0, 0);
    }

    /// The call goes through or fails for its gas, whatever that is.
    function _assertSameForAnyGas(bytes memory call) private {
        bool isEnded = false;
        for (uint256 gas = 25_000; gas < 330_000; gas += 1777) {
            uint256 snapshot = vm.snapshotState();
            vm.prank(_answerer);
            (bool success, bytes memory reason) = address(rootChain).call{gas: gas}(call);
            bool isForGas = reason.length == 0 || bytes4(reason) == IRootChain.NotEnoughGas.selector;
            vm.assertTrue(success || isForGas, "refused for another reason");
            vm.assertEq(rootChain.claimable(accuser, ETHER) + rootChain.claimable(_answerer, ETHER), 0, "credited");
            isEnded = isEnded || success;
            vm.revertToState(snapshot);
        }
        vm.assertTrue(isEnded, "never");
    }
}
