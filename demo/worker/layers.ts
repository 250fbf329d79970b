/** What can be looked at: the picture as it came, and results. */
import { mat3, vec2 } from "wgpu-matrix";
import type { Blend, LayerId } from "../protocol.ts";
import { Layer } from "./layer.ts";
import type { ResultArchive } from "./result-archive.ts";
import type { BlendedLayers } from "./view-pipeline.ts";
import { ViewPipeline } from "./view-pipeline.ts";

/** Results that are on the device for comparing. */
const MAX_RESULTS = 4;
/** Bytes of all results together, unless those that are seen have more. */
const MAX_RESULT_BYTES = 512 * 2 ** 20;

/** A blend is drawn of two layers and is none. */
export type StoredId = Exclude<LayerId, "blend">;

export interface StoredLayer {
  readonly id: number;
  /** Results that made room and are in no file: they are gone. */
  readonly dropped: readonly number[];
}

export class LayerStore {
  readonly #device: GPUDevice;
  readonly #archive: ResultArchive;
  /** Those looked at last at the end. */
  readonly #results = new Map<number, Layer>();
  /** Results that the visitor has not asked for: they make no room, and none is made of them. */
  readonly #ahead = new Map<number, Layer>();
  /** On the stage, or being made: they make no room. */
  #seen: readonly StoredId[] = [];
  readonly #begun = new Set<number>();
  /** The picture as it came; the viewer enlarges it until the engine has. */
  #source: Layer | undefined;
  #image: ImageData | undefined;
  #enlarged: Layer | undefined;
  #enlarging: ViewPipeline | undefined;

  constructor(device: GPUDevice, archive: ResultArchive) {
    this.#device = device;
    this.#archive = archive;
  }

  /** Of all textures together. */
  get byteLength(): number {
    const layers = [...this.#results.values(), ...this.#ahead.values()];
    return [this.#source, this.#enlarged, ...layers].reduce(
      (sum, layer) => sum + (layer?.byteLength ?? 0),
      0,
    );
  }

  /** Another picture to look at. */
  setSource(image: ImageData): void {
    this.#source?.destroy();
    this.#enlarged?.destroy();
    this.#enlarged = undefined;
    this.#image = image;
    this.#source = layerOf(this.#device, image);
  }

  /** Whether the picture's enlargement by the engine is still wanted. */
  needsEnlarged(image: ImageData, width: number, height: number): boolean {
    const isThere = this.#enlarged?.width === width && this.#enlarged.height === height;
    return image === this.#image && !isThere;
  }

  /** The engine's own bicubic enlargement; it belongs to the store from now on. */
  setEnlarged(image: ImageData, texture: GPUTexture): void {
    if (image !== this.#image) {
      texture.destroy(); // another picture was opened meanwhile
      return;
    }
    this.#enlarged?.destroy();
    this.#enlarged = Layer.of(texture);
  }

  /** A result, which belongs to the store from now on. */
  add(layer: Layer): StoredLayer {
    const dropped = this.#makeRoom(layer.byteLength);
    const id = this.#archive.newId();
    this.#results.set(id, layer);
    return { id, dropped };
  }

  /** A result that nobody has asked for yet; it belongs to the store until it is dropped. */
  addAhead(layer: Layer): number {
    const id = this.#archive.newId();
    this.#ahead.set(id, layer);
    return id;
  }

  /** A result is the visitor's own from now on, if it was not before. */
  adopt(id: number): void {
    const layer = this.#ahead.get(id);
    if (!layer) return;
    this.#ahead.delete(id);
    this.#makeRoom(layer.byteLength);
    this.#results.set(id, layer);
  }

  /**
   * A result of `image` that comes in parts: until they are there, a blend of results, or the picture enlarged by bicubic. `finish` or
   * `drop` ends that.
   */
  begin(
    image: ImageData,
    width: number,
    height: number,
    under: Blend | null,
  ): StoredLayer & { readonly layer: Layer } {
    const dropped = this.#makeRoom(width * height * 4);
    const layer = Layer.empty(this.#device, width, height);
    const isOpen = image === this.#image && this.#source !== undefined;
    const source = isOpen ? (this.#source as Layer) : layerOf(this.#device, image);
    const shown = this.shown("blend", under) ?? source;
    this.#enlarging ??= new ViewPipeline(this.#device, "rgba8unorm", "enlarge_main");
    for (const { texture, x, y } of layer.tiles) {
      this.#enlarging.draw(texture, {
        left: shown,
        right: shown,
        toPicture: mat3.translation(vec2.fromValues(x, y)),
        pictureSize: [width, height],
        divider: 0,
        scale: 1,
        mode: "single",
      });
    }
    if (!isOpen) source.destroy();
    const id = this.#archive.newId();
    this.#results.set(id, layer);
    this.#begun.add(id);
    return { id, layer, dropped };
  }

  /** All parts of a result are there. */
  finish(id: number): void {
    this.#begun.delete(id);
  }

  /** The pixels of a result that had made room. */
  restore(id: number, image: ImageData): void {
    if (this.#results.has(id)) return;
    this.#makeRoom(image.data.byteLength);
    this.#results.set(id, layerOf(this.#device, image));
  }

  /** Frees a result. */
  drop(id: number): void {
    this.#begun.delete(id);
    for (const layers of [this.#results, this.#ahead]) {
      layers.get(id)?.destroy();
      layers.delete(id);
    }
  }

  /** Says what the stage shows. */
  see(layers: readonly StoredId[]): void {
    this.#seen = layers;
    for (const id of layers) {
      const layer = id === "bicubic" ? undefined : this.#results.get(id);
      if (id === "bicubic" || !layer) continue;
      this.#results.delete(id);
      this.#results.set(id, layer);
    }
  }

  /** Undefined where there is no such thing (any more). */
  layer(id: StoredId): Layer | undefined {
    if (id === "bicubic") return this.#enlarged ?? this.#source;
    return this.#results.get(id) ?? this.#ahead.get(id);
  }

  /** The same for all that the stage shows, with the blend that it shows. */
  shown(id: LayerId, blend: Blend | null): Layer | BlendedLayers | undefined {
    if (id !== "blend") return this.layer(id);
    const [from, to] = blend ? [this.layer(blend.from), this.layer(blend.to)] : [];
    return from && to && { from, to, share: blend?.share ?? 0 };
  }

  /** Drops results that are not seen; first those that can come back. */
  #makeRoom(byteLength: number): readonly number[] {
    const sizes = [...this.#results].map(([id, layer]) => [id, layer.byteLength] as const);
    let bytes = byteLength + sizes.reduce((sum, [, size]) => sum + size, 0);
    let count = sizes.length + 1;
    const isFile = ([id]: readonly [number, number]): boolean => this.#archive.has(id);
    const free = sizes.filter(([id]) => !this.#seen.includes(id) && !this.#begun.has(id));
    const gone: number[] = [];
    const inOrder = [...free.filter(isFile), ...free.filter((one) => !isFile(one))];
    for (const [id, size] of inOrder) {
      if (count <= MAX_RESULTS && bytes <= MAX_RESULT_BYTES) break;
      this.drop(id);
      if (!this.#archive.has(id)) gone.push(id);
      bytes -= size;
      count--;
    }
    return gone;
  }
}

function layerOf(device: GPUDevice, { width, height, data }: ImageData): Layer {
  const layer = Layer.empty(device, width, height);
  layer.write(device.queue, { x: 0, y: 0, width, height, data });
  return layer;
}
