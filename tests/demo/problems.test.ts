/** What engine and browsers say becomes a name, a reason and a remedy; their own words stay in the details. */
import { describe, expect, it } from "vitest";
import { inWords, lostProblem, problemOf } from "../../demo/problems.ts";
import { DeviceError, DeviceLostError } from "../../src/gpu/errors.ts";
import { loadModel } from "../../src/rcod/model.ts";
import { memoryFiles, urlFiles } from "../../src/weights/index.ts";

type Doing = Parameters<typeof problemOf>[1];

const named = (name: string, message: string): Error => Object.assign(new Error(message), { name });

/** As the worker says it of a file that no decoder took. */
const unreadable = (type: string, bytes = 3000): Error =>
  named(
    "TypeError",
    `image: this browser cannot read the file (${type}, ${bytes} bytes). Use PNG, JPEG, WebP or AVIF`,
  );

/** As `askToRead` says it. */
const forbidden = new Error("model: no permission to read the folder my-model");

const CASES: readonly (readonly [error: Error, doing: Doing, title: string, advice: RegExp])[] = [
  [forbidden, "model", "The model's folder may not be read", /“my-model” again.*allow it/],
  [unreadable("image/png"), "image", "This picture is damaged", /PNG.*once more/],
  [unreadable("image/heic"), "image", "This browser cannot read HEIC photos", /JPEG.*Safari/],
  [unreadable("image/tiff"), "image", "This kind of file cannot be opened here", /It is TIFF.*PNG/],
  [unreadable("image/svg+xml"), "image", "This kind of file cannot be opened here", /It is SVG/],
  [unreadable("application/pdf"), "image", "This kind of file cannot be opened here", /It is PDF/],
  [unreadable("unknown type"), "image", "This is no picture that the browser knows", /PNG or JPEG/],
  [
    unreadable("application/octet-stream"),
    "image",
    "This is no picture that the browser knows",
    /PNG or JPEG/,
  ],
  [unreadable("image/png", 0), "image", "This file is empty", /again/],
  [
    named(
      "NotReadableError",
      "The requested file could not be read, typically due to permission problems that have occurred after a reference to a file was acquired.",
    ),
    "image",
    "The file can no longer be read",
    /Choose it again/,
  ],
  [
    named("RangeError", "Array buffer allocation failed"),
    "image",
    "Not enough memory",
    /smaller size/,
  ],
  [
    named("RangeError", "Failed to construct 'ImageData': Out of memory at ImageData creation"),
    "image",
    "Not enough memory",
    /smaller size/,
  ],
  [
    new DeviceError(
      "device: out of memory: buffer too large. Use a smaller image, a tile, or f16 precision",
    ),
    "upscale",
    "Not enough memory",
    /smaller size/,
  ],
  [
    new DeviceError(
      'device: buffer "slot" needs 900000000 bytes, this adapter allows 134217728. Use a smaller image or tile, or f16 precision',
    ),
    "model",
    "Not enough memory",
    /f16 under More/,
  ],
  [
    new DeviceLostError("unknown", "A valid external Instance reference no longer exists."),
    "upscale",
    "The GPU went away",
    /start it again/,
  ],
  [
    new DeviceError(
      "device: WebGPU is here but no adapter answered. Check the graphics driver, or use a software adapter",
    ),
    "model",
    "The browser gave no GPU",
    /Wait a little/,
  ],
  [new DeviceError("device: validation failed"), "upscale", "The GPU could not do this", /smaller/],
  [
    named("NotAllowedError", "Failed to execute 'write' on 'Clipboard': Document is not focused."),
    "copy",
    "The clipboard was refused",
    /save the picture/,
  ],
  [
    named(
      "NotAllowedError",
      "The request is not allowed by the user agent or the platform in the current context, possibly because the user denied permission.",
    ),
    "copy",
    "The clipboard was refused",
    /save the picture/,
  ],
  [
    named("QuotaExceededError", "The current transaction exceeded its quota limitations."),
    "save",
    "No room left in the browser's storage",
    /disk/,
  ],
  [
    named("Error", "image: image/webp has at most 16383 pixels a side, got 20000×8. Choose PNG"),
    "save",
    "Too large for WEBP",
    /16383.*PNG/,
  ],
  [
    named(
      "Error",
      "image: this browser makes no picture of 40000×40000 pixels, or has no memory left. Choose a smaller size",
    ),
    "save",
    "Too large to be saved here",
    /40000 × 40000.*smaller/,
  ],
  [
    named("Error", "image: this browser writes no image/webp, only image/png. Choose PNG"),
    "save",
    "This browser cannot write WEBP",
    /PNG/,
  ],
  [
    named("Error", "image: this result is gone. Upscale again"),
    "save",
    "This result is no longer there",
    /Upscale again/,
  ],
  [named("AbortError", "signal is aborted without reason"), "upscale", "Stopped", /when you like/],
  [
    named("TypeError", "Failed to fetch dynamically imported module: https://x/a.js"),
    "upscale",
    "A part of this page could not be fetched",
    /reload/,
  ],
  [
    named(
      "Error",
      "worker: the script must run without errors, got Uncaught RangeError: out of memory. Check that it can be loaded",
    ),
    "upscale",
    "The part of this page that computes has stopped",
    /Reload the page/,
  ],
  [named("DeviceError", "device: out of memory"), "run", "Not enough memory", /run it again/],
  [named("Error", "internal: no case"), "run", "The run could not be finished", /once more/],
  [
    named("TypeError", "undefined is not a function"),
    "upscale",
    "The picture could not be upscaled",
    /once more/,
  ],
];

