/** Elements without a framework. */

type Child = Node | string | null | false;
type Attribute = string | number | boolean | null;

/**
 * An element. `true` sets an empty attribute, `false` and `null` none; listeners are added with
 * `addEventListener`. No `style`: the page's policy refuses inline styles.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, Attribute>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== false));
  return element;
}

/** A button with a listener. */
export function button(
  attributes: Readonly<Record<string, Attribute>>,
  onClick: () => void,
  ...children: readonly Child[]
): HTMLButtonElement {
  const element = h("button", { type: "button", ...attributes }, ...children);
  element.addEventListener("click", onClick);
  return element;
}

let noteCount = 0;
const notes = new WeakMap<HTMLButtonElement, { note: HTMLElement; title: string }>();

/**
 * Switches a button off and says why, to the eye and to screen readers; null switches it on. One that goes off by its own press
 * `keepsFocus`: it looks and is told like the others, and its listener has to do nothing.
 */
export function disable(
  element: HTMLButtonElement,
  reason: string | null,
  { keepsFocus = false }: { readonly keepsFocus?: boolean } = {},
): void {
  const known = notes.get(element) ?? {
    note: h("span", { id: `reason-${++noteCount}`, hidden: true }),
    title: element.title,
  };
  notes.set(element, known);
  const { note, title } = known;
  element.disabled = reason !== null && !keepsFocus;
  if (reason !== null && keepsFocus) element.setAttribute("aria-disabled", "true");
  else element.removeAttribute("aria-disabled");
  element.title = reason ?? title;
  if (reason === null) {
    element.removeAttribute("aria-describedby");
    return;
  }
  if (note.textContent !== reason) note.textContent = reason;
  element.setAttribute("aria-describedby", note.id);
  // The button itself may not be in the page yet.
  if (!note.isConnected) queueMicrotask(() => element.after(note));
}

/** A labelled control, one above the other. */
export function field(label: string, control: HTMLElement, hint?: string): HTMLLabelElement {
  return h(
    "label",
    { class: "field" },
    h("span", { class: "field-label" }, label),
    control,
    hint === undefined ? null : h("span", { class: "hint" }, hint),
  );
}

/** A `<select>` of values with their names. */
export function select<T extends string>(
  options: readonly (readonly [value: T, label: string])[],
  value: T,
  onChange: (value: T) => void,
): HTMLSelectElement {
  const element = h("select", { class: "select" });
  for (const [option, label] of options) element.append(h("option", { value: option }, label));
  element.value = value;
  element.addEventListener("change", () => onChange(element.value as T));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A 20×20 line icon. */
export function icon(path: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export const ICONS = {
  split: "M3 4h14v12H3zM10 2v16M6 8l-1.5 2L6 12M14 8l1.5 2L14 12",
  side: "M2.5 5h6.5v10H2.5zM11 5h6.5v10H11z",
  flicker: "M4 7h10l-2.5-2.5M16 13H6l2.5 2.5",
  difference: "M12.5 10a5 5 0 1 1-10 0 5 5 0 0 1 10 0zM17.5 10a5 5 0 1 1-10 0 5 5 0 0 1 10 0z",
  single: "M3 4h14v12H3zM3 13l4-4 4 4 2-2 4 4",
  cross: "M5.5 5.5l9 9M14.5 5.5l-9 9",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  fit: "M3 7V3h4M17 7V3h-4M3 13v4h4M17 13v4h-4",
  sun: "M10 6.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7zM10 1.5v2M10 16.5v2M1.5 10h2M16.5 10h2M4 4l1.4 1.4M14.6 14.6 16 16M4 16l1.4-1.4M14.6 5.4 16 4",
  moon: "M16.5 12A7 7 0 0 1 8 3.5a7 7 0 1 0 8.5 8.5z",
  image: "M3 4h14v12H3zM3 13l4-4 4 4 2-2 4 4M13 7.5h.01",
  brush: "M16.5 3.5 9 11M9 11c-2-1-4 0-4 2.5 0 1.5-1 2-2 2.5 2.5 1 6.5.5 7-2.5.1-1-.3-1.9-1-2.5z",
  eraser: "M8 16h9M3.5 12.5 11 5l4.5 4.5L9 16H7z",
  crop: "M6 2v12h12M2 6h12v12",
  undo: "M4 8h8a4 4 0 0 1 0 8H8M4 8l3.5-3.5M4 8l3.5 3.5",
  trash: "M4 6h12M8 6V4h4v2M6 6l.7 10h6.6L14 6",
  download: "M10 3v10M6 9.5l4 4 4-4M4 16.5h12",
  share: "M10 12V2.5M6.5 5.5 10 2.5l3.5 3M7 8.5H4.5V17h11V8.5H13",
  copy: "M7 7h9v9H7zM4 13V4h9",
  link: "M8 12l4-4M9 6l1.5-1.5a3.5 3.5 0 0 1 5 5L14 11M11 14l-1.5 1.5a3.5 3.5 0 0 1-5-5L6 9",
} as const;
