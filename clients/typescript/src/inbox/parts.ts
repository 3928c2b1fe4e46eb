import { h, icon, setAttribute, type Child } from "../ui/dom.js";
import type { Locale } from "../ui/locale.js";
import { CLOUD_OFF } from "./icons.js";
import type { InboxTexts } from "./texts.js";

const MOST_COUNTED = 99;

/** A number as it stands in a badge. */
export function counted(count: number, locale: Locale<InboxTexts>): string {
  return count > MOST_COUNTED ? `${locale.number(MOST_COUNTED)}+` : locale.number(count);
}

/** An element that pages may style: what `::part()` calls it is its class, too. */
export function part<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  names: string,
  attributes: Parameters<typeof h>[1] = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  return h(tag, { class: names, part: names, ...attributes }, ...children);
}

/** A button of one icon. */
export function tool(names: string, name: string, path: string, onclick: () => void): HTMLButtonElement {
  const button = part("button", `tool ${names}`, { onclick });
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

/** A notice in the middle of where messages would be. */
export function sign(names: string, path: string, title: string, hint: string, ...more: Child[]): HTMLElement {
  return part(
    "div",
    `state ${names}`,
    { role: names === "error" && "alert" },
    h("div", { class: "sign" }, icon(path)),
    h("b", {}, title),
    h("p", {}, hint),
    ...more,
  );
}

const SKELETONS = 4;

/** What stands where messages will be. */
export function loadingNotice(locale: Locale<InboxTexts>): HTMLElement[] {
  const skeleton = (): HTMLElement => part("div", "skeleton", {}, h("i"), h("b"), h("u"));
  return [h("p", { class: "only-heard", role: "status" }, locale.text("loading")), ...Array.from({ length: SKELETONS }, skeleton)];
}

/** What stands where messages would be. */
export function errorNotice(locale: Locale<InboxTexts>, retry: () => void): HTMLElement {
  return sign("error", CLOUD_OFF, locale.text("error"), locale.text("errorHint"), retryButton(locale, retry));
}

export function retryButton(locale: Locale<InboxTexts>, retry: () => void): HTMLButtonElement {
  return part("button", "action retry", { onclick: retry }, locale.text("retry"));
}
