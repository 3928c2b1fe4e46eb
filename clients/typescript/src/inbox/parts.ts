import { h, icon, setAttribute } from "../ui/dom.js";
import type { Locale } from "../ui/locale.js";
import { CLOUD_OFF } from "./icons.js";
import type { InboxTexts } from "./texts.js";

const MOST_COUNTED = 99;
const SKELETONS = 4;

/** A number as it stands in a badge. */
export function counted(count: number, locale: Locale<InboxTexts>): string {
  return count > MOST_COUNTED ? `${locale.number(MOST_COUNTED)}+` : locale.number(count);
}

/** A button of the panel's heading. */
export function iconButton(part: string, name: string, path: string, onclick: () => void): HTMLButtonElement {
  const button = h("button", { class: "round", part, type: "button", onclick });
  button.dataset["verb"] = part;
  label(button, name, path);
  return button;
}

/** Give a button of one icon its name and its icon. */
export function label(button: HTMLElement, name: string, path: string): void {
  if (button.title === name) return;
  button.title = name;
  setAttribute(button, "aria-label", name);
  button.replaceChildren(icon(path));
}

/** What stands where messages will be. */
export function loadingNotice(locale: Locale<InboxTexts>): HTMLElement[] {
  const row = (): HTMLElement => h("div", { class: "skeleton", part: "skeleton" }, h("i"), h("b"), h("u"));
  return [h("p", { class: "only-heard", role: "status" }, locale.text("loading")), ...Array.from({ length: SKELETONS }, row)];
}

/** What stands where messages would be. */
export function errorNotice(locale: Locale<InboxTexts>, retry: () => void): HTMLElement {
  return h(
    "div",
    { class: "state", part: "error", role: "alert" },
    h("div", { class: "sign" }, icon(CLOUD_OFF)),
    h("p", { class: "state-title" }, locale.text("error")),
    h("p", { class: "state-hint" }, locale.text("errorHint")),
    retryButton(locale, retry),
  );
}

export function retryButton(locale: Locale<InboxTexts>, retry: () => void): HTMLButtonElement {
  return h("button", { class: "action", part: "retry", type: "button", onclick: retry }, locale.text("retry"));
}
