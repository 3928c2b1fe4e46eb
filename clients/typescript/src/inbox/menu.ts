import { h } from "../ui/dom.js";
import { part } from "./parts.js";
import { showAt } from "./popover.js";
import { walk } from "./walk.js";

/** What can be chosen. */
export interface Choice {
  readonly label: string;
  /** Stands at its end. */
  readonly detail?: string;
  /** It can not be undone. */
  readonly isFinal?: boolean;
  act(): void;
}

export interface Menu {
  readonly element: HTMLElement;
  open(button: HTMLElement, choices: readonly Choice[]): void;
}

/** A menu that opens at any button: arrows go through it, Escape and Tab lead back. It is a popover of its own. */
export function makeMenu(): Menu {
  const onkeydown = (event: KeyboardEvent): void => {
    event.stopPropagation();
    if (event.key === "Tab") {
      event.preventDefault();
      element.hidePopover();
    }
    walk(event, [...element.children] as HTMLElement[], ["ArrowUp", "ArrowDown"]);
  };
  let opener: HTMLElement | undefined;
  // Browsers lead the focus back from a popover, but not from one over another.
  const onbeforetoggle = ({ newState }: ToggleEvent): void => {
    opener?.setAttribute("aria-expanded", `${newState === "open"}`);
    if (newState === "closed" && element.matches(":focus-within")) opener?.focus({ preventScroll: true });
  };
  const element = part("div", "menu", { popover: "auto", role: "menu", onkeydown, onbeforetoggle });
  return {
    element,
    open(button, choices) {
      const items = choices.map(({ label, detail, isFinal, act }) => {
        const onclick = (): void => {
          element.hidePopover();
          act();
        };
        const attributes = { role: "menuitem", tabindex: -1, onclick };
        return part("button", isFinal ? "choice final" : "choice", attributes, h("span", {}, label), h("span", {}, detail));
      });
      opener = button;
      element.ariaLabel = button.title;
      element.replaceChildren(...items);
      showAt(button, element, 44 * items.length);
      items[0]?.focus();
    },
  };
}
