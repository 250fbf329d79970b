/** The bundle as it runs on a machine, on the small model: every part at least once, on the adapter of the tests. */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { BundleRecord } from "../../../bench/bundle/box/record.ts";
import { FILES_OF_CHECKOUT, FILES_OF_PROJECT, bundleBox } from "../../../bench/bundle/make.ts";
import { mustRun, root } from "../../package/support.ts";
import { PLAIN_NODE } from "../../support/plain-node.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "rcod-rehearsal-"));
  await mustRun(root, "npx", "tsc", "-p", "tsconfig.build.json", "--outDir", join(folder, "dist"));
  for (const [from, to] of [...FILES_OF_PROJECT, ...FILES_OF_CHECKOUT])
    await cp(join(root, from), join(folder, to), { recursive: true });
  await symlink(join(root, "node_modules"), join(folder, "node_modules"), "junction");
  await bundleBox(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it("runs everything and says what it found", async () => {
  const out = join(folder, "record.json");
  const args = ["--rehearse", "--modes", "default", "--out", out];
  const python = process.env["RCOD_PYTHON"];
  const given = python === undefined ? [] : ["--python", python];
  // The processes that it starts are on the adapter that the tests are on: by what the environment says.
  const ended = promisify(execFile)(
    PLAIN_NODE,
    [join(folder, "bench-box.mjs"), ...args, ...given],
    {
      env: { ...process.env, RCOD_NODE: process.execPath },
      maxBuffer: 2 ** 26,
    },
  );
  const { stderr } = await ended;
  const record = JSON.parse(await readFile(out, "utf8")) as BundleRecord;
  expect(record).toMatchObject({ bundle: 2, isRehearsal: true, failed: [], leftOut: [] });
  const without = record.skipped.map(({ what }) => what);
  const parts = ["doctor", "parity", "model", "pytorch", "kernels", "tune", "tuned"];
  expect(record.parts.map(({ part }) => part)).toEqual(
    parts.filter((part) => !without.includes(part)),
  );
  if (without.includes("pytorch"))
    process.stderr.write(
      `\n*** NOT REHEARSED: PyTorch beside the bundle (${record.skipped[0]?.reason}). RCOD_PYTHON names a Python that has it\n\n`,
    );
  const results = Object.fromEntries(record.parts.map(({ part, result }) => [part, result]));
  expect(results["parity"]).toMatchObject({ failed: 0 });
  expect(results["model"]).toMatchObject({ suite: "model", outputSize: [64, 64] });
  expect(results["kernels"]).toMatchObject({ suite: "kernels", failed: 0, leftOut: [] });
  expect(record.tuning).toMatchObject({ version: 1, tables: [{ dtype: "f32" }] });
  if (record.bounds.length > 0) {
    expect(record.bounds.map(({ part }) => part)).toEqual(["model", "tuned"]);
    const [{ kernels, card } = { kernels: [], card: undefined }] = record.bounds;
    expect(card?.source).toBe("measured"); // the adapter of the tests is no card that is known
    expect(kernels.length).toBeGreaterThan(5);
    for (const { boundMs, ratio } of kernels) expect(boundMs > 0 && ratio > 0).toBe(true);
  } else expect(results["model"]).toMatchObject({ opClasses: null }); // no timestamps here
  expect(stderr).toContain("nothing failed");
}, 240_000);
