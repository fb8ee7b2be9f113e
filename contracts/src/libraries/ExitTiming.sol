// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// The order of exits, and the periods that derive from MEP. §4.
library ExitTiming {
    /// Returns G, to whose multiples exit keys are rounded up.
    function granularity(uint256 minimumExitPeriod) internal pure returns (uint256) {
        return _atLeastOne(minimumExitPeriod / 168);
    }

    /// Returns F, what an accepted transaction has to be committed in once a coin of its exits in flight. §3.1.
    function freezeDelay(uint256 minimumExitPeriod) internal pure returns (uint256) {
        return _atLeastOne(minimumExitPeriod / 8);
    }

    /// Returns within what time an operator serves the bodies of a block that it has committed.
    function grace(uint256 minimumExitPeriod) internal pure returns (uint256) {
        return _atLeastOne(minimumExitPeriod / 28);
    }

    /// Returns the key of an exit of a deposit: one MEP after its start, rounded up.
    function keyOfDeposit(uint256 start, uint256 minimumExitPeriod) internal pure returns (uint256) {
        uint256 step = granularity(minimumExitPeriod);
        return (start + minimumExitPeriod + step - 1) / step * step;
    }

    /// Returns the key of an exit of a child-chain output: not before two MEP after its block, so that outputs older
    /// than a bad block leave before those that it makes.
    function keyOfOutput(uint256 start, uint256 created, uint256 minimumExitPeriod) internal pure returns (uint256) {
        uint256 fromStart = keyOfDeposit(start, minimumExitPeriod);
        uint256 fromCreation = created + 2 * minimumExitPeriod;
        return fromStart > fromCreation ? fromStart : fromCreation;
    }

    /// Returns the freeze of a standard exit's coin: no later block may spend it. §3.1.
    function freezeOfStandardExit(uint256 key, uint256 minimumExitPeriod) internal pure returns (uint256) {
        return key - minimumExitPeriod / 2;
    }

    /// Returns the freeze of an in-flight exit's inputs. §3.1.
    function freezeOfInput(uint256 start, uint256 minimumExitPeriod) internal pure returns (uint256) {
        return start + freezeDelay(minimumExitPeriod);
    }

    /// Returns the freeze of a piggybacked output, which may be piggybacked as late as half an MEP before its key. §3.1.
    function freezeOfOutput(uint256 key, uint256 minimumExitPeriod) internal pure returns (uint256) {
        return key - minimumExitPeriod / 2 + freezeDelay(minimumExitPeriod);
    }

    function _atLeastOne(uint256 period) private pure returns (uint256) {
        return period == 0 ? 1 : period;
    }
}
