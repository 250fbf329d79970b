/** Which tasks of a trace count as the page's own, and long. */
import { expect, it } from "vitest";
import type { TraceEvent } from "./main-thread.ts";
import { longTasks } from "./main-thread.ts";

const PAGE = { pid: 7, tid: 1 } as const;
const WORKER = { pid: 7, tid: 2 } as const;

const thread = (at: typeof PAGE | typeof WORKER, name: string): TraceEvent => ({
  ...at,
  name: "thread_name",
  ph: "M",
  ts: 0,
  args: { name },
});

const event = (
  name: string,
  [ts, ms]: readonly [ts: number, ms: number],
  more: Partial<TraceEvent> = {},
): TraceEvent => ({
  ...PAGE,
  name,
  ph: "X",
  ts: ts * 1000,
  dur: ms * 1000,
  tdur: ms * 1000,
  args: {},
  ...more,
});

const mark = (name: string, ts: number): TraceEvent => event(name, [ts, 0], { ph: "I", args: {} });

const foundAt = (slowness: number, ...events: readonly TraceEvent[]): readonly string[] =>
  longTasks(
    [thread(PAGE, "CrRendererMain"), thread(WORKER, "DedicatedWorker"), ...events],
    () => slowness,
  ).map(({ text }) => text);
const found = (...events: readonly TraceEvent[]): readonly string[] => foundAt(1, ...events);

it("finds what took the processor long, and names what it did", () => {
  const data = { functionName: "draw", url: "https://x/assets/index.js" };
  expect(
    found(
      event("RunTask", [100, 80]),
      event("FunctionCall", [110, 60], { args: { data } }),
      event("Layout", [171, 2]),
      event("RunTask", [200, 49]),
    ),
  ).toEqual(["80 ms: FunctionCall of draw index.js 60 ms"]);
});

it("leaves out waiting for the processor, other threads and the test's own work", () => {
  const inspector = { mojo_interface_tag: "blink.mojom.DevToolsSession" };
  expect(
    found(
      event("RunTask", [0, 300], { tdur: 20_000 }),
      event("RunTask", [300, 90], WORKER),
      event("RunTask", [400, 90]),
      event("Receive mojo message", [401, 88], { args: { chrome_mojo_event_info: inspector } }),
      mark("test begins", 500),
      event("RunTask", [510, 90]),
      mark("test ends", 610),
      event("RunTask", [620, 90]),
    ),
  ).toEqual(["90 ms: "]);
});

it("allows for a processor that other work slows down, and for its collection of garbage", () => {
  const task = event("RunTask", [0, 90]);
  expect(foundAt(2, task)).toEqual([]);
  expect(foundAt(1.5, task)).toEqual(["90 ms on a processor 1.5 times as slow: "]);
  expect(found(task, event("MajorGC", [10, 50]))).toEqual([]);
  const posted = (file: string): TraceEvent =>
    event("ThreadControllerImpl::RunTask", [1, 88], { args: { src_file: file } });
  expect(found(task, posted("v8/src/heap/cppgc/sweeper.cc"))).toEqual([]);
  expect(
    found(task, posted("third_party/blink/renderer/core/scheduler/dom_timer.cc")),
  ).toHaveLength(1);
});
