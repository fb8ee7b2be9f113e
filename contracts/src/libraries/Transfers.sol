// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRootChain} from "../interfaces/IRootChain.sol";
import {IToken} from "../interfaces/IToken.sol";

/// Payments to accounts and through tokens that may be hostile: they revert, burn gas, or return megabytes. §5.2.
library Transfers {
    /// The zero address stands for ether. §1.2.
    address internal constant ETHER = address(0);

    /// Gas that a payment of ether, or of a token, may use. §5.2.
    uint256 private constant ETHER_SHARE = 50_000;
    uint256 private constant TOKEN_SHARE = 200_000;
    /// What has to be left for a call with such a share: its own cost (a cold account, value, a new account: less than
    /// 40,000), and of the rest a 63/64 that covers the share (EIP-150).
    uint256 private constant ETHER_GAS_MIN = 40_000 + ETHER_SHARE * 64 / 63 + 1;
    uint256 private constant TOKEN_GAS_MIN = 40_000 + TOKEN_SHARE * 64 / 63 + 1;

    /// Pays `amount` with the gas share of its asset and returns whether that worked.
    ///
    /// Reverts if too little gas is left for the share, so that a caller cannot make a payment fail.
    function send(address asset, address to, uint256 amount) internal returns (bool) {
        if (asset == ETHER) {
            _requireGas(ETHER_GAS_MIN);
            return _sendEther(to, amount, ETHER_SHARE);
        }
        _requireGas(TOKEN_GAS_MIN);
        return _sendToken(asset, to, amount, TOKEN_SHARE);
    }

    /// Pays `amount` with all the gas there is and returns whether that worked.
    function sendWithAllGas(address asset, address to, uint256 amount) internal returns (bool) {
        return asset == ETHER ? _sendEther(to, amount, gasleft()) : _sendToken(asset, to, amount, gasleft());
    }

    function _requireGas(uint256 needed) private view {
        require(gasleft() >= needed, IRootChain.NotEnoughGas(gasleft(), needed));
    }

    /// A call that copies nothing of what is returned, however long it is.
    function _sendEther(address to, uint256 amount, uint256 gasLimit) private returns (bool success) {
        assembly ("memory-safe") {
            success := call(gasLimit, to, amount, 0, 0, 0, 0)
        }
    }

    /// A call that copies one word of what is returned. It must be true; older tokens return nothing.
    function _sendToken(address token, address to, uint256 amount, uint256 gasLimit) private returns (bool) {
        bytes32 selector = IToken.transfer.selector;
        bool success;
        uint256 size;
        uint256 word;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, selector)
            mstore(add(data, 4), to)
            mstore(add(data, 36), amount)
            success := call(gasLimit, token, 0, data, 68, 0, 32)
            size := returndatasize()
            word := mload(0)
        }
        // An account without code succeeds with nothing, too.
        return success && (size == 0 ? token.code.length != 0 : size >= 32 && word == 1);
    }
}
