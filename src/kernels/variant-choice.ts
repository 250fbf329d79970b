/**
 * Choosing kernels' variants from outside: forced for oracle runs and measurements, or taken from a table of
 * measurements. What a choice says nothing about, or cannot have, is left to the kernel's own `select`.
 */
import type { Caps } from "../gpu/caps.ts";
import { attention } from "./attention/attention.ts";
import { conv2d } from "./contraction/conv2d.ts";
import { linear } from "./contraction/linear.ts";
import type { Kernel } from "./kernel.ts";
import { layerNorm } from "./norm/layer-norm.ts";
import { concatChannels } from "./pointwise/concat-channels.ts";

/**
 * Variants by kernel (`"conv2d"`), or by kernel and class of problem (`"linear 320→960 @4096"`, see `classKey`).
 * The narrower key counts.
 */
export type VariantChoice = Readonly<Record<string, string>>;

/** Variant names by kernel, of all kernels that have more than one. The first is the simplest. */
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
  /** The variant that was asked for. */
  readonly requested?: string;
  /** Why it is not that variant. */
  readonly refusal?: string;
}

/** The chosen variant or, where that cannot run the problem here, the kernel's own. */
export function chooseVariant<P, V extends string>(
  kernel: Kernel<P, V>,
  problem: P,
  caps: Caps,
): ChosenVariant<V> {
  const choice = caps.variants ?? {};
  const key = classKey(kernel, problem);
  const requested = (key === null ? undefined : choice[key]) ?? choice[kernel.name];
  const usual = kernel.select(problem, caps);
  if (requested === undefined) return { variant: usual };
  const variant = kernel.variants.find((name) => name === requested);
  if (variant === undefined)
    return { variant: usual, requested, refusal: `${kernel.name} has no such variant` };
  const refusal = kernel.refusal?.(problem, caps, variant) ?? null;
  return refusal === null ? { variant, requested } : { variant: usual, requested, refusal };
}

/** What is wrong with names that a user writes; null where kernel and variant (null: any) exist. */
export function unknownVariant(kernel: string, variant: string | null): string | null {
  if (!Object.hasOwn(KERNEL_VARIANTS, kernel)) {
    return `no kernel "${kernel}". Kernels: ${Object.keys(KERNEL_VARIANTS).join(", ")}`;
  }
  const known = KERNEL_VARIANTS[kernel] ?? [];
  if (variant === null || known.includes(variant)) return null;
  return `${kernel} has no variant "${variant}". Variants: ${known.join(", ")}`;
}

/**
 * Choices that together force every variant of `kernels` (default: all) once: the i-th forces the i-th variant of
 * each kernel that has so many.
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
