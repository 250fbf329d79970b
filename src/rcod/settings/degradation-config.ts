/** Sizes of what RCOD_S computes from the image. They come out of its weight files. */

/** Widths of DEResNet; 64, 128 and 512 in the released one. */
export interface DeResNetConfig {
  /** Channels of the six blocks at full resolution. */
  readonly width: number;
  /** Channels of the two blocks at half resolution: a branch's features. */
  readonly outWidth: number;
  /** Hidden layer of the score. */
  readonly hidden: number;
}

/** The parts with LoRA, which RCOD_S modulates. */
export const LORA_PARTS = ["vae", "unet"] as const;
export type LoraPart = (typeof LORA_PARTS)[number];

/** Sizes of the degradation estimator and of what makes modulation matrices of its scores. */
export interface DegradationConfig {
  readonly estimator: DeResNetConfig;
  /** Frequencies of the scores' Fourier features; an embedding has four values for each. */
  readonly frequencies: number;
  /** Length of a block embedding. */
  readonly blockEmbedding: number;
  /** LoRA ranks, the sides of the modulation matrices. */
  readonly ranks: Readonly<Record<LoraPart, number>>;
  /** Whether the metric estimation module is there. */
  readonly hasMem: boolean;
}
