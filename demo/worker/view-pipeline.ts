/** The render pipeline of the view, its uniforms and one draw. */
import type { Mat3 } from "wgpu-matrix";
import type { LayerTile } from "./layer.ts";
import { Layer } from "./layer.ts";
import type { ViewCell } from "./view-cells.ts";
import { viewCells } from "./view-cells.ts";
import { VIEW_SHADER } from "./view-shader.ts";

/** Two layers of equal size that are drawn as one between them. */
export interface BlendedLayers {
  readonly from: Layer;
  readonly to: Layer;
  /** 0: `from` alone; 1: `to` alone. */
  readonly share: number;
}

export interface Drawing {
  readonly left: Layer | BlendedLayers;
  readonly right: Layer | BlendedLayers;
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

/** mat3x3f is 12 words: wgpu-matrix pads its columns as WGSL does. Then two vec2f, four vec4f, five scalars and padding. */
const UNIFORM_WORDS = 12 + 4 + 16 + 8;
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
        { binding: 3, visibility, texture: {} },
        { binding: 4, visibility, texture: {} },
        { binding: 5, visibility, sampler: {} },
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
    const { toPicture, pictureSize, mode } = drawing;
    const [left, right] = [blended(drawing.left), blended(drawing.right)];
    const layers = [left.from, right.from, left.to, right.to];
    const shares = [left.share, right.share] as const;
    const canvas = [target.width, target.height] as const;
    const view = { toPicture, pictureSize, canvas, isTwice: mode === "side" };
    const cells = viewCells(layers, view);
    const uniforms = this.#uniformsOf(cells.length);
    const encoder = this.#device.createCommandEncoder({ label: "view" });
    const pass = encoder.beginRenderPass({
      colorAttachments: [{ view: target.createView(), loadOp: "clear", storeOp: "store" }],
    });
    pass.setPipeline(this.#pipeline);
    for (const [i, cell] of cells.entries()) {
      const tiles = layers.map((layer, of) => layer.tileAt(...(cell.tiles[of] ?? [0, 0])));
      const places = layers.flatMap((layer, of) =>
        placeOf(layer, tiles[of] as LayerTile, pictureSize),
      );
      const offset = i * UNIFORM_STRIDE;
      const data = uniformData(canvas, drawing, places, shares);
      this.#device.queue.writeBuffer(uniforms, offset, data);
      pass.setBindGroup(0, this.#bindGroup(uniforms, offset, tiles));
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

  #bindGroup(buffer: GPUBuffer, offset: number, tiles: readonly LayerTile[]): GPUBindGroup {
    return this.#device.createBindGroup({
      layout: this.#pipeline.getBindGroupLayout(0),
      entries: [
        { binding: 0, resource: { buffer, offset, size: UNIFORM_WORDS * 4 } },
        ...tiles.map(({ texture }, i) => ({ binding: 1 + i, resource: texture.createView() })),
        { binding: 1 + tiles.length, resource: this.#sampler },
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

/** A layer alone is blended with itself. */
const blended = (layer: Layer | BlendedLayers): BlendedLayers =>
  layer instanceof Layer ? { from: layer, to: layer, share: 0 } : layer;

/** From pixels of the picture to texels of a tile: an offset, then a factor. */
function placeOf(
  { width, height }: Layer,
  { x, y }: LayerTile,
  pictureSize: readonly [number, number],
): readonly number[] {
  return [-x, -y, width / pictureSize[0], height / pictureSize[1]];
}

function uniformData(
  canvas: readonly [number, number],
  { toPicture, pictureSize, divider, scale, mode }: Drawing,
  places: readonly number[],
  shares: readonly [left: number, right: number],
): ArrayBuffer {
  const buffer = new ArrayBuffer(UNIFORM_WORDS * 4);
  const floats = new Float32Array(buffer);
  floats.set(toPicture);
  floats.set([...pictureSize, ...canvas, ...places, divider, scale, ...shares], 12);
  new Uint32Array(buffer).set([MODES[mode]], 36);
  return buffer;
}
