/** `rcod` as a user runs it: real processes of the compiled program. */
import { spawn, spawnSync } from "node:child_process";
import { mkdir, readFile, readdir, symlink, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { unpackedMesa } from "../../src/node/software-adapter.ts";
import { noise, plain, save, saveCutOff } from "./support/image-files.ts";
import { bareEnvironment, run, start, useStage } from "./support/stage.ts";
import { useFolder } from "./support/terminal.ts";

const stage = useStage();
const folder = useFolder();

/** An environment in which no adapter can be found: what ends well here has not looked for one. */
const noAdapter = () => ({
  ...process.env,
  VK_ICD_FILENAMES: "/nonexistent",
  VK_DRIVER_FILES: "/nonexistent",
  RCOD_SOFTWARE_ADAPTER: "1",
});

describe("usage", () => {
  it.each([
    [["--help"], /^Usage: rcod/],
    [["upscale", "--help"], /^Usage: rcod upscale.*--dawn-toggles/s],
    [["--version"], /^\d+\.\d+\.\d+\n$/],
  ])("%j ends with 0", async (args, output) => {
    const { exitCode, stdout, stderr } = await run(stage.rcod, args, noAdapter());
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(output);
  });

  it("shows the help and ends with 2 without a command", async () => {
    const { exitCode, stdout, stderr } = await run(stage.rcod, [], noAdapter());
    expect([exitCode, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^Usage: rcod/);
  });

  it.each([
    [["frobnicate"], "rcod: unknown command 'frobnicate'. See rcod --help\n"],
    [["upscale"], "rcod: missing required argument 'input'. See rcod upscale --help\n"],
    [
      ["upscale", "a.png", "--forc"],
      "rcod: unknown option '--forc' (Did you mean --force?) See rcod upscale --help\n",
    ],
    [
      ["upscale", "a.png", "--seed", "x"],
      "rcod: option '--seed <n>' argument 'x' is invalid. It must be an integer from 0 to 4294967295. See rcod upscale --help\n",
    ],
    [
      ["upscale", "a.png", "--tile", "63"],
      "rcod: option '--tile <n>' argument '63' is invalid. It must be an integer ≥ 64. See rcod upscale --help\n",
    ],
    [
      ["upscale", "a.png", "--realism", "2"],
      "rcod: option '--realism <r>' argument '2' is invalid. It must be fidelity, neutral, realism, auto or a number from 0 to 1. See rcod upscale --help\n",
    ],
    [
      ["upscale", "a.png", "--realism", "1", "--timestep", "5"],
      "rcod: option '--timestep <t>' cannot be used with option '--realism <r>'. See rcod upscale --help\n",
    ],
    [["upscale", "no-such-file.png"], "rcod: no-such-file.png: no such file or folder\n"],
    [
      ["upscale", "no-such-file.png", "--realism", "auto"],
      "rcod: no-such-file.png: no such file or folder\n",
    ],
  ])("%j ends with 2 and one line", async (args, message) => {
    expect(await run(stage.rcod, args, noAdapter())).toEqual({
      exitCode: 2,
      stdout: "",
      stderr: message,
    });
  });

  it("tells errors on stdout too under --json", async () => {
    const { exitCode, stdout } = await run(
      stage.rcod,
      ["upscale", "--json", "no-such-file.png"],
      noAdapter(),
    );
    expect(exitCode).toBe(2);
    expect(JSON.parse(stdout)).toEqual({ error: "no-such-file.png: no such file or folder" });
  });

  it("shows a stack only under RCOD_DEBUG=1", async () => {
    const { stderr } = await run(stage.rcod, ["upscale", "nothing.png"], {
      ...noAdapter(),
      RCOD_DEBUG: "1",
    });
    expect(stderr).toMatch(/^rcod: nothing\.png: no such file or folder\nCliError: .*\n {4}at /);
  });
});

describe("input that is no good", () => {
  const kinds: readonly [string, (path: string) => Promise<void>, RegExp][] = [
    ["0 bytes", (path) => writeFile(path, ""), /the file is empty/],
    ["text", (path) => writeFile(path, "no image"), /not an image/],
    ["cut off", (path) => saveCutOff(path, noise(64, 64)), /damaged or cut off/],
    ["26 000 × 2 pixels", (path) => save(path, plain(26_000, 2)), /sides of at most 100000/],
  ];
  it.each(kinds)("%s: one line, exit code 2, no file", async (_name, write, message) => {
    await write(folder.file("a.png"));
    const { exitCode, stdout, stderr } = await run(
      stage.rcod,
      ["upscale", folder.file("a.png"), "--model", folder.path],
      noAdapter(),
    );
    expect([exitCode, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(await readdir(folder.path)).toEqual(["a.png"]);
  });

  it("an existing result is kept, before any GPU is asked for", async () => {
    await save(folder.file("a.png"), plain(2, 2));
    await writeFile(folder.file("a-x4.png"), "old");
    const { exitCode, stderr } = await run(
      stage.rcod,
      ["upscale", folder.file("a.png"), "--model", folder.path],
      noAdapter(),
    );
    expect(exitCode).toBe(2);
    expect(stderr).toBe(
      `rcod: ${folder.file("a-x4.png")} exists already. Use --force to replace it\n`,
    );
    expect(await readFile(folder.file("a-x4.png"), "utf8")).toBe("old");
  });
});

describe("file names", () => {
  it("that begin with a dash are explained, and work behind ./", async () => {
    await save(folder.file("-photo.png"), plain(2, 2));
    const bare = spawnSync(process.execPath, [stage.rcod, "upscale", "-photo.png"], {
      cwd: folder.path,
      encoding: "utf8",
    });
    expect([bare.status, bare.stdout, bare.stderr]).toEqual([
      2,
      "",
      "rcod: unknown option '-photo.png'. The file of that name is written ./-photo.png\n",
    ]);
    const args = [stage.driver, "here", "polite", "./-photo.png", "--", "-photo.png"];
    const found = spawnSync(process.execPath, args, { cwd: folder.path, encoding: "utf8" });
    expect([found.status, found.stderr.match(/^rcod: .*$/gm)]).toEqual([0, null]);
    expect(await readdir(folder.path)).toEqual(["-photo-x4.png", "-photo.png"]);
  });

  it("that are no UTF-8 come through from the shell", async () => {
    await save(folder.file("a.png"), plain(2, 2));
    const script =
      'cd "$1" && mv a.png "$(printf \'\\377 ]\\n.png\')" && exec "$2" "$3" here polite *.png';
    const result = spawnSync("sh", [
      "-c",
      script,
      "sh",
      folder.path,
      process.execPath,
      stage.driver,
    ]);
    expect([result.status, String(result.stdout)]).toEqual([
      0,
      expect.stringMatching(/^\\xff \].*\.png → .*-x4\.png {2}2 × 2 → 8 × 8/),
    ]);
    const names = await readdir(folder.path, { encoding: "buffer" });
    expect(names.every((name) => name[0] === 0xff)).toBe(true);
    expect(names).toHaveLength(2);
  });
});

describe("standard input and output", () => {
  it("carry the image and nothing else", async () => {
    const input = await plain(3, 2).png().toBuffer();
    const args = [stage.driver, "here", "polite", "-", "--format", "webp"];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { input });
    expect(status, String(stderr)).toBe(0);
    expect(stdout.toString("latin1", 8, 12)).toBe("WEBP");
    expect(stdout.length).toBe(8 + stdout.readUInt32LE(4));
    expect(String(stderr)).toMatch(/^standard input → standard output {2}3 × 2 → 12 × 8/m);
  });

  it("end at SIGINT while nothing comes in", async () => {
    const child = spawn(process.execPath, [stage.driver, "here", "polite", "-"], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    // More than a pipe holds: it has gone out once the command reads.
    await new Promise((resolve) => child.stdin.write(Buffer.alloc(1 << 20), resolve));
    child.kill("SIGINT");
    const exitCode = await new Promise((resolve) => child.once("close", resolve));
    expect([exitCode, stderr]).toEqual([130, "rcod: interrupted\n"]);
  });
});

describe("signals", () => {
  it.each([
    ["SIGINT", 130, "here"],
    ["SIGTERM", 143, "here"],
    ["SIGINT", 130, "launch"], // on a machine without a GPU: parent and child
    ["SIGHUP", 129, "launch"],
  ] as const)("%s ends with %d and no half file (%s)", async (signal, exitCode, launching) => {
    await save(folder.file("photo.png"), plain(2, 2));
    const process = start(
      stage.driver,
      [launching, "polite", folder.file("photo.png")],
      bareEnvironment(),
    );
    await process.seen("denoising");
    process.child.kill(signal);
    const finished = await process.finished;
    expect(finished.exitCode, finished.stderr).toBe(exitCode);
    expect(finished.stderr).toMatch(/^rcod: interrupted$/m);
    expect(await readdir(folder.path)).toEqual(["photo.png"]);
  });

  it.each([
    ["polite", "with nothing left"],
    ["deaf", "also where it hears nothing"],
  ] as const)("SIGKILL of the launcher ends what it has started, %s: %s", async (manners, _how) => {
    await save(folder.file("photo.png"), plain(2, 2));
    const args = ["launch", manners, folder.file("photo.png")];
    const process = start(stage.driver, args, bareEnvironment());
    await process.seen("denoising");
    process.child.kill("SIGKILL");
    await process.finished; // the child has the same output: it is closed when both are gone
    expect(await readdir(folder.path)).toEqual(["photo.png"]);
  });

  it("takes two signals in quick succession as one", async () => {
    await save(folder.file("photo.png"), plain(2, 2));
    const process = start(stage.driver, ["here", "polite", folder.file("photo.png")]);
    await process.seen("denoising");
    process.child.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.child.kill("SIGINT");
    const finished = await process.finished;
    expect(finished.exitCode).toBe(130);
    expect(finished.stderr).toMatch(/^rcod: interrupted$/m);
  });

  it("ends at once at a second Ctrl-C when the engine does not listen", async () => {
    await save(folder.file("photo.png"), plain(2, 2));
    const process = start(stage.driver, ["here", "stubborn", folder.file("photo.png")]);
    await process.seen("denoising");
    process.child.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 1200));
    process.child.kill("SIGINT");
    expect((await process.finished).exitCode).toBe(130);
    expect(await readdir(folder.path)).toEqual(["photo.png"]);
  });

  it("ends a child that hears nothing at a second Ctrl-C", async () => {
    await save(folder.file("photo.png"), plain(2, 2));
    const args = ["launch", "deaf", folder.file("photo.png")];
    const process = start(stage.driver, args, bareEnvironment());
    await process.seen("denoising");
    process.child.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 1200));
    process.child.kill("SIGINT");
    expect((await process.finished).exitCode).toBe(130);
  });

  it("without one, the driver writes its file", async () => {
    await save(folder.file("photo.png"), plain(2, 2));
    const { exitCode, stdout } = await run(stage.driver, [
      "here",
      "polite",
      folder.file("photo.png"),
    ]);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/photo-x4\.png/);
    expect(await readdir(folder.path)).toEqual(["photo-x4.png", "photo.png"]);
  });
});

