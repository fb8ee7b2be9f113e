// Reads `GAS name value` lines from standard input; prints them beside their aims, the best measured peer and the paper
// floor, and writes target/bench/gas.json. Peers and floor were measured under the same hard fork (osaka).
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { arch, cpus, platform } from "node:os";
import { fileURLToPath } from "node:url";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const peers = JSON.parse(readFileSync(here("peers.json"), "utf8"));
const aims = JSON.parse(readFileSync(here("aims.json"), "utf8"));
/** Peers do not tell these cases apart: the operation whose figure they are held against. */
const sameAs = {
  start_se_deposit_same_key: "start_se_deposit",
  start_se_payment_same_key: "start_se_payment",
  ife_close: "ife_delete_unpiggybacked",
};

const lines = readFileSync(0, "utf8").split("\n");
const measured = lines.map((line) => /GAS (\w+) (\d+)\s*$/.exec(line)).filter(Boolean);
if (measured.length === 0) {
  console.error(lines.join("\n"));
  console.error("no figure was measured: the gas test did not run");
  process.exit(1);
}

const rows = [];
const NAME_WIDTH = 36;
const format = (number) => (number === undefined ? "–" : number.toLocaleString("en-US"));
const percent = (value, of) => (of === undefined ? "–" : `${((100 * value) / of).toFixed(1)} %`);
console.log(
  ["operation".padEnd(NAME_WIDTH), "gas", "aim", "of aim", "best peer", "of peer", "floor", "of floor"]
    .map((title, i) => (i ? title.padStart(10) : title)).join(" "),
);
let over = 0;
for (const [, what, digits] of measured) {
  const value = Number(digits);
  const of = sameAs[what] ?? what;
  const [aim, peer, floor] = [aims[what], peers.best_measured_peer[of], peers.paper_floor[of]];
  if (aim !== undefined && value > aim) over += 1;
  console.log(
    [what.padEnd(NAME_WIDTH), format(value), format(aim), percent(value, aim), format(peer), percent(value, peer), format(floor),
      percent(value, floor)].map((cell, i) => (i ? cell.padStart(10) : cell)).join(" "),
  );
  const baselines = { aim, "best measured peer": peer, "paper floor": floor };
  for (const [baseline, baseline_value] of Object.entries(baselines).filter(([, of]) => of !== undefined)) {
    rows.push({ what, value, unit: "gas", baseline, baseline_value, ratio: value / baseline_value });
  }
  if (aim === undefined && peer === undefined && floor === undefined) rows.push({ what, value, unit: "gas" });
}
console.log(over === 0 ? "every operation is at or below its aim" : `${over} operation(s) over the aim`);

const commit = execFileSync("git", ["rev-parse", "HEAD"]).toString().trim();
const machine = `${platform()} ${arch()}, ${cpus().length} × ${cpus()[0].model}`;
writeFileSync(here("../../target/bench/gas.json"), `${JSON.stringify({ name: "gas", commit, machine, rows }, null, 1)}\n`);
