/** An epilogue that adds the bias and nothing else. */
import type { Epilogue } from "../../src/kernels/contraction/epilogue.ts";

export const PLAIN_EPILOGUE: Epilogue = {
  channelAdd: false,
  channelAddWindow: null,
  channelAddShared: false,
  residual: false,
  activation: "none",
  statistics: "none",
  channelsPerEntry: 1,
  statisticsFirst: 0,
  geglu: false,
};
