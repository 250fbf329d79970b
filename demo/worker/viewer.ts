/** Draws what is seen when something changed: the layers of a picture, or until its pixels are read its bitmap. */
import type { RegionOrder } from "rcod-webgpu";
import { nextFrame } from "../next-frame.ts";
import type { Blend, CanvasMode, CompareMode, Drawn, LayerId, ViewState } from "../protocol.ts";
import { toPicture } from "../view-transform.ts";
import type { LayerStore, StoredId } from "./layers.ts";
import { Preview } from "./preview.ts";
import { readTexture } from "./readback.ts";
import { ViewPipeline } from "./view-pipeline.ts";

const READBACK_FORMAT = "rgba8unorm";

/** By WebGPU itself, or through a texture that is read back. */
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
  readonly #preview = new Preview();
  #target: Target | undefined;
  #device: GPUDevice | undefined;
  #layers: LayerStore | undefined;
  #pipeline: ViewPipeline | undefined;
  #view: ViewState | undefined;
  /** Asks for a result whose textures are not on the device; who brings it draws again. */
  readonly #onMissing: (id: number) => void;
  #serial = 0;
  /** Whether the layers are those of the picture. */
  #isRead = false;
  #tell: (drawn: Drawn) => void = () => undefined;
  #told = "";
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

  /** Takes the canvas for bitmaps, and who hears what is seen. */
  attachPreview(canvas: OffscreenCanvas, tell: (drawn: Drawn) => void): void {
    this.#preview.attach(canvas);
    this.#tell = tell;
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

  /** A new picture, seen as its bitmap until `isRead`. The bitmap belongs to the viewer. Gives its serial number. */
  open(bitmap: ImageBitmap): number {
    this.#preview.open(bitmap);
    this.#isRead = false;
    return ++this.#serial;
  }

  /** When the bitmap has been drawn, or soon, where nobody looks. */
  hasShown(): Promise<void> {
    return this.#preview.hasShown();
  }

  /** The layers are those of the picture now. */
  isRead(): void {
    this.#isRead = true;
    this.redraw();
  }

  /** The middle of the view as a share of the picture. */
  lookedAt(): RegionOrder {
    if (!this.#view || this.#view.serial !== this.#serial) return "middle";
    const { centre, picture } = this.#view;
    const share = (axis: 0 | 1): number => Math.min(1, Math.max(0, centre[axis] / picture[axis]));
    return { x: share(0), y: share(1) };
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
    const view = this.#view;
    // A view of the picture before would show this one in its place.
    if (!view || view.serial !== this.#serial) return;
    const { serial, canvasWidth, canvasHeight, mode } = view;
    if (canvasWidth < 1 || canvasHeight < 1) return;
    const layers = this.#isRead ? await this.#drawLayers(view) : null;
    if (serial !== this.#serial) return; // another picture came meanwhile
    if (layers) {
      this.#report({ serial, source: "pixels", mode, ...layers });
      this.#preview.close();
    } else if (this.#preview.draw(view)) {
      this.#report({ serial, source: "bitmap", mode, left: "bicubic", right: "bicubic" });
    }
  }

  /** Says which layers they are; null where there is no device, or nothing to draw on. */
  async #drawLayers(view: ViewState): Promise<Pick<Drawn, "left" | "right"> | null> {
    const [device, target, pipeline, layers] = [
      this.#device,
      this.#target,
      this.#pipeline,
      this.#layers,
    ];
    const source = layers?.layer("bicubic");
    if (!device || !target || !pipeline || !layers || !source) return null;
    const { canvasWidth: width, canvasHeight: height, mode } = view;
    const seen = [view.left, view.right].flatMap((id) => storedIds(id, view.blend));
    layers.see(seen);
    for (const id of seen) if (id !== "bicubic" && !layers.layer(id)) this.#onMissing(id);
    if (target.kind === "webgpu") resize(target.canvas, width, height);

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
    const [left, right] = [view.left, view.right].map((id) => layers.shown(id, view.blend));
    pipeline.draw(texture, {
      left: left ?? source,
      right: right ?? source,
      toPicture: toPicture({ width: width * half, height, scale, centre }),
      pictureSize: view.picture,
      divider: view.divider * width,
      scale,
      mode: shaderMode(mode),
    });
    if (target.kind === "2d") {
      try {
        const pixels = await readTexture(device, texture);
        await nextFrame(); // what is drawn within one is on the page at its end
        resize(target.canvas, width, height); // that empties it: not before there is something to see
        target.context.putImageData(new ImageData(pixels, width, height), 0, 0);
      } finally {
        texture.destroy();
      }
    }
    return { left: left ? view.left : "bicubic", right: right ? view.right : "bicubic" };
  }

  /** Tells of what was drawn in the frame after, when it is on the page. */
  #report(drawn: Drawn): void {
    const text = JSON.stringify(drawn);
    if (text === this.#told) return;
    this.#told = text;
    void nextFrame().then(() => this.#tell(drawn));
  }
}

function resize(canvas: OffscreenCanvas, width: number, height: number): void {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
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
