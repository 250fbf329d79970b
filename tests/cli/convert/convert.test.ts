/** `rcod convert` on disk: checksums, complete or not at all, and no folder lost by mistake. */
import { createHash } from "node:crypto";
import { cp, mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { InvalidArgumentError } from "commander";
import { describe, expect, it } from "vitest";
import type { ConvertCliOptions } from "../../../cli/convert/command.ts";
import { parseByteCount } from "../../../cli/convert/command.ts";
import { runConvert } from "../../../cli/convert/run.ts";
import { main } from "../../../cli/main.ts";
import { SAMPLE_CHECKPOINTS, SAMPLE_CLIP, SAMPLE_SD } from "../../support/samples.ts";
import { recordingTerminal, useFolder } from "../support/terminal.ts";

const folder = useFolder();
const CHECKPOINT = SAMPLE_CHECKPOINTS[0] as string;

function convert(options: Partial<ConvertCliOptions> = {}, terminal = recordingTerminal()) {
  const pieces = { model: SAMPLE_SD, clip: SAMPLE_CLIP, checkpoint: CHECKPOINT };
  const out = folder.file("out");
  return runConvert({ ...pieces, out, dtype: "fp16", shardSize: 5e5, ...options }, terminal);
}

interface Manifest {
  readonly dtype: string;
  readonly weights?: string;
  readonly files: readonly { path: string; bytes: number; sha256: string }[];
}

async function manifestOf(out: string): Promise<Manifest> {
  return JSON.parse(await readFile(`${out}/manifest.json`, "utf8")) as Manifest;
}

async function filesBelow(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`);
}

describe("rcod convert", () => {
  it("writes a folder whose manifest lists and hashes every file", async () => {
    const terminal = recordingTerminal();
    expect(await convert({ json: true }, terminal)).toBe(0);
    const { dtype, files } = await manifestOf(folder.file("out"));
    expect(dtype).toBe("fp16");
    for (const { path, bytes, sha256 } of files) {
      const content = await readFile(folder.file("out", path));
      expect(content.byteLength, path).toBe(bytes);
      expect(createHash("sha256").update(content).digest("hex"), path).toBe(sha256);
    }
    const found = (await filesBelow(folder.file("out"))).map((path) =>
      path.slice(folder.file("out").length + 1),
    );
    expect(found.toSorted()).toEqual(
      ["manifest.json", ...files.map(({ path }) => path)].toSorted(),
    );
    expect(found.filter((path) => path.includes("-of-00003.safetensors")).length).toBe(3); // the UNet's
    expect(JSON.parse(terminal.stdout[0] as string)).toMatchObject({
      checkpoint: CHECKPOINT,
      out: folder.file("out"),
      files: found.length,
      bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    });
    expect(await readdir(folder.path)).toEqual(["out"]); // nothing temporary
  });

  it("gives the same folder when it converts its own result", async () => {
    await convert();
    await runConvert(
      { model: folder.file("out"), out: folder.file("again"), dtype: "fp16", shardSize: 5e5 },
      recordingTerminal(),
    );
    expect(await manifestOf(folder.file("again"))).toEqual(await manifestOf(folder.file("out")));
  });

  it("writes integers of half the bytes or less, and says which", async () => {
    await convert();
    const halves = (await manifestOf(folder.file("out"))).files;
    const unetBytes = (files: Manifest["files"]): number =>
      files
        .filter(({ path }) => path.startsWith("unet/") && path.endsWith(".safetensors"))
        .reduce((sum, { bytes }) => sum + bytes, 0);
    for (const [weights, most] of [
      ["int8", 0.65],
      ["mixed", 0.45],
    ] as const) {
      const out = folder.file(weights);
      const terminal = recordingTerminal();
      expect(await convert({ out, weights }, terminal)).toBe(0);
      expect(terminal.stdout[0]).toMatch(new RegExp(`${weights}  ${weights} and fp16, `));
      const manifest = await manifestOf(out);
      expect(manifest).toMatchObject({ dtype: "fp16", weights });
      expect(unetBytes(manifest.files) / unetBytes(halves)).toBeLessThan(most);
      const info = recordingTerminal();
      expect(await main(["info", out, "--size", "64"], info)).toBe(0);
      const bits =
        weights === "int8" ? /unet .* (8|9|10)\.\d bits a value/ : /unet .* [5-8]\.\d bits/;
      expect(info.stdout.join("\n")).toMatch(bits);
    }
  });

  it("writes longer blocks where asked to, and refuses what is none", async () => {
    const bytes = async (block?: 32 | 64): Promise<number> => {
      const out = folder.file(`block-${block}`);
      await convert({ out, weights: "int8", ...(block && { block }) });
      const config = JSON.parse(await readFile(`${out}/unet/config.json`, "utf8")) as {
        readonly quantization: { readonly block: number };
      };
      expect(config.quantization.block).toBe(block ?? 32);
      return (await manifestOf(out)).files.reduce((sum, file) => sum + file.bytes, 0);
    };
    expect(await bytes(64)).toBeLessThan(await bytes());
    const pieces = ["convert", "--model", "m", "-o", folder.file("none"), "--block"];
    for (const [args, message] of [
      [["48", "--weights", "int8"], /It must be 32 or 64/],
      [["64"], /--block is of integers, got 64 without --weights/],
    ] as const) {
      const terminal = recordingTerminal();
      expect(await main([...pieces, ...args], terminal)).toBe(2);
      expect(terminal.stderr.join("\n")).toMatch(message);
    }
  });

  it("replaces a converted folder only when forced", async () => {
    await convert();
    const before = (await stat(folder.file("out", "manifest.json"))).ino;
    await expect(convert()).rejects.toMatchObject({
      exitCode: 2,
      message: `${folder.file("out")} exists already. Use --force to replace it`,
    });
    await convert({ force: true, dtype: "fp32", quiet: true });
    expect((await stat(folder.file("out", "manifest.json"))).ino).not.toBe(before);
    expect((await manifestOf(folder.file("out"))).dtype).toBe("fp32");
    expect(await readdir(folder.path)).toEqual(["out"]);
  });

  it("never replaces another folder, a file, or what it reads", async () => {
    await mkdir(folder.file("out"));
    await convert(); // an empty folder is no loss
    await mkdir(folder.file("photos"));
    await writeFile(folder.file("photos", "a.jpg"), "");
    await cp(SAMPLE_SD, folder.file("sd"), { recursive: true });
    const refusals: readonly [Partial<ConvertCliOptions>, RegExp][] = [
      [{ out: folder.file("photos"), force: true }, /holds something else than a converted model/],
      [{ out: folder.file("photos", "a.jpg"), force: true }, /is a file\. Choose another -o/],
      [{ model: folder.file("out"), force: true }, /is or holds .*out, which is read/],
      [{ model: folder.file("sd"), out: folder.path, force: true }, /is or holds .*sd, which is/],
    ];
    for (const [options, message] of refusals) {
      await expect(convert(options)).rejects.toMatchObject({
        exitCode: 2,
        message: expect.stringMatching(message),
      });
    }
    expect((await readdir(folder.path)).toSorted()).toEqual(["out", "photos", "sd"]);
  });

  it("leaves nothing behind when it fails in the middle, or is interrupted", async () => {
    await convert();
    await cp(SAMPLE_SD, folder.file("sd"), { recursive: true });
    const path = folder.file("sd", "vae", "diffusion_pytorch_model.safetensors");
    const bytes = await readFile(path);
    bytes.fill(0xff, bytes.length - 64); // NaN in the last tensor: headers are fine
    await writeFile(path, bytes);
    await expect(convert({ model: folder.file("sd"), force: true })).rejects.toThrow(
      "values must be finite",
    );
    const interrupted = recordingTerminal();
    const stopping = { ...interrupted, note: () => void process.emit("SIGINT", "SIGINT") };
    await expect(convert({ force: true }, stopping)).rejects.toMatchObject({ exitCode: 130 });
    await expect(convert({ out: folder.file("new", "x") }, stopping)).rejects.toMatchObject({
      message: "interrupted",
    });
    expect((await readdir(folder.path)).toSorted()).toEqual(["out", "sd"]);
    expect((await manifestOf(folder.file("out"))).dtype).toBe("fp16");
  });
});

describe("its options", () => {
  it.each([
    ["200MB", 2e8],
    ["128MiB", 2 ** 27],
    ["1.5 gb", 1.5e9],
    ["4096", 4096],
  ])("%s", (text, bytes) => {
    expect(parseByteCount(text)).toBe(bytes);
  });

  it.each(["", "MB", "0", "0.5", "-1MB", "1TB!", "1e9", "9999999999GB"])("not %j", (text) => {
    expect(() => parseByteCount(text)).toThrow(InvalidArgumentError);
  });

  it("reach the command by way of the command line", async () => {
    const terminal = recordingTerminal();
    const out = folder.file("out");
    const pieces = ["--model", SAMPLE_SD, "--clip", SAMPLE_CLIP, "--checkpoint", CHECKPOINT];
    const argv = ["convert", ...pieces, "-o", out, "--dtype", "fp32", "--shard-size", "1MB"];
    expect(await main([...argv, "--quiet"], terminal)).toBe(0);
    expect([...terminal.stdout, ...terminal.stderr]).toEqual([]);
    expect((await manifestOf(out)).files.map(({ path }) => path)).toContain(
      "unet/diffusion_pytorch_model-00003-of-00003.safetensors",
    );
    expect(await main(["convert", ...pieces], terminal)).toBe(2);
    expect(terminal.stderr[0]).toMatch(/required option '-o, --out <folder>' not specified/);
  });
});
