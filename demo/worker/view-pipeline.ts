/** The render pipeline of the view, its uniforms and one draw. */
import type { Mat3 } from "wgpu-matrix";
import { VIEW_SHADER } from "./view-shader.ts";

export interface Drawing {
  readonly left: GPUTexture;
  readonly right: GPUTexture;
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

/** mat3x3f is 12 words: wgpu-matrix pads its columns as WGSL does. Then two vec2f, three scalars and padding. */
const UNIFORM_WORDS = 12 + 4 + 4;

export class ViewPipeline {
  readonly #device: GPUDevice;
  readonly #pipeline: GPURenderPipeline;
  readonly #uniforms: GPUBuffer;
  readonly #sampler: GPUSampler;

  constructor(device: GPUDevice, format: GPUTextureFormat) {
    this.#device = device;
    const module = device.createShaderModule({ label: "view", code: VIEW_SHADER });
    this.#pipeline = device.createRenderPipeline({
      label: "view",
      layout: "auto",
      vertex: { module },
      fragment: { module, targets: [{ format }] },
    });
    this.#uniforms = device.createBuffer({
      label: "view uniforms",
      size: UNIFORM_WORDS * 4,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    this.#sampler = device.createSampler({ magFilter: "linear", minFilter: "linear" });
  }

  draw(target: GPUTexture, drawing: Drawing): void {
    this.#device.queue.writeBuffer(this.#uniforms, 0, uniformData(target, drawing));
    const entries = [
      { binding: 0, resource: { buffer: this.#uniforms } },
      { binding: 1, resource: drawing.left.createView() },
      { binding: 2, resource: drawing.right.createView() },
      { binding: 3, resource: this.#sampler },
    ];
    const layout = this.#pipeline.getBindGroupLayout(0);
    const encoder = this.#device.createCommandEncoder({ label: "view" });
    const pass = encoder.beginRenderPass({
      colorAttachments: [{ view: target.createView(), loadOp: "clear", storeOp: "store" }],
    });
    pass.setPipeline(this.#pipeline);
    pass.setBindGroup(0, this.#device.createBindGroup({ layout, entries }));
    pass.draw(3);
    pass.end();
    this.#device.queue.submit([encoder.finish()]);
  }
}

function uniformData(
  { width, height }: GPUTexture,
  { toPicture, pictureSize, divider, scale, mode }: Drawing,
): ArrayBuffer {
  const buffer = new ArrayBuffer(UNIFORM_WORDS * 4);
  const floats = new Float32Array(buffer);
  floats.set(toPicture);
  floats.set([...pictureSize, width, height, divider, scale], 12);
  new Uint32Array(buffer).set([MODES[mode]], 18);
  return buffer;
}
