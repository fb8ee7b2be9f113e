// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title What the contract calls on an ERC-20 token
/// @notice Declared without return values, since tokens disagree about them: a deposit goes by the measured change of
/// the balance, and a payment reads the returned word itself.
interface IToken {
    /// @notice ERC-20.
    function balanceOf(address account) external view returns (uint256);

    /// @notice ERC-20.
    function transfer(address to, uint256 amount) external;

    /// @notice ERC-20.
    function transferFrom(address from, address to, uint256 amount) external;

    /// @notice EIP-2612.
    function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;
}
