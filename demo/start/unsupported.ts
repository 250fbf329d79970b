/** What a visitor sees whose browser cannot run this: what it would do, what is missing, and the ways to it. */
import { addressOf, fromHash } from "../settings.ts";
import { button, h } from "../ui/dom.ts";
import { commandFor } from "./command-line.ts";
import { createProof } from "./proof.ts";

type Missing = "webgpu" | "offscreen-canvas" | "adapter";

const REASONS: Readonly<Record<Missing, readonly [title: string, text: string]>> = {
  webgpu: [
    "This browser has no WebGPU",
    "The picture is computed on your own graphics card, through WebGPU. Open the page in one of the browsers below.",
  ],
  "offscreen-canvas": [
    "This browser has no OffscreenCanvas",
    "The picture is drawn from a worker, so that the page stays responsive. Open the page in one of the browsers below.",
  ],
  adapter: [
    "No graphics adapter answered",
    "The browser has WebGPU, but gave no device. Switch on hardware acceleration in its settings, update the " +
      "graphics driver, or open the page on another device.",
  ],
};

/** Browsers hide WebGPU there, whatever they have. */
const INSECURE =
  "Browsers offer WebGPU only to pages that come over https, and this one did not. Open its https address.";

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
  const settings = fromHash(location.hash);
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
      h("p", {}, isSecureContext ? text : INSECURE),
      detail === undefined ? null : h("p", { class: "detail" }, detail),
      createProof(),
      h("h3", {}, "Browsers that have it"),
      h("table", {}, h("tbody", {}, ...rows)),
      h("h3", {}, "Open it elsewhere"),
      h("p", {}, "This link opens the page with the same settings:"),
      copyRow("Copy the link", addressOf(settings)),
      h("h3", {}, "Without a browser"),
      h("p", {}, "The command line needs Node, and no graphics card:"),
      copyRow("Copy the command", commandFor(settings)),
    ),
  );
}

/** A line to copy. Where there is no clipboard it is selected instead. */
function copyRow(label: string, text: string): HTMLElement {
  const line = h("code", { class: "copy-line" }, text);
  const status = h("p", { class: "hint", role: "status" });
  const copy = async (): Promise<void> => {
    getSelection()?.selectAllChildren(line);
    try {
      await navigator.clipboard.writeText(text);
      status.textContent = "Copied";
    } catch {
      status.textContent = "Selected: copy it with the browser's menu or the keyboard";
    }
  };
  return h(
    "div",
    { class: "copy-row" },
    line,
    button({ class: "button" }, () => void copy(), label),
    status,
  );
}
