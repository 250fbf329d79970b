/** The render pipeline of the view, its uniforms and one draw. */
import type { Mat3 } from "wgpu-matrix";
import type { Layer, LayerTile } from "./layer.ts";
import type { ViewCell } from "./view-cells.ts";
import { viewCells } from "./view-cells.ts";
import { VIEW_SHADER } from "./view-shader.ts";

export interface Drawing {
  readonly left: Layer;
  readonly right: Layer;
  /** From canvas pixels to pixels of the enlarged picture. */
  readonly toPicture: Mat3;
  readonly pictureSize: readonly [number, number];
  /** In canvas pixels. */
  readonly divider: number;
  readonly scale: number;
  readonly mode: "single" | "split" | "side" | "difference";
}

/** As the constants of the shader. */
const MODES = { single: 0, split: 1, side: 2, difference: 3 } as const;

/** mat3x3f is 12 words: wgpu-matrix pads its columns as WGSL does. Then two vec2f, two vec4f, three scalars and padding. */
const UNIFORM_WORDS = 12 + 4 + 8 + 4;
/** Uniforms of a cell begin at multiples of this many bytes: the limit of every device. */
const UNIFORM_STRIDE = 256;

export class ViewPipeline {
  readonly #device: GPUDevice;
  readonly #pipeline: GPURenderPipeline;
  readonly #sampler: GPUSampler;
  #uniforms: GPUBuffer | undefined;

  /** `enlarge_main` draws the left layer alone, as it is. */
  constructor(
    device: GPUDevice,
    format: GPUTextureFormat,
    entryPoint: "fragment_main" | "enlarge_main",
  ) {
    this.#device = device;
    const module = device.createShaderModule({ label: "view", code: VIEW_SHADER });
    const visibility = GPUShaderStage.FRAGMENT;
    const layout = device.createBindGroupLayout({
      label: "view",
      entries: [
        { binding: 0, visibility, buffer: {} },
        { binding: 1, visibility, texture: {} },
        { binding: 2, visibility, texture: {} },
        { binding: 3, visibility, sampler: {} },
      ],
    });
    this.#pipeline = device.createRenderPipeline({
      label: "view",
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      vertex: { module },
      fragment: { module, entryPoint, targets: [{ format }] },
    });
    this.#sampler = device.createSampler({ magFilter: "linear", minFilter: "linear" });
  }

  draw(target: GPUTexture, drawing: Drawing): void {
    const { left, right, toPicture, pictureSize, mode } = drawing;
    const canvas = [target.width, target.height] as const;
    const view = { toPicture, pictureSize, canvas, isTwice: mode === "side" };
    const cells = viewCells(left, right, view);
    const uniforms = this.#uniformsOf(cells.length);
    const encoder = this.#device.createCommandEncoder({ label: "view" });
    const pass = encoder.beginRenderPass({
      colorAttachments: [{ view: target.createView(), loadOp: "clear", storeOp: "store" }],
    });
    pass.setPipeline(this.#pipeline);
    for (const [i, cell] of cells.entries()) {
      const [ofLeft, ofRight] = [left.tileAt(...cell.left), right.tileAt(...cell.right)];
      const offset = i * UNIFORM_STRIDE;
      const data = uniformData(canvas, drawing, [ofLeft, ofRight]);
      this.#device.queue.writeBuffer(uniforms, offset, data);
      pass.setBindGroup(0, this.#bindGroup(uniforms, offset, [ofLeft, ofRight]));
      pass.setScissorRect(...scissor(cell));
      pass.draw(3);
    }
    pass.end();
    this.#device.queue.submit([encoder.finish()]);
  }

  #uniformsOf(cells: number): GPUBuffer {
    const size = Math.max(1, cells) * UNIFORM_STRIDE;
    if (this.#uniforms && this.#uniforms.size >= size) return this.#uniforms;
    this.#uniforms?.destroy();
    this.#uniforms = this.#device.createBuffer({
      label: "view uniforms",
      size,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    return this.#uniforms;
  }

  #bindGroup(
    buffer: GPUBuffer,
    offset: number,
    [left, right]: readonly [LayerTile, LayerTile],
  ): GPUBindGroup {
    return this.#device.createBindGroup({
      layout: this.#pipeline.getBindGroupLayout(0),
      entries: [
        { binding: 0, resource: { buffer, offset, size: UNIFORM_WORDS * 4 } },
        { binding: 1, resource: left.texture.createView() },
        { binding: 2, resource: right.texture.createView() },
        { binding: 3, resource: this.#sampler },
      ],
    });
  }
}

const scissor = ({ x, y, width, height }: ViewCell): [number, number, number, number] => [
  x,
  y,
  width,
  height,
];

function uniformData(
  canvas: readonly [number, number],
  { left, right, toPicture, pictureSize, divider, scale, mode }: Drawing,
  [ofLeft, ofRight]: readonly [LayerTile, LayerTile],
): ArrayBuffer {
  const buffer = new ArrayBuffer(UNIFORM_WORDS * 4);
  const floats = new Float32Array(buffer);
  const place = (layer: Layer, { x, y }: LayerTile): readonly number[] => [
    -x,
    -y,
    layer.width / pictureSize[0],
    layer.height / pictureSize[1],
  ];
  floats.set(toPicture);
  floats.set([...pictureSize, ...canvas], 12);
  floats.set([...place(left, ofLeft), ...place(right, ofRight), divider, scale], 16);
  new Uint32Array(buffer).set([MODES[mode]], 26);
  return buffer;
}
