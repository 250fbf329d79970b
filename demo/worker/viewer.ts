/** Draws the canvas when something changed: by WebGPU itself, or through a texture that is read back. */
import type { Blend, CanvasMode, CompareMode, LayerId, ViewState } from "../protocol.ts";
import { toPicture } from "../view-transform.ts";
import type { LayerStore, StoredId } from "./layers.ts";
import { readTexture } from "./readback.ts";
import { ViewPipeline } from "./view-pipeline.ts";

const READBACK_FORMAT = "rgba8unorm";

type Target =
  | {
      readonly kind: "webgpu";
      readonly canvas: OffscreenCanvas;
      readonly context: GPUCanvasContext;
    }
  | {
      readonly kind: "2d";
      readonly canvas: OffscreenCanvas;
      readonly context: OffscreenCanvasRenderingContext2D;
    };

export class Viewer {
  #target: Target | undefined;
  #device: GPUDevice | undefined;
  #layers: LayerStore | undefined;
  #pipeline: ViewPipeline | undefined;
  #view: ViewState | undefined;
  /** Asks for a result whose textures are not on the device; who brings it draws again. */
  readonly #onMissing: (id: number) => void;
  #isDirty = false;
  #isDrawing = false;

  constructor(onMissing: (id: number) => void) {
    this.#onMissing = onMissing;
  }

  /**
   * Takes a canvas that has no context yet.
   * @throws Error where the browser refuses the context, for the page to offer another canvas
   */
  attach(canvas: OffscreenCanvas, mode: CanvasMode): void {
    const context = canvas.getContext(mode === "webgpu" ? "webgpu" : "2d");
    if (context === null) throw new Error(`canvas: the browser gave no ${mode} context`);
    this.#target = { kind: mode, canvas, context } as Target;
    this.#configure();
    this.redraw();
  }

  setDevice(device: GPUDevice | undefined, layers: LayerStore | undefined): void {
    this.#device = device;
    this.#layers = layers;
    this.#configure();
    this.redraw();
  }

  show(view: ViewState): void {
    this.#view = view;
    this.redraw();
  }

  redraw(): void {
    this.#isDirty = true;
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    void this.#drawUntilClean();
  }

  #configure(): void {
    const [device, target] = [this.#device, this.#target];
    this.#pipeline = undefined;
    if (!device || !target) return;
    const format =
      target.kind === "webgpu" ? navigator.gpu.getPreferredCanvasFormat() : READBACK_FORMAT;
    if (target.kind === "webgpu")
      target.context.configure({ device, format, alphaMode: "premultiplied" });
    this.#pipeline = new ViewPipeline(device, format, "fragment_main");
  }

  async #drawUntilClean(): Promise<void> {
    try {
      while (this.#isDirty) {
        await nextFrame();
        this.#isDirty = false;
        await this.#draw();
      }
    } catch {
      // The device went away under the frame: its loss is reported by the session, and the next one redraws.
    } finally {
      this.#isDrawing = false;
    }
  }

  async #draw(): Promise<void> {
    const [device, target, pipeline] = [this.#device, this.#target, this.#pipeline];
    const [view, layers] = [this.#view, this.#layers];
    const source = layers?.layer("bicubic");
    if (!device || !target || !pipeline || !view || !layers || !source) return;
    const { canvasWidth: width, canvasHeight: height, mode } = view;
    if (width < 1 || height < 1) return;
    const seen = [view.left, view.right].flatMap((id) => storedIds(id, view.blend));
    layers.see(seen);
    for (const id of seen) if (id !== "bicubic" && !layers.layer(id)) this.#onMissing(id);
    const { canvas } = target;
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;

    const texture =
      target.kind === "webgpu"
        ? target.context.getCurrentTexture()
        : device.createTexture({
            label: "view",
            size: [width, height],
            format: READBACK_FORMAT,
            usage: GPUTextureUsage.RENDER_ATTACHMENT | GPUTextureUsage.COPY_SRC,
          });
    const half = mode === "side" ? 0.5 : 1;
    const { scale, centre } = view;
    pipeline.draw(texture, {
      left: layers.shown(view.left, view.blend) ?? source,
      right: layers.shown(view.right, view.blend) ?? source,
      toPicture: toPicture({ width: width * half, height, scale, centre }),
      pictureSize: view.picture,
      divider: view.divider * width,
      scale,
      mode: shaderMode(mode),
    });
    if (target.kind === "2d") {
      try {
        const pixels = await readTexture(device, texture);
        target.context.putImageData(new ImageData(pixels, width, height), 0, 0);
      } finally {
        texture.destroy();
      }
    }
  }
}

/** What a layer is drawn of. */
function storedIds(id: LayerId, blend: Blend | null): readonly StoredId[] {
  if (id !== "blend") return [id];
  return blend ? [blend.from, blend.to] : [];
}

/** Flicker is the single view of one layer, then of the other. */
function shaderMode(mode: CompareMode): "single" | "split" | "side" | "difference" {
  return mode === "flicker" ? "single" : mode;
}

function nextFrame(): Promise<void> {
  return new Promise((resolve) => {
    // Absent from workers in older browsers.
    if (typeof requestAnimationFrame === "function") requestAnimationFrame(() => resolve());
    else setTimeout(resolve, 16);
  });
}
