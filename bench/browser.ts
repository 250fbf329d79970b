/** Runs a suite in a headless browser page and collects what it reports. */
import type { BrowserChoice } from "./chromium.ts";
import { withPage } from "./chromium.ts";
import type { PageMessage } from "./page/settings.ts";

export type PageResult = Extract<PageMessage, { kind: "result" }>;

/**
 * `query` holds the settings, see `fromQuery`. Lines and notes go to `onMessage` as they come. Throws what the page
 * throws, and when the page dies.
 */
export async function runInBrowser(
  browser: BrowserChoice,
  query: string,
  onMessage: (message: PageMessage) => void = () => {},
): Promise<PageResult> {
  return withPage(
    browser,
    (page, address) =>
      new Promise<PageResult>((resolve, reject) => {
        const fail = (text: string): void => reject(new Error(text));
        page.on("error", (error) => fail(error.message)); // the page has crashed
        page.on("pageerror", (error) => fail(String(error)));
        page.on("requestfailed", (request) => fail(`${request.url()} cannot be loaded`));
        const take = (message: PageMessage): void => {
          onMessage(message);
          if (message.kind === "result") resolve(message);
          if (message.kind === "error") fail(message.text);
        };
        page
          .exposeFunction("rcodBenchReport", take)
          .then(() => page.goto(`${address}bench/page/index.html?${query}`))
          .catch(reject);
      }),
  );
}
