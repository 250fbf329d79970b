/** Kernels in the few classes that are shown with a colour each. */

export const KERNEL_CLASSES = [
  "convolution",
  "matrix product",
  "attention",
  "normalisation",
  "other",
] as const;
export type KernelClass = (typeof KERNEL_CLASSES)[number];

const CLASS_OF: Readonly<Record<string, KernelClass>> = {
  conv2d: "convolution",
  linear: "matrix product",
  attention: "attention",
  channelStats: "normalisation",
  groupNormAffine: "normalisation",
  affineActivation: "normalisation",
  layerNorm: "normalisation",
};

export function kernelClass(kernel: string): KernelClass {
  return CLASS_OF[kernel] ?? "other";
}
