/** Every kernel: problems to dispatch records. See `kernel.ts` for the contract. */
export { affineActivation } from "./affine-activation.ts";
export type { AffineActivationProblem } from "./affine-activation.ts";
export { attention } from "./attention.ts";
export type { AttentionProblem } from "./attention.ts";
export { channelAdd } from "./channel-add.ts";
export type { ChannelAddProblem } from "./channel-add.ts";
export { channelMean } from "./channel-mean.ts";
export type { ChannelMeanProblem } from "./channel-mean.ts";
export { channelStats } from "./channel-stats.ts";
export type {
  ChannelStatsProblem,
  SplitCounts,
  Statistics,
  StatisticsRun,
  StatisticsTiles,
} from "./channel-stats.ts";
export { adainApply, adainColorFix, waveletColorFix } from "./color-fix.ts";
export type { AdainProblem, WaveletProblem } from "./color-fix.ts";
export { colorMoments, colorMerge } from "./color-moments.ts";
export type { ColorMomentsProblem, ColorMergeProblem } from "./color-moments.ts";
export { concatChannels } from "./concat-channels.ts";
export type { ConcatChannelsProblem } from "./concat-channels.ts";
export { conv2d } from "./conv2d.ts";
export type { Conv2dProblem } from "./conv2d.ts";
export { crop } from "./crop.ts";
export type { CropProblem } from "./crop.ts";
export { elementwise } from "./elementwise.ts";
export type { ElementwiseProblem } from "./elementwise.ts";
export { geglu } from "./geglu.ts";
export type { GegluProblem } from "./geglu.ts";
export { groupNormAffine } from "./group-norm-affine.ts";
export type { GroupNormAffineProblem } from "./group-norm-affine.ts";
export type { GroupNormOfSources, GroupNormSource, GroupNormSources } from "./group-sums.ts";
export type { MergedNorm } from "./merged-norm.ts";
export { imageToTensor } from "./image-to-tensor.ts";
export type { ImageToTensorProblem } from "./image-to-tensor.ts";
export { layerNorm } from "./layer-norm.ts";
export type { LayerNormProblem } from "./layer-norm.ts";
export { linear } from "./linear.ts";
export type { LinearProblem } from "./linear.ts";
export { modulateLora } from "./modulate-lora.ts";
export type { ModulateLoraProblem } from "./modulate-lora.ts";
export { packWeight } from "./pack-weight.ts";
export type { PackWeightProblem } from "./pack-weight.ts";
export { replaceAlpha } from "./replace-alpha.ts";
export type { ReplaceAlphaProblem } from "./replace-alpha.ts";
export { resizeF32 } from "./resize-f32.ts";
export type { ResizeF32Problem } from "./resize-f32.ts";
export { resizeU8 } from "./resize-u8.ts";
export type { ResizeU8Problem } from "./resize-u8.ts";
export { sliceChannels } from "./slice-channels.ts";
export type { SliceChannelsProblem } from "./slice-channels.ts";
export { tensorToImage } from "./tensor-to-image.ts";
export type { TensorToImageProblem } from "./tensor-to-image.ts";
export { tileClear, tileAccumulate, tileNormalise } from "./tile-blend.ts";
export type {
  TileClearProblem,
  TileAccumulateProblem,
  TileNormaliseProblem,
} from "./tile-blend.ts";
export { tokenEmbeddings } from "./token-embeddings.ts";
export type { TokenEmbeddingsProblem } from "./token-embeddings.ts";
export { upsampleNearest } from "./upsample-nearest.ts";
export type { UpsampleNearestProblem } from "./upsample-nearest.ts";
export { KERNEL_VARIANTS } from "./variant-choice.ts";
export type { VariantChoice } from "./variant-choice.ts";
export type { Cost, Dispatch, Kernel, KernelPlan } from "./kernel.ts";
export { dispatch, f32, i32, reads, u32, writes } from "./kernel.ts";
export type { Operand, Param, ShaderHeader } from "../gpu/wgsl.ts";
export { foldWorkgroups } from "../gpu/wgsl.ts";
export { quadCount } from "../gpu/shape.ts";
export type { Activation } from "./activation.ts";
export type { Epilogue } from "./epilogue.ts";
export type { TileStatistics } from "./gemm-tiled.ts";
export type { InputNorm } from "./input-norm.ts";
export type { LayerNormOnLoad } from "./layer-norm-on-load.ts";
