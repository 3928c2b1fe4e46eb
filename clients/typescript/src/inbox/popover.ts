const GAP = 8;
const MARGIN = 12;

/**
 * Show a popover at an element: below it, or above where there is more room; as far as the window allows, their ends
 * are in line. `least` is the height that it needs below. Its style sheet finds the height that there is in `--room`.
 */
export function showAt(anchor: HTMLElement, popover: HTMLElement, least: number): void {
  if (!popover.matches(":popover-open")) popover.showPopover();
  const { top, bottom, left, right } = anchor.getBoundingClientRect();
  const [below, above] = [innerHeight - bottom - GAP - MARGIN, top - GAP - MARGIN];
  const isAbove = below < least && above > below;
  const width = popover.offsetWidth;
  const start = getComputedStyle(popover).direction === "rtl" ? left : right - width;
  const x = Math.max(MARGIN, Math.min(start, document.documentElement.clientWidth - width - MARGIN));
  popover.style.setProperty("--room", `${isAbove ? above : below}px`);
  popover.style.inset = isAbove ? `auto auto ${innerHeight - top + GAP}px ${x}px` : `${bottom + GAP}px auto auto ${x}px`;
}

/** Keep the focus inside an element: from the last that can be reached on to the first, and back. */
export function keepFocus(event: KeyboardEvent, element: HTMLElement): void {
  if (event.key !== "Tab") return;
  const all = [...element.querySelectorAll<HTMLElement>("button:enabled, a, [tabindex]")];
  const reachable = all.filter((each) => each.tabIndex >= 0 && each.checkVisibility());
  const [from, to] = event.shiftKey ? [0, -1] : [-1, 0];
  const focused = (element.getRootNode() as ShadowRoot).activeElement as HTMLElement;
  if (focused !== reachable.at(from) && (reachable.includes(focused) || !event.shiftKey)) return;
  event.preventDefault();
  reachable.at(to)?.focus();
}
