// An independent client: encodes a transaction's body, hashes it and signs it with ethers.js. §1.3, §1.5, §1.6.
//
// stdin:  {"chainId","contract","privateKey","inputs":["0x…"],"outputs":[{"owner","asset","amount"}],"memo":"0x…"}
// stdout: {"body","txHash","digest","signature","signer"}
import { readFileSync } from "node:fs";
import { Signature, TypedDataEncoder, Wallet, concat, keccak256, toBeHex } from "ethers";

const { chainId, contract, privateKey, inputs, outputs, memo } = JSON.parse(readFileSync(0, "utf8"));

const domain = { name: "Plasmid", version: "1", chainId, verifyingContract: contract };
const types = {
  Transaction: [
    { name: "inputs", type: "bytes32[]" },
    { name: "outputs", type: "Output[]" },
    { name: "memo", type: "bytes32" },
  ],
  Output: [
    { name: "kind", type: "uint8" },
    { name: "owner", type: "address" },
    { name: "asset", type: "address" },
    { name: "amount", type: "uint128" },
  ],
};
const ascending = [...inputs].sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1));
const message = { inputs: ascending, outputs: outputs.map((output) => ({ kind: 1, ...output })), memo };

const encodeOutput = ({ owner, asset, amount }) => concat(["0x01", owner, asset, toBeHex(amount, 16)]);
const counts = concat(["0x01", toBeHex(ascending.length, 1), toBeHex(outputs.length, 1)]);
const body = concat([counts, ...ascending, ...outputs.map(encodeOutput), memo]);

const wallet = new Wallet(privateKey);
const signature = Signature.from(await wallet.signTypedData(domain, types, message)).compactSerialized;
const digest = TypedDataEncoder.hash(domain, types, message);
console.log(JSON.stringify({ body, txHash: keccak256(body), digest, signature, signer: wallet.address }));
