// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title An account that makes trouble when it is paid ether
contract HostileReceiver {
    enum Behaviour {
        Accepts,
        Reverts,
        BurnsGas,
        BombsReturnData,
        Reenters
    }

    Behaviour public behaviour;
    address private _target;
    bytes private _call;
    /// The error that the last such call met, zero if it went through or none was made.
    bytes4 public reentryError;

    error Refused();
    error CallFailed(bytes reason);

    constructor(Behaviour initialBehaviour) payable {
        behaviour = initialBehaviour;
    }

    function behave(Behaviour newBehaviour) external {
        behaviour = newBehaviour;
    }

    /// Makes every payment call `target`.
    function reenter(address target, bytes calldata data) external {
        behaviour = Behaviour.Reenters;
        _target = target;
        _call = data;
    }

    /// Calls in this account's name.
    function execute(address target, uint256 value, bytes calldata data) external returns (bytes memory) {
        (bool success, bytes memory result) = target.call{value: value}(data);
        require(success, CallFailed(result));
        return result;
    }

    receive() external payable {
        require(behaviour != Behaviour.Reverts, Refused());
        if (behaviour == Behaviour.BurnsGas) while (true) {}
        if (behaviour == Behaviour.BombsReturnData) _revertWithBomb();
        if (behaviour == Behaviour.Reenters) {
            (bool success, bytes memory reason) = _target.call(_call);
            reentryError = success ? bytes4(0) : bytes4(reason);
        }
    }

    function _revertWithBomb() private pure {
        assembly ("memory-safe") {
            revert(0, 100000)
        }
    }
}
