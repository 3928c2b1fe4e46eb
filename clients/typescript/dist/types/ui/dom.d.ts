export { default as theme } from "./theme.css";
export type Child = Node | string | null | undefined | false;
type Value = string | number | boolean | null | undefined;
type Attributes = Record<string, Value | ((event: never) => void)>;
/**
 * Make an element: `h("button", {part: "close", "aria-label": "Close", onclick: close}, icon)`. `false`, `null` and
 * `undefined` leave an attribute out, `true` makes it empty, a function listens. Texts become text nodes: there is no
 * way to pass HTML, so that nothing that somebody wrote in a message is ever read as such.
 */
export declare function h<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, attributes?: Attributes, ...children: Child[]): HTMLElementTagNameMap[Tag];
/** A drawing of 24 × 24 in the colour of its text, hidden from screen readers. `path` is SVG path data. */
export declare function icon(path: string): SVGSVGElement;
/** Set an attribute, or remove it: the same words as `h`. Touches nothing that stands as wanted. */
export declare function setAttribute(element: Element, name: string, value: Value): void;
/** Bring the children of an element into line, touching only what differs. */
export declare function arrange(parent: Element, wanted: readonly Element[]): void;
/** Give a shadow root more styles; without a style element, for strict content security policies. */
export declare function applyStyles(root: ShadowRoot, ...sheets: string[]): void;
/**
 * The address if a link may lead there, else undefined. `javascript:` and `data:` addresses would run what somebody
 * put into a message.
 */
export declare function safeLink(address: unknown, schemes?: RegExp): string | undefined;
/** Schemes of pictures, and of links that people write. */
export declare const WEB: RegExp;
