// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {PermitToken} from "./PermitToken.sol";

/// @title A token whose transfers go wrong on demand
contract HostileToken is PermitToken {
    enum Behaviour {
        Honest,
        Reverts,
        ReturnsFalse,
        ReturnsNothing,
        ReturnsTwo,
        BurnsGas,
        BombsReturnData,
        TakesFee,
        Reenters
    }

    /// A fee of one in `FEE_DIVISOR` stays behind.
    uint256 public constant FEE_DIVISOR = 10;

    Behaviour public behaviour;
    mapping(address account => bool) public isBlocked;
    address private _target;
    bytes private _call;
    /// The error that the last such call met, zero if it went through or none was made.
    bytes4 public reentryError;

    error Refused();

    function behave(Behaviour newBehaviour) external {
        behaviour = newBehaviour;
    }

    function blockAccount(address account, bool blocked) external {
        isBlocked[account] = blocked;
    }

    /// Makes every transfer call `target`.
    function reenter(address target, bytes calldata data) external {
        behaviour = Behaviour.Reenters;
        _target = target;
        _call = data;
    }

    /// Takes tokens away from an account, as a rebase would.
    function seize(address from, uint256 amount) external {
        _transfer(from, address(0xdead), amount);
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        return _transferBadly(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        allowance[from][msg.sender] -= amount;
        return _transferBadly(from, to, amount);
    }

    function _transferBadly(address from, address to, uint256 amount) private returns (bool) {
        require(behaviour != Behaviour.Reverts && !isBlocked[from] && !isBlocked[to], Refused());
        if (behaviour == Behaviour.ReturnsFalse) return false;
        if (behaviour == Behaviour.BurnsGas) while (true) {}
        if (behaviour == Behaviour.BombsReturnData) _revertWithBomb();
        if (behaviour == Behaviour.Reenters) {
            (bool success, bytes memory reason) = _target.call(_call);
            reentryError = success ? bytes4(0) : bytes4(reason);
        }
        uint256 fee = behaviour == Behaviour.TakesFee ? amount / FEE_DIVISOR : 0;
        _transfer(from, to, amount - fee);
        if (fee != 0) _transfer(from, address(0xdead), fee);
        if (behaviour == Behaviour.ReturnsNothing) _returnNothing();
        if (behaviour == Behaviour.ReturnsTwo) _returnTwo();
        return true;
    }

    function _returnNothing() private pure {
        assembly ("memory-safe") {
            return(0, 0)
        }
    }

    function _returnTwo() private pure {
        assembly ("memory-safe") {
            mstore(0, 2)
            return(0, 32)
        }
    }

    function _revertWithBomb() private pure {
        assembly ("memory-safe") {
            revert(0, 100000)
        }
    }
}
