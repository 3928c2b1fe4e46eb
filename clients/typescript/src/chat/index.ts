import { NotificationChat } from "./element.js";

if (typeof customElements !== "undefined" && !customElements.get(NotificationChat.tagName)) {
  customElements.define(NotificationChat.tagName, NotificationChat);
}

declare global {
  interface HTMLElementTagNameMap {
    "notification-chat": NotificationChat;
  }
}

export * from "../client/index.js";
export type { ChatTexts } from "./texts.js";
export { NotificationChat };
