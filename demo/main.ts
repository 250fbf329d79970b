/** Starts the page: checks what the browser has, makes the worker, shows the tabs. */
import { createApp } from "./app.ts";
import type { App } from "./app.ts";
import { WorkerClient } from "./client.ts";
import { followSettings } from "./library/address.ts";
import { acceptPictures, refuseDrops } from "./library/drop.ts";
import { showNotices } from "./library/notice.ts";
import { keepOffline } from "./offline.ts";
import { crashProblem, problemOf } from "./problems.ts";
import type { CanvasMode } from "./protocol.ts";
import { fromHash } from "./settings.ts";
import { showUnsupported } from "./start/unsupported.ts";
import { showTabs } from "./tab-bar.ts";
import { TABS } from "./tabs/index.ts";
import { followTheme } from "./theme.ts";

declare global {
  /** With `?debug`: the app, for tests and the curious. */
  var rcodDemo: App | undefined;
}

const CANVAS_MODES: readonly CanvasMode[] = ["webgpu", "2d"];
const query = new URLSearchParams(location.search);
const views = document.querySelector<HTMLElement>("#views");
if (views === null) throw new Error("internal: the page has no #views");

followTheme();
keepOffline();

if ("gpu" in navigator && typeof OffscreenCanvas === "function") start(views);
else {
  refuseDrops();
  showUnsupported(views, "gpu" in navigator ? "offscreen-canvas" : "webgpu");
}

function start(container: HTMLElement): void {
  const worker = new Worker(new URL("./worker/main.ts", import.meta.url), { type: "module" });
  const client = new WorkerClient(worker, {
    onDeviceLost: (message) => app.deviceLost(message),
    onCrash: (message) => app.store.set({ problem: crashProblem(message) }),
  });
  const app = createApp(client, {
    settings: fromHash(location.hash),
    isDebug: query.has("debug"),
    canvas: CANVAS_MODES.find((mode) => mode === query.get("canvas")) ?? null,
  });
  if (app.isDebug) globalThis.rcodDemo = app;
  addEventListener("hashchange", () => {
    // A link pasted into the open page: its settings, but the picture stays.
    const { photo } = app.store.get().settings;
    app.change({ ...fromHash(location.hash), photo });
  });
  showDevice(app);
  showNotices(app);
  acceptPictures(app);
  followSettings(app.store);
  showTabs(container, TABS, app);
  app.start().catch((error: unknown) => {
    if (problemOf(error, "run").remedy === "reload-page") return; // no word about the GPU
    showUnsupported(container, "adapter", error instanceof Error ? error.message : String(error));
  });
}

function showDevice({ store }: App): void {
  const chip = document.querySelector<HTMLElement>("#device");
  if (chip === null) return;
  store.subscribe(({ device, isDeviceLost }) => {
    chip.textContent = isDeviceLost
      ? "GPU lost"
      : (device && (device.isSoftware ? "Software adapter" : "GPU ready")) || "";
    chip.title = device ? device.name : "";
    chip.dataset["state"] = isDeviceLost ? "bad" : device?.isSoftware ? "slow" : "good";
    chip.hidden = chip.textContent === "";
  });
}
