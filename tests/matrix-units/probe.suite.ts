import { expect, it } from "vitest";
import { requestNodeGpu } from "../../src/node/gpu.ts";

it("finds", async () => {
  const gpu = await requestNodeGpu({ toggles: ["allow_unsafe_apis"] });
  console.log(JSON.stringify(gpu.caps, null, 1));
  expect(gpu.caps.matrixUnits).not.toBe(null);
});
