/** The page of the leak loop. `bench/leaks.ts` drives it. */
import { loadModel, requestGpu } from "../../src/index.ts";
import { modelLoop } from "./model-loop.ts";

const gpu = await requestGpu();
Object.assign(globalThis, {
  leakPage: modelLoop((url) => loadModel(url, { gpu: gpu.device })),
});
