export { default as theme } from "./theme.css";

export type Child = Node | string | null | undefined | false;

type Value = string | number | boolean | null | undefined;

type Attributes = Record<string, Value | ((event: never) => void)>;

/**
 * Make an element: `h("button", {part: "close", "aria-label": "Close", onclick: close}, icon)`. `false`, `null` and
 * `undefined` leave an attribute out, `true` makes it empty, a function listens. Texts become text nodes: there is no
 * way to pass HTML, so that nothing that somebody wrote in a message is ever read as such.
 */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  return filled(document.createElement(tag), attributes, children);
}

/** A drawing of 24 × 24 in the colour of its text, hidden from screen readers. `path` is SVG path data. */
export function icon(path: string): SVGSVGElement {
  const drawing = filled(document.createElementNS(SVG, "path"), { d: path });
  const attributes = { viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" };
  return filled(document.createElementNS(SVG, "svg"), attributes, [drawing]);
}

const SVG = "http://www.w3.org/2000/svg";

function filled<Made extends Element>(element: Made, attributes: Attributes, children: Child[] = []): Made {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else setAttribute(element, name, value);
  }
  element.append(...(children.filter(Boolean) as Node[]));
  return element;
}

/** Set an attribute, or remove it: the same words as `h`. Touches nothing that stands as wanted. */
export function setAttribute(element: Element, name: string, value: Value): void {
  const wanted = value === true ? "" : value;
  if (wanted === false || wanted === null || wanted === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== `${wanted}`) element.setAttribute(name, `${wanted}`);
}

/** Bring the children of an element into line, touching only what differs. */
export function arrange(parent: Element, wanted: readonly Element[]): void {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  wanted.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}

/** Give a shadow root more styles; without a style element, for strict content security policies. */
export function applyStyles(root: ShadowRoot, ...sheets: string[]): void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(sheets.join("\n"));
  root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
}

/**
 * The address if a link may lead there, else undefined. `javascript:` and `data:` addresses would run what somebody
 * put into a message.
 */
export function safeLink(address: unknown, schemes = /^(https?|mailto):/): string | undefined {
  if (typeof address !== "string" || !address || !URL.canParse(address, document.baseURI)) return undefined;
  const { href } = new URL(address, document.baseURI);
  return schemes.test(href) ? href : undefined;
}

/** Schemes of pictures, and of links that people write. */
export const WEB = /^https?:/;
