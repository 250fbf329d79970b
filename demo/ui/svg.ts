/** SVG elements without a framework. No `style`: the page's policy refuses inline styles. */

type Attributes = Readonly<Record<string, string | number>>;

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, typeof value === "number" ? rounded(value) : value);
  }
  element.append(...children);
  return element;
}

/** A tenth of a pixel is enough. */
function rounded(value: number): string {
  return String(Math.round(value * 10) / 10);
}