const mesa =
  process.env["RCOD_MESA"] ??
  fileURLToPath(new URL("../../node_modules/.cache/mesa", import.meta.url)); // as in vitest.config.ts

describe.skipIf(unpackedMesa(mesa) === null)(
  "on a fetched Mesa (skipped where node_modules/.cache has none)",
  () => {
    const environment = async () => {
      await mkdir(folder.file("rcod-webgpu"));
      await symlink(mesa, folder.file("rcod-webgpu", "mesa"));
      return bareEnvironment(folder.path);
    };
    const notice =
      "no GPU found: using the software adapter (llvmpipe), some hundred times slower\n";

    it("is what a command takes without a GPU, with one line about it", async () => {
      const { exitCode, stdout, stderr } = await run(stage.rcod, ["doctor"], await environment());
      expect(exitCode, stderr).toBe(0);
      expect(stdout).toMatch(/^adapter .*llvmpipe: Mesa/m);
      expect(stderr).toBe(notice);
    });

    it("ends with the command's exit code, output and errors", async () => {
      const args = ["verify", folder.file("rcod-webgpu")];
      const { exitCode, stdout, stderr } = await run(stage.rcod, args, await environment());
      expect([exitCode, stderr]).toEqual([1, notice]);
      expect(stdout).toMatch(/no \.safetensors file in/);
    });

    it("ends at SIGINT, with 130 and no half file", async () => {
      const environmentHere = await environment();
      await save(folder.file("photo.png"), plain(2, 2));
      const args = ["launch", "polite", folder.file("photo.png")];
      const process = start(stage.driver, args, environmentHere);
      await process.seen("denoising");
      process.child.kill("SIGINT");
      const { exitCode, stderr } = await process.finished;
      expect(exitCode, stderr).toBe(130);
      expect(stderr).toMatch(/^rcod: interrupted$/m);
      expect(await readdir(folder.path)).toEqual(["photo.png", "rcod-webgpu"]);
    });

    it("tells what is used under `adapter status`", async () => {
      const { stdout } = await run(
        stage.rcod,
        ["adapter", "status", "--json"],
        await environment(),
      );
      expect(JSON.parse(stdout)).toMatchObject({
        used: "mesa",
        mesa: { adapter: { name: expect.stringContaining("llvmpipe"), isSoftware: true } },
      });
    });
  },
);

