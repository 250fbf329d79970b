/**
 * A picture made of marks, drawn as wide as there is room. A mark says what it is when the pointer rests on it, when
 * it is tapped, and when the arrow keys reach it: the picture is one stop of the Tab key.
 */
import { h } from "./dom.ts";

export interface Mark {
  readonly element: SVGElement;
  /** One or more lines; the first is the name. */
  readonly text: string;
}

export interface Drawing {
  readonly svg: SVGSVGElement;
  /** In the order of the arrow keys. */
  readonly marks: readonly Mark[];
}

/** A narrower column scrolls sideways. */
const MIN_WIDTH = 300;
/** Between a mark and its words, in pixels. */
const GAP = 10;

export class Plot {
  readonly element: HTMLElement;
  readonly #label: string;
  readonly #area = h("div", { class: "plot-area" });
  readonly #tip = h("div", { class: "plot-tip", role: "presentation", hidden: true });
  #draw: ((width: number) => Drawing) | null = null;
  #width = 0;
  #isDue = false;
  #marks: readonly Mark[] = [];
  #byElement = new Map<EventTarget, number>();
  #current = 0;

  /** `label` names the picture for those who do not see it. */
  constructor(label: string) {
    this.#label = label;
    this.element = h("figure", { class: "plot" }, this.#area, this.#tip);
    new ResizeObserver(() => this.#resized()).observe(this.#area);
    this.#area.addEventListener("pointerover", (event) => this.#point(event));
    this.#area.addEventListener("pointerdown", (event) => this.#point(event));
    this.#area.addEventListener("pointerleave", () => this.#hide());
    this.#area.addEventListener("focusin", (event) => this.#point(event));
    this.#area.addEventListener("focusout", () => this.#hide());
    this.#area.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Scrolls sideways where a drawing is wider than the column. */
  get scrollArea(): HTMLElement {
    return this.#area;
  }

  /** Draws now and whenever the width changes. */
  show(draw: (width: number) => Drawing): void {
    this.#draw = draw;
    this.#redraw();
  }

  /** Draws in a task of its own: observers are called in the frame that they hold up. */
  #resized(): void {
    if (this.#measure() === this.#width || this.#isDue) return;
    this.#isDue = true;
    setTimeout(() => {
      this.#isDue = false;
      this.#redraw();
    });
  }

  #measure(): number {
    return Math.max(MIN_WIDTH, Math.floor(this.#area.clientWidth));
  }

  #redraw(): void {
    // Hidden views have no width: drawn when they appear.
    if (this.#draw === null || this.#area.clientWidth === 0) return;
    this.#width = this.#measure();
    const { svg, marks } = this.#draw(this.#width);
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", this.#label);
    this.#marks = marks;
    this.#byElement = new Map(marks.map(({ element }, i) => [element, i]));
    this.#current = Math.min(this.#current, Math.max(0, marks.length - 1));
    marks.forEach(({ element, text }, i) => {
      element.setAttribute("role", "img");
      element.setAttribute("aria-label", text.replaceAll("\n", ", "));
      element.setAttribute("tabindex", i === this.#current ? "0" : "-1");
      element.classList.add("mark");
    });
    this.#hide();
    this.#area.replaceChildren(svg);
  }

  #point({ target }: Event): void {
    const index = target === null ? undefined : this.#byElement.get(target);
    if (index === undefined) this.#hide();
    else this.#tell(index);
  }

  #tell(index: number): void {
    const mark = this.#marks[index];
    if (!mark) return;
    const [name = "", ...lines] = mark.text.split("\n");
    this.#tip.replaceChildren(h("strong", {}, name), ...lines.map((line) => h("span", {}, line)));
    this.#tip.hidden = false;
    const frame = this.element.getBoundingClientRect();
    const box = mark.element.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = this.#tip;
    const centre = (Math.max(box.left, frame.left) + Math.min(box.right, frame.right)) / 2;
    const left = Math.max(
      0,
      Math.min(frame.width - offsetWidth, centre - frame.left - offsetWidth / 2),
    );
    const above = box.top - frame.top - offsetHeight - GAP;
    const top = above >= 0 ? above : box.bottom - frame.top + GAP;
    this.#tip.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }

  #hide(): void {
    this.#tip.hidden = true;
  }

  #key(event: KeyboardEvent): void {
    const last = this.#marks.length - 1;
    const steps: Readonly<Record<string, number>> = {
      ArrowRight: Math.min(last, this.#current + 1),
      ArrowDown: Math.min(last, this.#current + 1),
      ArrowLeft: Math.max(0, this.#current - 1),
      ArrowUp: Math.max(0, this.#current - 1),
      Home: 0,
      End: last,
    };
    if (event.key === "Escape") this.#hide();
    const to = steps[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.#marks[this.#current]?.element.setAttribute("tabindex", "-1");
    this.#current = to;
    const next = this.#marks[to]?.element;
    next?.setAttribute("tabindex", "0");
    next?.focus();
  }
}
