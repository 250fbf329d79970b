/** Errors of the worker in words for the visitor. */

/** What can be under way. */
export type ActivityKind = "model" | "image" | "upscale";

/** Something that went wrong, in words for the visitor. */
export interface Problem {
  readonly title: string;
  readonly detail: string;
  /** What one click can do about it. */
  readonly remedy: "reload-model" | "recover" | null;
}

const FAILED: Readonly<Record<ActivityKind, string>> = {
  image: "This picture could not be opened",
  model: "The model could not be loaded",
  upscale: "The picture could not be upscaled",
};

const LOST = "The GPU went away";

export function lostProblem(message: string): Problem {
  return {
    title: LOST,
    detail:
      "The driver restarted, the computer slept, or memory ran out. Your picture and settings are still here. " +
      `The browser says: ${message || "nothing"}`,
    remedy: "recover",
  };
}

export function problemOf(error: unknown, kind: ActivityKind): Problem {
  const detail = error instanceof Error ? error.message : String(error);
  const name = error instanceof Error ? error.name : "";
  if (name === "DeviceLostError") {
    return { title: LOST, detail, remedy: "recover" };
  }
  if (name === "WeightsError" || name === "ConfigError") {
    return { title: "This model cannot be used", detail, remedy: "reload-model" };
  }
  // Also without an adapter: after several losses browsers refuse one for a minute or two.
  if (name === "DeviceError") {
    return { title: "The GPU could not do this", detail, remedy: "recover" };
  }
  return { title: FAILED[kind], detail, remedy: null };
}
