/** `rcod info FILE`: every kind of file is listed, or refused with its reason and exit code 2. */
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { describeError } from "../../../cli/errors.ts";
import { runInfo } from "../../../cli/info/run.ts";
import { writeSafetensors } from "../../../src/weights/safetensors-write.ts";
import {
  archiveOf,
  floats,
  int,
  list,
  named,
  storage,
  tensor,
  text,
} from "../../weights/torch/torch-samples.ts";
import { recordingTerminal, useFolder } from "../support/terminal.ts";

const FIXTURES = new URL("../../fixtures/", import.meta.url).pathname;

async function info(model: string, json: boolean): Promise<string> {
  const terminal = recordingTerminal();
  const exitCode = await runInfo({ model, size: [64, 64], json, dawnToggles: [] }, terminal);
  expect(exitCode).toBe(0);
  return terminal.stdout.join("\n");
}

interface FileJson {
  readonly file: string;
  readonly kind: string;
  readonly tensors: readonly unknown[];
  readonly values: Readonly<Record<string, unknown>>;
}

const infoJson = async (model: string): Promise<FileJson> =>
  JSON.parse(await info(model, true)) as FileJson;

const folder = useFolder();

describe("a file is listed", () => {
  const TORCH = archiveOf(
    named({
      net: named({ weight: tensor(storage("Half", "0", 6), [3, 2], [1, 3]) }),
      bias: tensor(storage("Float", "1", 1), []),
      rank: int(4),
      modules: list(...Array.from({ length: 40 }, (_, i) => text(`module.${i}`))),
      "bad\u001b[31m": text("\u001b"),
    }),
    { 0: new Uint8Array(12), 1: floats(1) },
  );

  it("torch.save as JSON", async () => {
    const file = folder.file("x.pkl");
    await writeFile(file, TORCH);
    const json = await infoJson(file);
    expect(json).toMatchObject({
      file,
      kind: "torch",
      tensors: [
        { name: "net.weight", dtype: "F16", shape: [3, 2], bytes: 12 },
        { name: "bias", dtype: "F32", shape: [], bytes: 4 },
      ],
      values: { rank: 4 },
    });
    expect(json.values["modules"]).toHaveLength(40);
  });

  it("torch.save as text, without the file's control characters", async () => {
    const file = folder.file("x.pth");
    await writeFile(file, TORCH);
    const lines = (await info(file, false)).split("\n");
    expect(lines[0]).toBe(`${file}: torch, 2 tensors, 16 B`);
    expect(lines).toContain("  net.weight  F16  [3, 2]  12 B");
    expect(lines).toContain("  bias        F32  []       4 B");
    expect(lines.find((line) => line.startsWith("  rank"))).toMatch(/^ {2}rank +4$/);
    expect(lines.find((line) => line.startsWith("  modules"))).toMatch(
      /^ {2}modules +40 items: \["module\.0",.*…$/,
    );
    expect(lines.find((line) => line.startsWith("  bad"))).toMatch(
      /^ {2}bad\\u001b\[31m +"\\u001b"$/,
    );
  });

  it("names of any length", async () => {
    const file = folder.file("long.pkl");
    await writeFile(file, archiveOf(named({ ["k".repeat(1000)]: int(1) })));
    expect((await info(file, false)).split("\n").at(-1)).toBe(`  ${"k".repeat(200)}…  1`);
  });

  it("safetensors, and an index with its shards", async () => {
    const tensors = [{ name: "a", dtype: "F32", shape: [2], data: floats(1, 2) }] as const;
    const shard = folder.file("model-1.safetensors");
    await writeFile(shard, writeSafetensors(tensors, [["format", "pt"]]));
    const listed = [{ name: "a", dtype: "F32", shape: [2], bytes: 8 }];
    expect(await infoJson(shard)).toEqual({
      file: shard,
      kind: "safetensors",
      tensors: listed,
      values: { format: "pt" },
    });
    for (const name of ["model.safetensors.index.json", "model.safetensors.index.fp16.json"]) {
      const index = folder.file(name);
      await writeFile(index, JSON.stringify({ weight_map: { a: "model-1.safetensors" } }));
      expect(await infoJson(index)).toEqual({
        file: index,
        kind: "index",
        tensors: listed,
        values: {},
      });
    }
  });

  it("a config, whose values are checked where its class is known", async () => {
    const file = folder.file("config.json");
    const write = (json: unknown): Promise<void> => writeFile(file, JSON.stringify(json));
    await write({ _class_name: "AutoencoderKL", block_out_channels: [32], ["__proto__"]: 1 });
    expect(await infoJson(file)).toMatchObject({ kind: "config", tensors: [] });
    expect(await info(file, false)).toMatch(/^ {2}block_out_channels +\[32\]$/m);
    for (const [json, message] of [
      [{ _class_name: "AutoencoderKL", block_out_channels: [-1] }, /"block_out_channels" must be/],
      [{ model_type: "clip", vision_config: { num_channels: 4 } }, /"num_channels" is only/],
      [{ _class_name: "MetricEstimationModule" }, /"in_channels" must be/],
      [[1], /must be a JSON object/],
    ] as const) {
      await write(json);
      expect(await refusal(file)).toMatch(message);
    }
    const own = folder.file("rcod_config.json");
    await writeFile(own, JSON.stringify({ alpha: 2 }));
    expect(await refusal(own)).toMatch(/"alpha" must be below 1/);
  });
});

/** The message of a refusal, which ends with exit code 2. */
async function refusal(file: string): Promise<string> {
  const error: unknown = await info(file, true).then(
    () => expect.fail("it was listed"),
    (reason: unknown) => reason,
  );
  const { message, exitCode } = describeError(error);
  expect(exitCode).toBe(2);
  return message;
}

describe("a file is refused", () => {
  const { files, controls } = JSON.parse(
    readFileSync(`${FIXTURES}hostile/manifest.json`, "utf8"),
  ) as Readonly<Record<"files" | "controls", readonly { readonly file: string }[]>>;

  it.each([...files, ...controls])("$file", async ({ file }) => {
    const memory = (): number => process.memoryUsage().heapUsed + process.memoryUsage().external;
    const [startedAt, before] = [performance.now(), memory()];
    const message = await refusal(`${FIXTURES}hostile/${file}`);
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(memory() - before).toBeLessThan(64 * 2 ** 20);
    expect(message).toMatch(
      /^(weights|config): .+, got .+|refused: |no end record|ends at byte|span/,
    );
    expect(message).toContain(file.slice(file.lastIndexOf("/") + 1));
  });

  it("for being no weight file", async () => {
    const file = folder.file("notes.txt");
    await writeFile(file, "x");
    expect(await refusal(file)).toMatch(
      /must be safetensors.*got a text that begins "x".*notes\.txt/,
    );
  });
});