describe("a disk that is full", () => {
  const mount = spawnSync("unshare", ["-rm", "true"]).status === 0;
  it.skipIf(!mount)(
    "is told, and nothing is left on it (skipped where unshare -rm is not allowed)",
    async () => {
      await save(folder.file("photo.png"), noise(128, 128)); // the result needs about 400 KiB
      await mkdir(folder.file("disk"));
      const script =
        'mount -t tmpfs -o size=64k tmpfs "$1/disk" && cp "$1/photo.png" "$1/disk" && "$2" "$3" here polite "$1/disk/photo.png"; ' +
        'echo "exit $?"; ls -A "$1/disk"';
      const result = spawnSync(
        "unshare",
        ["-rm", "sh", "-c", script, "sh", folder.path, process.execPath, stage.driver],
        { encoding: "utf8" },
      );
      expect(result.stderr).toMatch(
        /^rcod: .*cannot write .*disk\/photo-x4\.png \(.*KiB\): the disk is full$/m,
      );
      expect(result.stdout).toBe("exit 1\nphoto.png\n");
    },
  );

  it.skipIf(!mount)(
    "is told while a large result is written (skipped where unshare -rm is not allowed)",
    async () => {
      await save(folder.file("photo.png"), noise(2100, 1000)); // the result has 34 megapixels
      await mkdir(folder.file("disk"));
      const script =
        'mount -t tmpfs -o size=64k tmpfs "$1/disk" && "$2" "$3" here polite "$1/photo.png" -o "$1/disk/a.tif"; ' +
        'echo "exit $?"; ls -A "$1/disk"';
      const result = spawnSync(
        "unshare",
        ["-rm", "sh", "-c", script, "sh", folder.path, process.execPath, stage.driver],
        { encoding: "utf8" },
      );
      expect(result.stderr).toMatch(/^rcod: .*cannot write .*disk\/a\.tif: the disk is full$/m);
      expect(result.stdout).toBe("exit 1\n");
    },
  );
});

