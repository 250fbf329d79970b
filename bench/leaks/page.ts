/** The page of the leak loop. `bench/leaks.ts` drives it. */
import { loadModel, requestGpu } from "../../src/index.ts";
import { memoryFiles } from "../../src/weights/index.ts";
import { minimalFiles } from "../../tests/rcod/support.ts";
import { modelLoop } from "./model-loop.ts";

const gpu = await requestGpu();
const load = async (url: string) =>
  loadModel(url === "minimal" ? memoryFiles(await minimalFiles()) : url, { gpu: gpu.device });
Object.assign(globalThis, { leakPage: modelLoop(load) });
