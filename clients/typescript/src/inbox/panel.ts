const GAP = 8;
const MARGIN = 12;
const WIDTH = 412;
const HEIGHT = 660;
/** So that it does not jump from view to view. */
const USUAL_HEIGHT = 430;
const LEAST_HEIGHT = 340;
/** Narrower windows give the whole of themselves. */
const SHEET_BELOW = 520;

/**
 * The panel as a popover: in the top layer where browsers have one, near its button, inside the window; it keeps the
 * focus until Escape, or a press elsewhere, closes it.
 */
export class Popover {
  #end: (() => void) | undefined;

  constructor(
    private readonly panel: HTMLElement,
    private readonly button: HTMLElement,
    private readonly onClose: (byKeyboard: boolean) => void,
  ) {
    panel.hidden = true;
    if ("showPopover" in panel) panel.popover = "manual";
  }

  get isOpen(): boolean {
    return this.#end !== undefined;
  }

  open(): void {
    if (this.#end) return;
    const place = (): void => this.#place();
    const pressed = (event: Event): void => {
      const path = event.composedPath();
      if (!path.includes(this.panel) && !path.includes(this.button)) this.onClose(false);
    };
    const typed = (event: KeyboardEvent): void => this.#onKey(event);
    addEventListener("resize", place);
    addEventListener("scroll", place, { capture: true, passive: true });
    document.addEventListener("pointerdown", pressed, true);
    this.panel.addEventListener("keydown", typed);
    this.#end = () => {
      removeEventListener("resize", place);
      removeEventListener("scroll", place, { capture: true });
      document.removeEventListener("pointerdown", pressed, true);
      this.panel.removeEventListener("keydown", typed);
    };
    this.panel.hidden = false;
    if (this.panel.popover) this.panel.showPopover();
    place();
  }

  close(): void {
    if (!this.#end) return;
    this.#end();
    this.#end = undefined;
    if (this.panel.popover && this.panel.isConnected) this.panel.hidePopover();
    this.panel.hidden = true;
  }

  #place(): void {
    const { style } = this.panel;
    const [width, height] = [document.documentElement.clientWidth, innerHeight];
    const isSheet = width < SHEET_BELOW;
    this.panel.toggleAttribute("data-sheet", isSheet);
    if (isSheet) {
      for (const name of ["inset", "width", "max-height", "min-height"]) style.removeProperty(name);
      return;
    }
    const bell = this.button.getBoundingClientRect();
    const [below, above] = [height - bell.bottom - GAP - MARGIN, bell.top - GAP - MARGIN];
    const isAbove = below < LEAST_HEIGHT && above > below;
    const wide = Math.min(WIDTH, width - 2 * MARGIN);
    const wanted = getComputedStyle(this.panel).direction === "rtl" ? bell.left : bell.right - wide;
    const left = Math.max(MARGIN, Math.min(wanted, width - wide - MARGIN));
    style.width = `${wide}px`;
    const room = isAbove ? above : below;
    style.maxHeight = `${Math.min(HEIGHT, room)}px`;
    style.minHeight = `${Math.min(USUAL_HEIGHT, room)}px`;
    const [top, bottom] = [`${bell.bottom + GAP}px`, `${height - bell.top + GAP}px`];
    style.inset = isAbove ? `auto auto ${bottom} ${left}px` : `${top} auto auto ${left}px`;
  }

  #onKey(event: KeyboardEvent): void {
    if (event.key === "Escape") {
      event.stopPropagation();
      this.onClose(true);
    } else if (event.key === "Tab") {
      this.#keepFocus(event);
    }
  }

  /** From the last element on to the first, and back. */
  #keepFocus(event: KeyboardEvent): void {
    const candidates = [...this.panel.querySelectorAll<HTMLElement>("button, a[href], [tabindex]")];
    const reachable = candidates.filter((each) => each.tabIndex >= 0 && each.getClientRects().length > 0);
    const [first, last] = [reachable[0], reachable[reachable.length - 1]];
    const focused = (this.panel.getRootNode() as ShadowRoot).activeElement;
    const isInside = reachable.includes(focused as HTMLElement);
    if (event.shiftKey ? focused === first || !isInside : focused === last) {
      event.preventDefault();
      (event.shiftKey ? last : first)?.focus();
    }
  }
}
