/** The painted mask: strokes on a canvas of the picture's own size, or of a smaller one, with undo. */
import type { Point } from "../view-transform.ts";

/** Longest side of the canvas: of larger pictures the mask is coarser, as undo and the engine's copy take its memory again. */
const MAX_SIDE = 2048;
/** Steps that can be taken back. A 1024² picture takes 4 MiB each. */
const MAX_UNDO = 12;

/** CSS pixels of the smallest and the largest brush. */
export const BRUSH_SIZES = [8, 160] as const;

export type Tool = "brush" | "eraser";

export class MaskPainter {
  tool: Tool = "brush";
  readonly #changed = new Set<() => void>();
  readonly #stroked = new Set<() => void>();
  readonly #undo: ImageData[] = [];
  #size = 48;
  #isOn = false;
  #isActive = false;
  #canvas: OffscreenCanvas | null = null;
  #context: OffscreenCanvasRenderingContext2D | null = null;
  #last: Point | null = null;
  #radius = 0;
  #pointer: Point | null = null;

  /** Whether what is painted counts. Painting begins when it is switched on, and ends with it. */
  get isOn(): boolean {
    return this.#isOn;
  }

  set isOn(isOn: boolean) {
    this.#isOn = isOn;
    this.isActive = isOn;
  }

  /** Whether pointers paint; else they move the picture. */
  get isActive(): boolean {
    return this.#isActive;
  }

  set isActive(isActive: boolean) {
    this.#isActive = isActive;
    if (!isActive) this.#pointer = null;
    this.#tell();
  }

  /** Diameter of the brush in CSS pixels, as it looks on the stage. */
  get size(): number {
    return this.#size;
  }

  set size(size: number) {
    this.#size = size;
    this.#tell();
  }

  /** What is painted, as alpha; null before a picture is open. */
  get canvas(): OffscreenCanvas | null {
    return this.#canvas;
  }

  /** Where the pointer is, in device pixels of the stage. */
  get pointer(): Point | null {
    return this.#pointer;
  }

  get canUndo(): boolean {
    return this.#undo.length > 0;
  }

  onChange(listener: () => void): void {
    this.#changed.add(listener);
  }

  /** Calls `listener` when a stroke has ended, or was taken back. */
  onStroke(listener: () => void): void {
    this.#stroked.add(listener);
  }

  /** Starts for a picture of this size, switched off: afresh, or with the weights that it was left with. */
  reset(width: number, height: number, weights?: Uint8Array): void {
    const factor = Math.min(1, MAX_SIDE / Math.max(width, height));
    const side = (length: number): number => Math.max(1, Math.round(length * factor));
    this.#canvas = new OffscreenCanvas(side(width), side(height));
    this.#context = this.#canvas.getContext("2d", { willReadFrequently: true });
    this.#undo.length = 0;
    if (weights) this.#context?.putImageData(asAlpha(weights, this.#canvas), 0, 0);
    this.isOn = false;
  }

  /** `at` is 0 … 1 each way on the picture, `radius` a share of its width. */
  begin(at: Point, radius: number): void {
    this.#remember();
    this.#radius = radius;
    this.#last = null;
    this.extend(at);
  }

  extend([u, v]: Point): void {
    const [canvas, context] = [this.#canvas, this.#context];
    if (!canvas || !context) return;
    const to: Point = [u * canvas.width, v * canvas.height];
    const from = this.#last ?? to;
    context.globalCompositeOperation = this.tool === "brush" ? "source-over" : "destination-out";
    context.lineCap = "round";
    context.lineJoin = "round";
    context.lineWidth = Math.max(1, 2 * this.#radius * canvas.width);
    context.beginPath();
    context.moveTo(...from);
    // A line of no length is not drawn everywhere.
    context.lineTo(to[0] + 0.01, to[1]);
    context.stroke();
    this.#last = to;
    this.#tell();
  }

  end(): void {
    this.#last = null;
    for (const listener of this.#stroked) listener();
  }

  /** Ends a stroke as if it had not been. */
  abandon(): void {
    this.#last = null;
    this.#restore();
  }

  undo(): void {
    if (!this.#restore()) return;
    for (const listener of this.#stroked) listener();
  }

  clear(): void {
    if (!this.#canvas || !this.#context || this.weights() === null) return;
    this.#remember();
    this.#context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#tell();
    this.end();
  }

  hover(pointer: Point | null): void {
    if (!this.#isActive) return;
    this.#pointer = pointer;
    this.#tell();
  }

  /** 0 … 255 for each pixel of the canvas; null where nothing is painted. */
  weights(): Uint8Array<ArrayBuffer> | null {
    const [canvas, context] = [this.#canvas, this.#context];
    if (!canvas || !context) return null;
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const weights = new Uint8Array(canvas.width * canvas.height);
    let isEmpty = true;
    for (let i = 0; i < weights.length; i++) {
      weights[i] = data[i * 4 + 3] as number;
      if (weights[i] !== 0) isEmpty = false;
    }
    return isEmpty ? null : weights;
  }

  #remember(): void {
    const [canvas, context] = [this.#canvas, this.#context];
    if (!canvas || !context) return;
    this.#undo.push(context.getImageData(0, 0, canvas.width, canvas.height));
    if (this.#undo.length > MAX_UNDO) this.#undo.shift();
  }

  #restore(): boolean {
    const before = this.#undo.pop();
    if (!before || !this.#context) return false;
    this.#context.putImageData(before, 0, 0);
    this.#tell();
    return true;
  }

  #tell(): void {
    for (const listener of this.#changed) listener();
  }
}

function asAlpha(weights: Uint8Array, { width, height }: OffscreenCanvas): ImageData {
  const image = new ImageData(width, height);
  weights.forEach((weight, i) => (image.data[i * 4 + 3] = weight));
  return image;
}
