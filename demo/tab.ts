/** A view of the page. */
import type { App } from "./app.ts";

export interface TabModule {
  /** Fills `container`, once, when the tab is first opened; afterwards it is only hidden and shown. */
  readonly mount: (container: HTMLElement, app: App) => void;
}

export interface TabEntry {
  /** In the address: `#tab=id`. */
  readonly id: string;
  readonly label: string;
  readonly load: () => Promise<TabModule>;
}
