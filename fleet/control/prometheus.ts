/** Numbers of a queue in the text format of Prometheus: BullMQ's own, and a rate for each worker. */
import type { WorkerRate } from "./rates.ts";

export function prometheusText(
  ofQueue: string,
  queue: string,
  workers: readonly WorkerRate[],
): string {
  const gauge = (name: string, help: string, value: (rate: WorkerRate) => number): string[] => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} gauge`,
    ...workers.map(
      (rate) =>
        `${name}{queue="${escaped(queue)}", worker="${escaped(rate.worker)}"} ${value(rate)}`,
    ),
  ];
  return [
    ofQueue,
    ...gauge(
      "rcod_worker_pictures_per_second",
      "Pictures of a worker a second, over the last ten minutes",
      (rate) => rate.picturesPerSecond,
    ),
    ...gauge(
      "rcod_worker_megapixels_per_second",
      "Megapixels of results of a worker a second, over the last ten minutes",
      (rate) => rate.megapixelsPerSecond,
    ),
  ].join("\n");
}

const escaped = (value: string): string =>
  value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
