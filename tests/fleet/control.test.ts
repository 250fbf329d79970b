/** Rates and time left as `status` tells them, and `--gpu`. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { prometheusText } from "../../fleet/control/prometheus.ts";
import { secondsLeft, workerRates } from "../../fleet/control/rates.ts";
import type { DoneJob } from "../../fleet/queue/job-store.ts";
import { chooseByBus, chooseByName } from "../../fleet/worker/choose-gpu.ts";
import { useFolder } from "../cli/support/terminal.ts";

const NOW = 1_000_000;

const done = (worker: string, startedAt: number, finishedAt: number, more = {}): DoneJob => ({
  worker,
  outcome: "written",
  pixels: 2e6,
  ms: finishedAt - startedAt,
  startedAt,
  finishedAt,
  ...more,
});

describe("rates", () => {
  it("are of what a worker wrote in the last ten minutes", () => {
    const jobs = [
      done("a", NOW - 10_000, NOW - 5000),
      done("a", NOW - 5000, NOW),
      done("a", NOW - 20_000, NOW - 19_000, { outcome: "there" }),
      done("b", NOW - 4000, NOW),
      done("b", NOW - 700_000, NOW - 690_000),
    ];
    expect(workerRates(jobs, ["a", "c"], NOW)).toEqual([
      {
        worker: "a",
        isConnected: true,
        pictures: 2,
        picturesPerSecond: 0.2,
        megapixelsPerSecond: 0.4,
      },
      {
        worker: "b",
        isConnected: false,
        pictures: 1,
        picturesPerSecond: 0.25,
        megapixelsPerSecond: 0.5,
      },
      { worker: "c", isConnected: true, pictures: 0, picturesPerSecond: 0, megapixelsPerSecond: 0 },
    ]);
  });

  it("give the time left by those who are there", () => {
    const rates = workerRates(
      [done("a", NOW - 10_000, NOW), done("b", NOW - 10_000, NOW)],
      ["a"],
      NOW,
    );
    expect(secondsLeft(5, rates)).toBe(50);
    expect(secondsLeft(5, workerRates([], ["a"], NOW))).toBe(undefined);
    expect(secondsLeft(0, [])).toBe(0);
    expect(secondsLeft(5, workerRates([done("a", NOW - 10_000, NOW)], undefined, NOW))).toBe(50);
  });

  it("are numbers of Prometheus, whatever a worker is called", () => {
    const rates = workerRates([done('a"\n', NOW - 10_000, NOW)], undefined, NOW);
    expect(prometheusText("# of the queue", "rcod", rates).split("\n")).toEqual([
      "# of the queue",
      expect.stringMatching(/^# HELP/),
      "# TYPE rcod_worker_pictures_per_second gauge",
      'rcod_worker_pictures_per_second{queue="rcod", worker="a\\"\\n"} 0.1',
      expect.stringMatching(/^# HELP/),
      "# TYPE rcod_worker_megapixels_per_second gauge",
      'rcod_worker_megapixels_per_second{queue="rcod", worker="a\\"\\n"} 0.2',
    ]);
  });
});

describe("--gpu", () => {
  const folder = useFolder();

  async function machineWith(...addresses: readonly string[]) {
    const devices = join(folder.path, "devices");
    for (const address of [...addresses, "0000:00:1f.0"]) {
      await mkdir(join(devices, address), { recursive: true });
      const isGpu = address !== "0000:00:1f.0";
      await writeFile(join(devices, address, "class"), isGpu ? "0x030200\n" : "0x060100\n");
    }
    const layer = join(folder.path, "layer.json");
    return { devices, layers: [layer], layer };
  }

  it("names the one that counts so on the bus, where Mesa's layer is there", async () => {
    const places = await machineWith("0000:41:00.0", "0000:01:00.0");
    const environment: NodeJS.ProcessEnv = {};
    expect(await chooseByBus(1, places, environment)).toBe(false);
    await writeFile(places.layer, "{}");
    expect(await chooseByBus(1, places, environment)).toBe(true);
    expect(environment).toEqual({
      DRI_PRIME: "pci-0000_41_00_0!",
      MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE: "1",
    });
    await expect(chooseByBus(2, places)).rejects.toThrow(
      "--gpu 2: counted from 0, this machine shows 0 (0000:01:00.0), 1 (0000:41:00.0)",
    );
  });

  it("leaves it to names where the bus shows one, or none", async () => {
    const places = await machineWith("0000:01:00.0");
    await writeFile(places.layer, "{}");
    const environment: NodeJS.ProcessEnv = {};
    expect(await chooseByBus(0, places, environment)).toBe(false);
    expect(environment).toEqual({});
  });

  it("tells GPUs by their names, and counts what runs on the CPU only where there is nothing else", () => {
    const gpus = ["Intel Arc", "NVIDIA L4", "llvmpipe (LLVM 19.1.7, 256 bits)"];
    expect([0, 1].map((index) => chooseByName(index, gpus))).toEqual(["Intel Arc", "NVIDIA L4"]);
    expect(() => chooseByName(2, gpus)).toThrow(
      "--gpu 2: counted from 0, this machine shows 0 (Intel Arc), 1 (NVIDIA L4)",
    );
    expect(chooseByName(0, gpus.slice(2))).toBe(gpus[2]);
    expect(() => chooseByName(0, [])).toThrow("this machine shows none");
  });

  it.each([
    [["NVIDIA L4", "NVIDIA L4"], 1],
    [["NVIDIA L40", "NVIDIA L4"], 1],
  ])("says what it takes to tell GPUs of one name apart: %j", (gpus, index) => {
    expect(() => chooseByName(index, gpus)).toThrow(
      "there is more than one NVIDIA L4, and choosing one of them takes Mesa's device-select layer",
    );
  });
});
