/** Everything that the package declares, for compilers of any age with any libraries; never run. */
export * as bench from "rcod-webgpu/bench";
export * as cache from "rcod-webgpu/cache";
export * as gpu from "rcod-webgpu/gpu";
export * as graph from "rcod-webgpu/graph";
export * as kernels from "rcod-webgpu/kernels";
export * as models from "rcod-webgpu/models/rcod-tiny";
export * as verify from "rcod-webgpu/verify";
export * as weights from "rcod-webgpu/weights";
export * as worker from "rcod-webgpu/worker";
export * as calls from "rcod-webgpu/worker-calls";
export * as host from "rcod-webgpu/worker-host";

import { loadModel, requestGpu } from "rcod-webgpu";

const { device } = await requestGpu();
const model = await loadModel("rcod-tiny", { gpu: device });
const { image } = await model.upscale({
  width: 1,
  height: 1,
  channels: 3,
  data: new Uint8Array(3),
});
export const { length } = image.data;

// What a compiler does not know (a canvas in Node, a texture without WebGPU) must not become "anything".
// @ts-expect-error: a name is no picture
await model.upscale("photo.png");
// @ts-expect-error: data must be bytes
await model.upscale({ width: 1, height: 1, channels: 3, data: [0, 0, 0] });
// @ts-expect-error: this is no device
await loadModel("rcod-tiny", { gpu: { device } });
