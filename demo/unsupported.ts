/** What a visitor sees whose browser cannot run this: what is missing, and where it is. */
import { h } from "./ui/dom.ts";

type Missing = "webgpu" | "offscreen-canvas" | "adapter";

const REASONS: Readonly<Record<Missing, readonly [title: string, text: string]>> = {
  webgpu: [
    "This browser has no WebGPU",
    "The picture is computed on your own graphics card, through WebGPU (navigator.gpu). It is missing here, " +
      "or hidden because the page did not come over https.",
  ],
  "offscreen-canvas": [
    "This browser has no OffscreenCanvas",
    "The picture is drawn from a worker, so that the page stays responsive. That needs OffscreenCanvas.",
  ],
  adapter: [
    "No graphics adapter answered",
    "The browser has WebGPU, but gave no device. The driver may be too old or blocked, or hardware " +
      "acceleration is switched off in the browser's settings.",
  ],
};

const BROWSERS: readonly (readonly [browser: string, since: string])[] = [
  [
    "Chrome and Edge",
    "113 on Windows, macOS and ChromeOS; 121 on Android 12; Linux by GPU and driver",
  ],
  ["Safari", "26 on macOS, iOS, iPadOS and visionOS"],
  [
    "Firefox",
    "141 on Windows, 145 on macOS with Apple silicon; elsewhere dom.webgpu.enabled in about:config",
  ],
];

export function showUnsupported(container: HTMLElement, missing: Missing, detail?: string): void {
  const [title, text] = REASONS[missing];
  const rows = BROWSERS.map(([browser, since]) =>
    h("tr", {}, h("th", { scope: "row" }, browser), h("td", {}, since)),
  );
  const tabs = document.querySelector<HTMLElement>(".tabs");
  if (tabs) tabs.hidden = true;
  container.replaceChildren(
    h(
      "section",
      { class: "unsupported", id: "unsupported" },
      h("h2", {}, title),
      h("p", {}, text),
      detail === undefined ? null : h("p", { class: "detail" }, detail),
      h("h3", {}, "Browsers that have it"),
      h("table", {}, h("tbody", {}, ...rows)),
      h(
        "p",
        { class: "hint" },
        "The command line tool of the same project runs without a browser and without a GPU.",
      ),
    ),
  );
}
