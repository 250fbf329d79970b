/** What can be looked at: the picture as it came, and the last results. */
import { mat3, vec2 } from "wgpu-matrix";
import type { LayerId } from "../protocol.ts";
import { Layer } from "./layer.ts";
import { ViewPipeline } from "./view-pipeline.ts";

/** Results kept for comparing. */
const MAX_RESULTS = 4;
/** Bytes of all results together, unless a single one has more. */
const MAX_RESULT_BYTES = 512 * 2 ** 20;

export class LayerStore {
  readonly #device: GPUDevice;
  readonly #results = new Map<number, Layer>();
  /** The picture as it came; the viewer enlarges it until the engine has. */
  #source: Layer | undefined;
  #enlarged: Layer | undefined;
  #enlarging: ViewPipeline | undefined;
  #nextId = 1;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** A new picture: what belonged to the last one goes. */
  setSource(image: ImageData): void {
    for (const layer of [this.#source, this.#enlarged, ...this.#results.values()]) layer?.destroy();
    this.#results.clear();
    this.#enlarged = undefined;
    this.#source = Layer.empty(this.#device, image.width, image.height);
    const { width, height, data } = image;
    this.#source.write(this.#device.queue, { x: 0, y: 0, width, height, data });
  }

  /** Whether `setEnlarged` has been called for the present picture at this size. */
  hasEnlarged(width: number, height: number): boolean {
    return this.#enlarged?.width === width && this.#enlarged.height === height;
  }

  /** The engine's own bicubic enlargement; it belongs to the store from now on. */
  setEnlarged(texture: GPUTexture): void {
    this.#enlarged?.destroy();
    this.#enlarged = Layer.of(texture);
  }

  /** A result, which belongs to the store from now on, and the oldest ones, which make room for it. */
  add(layer: Layer): { readonly id: number; readonly dropped: readonly number[] } {
    const dropped = this.#makeRoom(layer.byteLength);
    const id = this.#nextId++;
    this.#results.set(id, layer);
    return { id, dropped };
  }

  /** A result that comes in parts: until they are there, the picture enlarged by bicubic. */
  begin(
    width: number,
    height: number,
  ): { readonly id: number; readonly layer: Layer; readonly dropped: readonly number[] } {
    const source = this.#source;
    if (!source) throw new Error("internal: a result before its picture");
    const dropped = this.#makeRoom(width * height * 4);
    const layer = Layer.empty(this.#device, width, height);
    this.#enlarging ??= new ViewPipeline(this.#device, "rgba8unorm", "enlarge_main");
    for (const { texture, x, y } of layer.tiles) {
      this.#enlarging.draw(texture, {
        left: source,
        right: source,
        toPicture: mat3.translation(vec2.fromValues(x, y)),
        pictureSize: [width, height],
        divider: 0,
        scale: 1,
        mode: "single",
      });
    }
    const id = this.#nextId++;
    this.#results.set(id, layer);
    return { id, layer, dropped };
  }

  /** Frees a result. */
  drop(id: number): void {
    this.#results.get(id)?.destroy();
    this.#results.delete(id);
  }

  /** Undefined where there is no such thing (any more). */
  layer(id: LayerId): Layer | undefined {
    return id === "bicubic" ? (this.#enlarged ?? this.#source) : this.#results.get(id);
  }

  #makeRoom(byteLength: number): readonly number[] {
    const sizes = [...this.#results].map(([id, layer]) => [id, layer.byteLength] as const);
    let bytes = byteLength + sizes.reduce((sum, [, size]) => sum + size, 0);
    let count = sizes.length + 1;
    const dropped: number[] = [];
    for (const [id, size] of sizes) {
      if (count <= MAX_RESULTS && bytes <= MAX_RESULT_BYTES) break;
      this.drop(id);
      dropped.push(id);
      bytes -= size;
      count--;
    }
    return dropped;
  }
}