describe("standard output that takes nothing", () => {
  const script = (redirect: string) => `"$1" "$2" --help ${redirect}; echo "exit $?" >&2`;
  it.each([
    [
      "a full disk",
      "> /dev/full",
      "rcod: cannot write to standard output: the disk is full\nexit 1\n",
    ],
    ["a reader that is gone", "2>&1 | true", "exit 0\n"],
    ["none at all", ">&-", "exit 0\n"],
  ])("is told where it matters: %s", (_name, redirect, told) => {
    const args = ["-c", script(redirect), "sh", process.execPath, stage.rcod];
    const { stderr } = spawnSync("sh", args, { encoding: "utf8", env: noAdapter() });
    expect(stderr).toBe(told);
  });
});

describe("doctor", () => {
  it("finds an adapter by itself: a GPU, or the software adapter with one line about it", async () => {
    const { exitCode, stdout, stderr } = await run(
      stage.rcod,
      ["doctor", "--json"],
      bareEnvironment(),
    );
    const report = JSON.parse(stdout) as {
      ok: boolean;
      adapter: { isSoftware: boolean };
    };
    expect([exitCode, report.ok], stderr).toEqual([0, true]);
    expect(stderr).toMatch(
      report.adapter.isSoftware
        ? /^no GPU found: using the software adapter \((SwiftShader|llvmpipe)\), .* slower.*\n$/
        : /^$/,
    );
  });

  it("works without any adapter: what is wrong, what to do, exit code 1", async () => {
    const { exitCode, stdout } = await run(stage.rcod, ["doctor"], noAdapter());
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^adapter +none$/m);
    expect(stdout).toMatch(
      /^Verdict: no adapter: rcod cannot compute here\n {2}device: .*\n {2}- \S/m,
    );
  });
});
