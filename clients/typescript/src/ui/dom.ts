export { default as theme } from "./theme.css";

export type Child = Node | string | null | undefined | false;

type Value = string | number | boolean | null | undefined | ((event: never) => void);

/**
 * Make an element: `h("button", {part: "close", "aria-label": "Close", onclick: close}, icon)`. `false`, `null` and
 * `undefined` leave an attribute out, `true` makes it empty, a function listens. Texts become text nodes: there is no
 * way to pass HTML, so that nothing that somebody wrote in a message is ever read as such.
 */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, Value> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else setAttribute(element, name, value);
  }
  element.append(...children.filter((child): child is Node | string => !!child));
  return element;
}

/** Set an attribute, or remove it: the same words as `h`. Touches nothing that stands as wanted. */
export function setAttribute(element: Element, name: string, value: Exclude<Value, (event: never) => void>): void {
  if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== (value === true ? "" : String(value)))
    element.setAttribute(name, value === true ? "" : String(value));
}

/** A drawing of 24 × 24 in the colour of its text, hidden from screen readers. `path` is SVG path data. */
export function icon(path: string): SVGSVGElement {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const drawing = document.createElementNS(namespace, "path");
  drawing.setAttribute("d", path);
  svg.append(drawing);
  return svg;
}

/** Give a shadow root more styles; without a style element where browsers can, for strict content security policies. */
export function applyStyles(root: ShadowRoot, ...sheets: string[]): void {
  const css = sheets.join("\n");
  if ("adoptedStyleSheets" in Document.prototype) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
  } else {
    root.append(Object.assign(document.createElement("style"), { textContent: css }));
  }
}

/**
 * The address if a link may lead there, else undefined. `javascript:` and `data:` addresses would run what somebody
 * put into a message.
 */
export function safeLink(address: unknown, schemes = ["http:", "https:", "mailto:"]): string | undefined {
  if (typeof address !== "string" || !address) return undefined;
  try {
    const url = new URL(address, document.baseURI);
    return schemes.includes(url.protocol) ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/** The address if a picture may come from there. */
export function safeImage(address: unknown): string | undefined {
  return safeLink(address, ["http:", "https:"]);
}
