// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IFaults} from "../src/interfaces/IFaults.sol";
import {IInFlightExits} from "../src/interfaces/IInFlightExits.sol";
import {IOperations} from "../src/interfaces/IOperations.sol";
import {IRootChain} from "../src/interfaces/IRootChain.sol";
import {IUnspentTree} from "../src/interfaces/IUnspentTree.sol";
import {NO_PIECES} from "../src/types/PieceSet.sol";
import {Position, depositPosition, outputPosition} from "../src/types/Position.sol";
import {Vm, vm} from "./Vm.sol";
import {PermitToken} from "./mocks/PermitToken.sol";
import {CodecOracle} from "./oracle/CodecOracle.sol";

uint128 constant FAULT_SLASH = 10 ether;
uint128 constant RECEIPT_SLASH = 1 ether;
// One slash for faults, and three for receipts.
uint256 constant OPERATOR_BOND = FAULT_SLASH + 3 * RECEIPT_SLASH;

/// @title What the tests of the root chain share
/// @notice A deployment, three accounts, and an operator that commits whatever a test wants. Encodings are written out
/// here a second time, from the protocol text, so that a mistake in the libraries does not hide in the tests.
abstract contract RootChainTest {
    struct Output {
        address owner;
        address asset;
        uint128 amount;
    }

    /// A transaction, and where a block includes it.
    struct Placed {
        bytes body;
        IRootChain.InclusionProof proof;
    }

    /// The test runner's chain. Written out, since the compiler takes `block.chainid` for constant within a call.
    uint256 internal constant CHAIN_ID = 31_337;
    uint32 internal constant MEP = 7 days;
    uint256 internal constant G = 1 hours;
    uint32 internal constant SUNSET = 30 days;
    uint128 internal constant BOND = 0.02 ether;
    uint128 internal constant BOUNTY = 0.003 ether;
    /// What returns of a bond with its exit.
    uint256 internal constant BACK = BOND - BOUNTY;
    uint128 internal constant IN_FLIGHT_BOND = 0.05 ether;
    uint128 internal constant PIECE_BOND = 0.01 ether;
    uint128 internal constant PIECE_BOND_PER_INPUT = 0.001 ether;
    uint128 internal constant PIECE_BOUNTY = 0.002 ether;
    uint128 internal constant PIECE_BOUNTY_PER_INPUT = 0.0003 ether;
    uint128 internal constant MISSING_BOND = 0.03 ether;
    address internal constant ETHER = address(0);

    uint256 internal constant ALICE_KEY = 0xa11ce;
    uint256 internal constant BOB_KEY = 0xb0b;
    uint256 internal constant CAROL_KEY = 0xca401;

    address internal immutable alice = vm.addr(ALICE_KEY);
    address internal immutable bob = vm.addr(BOB_KEY);
    address internal immutable carol = vm.addr(CAROL_KEY);
    address internal immutable operator = vm.addr(0x09e4);

    /// Processes exits and has nothing but their bounties.
    address internal immutable processor = address(0x9c);
    /// Proves faults and has nothing but its rewards.
    address internal immutable accuser = address(0xacc);

    IRootChain internal rootChain;
    CodecOracle internal oracle;
    PermitToken internal token;

    /// What `_includeAt` included, by block.
    mapping(uint64 number => Placed) private _included;

    error NotConvicted(uint64 number);

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        vm.roll(1000);
        rootChain = _deploy(_parameters());
        oracle = CodecOracle(vm.deployCode("out/CodecOracle.sol/CodecOracle.json"));
        token = PermitToken(vm.deployCode("out/PermitToken.sol/PermitToken.json"));
        address[3] memory accounts = [alice, bob, carol];
        for (uint256 i = 0; i < accounts.length; ++i) {
            vm.deal(accounts[i], 1000 ether);
            token.mint(accounts[i], 1_000_000);
            vm.prank(accounts[i]);
            token.approve(address(rootChain), type(uint256).max);
        }
        _advance(12);
    }

    function _deploy(IRootChain.Parameters memory parameters) internal returns (IRootChain) {
        IRootChain.Facets memory facets = IRootChain.Facets({
            inFlightExits: _deployFacet("InFlightExits", parameters),
            faults: _deployFacet("Faults", parameters),
            operations: _deployFacet("Operations", parameters),
            unspentTree: _deployFacet("UnspentTree", parameters)
        });
        bytes memory arguments = abi.encode(parameters, facets);
        vm.deal(address(this), address(this).balance + OPERATOR_BOND);
        return IRootChain(vm.deployCode("out/RootChain.sol/RootChain.json", arguments, OPERATOR_BOND));
    }

    function _deployFacet(string memory name, IRootChain.Parameters memory parameters) private returns (address) {
        return vm.deployCode(string.concat("out/", name, ".sol/", name, ".json"), abi.encode(parameters));
    }

    function _parameters() internal view virtual returns (IRootChain.Parameters memory) {
        return IRootChain.Parameters({
            operator: operator,
            minimumExitPeriod: MEP,
            sunset: SUNSET,
            exitBond: BOND,
            exitBounty: BOUNTY,
            inFlightBond: IN_FLIGHT_BOND,
            pieceBond: PIECE_BOND,
            pieceBondPerInput: PIECE_BOND_PER_INPUT,
            pieceBounty: PIECE_BOUNTY,
            pieceBountyPerInput: PIECE_BOUNTY_PER_INPUT,
            faultSlash: FAULT_SLASH,
            receiptSlash: RECEIPT_SLASH,
            missingBond: MISSING_BOND
        });
    }

    /// What the contract holds beside the operator's bond.
    function _vault() internal view returns (uint256) {
        return address(rootChain).balance - _operatorBond();
    }

    function _operatorBond() internal view returns (uint256) {
        (uint128 faultPart, uint128 receiptPart) = rootChain.operatorBond();
        return uint256(faultPart) + receiptPart;
    }

    // ------------------------------------------------------------------ time

    // Read through the cheat code: the compiler takes `block.timestamp` for constant within a call.
    function _now() internal view returns (uint64) {
        return uint64(vm.getBlockTimestamp());
    }

    function _advance(uint256 secs) internal {
        vm.warp(_now() + secs);
        vm.roll(vm.getBlockNumber() + 1);
    }

    function _advanceTo(uint256 timestamp) internal {
        _advance(timestamp - _now());
    }

    // -------------------------------------------------------------- deposits

    function _depositEther(address owner, uint128 amount) internal returns (uint64 nonce) {
        vm.prank(owner);
        return rootChain.deposit{value: amount}(owner);
    }

    function _depositToken(address owner, uint128 amount) internal returns (uint64 nonce) {
        vm.prank(owner);
        return rootChain.depositErc20(address(token), amount, owner);
    }

    function _depositId(uint64 nonce, address owner, address asset, uint128 amount) internal pure returns (bytes32) {
        return keccak256(bytes.concat(hex"03", bytes8(nonce), bytes20(owner), bytes20(asset), bytes16(amount)));
    }

    // ---------------------------------------------------------- transactions

    /// Returns the body of a transaction with one input and one output.
    function _payment(bytes32 input, address owner, address asset, uint128 amount)
        internal
        pure
        returns (bytes memory)
    {
        bytes32[] memory inputs = new bytes32[](1);
        inputs[0] = input;
        Output[] memory outputs = new Output[](1);
        outputs[0] = Output(owner, asset, amount);
        return _body(inputs, outputs, bytes32(0));
    }

    /// Returns the body of a transaction with one input, a payment and the change.
    function _paymentWithChange(bytes32 input, Output memory payment, Output memory change)
        internal
        pure
        returns (bytes memory)
    {
        bytes32[] memory inputs = new bytes32[](1);
        inputs[0] = input;
        Output[] memory outputs = new Output[](2);
        outputs[0] = payment;
        outputs[1] = change;
        return _body(inputs, outputs, bytes32(0));
    }

    function _body(bytes32[] memory inputs, Output[] memory outputs, bytes32 memo)
        internal
        pure
        returns (bytes memory body)
    {
        body = bytes.concat(hex"01", bytes1(uint8(inputs.length)), bytes1(uint8(outputs.length)));
        for (uint256 i = 0; i < inputs.length; ++i) {
            body = bytes.concat(body, inputs[i]);
        }
        for (uint256 i = 0; i < outputs.length; ++i) {
            body = bytes.concat(
                body, hex"01", bytes20(outputs[i].owner), bytes20(outputs[i].asset), bytes16(outputs[i].amount)
            );
        }
        body = bytes.concat(body, memo);
    }

    function _outputId(bytes memory body, uint8 outputIndex) internal pure returns (bytes32) {
        return keccak256(bytes.concat(hex"04", keccak256(body), bytes1(outputIndex)));
    }

    /// Returns what a wallet shows before it signs a transaction made by `_body`.
    function _digest(bytes32[] memory inputs, Output[] memory outputs, bytes32 memo) internal view returns (bytes32) {
        bytes memory outputHashes;
        for (uint256 i = 0; i < outputs.length; ++i) {
            outputHashes = bytes.concat(
                outputHashes,
                keccak256(
                    abi.encode(
                        keccak256("Output(uint8 kind,address owner,address asset,uint128 amount)"),
                        1,
                        outputs[i].owner,
                        outputs[i].asset,
                        outputs[i].amount
                    )
                )
            );
        }
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "Transaction(bytes32[] inputs,Output[] outputs,bytes32 memo)Output(uint8 kind,address owner,address asset,uint128 amount)"
                ),
                keccak256(abi.encodePacked(inputs)),
                keccak256(outputHashes),
                memo
            )
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Plasmid"),
                keccak256("1"),
                CHAIN_ID,
                address(rootChain)
            )
        );
        return keccak256(bytes.concat(hex"1901", domain, structHash));
    }

    /// The same, of a payment made by `_payment`.
    function _digest(bytes32 input, address owner, address asset, uint128 amount) internal view returns (bytes32) {
        bytes32[] memory inputs = new bytes32[](1);
        inputs[0] = input;
        Output[] memory outputs = new Output[](1);
        outputs[0] = Output(owner, asset, amount);
        return _digest(inputs, outputs, 0);
    }

    /// Returns a signature over a transaction made by `_body`.
    function _sign(uint256 privateKey, bytes32[] memory inputs, Output[] memory outputs, bytes32 memo)
        internal
        view
        returns (bytes memory)
    {
        (bytes32 r, bytes32 vs) = vm.signCompact(privateKey, _digest(inputs, outputs, memo));
        return bytes.concat(r, vs);
    }

    /// Returns a payment and its input owner's signature.
    function _signedPayment(uint256 privateKey, bytes32 input, address owner, address asset, uint128 amount)
        internal
        view
        returns (bytes memory body, bytes memory signature)
    {
        (bytes32 r, bytes32 vs) = vm.signCompact(privateKey, _digest(input, owner, asset, amount));
        return (_payment(input, owner, asset, amount), bytes.concat(r, vs));
    }

    // ---------------------------------------------------------------- blocks

    /// Commits a block with these roots that covers all deposits so far.
    function _commit(bytes32 txRoot, uint32 txCount) internal returns (IRootChain.Header memory header) {
        IRootChain.ChainHead memory head = rootChain.head();
        if (_now() <= head.lastTimestamp) _advance(12);
        header = IRootChain.Header({
            number: head.nextNumber,
            txRoot: txRoot,
            utxoRoot: _unspentRoot(head.nextNumber),
            txCount: txCount,
            depositCount: head.nextNonce,
            timestamp: _now()
        });
        _submit(header);
    }

    /// Returns the root of a block's unspent tree: anything, for tests that do not look into it.
    function _unspentRoot(uint64 number) internal view virtual returns (bytes32) {
        return keccak256(abi.encode("unspent", number));
    }

    function _submit(IRootChain.Header memory header) internal {
        uint64 anchor = uint64(vm.getBlockNumber()) - 3;
        vm.prank(operator);
        rootChain.submitBlock(
            header.number,
            header.txRoot,
            header.utxoRoot,
            header.txCount,
            header.depositCount,
            anchor,
            blockhash(anchor),
            header.timestamp
        );
    }

    /// Commits a block in which the transaction stands alone.
    function _include(bytes memory body) internal returns (Placed memory) {
        return _includeAt(body, 0, 1);
    }

    /// Commits a block of `txCount` transactions, of which this one is known and the others are anything.
    function _includeAt(bytes memory body, uint32 txIndex, uint32 txCount) internal returns (Placed memory placed) {
        uint256 depth = 0;
        while (2 ** depth < txCount) ++depth;
        placed.body = body;
        placed.proof.txIndex = txIndex;
        placed.proof.witnessHash = keccak256(_witnessOf(body));
        placed.proof.path = new bytes32[](depth);
        bytes32 node = keccak256(bytes.concat(hex"00", keccak256(body), placed.proof.witnessHash));
        for (uint256 level = 0; level < depth; ++level) {
            bytes32 sibling = keccak256(abi.encode("sibling", level));
            placed.proof.path[level] = sibling;
            node = (txIndex >> level) & 1 == 0
                ? keccak256(bytes.concat(hex"01", node, sibling))
                : keccak256(bytes.concat(hex"01", sibling, node));
        }
        placed.proof.header = _commit(node, txCount);
        _included[placed.proof.header.number] = placed;
    }

    /// Nothing of what the tests of deposits and exits include has a witness that is canonical.
    function _witnessOf(bytes memory body) private pure returns (bytes memory) {
        return abi.encode("witness", body);
    }

    // ----------------------------------------------------------------- exits

    function _ceil(uint256 timestamp) internal pure returns (uint64) {
        return uint64((timestamp + G - 1) / G * G);
    }

    /// Returns the record of an exit of a deposit that starts now.
    function _depositRecord(uint64 nonce, address owner, address asset, uint128 amount)
        internal
        view
        returns (IRootChain.ExitRecord memory)
    {
        return IRootChain.ExitRecord({
            outputId: _depositId(nonce, owner, asset, amount),
            position: depositPosition(nonce),
            owner: owner,
            asset: asset,
            amount: amount,
            key: _ceil(_now() + MEP)
        });
    }

    /// Returns the record of an exit of an output that starts now.
    function _outputRecord(Placed memory placed, uint8 outputIndex, Output memory output)
        internal
        view
        returns (IRootChain.ExitRecord memory)
    {
        IRootChain.Header memory header = placed.proof.header;
        uint64 fromStart = _ceil(_now() + MEP);
        uint64 fromBlock = header.timestamp + 2 * uint64(MEP);
        return IRootChain.ExitRecord({
            outputId: _outputId(placed.body, outputIndex),
            position: outputPosition(header.number, placed.proof.txIndex, outputIndex),
            owner: output.owner,
            asset: output.asset,
            amount: output.amount,
            key: fromStart > fromBlock ? fromStart : fromBlock
        });
    }

    /// Deposits and starts the exit at once.
    function _exitingDeposit(address owner, uint128 amount) internal returns (IRootChain.ExitRecord memory) {
        return _startExitOfDeposit(_depositEther(owner, amount), owner, ETHER, amount);
    }

    function _exitingTokenDeposit(address owner, uint128 amount) internal returns (IRootChain.ExitRecord memory) {
        return _startExitOfDeposit(_depositToken(owner, amount), owner, address(token), amount);
    }

    function _startExitOfDeposit(uint64 nonce, address owner, address asset, uint128 amount)
        internal
        returns (IRootChain.ExitRecord memory record)
    {
        record = _depositRecord(nonce, owner, asset, amount);
        vm.prank(owner);
        rootChain.startStandardExitOfDeposit{value: BOND}(nonce, asset, amount, record.key);
    }

    function _startExit(Placed memory placed, uint8 outputIndex, Output memory output)
        internal
        returns (IRootChain.ExitRecord memory record)
    {
        record = _outputRecord(placed, outputIndex, output);
        vm.prank(output.owner);
        rootChain.startStandardExit{value: BOND}(placed.body, outputIndex, placed.proof, record.key);
    }

    function _process(address asset, IRootChain.ExitRecord[] memory records) internal {
        vm.prank(processor);
        rootChain.processExits(asset, records, _noPieces());
    }

    function _noPieces() internal pure returns (IInFlightExits.PieceRecord[] memory) {
        return new IInFlightExits.PieceRecord[](0);
    }

    /// Returns the record with one of its six fields changed.
    function _changed(IRootChain.ExitRecord memory record, uint256 field)
        internal
        pure
        returns (IRootChain.ExitRecord memory)
    {
        uint256[6] memory words = abi.decode(abi.encode(record), (uint256[6]));
        words[field] ^= 1;
        return abi.decode(abi.encode(words), (IRootChain.ExitRecord));
    }

    function _only(IRootChain.ExitRecord memory record) internal pure returns (IRootChain.ExitRecord[] memory records) {
        records = new IRootChain.ExitRecord[](1);
        records[0] = record;
    }

    // ------------------------------------------------------------------ halt

    bytes32 internal constant HEAD_SLOT = bytes32(uint256(0));
    uint256 internal constant COINS_SLOT = 3;

    /// Has block `number` convicted, and commits blocks up to it if there are fewer. §3.
    function _haltFrom(uint64 number) internal {
        while (rootChain.head().nextNumber <= number) {
            _include(_payment(keccak256("input"), carol, ETHER, 1));
        }
        bytes memory proof = _proofAgainst(_included[number]);
        vm.prank(accuser);
        IFaults(address(rootChain)).announceFault(keccak256(abi.encodePacked(accuser, keccak256(proof))));
        vm.roll(vm.getBlockNumber() + 2);
        vm.prank(accuser);
        (bool success,) = address(rootChain).call(proof);
        require(success, NotConvicted(number));
    }

    /// Returns R1's proof against a block that `_includeAt` committed.
    function _proofAgainst(Placed memory placed) internal pure returns (bytes memory) {
        return abi.encodeCall(IFaults.proveFaultNotCanonical, (placed.body, _witnessOf(placed.body), placed.proof));
    }

    /// Closes the chain. §8.
    function _close() internal {
        _advance(SUNSET);
        IOperations(address(rootChain)).closeChain();
    }

    // ------------------------------------------------------------ reentrancy

    /// Returns the calldata of each function that the lock guards.
    function _stateChangingCalls() internal view returns (bytes[] memory calls) {
        Placed memory placed;
        IRootChain.ExitRecord memory record;
        IRootChain.Permit memory permit;
        IInFlightExits.Spend memory spend;
        calls = new bytes[](44);
        calls[0] = abi.encodeCall(IRootChain.deposit, (alice));
        calls[1] = abi.encodeCall(IRootChain.depositErc20, (address(token), 1, alice));
        calls[2] = abi.encodeCall(IRootChain.depositErc20WithPermit, (address(token), 1, alice, permit));
        calls[3] = abi.encodeCall(IRootChain.submitBlock, (1, 0, 0, 0, 0, 0, 0, 0));
        calls[4] = abi.encodeCall(IRootChain.startStandardExit, ("", 0, placed.proof, 0));
        calls[5] = abi.encodeCall(IRootChain.startStandardExitOfDeposit, (0, ETHER, 1, 0));
        calls[6] = abi.encodeCall(IRootChain.challengeStandardExit, (record, "", ""));
        calls[7] = abi.encodeCall(IRootChain.assignExit, (record, alice));
        calls[8] = abi.encodeCall(IRootChain.processExits, (ETHER, new IRootChain.ExitRecord[](0), _noPieces()));
        calls[9] = abi.encodeCall(IRootChain.claim, (ETHER, alice));
        calls[10] = abi.encodeCall(IInFlightExits.startInFlightExit, ("", "", new IInFlightExits.InputProof[](0)));
        calls[11] = abi.encodeCall(
            IInFlightExits.improveInFlightExit, ("", "", NO_PIECES, new IInFlightExits.InputProof[](0), new uint64[](0))
        );
        calls[12] = abi.encodeCall(IInFlightExits.piggyback, ("", "", NO_PIECES, 0));
        calls[13] = abi.encodeCall(IInFlightExits.challengeNotCanonical, (0, "", 0, spend));
        calls[14] = abi.encodeCall(IInFlightExits.respondNotCanonical, (0, placed.proof));
        calls[15] = abi.encodeCall(IInFlightExits.challengePieceSpent, ("", "", 0, spend));
        calls[16] = abi.encodeCall(IInFlightExits.closeInFlightExit, (0, ""));
        calls[17] = abi.encodeCall(IOperations.fundBond, (0, 0));
        calls[18] = abi.encodeCall(IOperations.withdrawBond, (alice));
        calls[19] = abi.encodeCall(IOperations.proposeOperator, (alice));
        calls[20] = abi.encodeCall(IOperations.acceptOperator, (0));
        calls[21] = abi.encodeCall(IOperations.closeChain, ());
        calls[22] = abi.encodeCall(IFaults.announceFault, (0));
        bytes[11] memory proofs = _emptyProofs(placed.proof, record);
        for (uint256 i = 0; i < proofs.length; ++i) {
            calls[23 + i] = proofs[i];
        }
        bytes[10] memory others = _unspentTreeCalls(placed.proof);
        for (uint256 i = 0; i < others.length; ++i) {
            calls[34 + i] = others[i];
        }
    }

    function _emptyProofs(IRootChain.InclusionProof memory proof, IRootChain.ExitRecord memory record)
        private
        pure
        returns (bytes[11] memory calls)
    {
        IFaults.Origin memory origin;
        IFaults.Creation memory creation;
        IFaults.Receipt memory receipt;
        IFaults.BrokenPromise memory broken;
        calls[0] = abi.encodeCall(IFaults.proveFaultNotCanonical, ("", "", proof));
        calls[1] = abi.encodeCall(IFaults.proveFaultNotBefore, ("", "", proof, 0));
        calls[2] = abi.encodeCall(IFaults.proveFaultNotMade, ("", "", proof, 0, origin));
        calls[3] = abi.encodeCall(IFaults.proveFaultNotDeposited, ("", "", proof, 0, creation));
        calls[4] = abi.encodeCall(IFaults.proveFaultNotSigned, ("", "", proof, 0, creation));
        calls[5] = abi.encodeCall(IFaults.proveFaultUnbalanced, ("", proof, new IFaults.Creation[](0)));
        calls[6] = abi.encodeCall(IFaults.proveFaultDoubleSpend, ("", proof, "", proof, 0));
        calls[7] = abi.encodeCall(IFaults.proveFaultSettled, ("", proof, 0));
        calls[8] = abi.encodeCall(IFaults.proveFaultExiting, ("", proof, 0, record));
        calls[9] = abi.encodeCall(IFaults.proveFaultExitingInFlight, ("", proof, 0, "", 0));
        calls[10] = abi.encodeCall(IFaults.proveBrokenReceipt, (receipt, "", proof.header, broken));
    }

    function _unspentTreeCalls(IRootChain.InclusionProof memory proof) private view returns (bytes[10] memory calls) {
        IUnspentTree.HeldKey memory held;
        IFaults.Origin memory origin;
        IFaults.Creation memory creation;
        calls[0] = abi.encodeCall(IUnspentTree.proveFaultHeldSpent, (held, 0, "", "", proof));
        calls[1] = abi.encodeCall(IUnspentTree.proveFaultHeldNotMade, (held, origin));
        calls[2] = abi.encodeCall(IUnspentTree.proveFaultHeldNotDeposited, (held, creation));
        calls[3] = abi.encodeCall(IUnspentTree.claimMissing, (proof.header, creation, proof));
        calls[4] = abi.encodeCall(IUnspentTree.answerMissing, (proof.header, 0, ""));
        calls[5] = abi.encodeCall(IUnspentTree.answerMissingSpent, (0, 0, 0, "", "", proof));
        calls[6] = abi.encodeCall(IUnspentTree.convictMissing, (proof.header, 0));
        calls[7] = abi.encodeCall(IUnspentTree.reclaimMissing, (proof.header, 0));
        calls[8] = abi.encodeCall(IUnspentTree.withdrawSettled, (proof.header, "", creation, proof));
        calls[9] = abi.encodeCall(IUnspentTree.withdrawSettledDeposit, (proof.header, 0, alice, ETHER, 1));
    }

    // ------------------------------------------------------------ assertions

    function _assertOwed(address asset, uint256 expected) internal view {
        (uint128 owed,) = rootChain.assetOf(asset);
        vm.assertEq(owed, expected, "owed");
    }

    function _assertCoin(bytes32 outputId, bytes32 recordHash, bool assigned, uint64 state) internal view {
        (bytes32 actualHash, bool actualAssigned, uint64 actualState) = rootChain.coin(outputId);
        vm.assertEq(actualHash, recordHash, "record hash");
        vm.assertEq(actualAssigned, assigned, "assigned");
        vm.assertEq(actualState, state, "state");
    }

    function _assertExiting(IRootChain.ExitRecord memory record, uint64 state) internal view {
        uint256 hash = uint256(keccak256(abi.encode(record)));
        _assertCoin(record.outputId, bytes32(hash >> 41 << 41), false, state);
    }

    function _assertKeys(address asset, uint64[] memory keys, uint32[] memory counts) internal view {
        IRootChain.ExitKey[] memory listed = rootChain.exitKeys(asset, 0, 100);
        vm.assertEq(listed.length, keys.length, "number of keys");
        for (uint256 i = 0; i < keys.length; ++i) {
            vm.assertEq(listed[i].key, keys[i], "key");
            vm.assertEq(listed[i].count, counts[i], "count");
        }
    }

    function _assertOneKey(address asset, uint64 key, uint32 count) internal view {
        IRootChain.ExitKey[] memory listed = rootChain.exitKeys(asset, 0, 100);
        vm.assertEq(listed.length, 1, "number of keys");
        vm.assertEq(listed[0].key, key, "key");
        vm.assertEq(listed[0].count, count, "count");
    }
}
