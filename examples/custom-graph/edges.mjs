// A network of one's own: finds edges. Nothing here is about RCOD; operations, fusion, memory plan and kernels are
// the library's.
//
//   node examples/custom-graph/edges.mjs photo.jpg edges.png
//
//   image [1, H, W, 3] → luma [1, H, W, 1] → Sobel, both ways and negated [1, H-2, W-2, 4] → SiLU → sum [.., 1]
//
// silu(x) + silu(-x) = x · tanh(x / 2), a smooth |x|.
import { DeviceWeights, GraphBuilder, Program, WeightScope } from "rcod-webgpu/graph";
import { packActivation, planGraph } from "rcod-webgpu/graph";
import { requestNodeGpu } from "rcod-webgpu/node";
import sharp from "sharp";

const [input, output] = process.argv.slice(2);
if (!input || !output) throw new Error("usage: edges.mjs INPUT OUTPUT");

// Parameters by name, as a checkpoint would have them: linear [out, in], convolution [out, in, height, width].
const parameters = {
  "luma.weight": { shape: [1, 3], values: [0.299, 0.587, 0.114] },
  "sobel.weight": {
    shape: [4, 1, 3, 3],
    values: [
      [-1, 0, 1, -2, 0, 2, -1, 0, 1],
      [1, 0, -1, 2, 0, -2, 1, 0, -1],
      [-1, -2, -1, 0, 0, 0, 1, 2, 1],
      [1, 2, 1, 0, 0, 0, -1, -2, -1],
    ].flat(),
  },
  "sum.weight": { shape: [1, 4], values: [0.25, 0.25, 0.25, 0.25] },
};

/** What the graph's weights are read from. Files: see openSafetensors in rcod-webgpu/weights. */
const source = {
  /** @param {string} name */
  tensor(name) {
    const { shape, values } = parameters[/** @type {keyof typeof parameters} */ (name)];
    const bytes = new Uint8Array(new Float32Array(values).buffer);
    return {
      dtype: /** @type {const} */ ("F32"),
      shape,
      byteLength: bytes.byteLength,
      /** @param {number} start @param {number} length */
      read: async (start, length) => bytes.subarray(start, start + length),
    };
  },
  lora: () => null,
};

// Build. Shapes are checked here; names are those of the parameters.
const decoded = sharp(input).toColourspace("srgb").removeAlpha().raw();
const { data, info } = await decoded.toBuffer({ resolveWithObject: true });
const root = new WeightScope();
const g = new GraphBuilder("f32");
const image = g.input("image", [1, info.height, info.width, 3]);
const luma = g.linear(image, root.at("luma"), 1, false);
const sobel = { outChannels: 4, kernelSize: 3, stride: 1, padding: 0, bias: false };
const slopes = g.conv2d(luma, root.at("sobel"), sobel);
const sizes = g.activation(slopes, "silu", "sizes");
g.output("edges", g.linear(sizes, root.at("sum"), 1, false));

// Plan: passes fuse operations, values share memory. Needs no device, only what one can do.
const gpu = await requestNodeGpu();
const plan = planGraph(g.build(), gpu.caps);
console.log(plan.steps.map(({ kernel, node }) => `${kernel} (${node.path})`).join(" → "));

// Run: weights go to the device once, the program as often as you like.
const weights = new DeviceWeights(gpu, source, { dtype: "f32" });
await weights.load(plan.weights);
const program = await Program.create(gpu, plan, weights);
const levels = Float32Array.from(data, (level) => level / 32);
await program.run({ image: packActivation(levels, 3, "f32") });
const edges = await program.read("edges"); // [1, H - 2, W - 2, 1]

const [, height = 0, width = 0] = edges.shape;
const pixels = Uint8Array.from(edges.data, (v) => Math.min(255, Math.round(v * 32)));
await sharp(pixels, { raw: { width, height, channels: 1 } }).toFile(output);
program.dispose();
weights.dispose();
gpu.destroy();
