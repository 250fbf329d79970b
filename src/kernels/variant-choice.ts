/**
 * Choosing kernels' variants from outside: forced, for oracles and measurements, or taken from a table of measurements.
 * The kernel's own `select` decides where a choice says nothing or where the device refuses the variant.
 */
import type { Caps } from "../gpu/caps.ts";
import { attention } from "./attention/attention.ts";
import { conv2d } from "./contraction/conv2d.ts";
import { linear } from "./contraction/linear.ts";
import type { Kernel } from "./kernel.ts";
import { layerNorm } from "./norm/layer-norm.ts";
import { concatChannels } from "./pointwise/concat-channels.ts";

/**
 * Variants by kernel (`"conv2d"`), or by kernel and class of problem (`"linear 320→960 @4096"`, see `classKey`). Where
 * both are given, that of the class counts.
 */
export type VariantChoice = Readonly<Record<string, string>>;

/** Variant names by kernel, of all kernels that have several. The first is the simplest. */
export const KERNEL_VARIANTS: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  [conv2d, linear, attention, layerNorm, concatChannels].map(({ name, variants }) => [
    name,
    variants,
  ]),
);

/** The key of a problem's class in a `VariantChoice`; null where the kernel knows no classes. */
export function classKey<P, V extends string>(kernel: Kernel<P, V>, problem: P): string | null {
  return kernel.classOf ? `${kernel.name} ${kernel.classOf(problem)}` : null;
}

export interface ChosenVariant<V extends string> {
  readonly variant: V;
  /** Absent where `caps.variants` says nothing about the problem. */
  readonly requested?: string;
  /** Why `variant` is not the requested one. */
  readonly refusal?: string;
}

/** The requested variant or, where that cannot run the problem on this device, the kernel's default. */
export function chooseVariant<P, V extends string>(
  kernel: Kernel<P, V>,
  problem: P,
  caps: Caps,
): ChosenVariant<V> {
  const choice = caps.variants ?? {};
  const key = classKey(kernel, problem);
  const requested = (key === null ? undefined : choice[key]) ?? choice[kernel.name];
  const byDefault = { variant: kernel.select(problem, caps) };
  if (requested === undefined) return byDefault;
  const variant = kernel.variants.find((name) => name === requested);
  if (variant === undefined)
    return { ...byDefault, requested, refusal: `${kernel.name} has no such variant` };
  const refusal = kernel.refusal?.(problem, caps, variant) ?? null;
  return refusal === null ? { variant, requested } : { ...byDefault, requested, refusal };
}

/** A message where a kernel or variant that a user names does not exist, else null. `variant` null: any. */
export function unknownVariant(
  kernel: string,
  variant: string | null,
  known = KERNEL_VARIANTS,
): string | null {
  const variants = Object.hasOwn(known, kernel) ? known[kernel] : undefined;
  if (variants === undefined) {
    return `no kernel "${kernel}". Kernels: ${Object.keys(known).join(", ")}`;
  }
  if (variant === null || variants.includes(variant)) return null;
  return `${kernel} has no variant "${variant}". Variants: ${variants.join(", ")}`;
}

/**
 * Choices that together force every variant of `kernels` (default: all) once. The i-th choice forces the i-th variant
 * of every kernel that has so many.
 */
export function variantRounds(
  kernels: readonly string[] = Object.keys(KERNEL_VARIANTS),
): readonly VariantChoice[] {
  const known = kernels.map((kernel) => [kernel, KERNEL_VARIANTS[kernel] ?? []] as const);
  const count = Math.max(0, ...known.map(([, variants]) => variants.length));
  return Array.from({ length: count }, (_, i) =>
    Object.fromEntries(
      known.flatMap(([kernel, variants]) => {
        const variant = variants[i];
        return variant === undefined ? [] : [[kernel, variant] as const];
      }),
    ),
  );
}
