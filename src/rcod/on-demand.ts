/**
 * What few images and models need, loaded when it is needed: tuning, inspecting, latents and the VAE in tiles, RCOD_S. One module, as bundlers make
 * a file of its own of whatever one of them shares with the rest.
 */
export { tuneModel } from "./tuning/autotune.ts";
export { adaptToImage } from "./stages/adapt.ts";
export { modulatedUpdates, openDegradation, readTables } from "./loading/rcod-s-checkpoint.ts";
export { checkWhole, collectEncoded } from "./stages/inspect-call.ts";
export { Inspector } from "./inspect/inspector.ts";
export { blendPredictions } from "./tiles/latent-blend.ts";
export { TiledVae } from "./tiles/tiled-vae.ts";