describe("a problem", () => {
  it.each(CASES)("%s", (error, doing, title, advice) => {
    const problem = problemOf(error, doing);
    expect(problem.title).toBe(title);
    expect(problem.detail).toMatch(advice);
    expect(problem.raw).toBe(error.message);
    // No word of the engine's is left in what is read first.
    expect(`${problem.title} ${problem.detail}`).not.toMatch(/image:|device:|Failed to|\bnull\b/);
  });

  it("of a model that is not there names the address, the files and the way", async () => {
    const fails = async (files: Parameters<typeof loadModel>[0]): Promise<unknown> =>
      loadModel(files).then(
        () => null,
        (error: unknown) => error,
      );
    const absent = (): Promise<Response> => Promise.resolve(new Response("", { status: 404 }));
    const refused = (): Promise<Response> => Promise.resolve(new Response("", { status: 403 }));
    const nowhere = (): Promise<Response> => Promise.reject(new TypeError("Failed to fetch"));
    const broken = (): Promise<Response> =>
      Promise.resolve(new Response("", { status: 503, statusText: "Busy" }));
    const at = (fetch: () => Promise<Response>): Promise<unknown> =>
      fails(urlFiles("https://models.example/rcod", { fetch, retryDelayMs: 0 }));

    const folder = problemOf(await fails(memoryFiles(new Map())), "model");
    expect(folder.title).toBe("There is no model in this folder");
    expect(folder.detail).toMatch(/unet\/config\.json.*are missing\..*Choose the folder/);
    expect(folder.remedy).toBe("reload-model");
    expect(problemOf(await at(absent), "model").title).toBe("There is no model at this address");
    expect(problemOf(await at(refused), "model").title).toBe(
      "The server gives no access to the model",
    );
    const unreachable = problemOf(await at(nowhere), "model");
    expect(unreachable.title).toBe("The address of the model cannot be reached");
    expect(unreachable.detail).toMatch(/CORS.*download/);
    expect(problemOf(await at(broken), "model").title).toMatch(/server does not answer/);
  });

  it("of a folder with something else in it is a model that cannot be used", async () => {
    const text = (json: object): Uint8Array => new TextEncoder().encode(JSON.stringify(json));
    const files = new Map(
      ["unet", "vae", "image_encoder"].map((part) => [`${part}/config.json`, text({ a: 1 })]),
    );
    const error: unknown = await loadModel(memoryFiles(files)).catch((cause: unknown) => cause);
    expect(problemOf(error, "model")).toMatchObject({
      title: "This model cannot be used",
      remedy: "reload-model",
    });
  });

  it("of a lost device keeps what the browser says in the details", () => {
    expect(lostProblem("context lost")).toMatchObject({
      title: "The GPU went away",
      remedy: "recover",
      raw: "context lost",
    });
  });

  it("is one line under a button", () => {
    expect(inWords("nonsense", "copy")).toBe(
      "It could not be copied. This page has no name for what went wrong. Try once more; if it stays, reload the page.",
    );
  });
});
