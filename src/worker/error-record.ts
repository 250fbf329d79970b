/** Errors across a worker: cloning keeps neither our classes nor their names, so both travel as data. */
import { DeviceError, DeviceLostError } from "../gpu/errors.ts";
import { ShapeError } from "../gpu/shape.ts";
import { ConfigError } from "../rcod/settings/config.ts";
import { NumbersError } from "../rcod/settings/numbers-error.ts";
import { WeightsError } from "../weights/errors.ts";

/** An error as plain data. */
export interface ErrorRecord {
  readonly name: string;
  readonly message: string;
  readonly stack?: string | undefined;
  /** Of a `DeviceLostError`. */
  readonly reason?: string;
}

const CLASSES: Readonly<Record<string, new (message: string) => Error>> = {
  ConfigError,
  DeviceError,
  NumbersError,
  RangeError,
  ShapeError,
  TypeError,
  WeightsError,
};

/** `error`, which may be anything that was thrown, as data. */
export function errorToRecord(error: unknown): ErrorRecord {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) };
  const { name, message, stack } = error;
  return {
    name,
    message,
    stack,
    ...(error instanceof DeviceLostError && { reason: error.reason }),
  };
}

/** The error again: of its class where the class is ours or the language's, else an `Error` of that name. */
export function errorFromRecord({ name, message, stack, reason }: ErrorRecord): Error {
  const error = create(name, message, reason);
  error.message = message;
  if (stack !== undefined) error.stack = stack;
  return error;
}

function create(name: string, message: string, reason?: string): Error {
  if (reason !== undefined) return new DeviceLostError(reason, message);
  const known = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
  return known ? new known(message) : Object.assign(new Error(message), { name });
}
