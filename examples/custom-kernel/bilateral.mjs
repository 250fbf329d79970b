import { ShapeError } from "rcod-webgpu/gpu";
// A kernel of one's own in a graph: a bilateral filter, which smooths but keeps edges, and with it sharpening
// without halos: y = (1 + amount) · x - amount · bilateral(x).
//
//   node examples/custom-kernel/bilateral.mjs photo.jpg sharp.png
//
// A kernel is a plain object: it turns a problem (plain data) into WGSL, sizes and operands. It never sees a device,
// so it can be printed and tested without one.
import { DeviceWeights, GraphBuilder, Program } from "rcod-webgpu/graph";
import { packActivation, planGraph } from "rcod-webgpu/graph";
import { dispatch, f32, foldWorkgroups, reads, u32, writes } from "rcod-webgpu/kernels";
import { requestNodeGpu } from "rcod-webgpu/node";
import sharp from "sharp";

const [input, output] = process.argv.slice(2);
if (!input || !output) throw new Error("usage: bilateral.mjs INPUT OUTPUT");

// The library writes the header: bindings named like the operands, `params`, `unpack` and `pack` between storage and
// vec4<f32>, so that one body serves f32, native halves and packed halves.
const BODY = /* wgsl */ `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) counts: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
  let i = flat_group(group, counts) * 64u + local;
  if (i >= params.width * params.height) { return; }
  let column = i32(i % params.width);
  let row = i32(i / params.width);
  let center = unpack(x[i]);
  var sum = vec4<f32>(0.0);
  var weights = 0.0;
  for (var dy = -2; dy <= 2; dy++) {
    for (var dx = -2; dx <= 2; dx++) {
      let at_row = clamp(row + dy, 0, i32(params.height) - 1);
      let at_column = clamp(column + dx, 0, i32(params.width) - 1);
      let value = unpack(x[u32(at_row) * params.width + u32(at_column)]);
      let difference = value - center;
      let weight = exp(params.space * f32(dx * dx + dy * dy) + params.color * dot(difference, difference));
      sum += weight * value;
      weights += weight;
    }
  }
  y[i] = pack(sum / weights);
}
`;

/**
 * Operands `x`, `y` [height, width, 3]: one quad a pixel, whose fourth channel is zero and stays so. 5 × 5 pixels,
 * edges repeated; the sigmas are in pixels and in units of x.
 * @typedef {{ dtype: "f32" | "f16", height: number, width: number, sigmaSpace: number, sigmaColor: number }} Bilateral
 * @type {import("rcod-webgpu/kernels").Kernel<Bilateral, "pixel">}
 */
const bilateral = {
  name: "bilateral",
  variants: ["pixel"], // kernels may have several, for different devices; `select` chooses
  select: () => "pixel",
  check({ height, width, sigmaSpace, sigmaColor }) {
    if (height >= 1 && width >= 1 && sigmaSpace > 0 && sigmaColor > 0) return;
    throw new ShapeError(
      `bilateral: sizes and sigmas must be above 0, got ${height}×${width}, ${sigmaSpace}, ${sigmaColor}`,
    );
  },
  plan(problem, caps) {
    this.check(problem);
    const { dtype, height, width, sigmaSpace, sigmaColor } = problem;
    const params = [
      u32("width", width),
      u32("height", height),
      f32("space", -0.5 / sigmaSpace ** 2),
      f32("color", -0.5 / sigmaColor ** 2),
    ];
    const header = { caps, dtype, operands: [reads("x"), writes("y")], params };
    const workgroups = foldWorkgroups(Math.ceil((height * width) / 64));
    const dispatches = [dispatch("bilateral", header, BODY, workgroups)];
    return { variant: "pixel", scratch: [], dispatches };
  },
  cost({ dtype, height, width }) {
    const bytes = height * width * (dtype === "f32" ? 16 : 8);
    return { flops: height * width * 25 * 20, bytesRead: bytes, bytesWritten: bytes };
  },
};

const decoded = sharp(input).toColourspace("srgb").removeAlpha().raw();
const { data, info } = await decoded.toBuffer({ resolveWithObject: true });
const { width, height } = info;

// In a graph it stands among the library's operations; planning, memory and profiles know no difference.
const amount = 1.5;
const g = new GraphBuilder("f32");
const x = g.input("x", [1, height, width, 3]);
const problem = { dtype: g.dtype, height, width, sigmaSpace: 2, sigmaColor: 0.1 };
const smooth = g.kernel(bilateral, problem, { inputs: { x }, output: "y" }, x.shape, "smooth");
g.output("y", g.combine(x, 1 + amount, smooth, -amount, "sharpen"));

const gpu = await requestNodeGpu();
const plan = planGraph(g.build(), gpu.caps);
const noWeights = new DeviceWeights(
  gpu,
  {
    tensor(name) {
      throw new Error(`the graph has no parameter ${name}`);
    },
    lora: () => null,
  },
  { dtype: "f32" },
);
const program = await Program.create(gpu, plan, noWeights);
const levels = Float32Array.from(data, (level) => level / 255);
await program.run({ x: packActivation(levels, 3, "f32") });
const result = await program.read("y");

const pixels = Uint8Array.from(result.data, (v) => Math.min(255, Math.max(0, Math.round(v * 255))));
await sharp(pixels, { raw: { width, height, channels: 3 } }).toFile(output);
program.dispose();
gpu.destroy();
