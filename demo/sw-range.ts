/** Range requests served from a whole response: the engine reads weights in pieces, a cache keeps them whole. */

/** The bytes of `whole` that a `Range` header with one span names; the whole for any other header. */
export async function sliceOf(whole: Response, range: string): Promise<Response> {
  const [, firstText, lastText] = /^bytes=(\d+)-(\d*)$/.exec(range) ?? [];
  if (firstText === undefined) return whole;
  const body = await whole.blob();
  const first = Number(firstText);
  const last = Math.min(lastText ? Number(lastText) : body.size - 1, body.size - 1);
  if (first > last) {
    return new Response(null, {
      status: 416,
      headers: { "Content-Range": `bytes */${body.size}` },
    });
  }
  // Type, ETag and date stay: by them a reader knows that two pieces are of one file.
  const headers = new Headers(whole.headers);
  headers.set("Content-Range", `bytes ${first}-${last}/${body.size}`);
  headers.set("Content-Length", String(last + 1 - first));
  const part = body.slice(first, last + 1);
  return new Response(part, { status: 206, statusText: "Partial Content", headers });
}
