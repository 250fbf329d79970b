/** Captured values as pictures. */
import { h } from "../../ui/dom.ts";
import { percent, rate } from "../../ui/format-rate.ts";
import type { CaptureView, ChannelView, InsideRecord } from "./record.ts";

/** What stages hand on, in order, with words for it. */
const STAGE_VALUES: readonly (readonly [
  name: string,
  symbol: readonly [letter: string, index: string],
  title: string,
  text: string,
])[] = [
  [
    "latents",
    ["z", "L"],
    "the latents",
    "What the encoder makes of the enlarged picture: few numbers for every block of pixels.",
  ],
  [
    "eps",
    ["ε", ""],
    "the prediction",
    "What the UNet, called once, takes for noise: here the traces of blur, noise and compression.",
  ],
  [
    "z",
    ["x", "0"],
    "the clean latents",
    "The latents with that part taken out, by one formula. The decoder makes the picture of it.",
  ],
];

/** A section whose cards come one by one: each takes its time. */
interface CardSection {
  readonly element: HTMLElement;
  readonly cards: readonly (() => void)[];
}

export function latentsSection({
  captures,
  source,
  latentFactor,
  alpha,
  timestep,
}: InsideRecord): CardSection {
  const input = pixels(source.width, source.height, source.rgba, "The picture that went in");
  const channels = captures.find(({ name }) => name === "latents")?.shape.at(-1) ?? 0;
  const row = h(
    "div",
    { class: "card-row" },
    h(
      "div",
      { class: "card" },
      input,
      h("h4", {}, "The picture"),
      h(
        "p",
        { class: "hint" },
        `${source.width} × ${source.height} pixels. It is enlarged by bicubic before it is encoded.`,
      ),
    ),
  );
  const cards = STAGE_VALUES.flatMap(([name, [letter, index], title, text]) => {
    const view = captures.find((capture) => capture.name === name);
    const words = [h("i", {}, letter), h("sub", {}, index), `, ${title}`];
    return view ? [() => row.append(captureCard(view, words, text))] : [];
  });
  const element = h(
    "div",
    { class: "report-results" },
    h(
      "p",
      { class: "prose" },
      `Diffusion models work on latents, not on pixels: here ${channels} numbers for every ${latentFactor} × ${latentFactor} pixels. Usual ones call their network dozens of times and remove a little noise each time. This one is trained to do it in a single step:`,
    ),
    h(
      "p",
      {
        class: "formula",
        role: "img",
        "aria-label":
          "x 0 equals z L minus the root of 1 minus a, times epsilon, divided by the root of a",
      },
      h("i", {}, "x"),
      h("sub", {}, "0"),
      " = (",
      h("i", {}, "z"),
      h("sub", {}, "L"),
      " − √(1 − ",
      h("i", {}, "a"),
      ") · ",
      h("i", {}, "ε"),
      ") / √",
      h("i", {}, "a"),
    ),
    h(
      "p",
      { class: "hint" },
      `a = ${alpha} was fixed in training. The UNet was told the timestep ${timestep}.`,
    ),
    row,
    h(
      "p",
      { class: "hint" },
      "Each large square shows all channels at once: the three directions in which they vary most are red, green and blue. Below it the channels alone, black at the least value and white at the largest.",
    ),
  );
  return { element, cards };
}

/** The modules of a record, a card each. */
export function captureCards(views: readonly CaptureView[]): CardSection {
  const element = h("div", { class: "card-row" });
  const cards = views.map((view) => () => element.append(captureCard(view, [view.name], "")));
  return { element, cards };
}

/** A module's output: all channels as colours, and the liveliest alone. */
function captureCard(
  view: CaptureView,
  title: readonly (Node | string)[],
  text: string,
): HTMLElement {
  const { width, height, rgb, channels, explained, shape } = view;
  return h(
    "div",
    { class: "card" },
    pixels(width, height, rgb, `${view.name}: all channels as colours`),
    h("h4", {}, ...title),
    text === "" ? null : h("p", { class: "hint" }, text),
    h(
      "p",
      { class: "hint" },
      `${shape.slice(1).join(" × ")}${(shape.at(-1) ?? 0) > 3 ? `; the colours hold ${percent(explained)} of the variance` : ""}`,
    ),
    h("div", { class: "multiples" }, ...channels.map((channel) => channelPicture(view, channel))),
  );
}

function channelPicture({ width, height, name }: CaptureView, channel: ChannelView): HTMLElement {
  const { index, low, high, grey } = channel;
  const rgba = new Uint8ClampedArray(4 * grey.length);
  grey.forEach((value, i) => rgba.set([value, value, value, 255], 4 * i));
  const label = `channel ${index}: ${rate(low)} to ${rate(high)}`;
  const canvas = pixels(width, height, rgba, `${name}, ${label}`);
  canvas.title = label;
  return canvas;
}

export function pixels(
  width: number,
  height: number,
  rgba: Uint8ClampedArray<ArrayBuffer>,
  label: string,
): HTMLCanvasElement {
  const canvas = h("canvas", { class: "pixels", width, height, role: "img", "aria-label": label });
  canvas.getContext("2d")?.putImageData(new ImageData(rgba, width, height), 0, 0);
  return canvas;
}
