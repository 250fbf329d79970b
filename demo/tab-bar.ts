/** Tabs as WAI-ARIA has them: arrows move, each view is loaded when first opened. */
import type { App } from "./app.ts";
import { showProgressOn } from "./tab-progress.ts";
import type { TabEntry } from "./tab.ts";
import { button, h } from "./ui/dom.ts";

export function showTabs(container: HTMLElement, entries: readonly TabEntry[], app: App): void {
  const list = document.querySelector<HTMLElement>(".tabs");
  if (list === null) return;
  const tabs = entries.map((entry) => ({
    entry,
    tab: h(
      "button",
      {
        type: "button",
        role: "tab",
        class: "tab",
        id: `tab-${entry.id}`,
        "aria-controls": `view-${entry.id}`,
      },
      entry.label,
    ),
    view: h("section", {
      role: "tabpanel",
      class: "view",
      id: `view-${entry.id}`,
      "aria-labelledby": `tab-${entry.id}`,
      hidden: true,
    }),
    isMounted: false,
  }));

  const open = (index: number): void => {
    tabs.forEach((item, i) => {
      const isOpen = i === index;
      item.tab.setAttribute("aria-selected", String(isOpen));
      item.tab.tabIndex = isOpen ? 0 : -1;
      item.view.hidden = !isOpen;
    });
    const item = tabs[index];
    if (!item || item.isMounted) return;
    item.isMounted = true;
    item.entry.load().then(
      ({ mount }) => mount(item.view, app),
      () => {
        item.isMounted = false;
        item.view.replaceChildren(
          h(
            "div",
            { class: "plain-notice" },
            // A browser remembers a module that failed, and a server may have a new version.
            h(
              "p",
              {},
              "This view could not be loaded. Check the connection, then load the page again.",
            ),
            button({ class: "button" }, () => location.reload(), "Load the page again"),
          ),
        );
      },
    );
  };

  list.append(...tabs.map(({ tab }) => tab));
  container.replaceChildren(...tabs.map(({ view }) => view));
  tabs.forEach(({ tab }, index) => {
    tab.addEventListener("click", () => open(index));
    tab.addEventListener("keydown", (event) => {
      const to = target(event.key, index, tabs.length);
      if (to === null) return;
      event.preventDefault();
      open(to);
      tabs[to]?.tab.focus();
    });
  });
  if (tabs[0]) showProgressOn(tabs[0].tab, app);
  // One view needs no tabs.
  list.hidden = tabs.length < 2;
  const requested = new URLSearchParams(location.hash.slice(1)).get("tab");
  open(
    Math.max(
      0,
      entries.findIndex(({ id }) => id === requested),
    ),
  );
}

function target(key: string, index: number, count: number): number | null {
  switch (key) {
    case "ArrowRight":
      return (index + 1) % count;
    case "ArrowLeft":
      return (index + count - 1) % count;
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return null;
  }
}
