/**
 * What few images and models need, loaded when it is needed: tuning, the VAE in tiles, RCOD_S. One module, as bundlers make
 * a file of its own of whatever one of them shares with the rest.
 */
export { tuneModel } from "./autotune.ts";
export { adaptToImage } from "./degradation-stage.ts";
export { modulatedUpdates, openDegradation, readTables } from "./rcod-s-checkpoint.ts";
export { TiledVae } from "./tiled-vae.ts";
