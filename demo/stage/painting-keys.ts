import { brushRadius, placeOnPicture } from "./geometry.ts";
/** Painting without a pointer: the brush stands in the middle of the view, under which the arrow keys move the picture. */
import type { GestureTarget } from "./gestures.ts";
import { BRUSH_SIZES } from "./mask-painter.ts";

/** CSS pixels that a bracket makes the brush larger or smaller. */
const SIZE_STEP = 8;

export function addPaintingKeys({
  surface,
  painter,
  viewport,
  ratio,
}: Omit<GestureTarget, "compare">): void {
  const dab = (): void => {
    const view = viewport();
    if (!view) return;
    const middle = [view.viewport.width / 2, view.viewport.height / 2] as const;
    painter.hover(middle);
    painter.begin(placeOnPicture(middle, view), brushRadius(painter.size * ratio(), view));
    painter.end();
  };
  const resize = (by: number): void => {
    const [least, most] = BRUSH_SIZES;
    painter.size = Math.min(most, Math.max(least, painter.size + by));
  };
  const actions: Readonly<Record<string, () => void>> = {
    Enter: dab,
    "[": () => resize(-SIZE_STEP),
    "]": () => resize(SIZE_STEP),
    Delete: () => painter.clear(),
    Backspace: () => painter.clear(),
  };
  surface.addEventListener("keydown", (event) => {
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
    const action = actions[event.key];
    if (!painter.isActive || !isPlain || event.target !== surface || !action) return;
    event.preventDefault();
    action();
  });
  // Anywhere on the page, but where text is typed: there it takes back letters.
  document.addEventListener("keydown", (event) => {
    const isUndo = event.key === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey;
    if (!painter.isActive || !isUndo || isTextField(event.target)) return;
    event.preventDefault();
    painter.undo();
  });
}

const isTextField = (target: EventTarget | null): boolean =>
  target instanceof HTMLInputElement && !["range", "radio", "checkbox"].includes(target.type);
