/** The service worker answers range requests from whole files, as a server would. */
import { describe, expect, it } from "vitest";
import { sliceOf } from "../../demo/sw-range.ts";

const whole = (): Response =>
  new Response(new Uint8Array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), {
    headers: { ETag: '"a"', "Content-Type": "application/octet-stream", "Content-Length": "10" },
  });

describe("a range of a kept file", () => {
  it.each([
    ["bytes=0-0", [0], "bytes 0-0/10"],
    ["bytes=3-5", [3, 4, 5], "bytes 3-5/10"],
    ["bytes=8-", [8, 9], "bytes 8-9/10"],
    ["bytes=8-99", [8, 9], "bytes 8-9/10"],
  ])("%s", async (range, bytes, contentRange) => {
    const part = await sliceOf(whole(), range);
    expect(part.status).toBe(206);
    expect([...new Uint8Array(await part.arrayBuffer())]).toEqual(bytes);
    expect(part.headers.get("Content-Range")).toBe(contentRange);
    expect(part.headers.get("Content-Length")).toBe(String(bytes.length));
    expect(part.headers.get("ETag")).toBe('"a"');
  });

  it("is refused beyond the end", async () => {
    const part = await sliceOf(whole(), "bytes=10-");
    expect(part.status).toBe(416);
    expect(part.headers.get("Content-Range")).toBe("bytes */10");
  });

  it.each(["bytes=-3", "bytes=0-1,4-5", "items=0-1"])("%s gets the whole file", async (range) => {
    const answer = await sliceOf(whole(), range);
    expect(answer.status).toBe(200);
    expect((await answer.arrayBuffer()).byteLength).toBe(10);
  });
});
