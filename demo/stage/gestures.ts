/** Pointers, wheel and keys on the stage: move and zoom, or paint with one pointer while the brush is out. */
import type { Store } from "../store.ts";
import type { Point } from "../view-transform.ts";
import type { CompareState } from "./compare-state.ts";
import type { View } from "./geometry.ts";
import { brushRadius, panned, placeOnPicture, zoomedAt } from "./geometry.ts";
import type { MaskPainter } from "./mask-painter.ts";

export interface GestureTarget {
  readonly surface: HTMLElement;
  readonly compare: Store<CompareState>;
  readonly painter: MaskPainter;
  readonly viewport: () => View | null;
  /** Device pixels per CSS pixel. */
  readonly ratio: () => number;
}

/** CSS pixels that an arrow key moves. */
const KEY_STEP = 48;
const KEY_ZOOM = 1.25;
/** Zoom per pixel of wheel. */
const WHEEL_ZOOM = 0.0015;

export function addGestures(target: GestureTarget): void {
  const { surface, compare, painter, viewport, ratio } = target;
  const pointers = new Map<number, Point>();
  let isPainting = false;

  /** Device pixels of the stage. */
  const placeOf = ({ clientX, clientY }: MouseEvent): Point => {
    const { left, top } = surface.getBoundingClientRect();
    return [(clientX - left) * ratio(), (clientY - top) * ratio()];
  };
  const zoomBy = (factor: number, at: Point): void => {
    const view = viewport();
    if (view) compare.set({ zoom: zoomedAt(view.viewport, factor, at, view.picture) });
  };
  const panBy = (by: Point): void => {
    const view = viewport();
    if (view) compare.set({ zoom: panned(view.viewport, by, view.picture) });
  };

  /** A fitted picture has nowhere to go: fingers on it scroll the page. */
  const isFitted = (): boolean => compare.get().zoom === "fit" && !painter.isActive;
  const letScroll = (): void => {
    surface.style.touchAction = isFitted() ? "pan-y" : "none";
  };
  compare.subscribe(letScroll);
  painter.onChange(letScroll);
  surface.addEventListener(
    "touchmove",
    (event) => {
      if (event.touches.length > 1) event.preventDefault(); // a pinch is not a scroll with two fingers
    },
    { passive: false },
  );

  surface.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    surface.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, placeOf(event));
    const view = viewport();
    if (pointers.size === 1 && painter.isActive && view) {
      isPainting = true;
      painter.begin(
        placeOnPicture(placeOf(event), view),
        brushRadius(painter.size * ratio(), view),
      );
    } else if (isPainting) {
      // A second finger: this was to be a pinch.
      isPainting = false;
      painter.abandon();
    }
  });
  surface.addEventListener("pointermove", (event) => {
    const to = placeOf(event);
    painter.hover(to);
    const from = pointers.get(event.pointerId);
    if (!from) return;
    if (isPainting) {
      const view = viewport();
      if (view) painter.extend(placeOnPicture(to, view));
    } else if (pointers.size === 1) {
      if (event.pointerType === "touch" && isFitted()) return;
      panBy([to[0] - from[0], to[1] - from[1]]);
    } else {
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const before = Math.hypot(from[0] - other[0], from[1] - other[1]);
        const after = Math.hypot(to[0] - other[0], to[1] - other[1]);
        if (before > 0) zoomBy(after / before, [(to[0] + other[0]) / 2, (to[1] + other[1]) / 2]);
        panBy([(to[0] - from[0]) / 2, (to[1] - from[1]) / 2]);
      }
    }
    pointers.set(event.pointerId, to);
  });
  const end = (event: PointerEvent): void => {
    pointers.delete(event.pointerId);
    if (!isPainting) return;
    isPainting = false;
    painter.end();
  };
  surface.addEventListener("pointerup", end);
  surface.addEventListener("pointercancel", end);
  surface.addEventListener("pointerleave", () => painter.hover(null));

  surface.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
      // A pinch on a trackpad comes as a wheel with ctrl, in smaller steps.
      const speed = event.ctrlKey ? WHEEL_ZOOM * 6 : WHEEL_ZOOM;
      zoomBy(Math.exp(-event.deltaY * lines * speed), placeOf(event));
    },
    { passive: false },
  );
  surface.addEventListener("dblclick", (event) => {
    const isOnDivider = event.target instanceof Element && event.target.closest(".divider");
    if (painter.isActive || isOnDivider) return;
    const view = viewport();
    if (!view) return;
    if (compare.get().zoom === "fit") zoomBy(ratio() / view.viewport.scale, placeOf(event));
    else compare.set({ zoom: "fit" });
  });
  addKeys(target, zoomBy, panBy);
}

function addKeys(
  { surface, compare, viewport, ratio }: GestureTarget,
  zoomBy: (factor: number, at: Point) => void,
  panBy: (by: Point) => void,
): void {
  surface.addEventListener("keydown", (event) => {
    if (event.target !== surface || event.ctrlKey || event.metaKey || event.altKey) return;
    const view = viewport();
    if (!view) return;
    const middle: Point = [view.viewport.width / 2, view.viewport.height / 2];
    const step = KEY_STEP * ratio();
    const actions: Readonly<Record<string, () => void>> = {
      ArrowLeft: () => panBy([step, 0]),
      ArrowRight: () => panBy([-step, 0]),
      ArrowUp: () => panBy([0, step]),
      ArrowDown: () => panBy([0, -step]),
      "+": () => zoomBy(KEY_ZOOM, middle),
      "=": () => zoomBy(KEY_ZOOM, middle),
      "-": () => zoomBy(1 / KEY_ZOOM, middle),
      "0": () => compare.set({ zoom: "fit" }),
      "1": () => zoomBy(ratio() / view.viewport.scale, middle),
      " ": () => compare.set({ isFlipped: true }),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  surface.addEventListener("keyup", (event) => {
    if (event.key === " ") compare.set({ isFlipped: false });
  });
}
