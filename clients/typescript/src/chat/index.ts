import { NotificationChat } from "./element.js";

if (!customElements.get("notification-chat")) customElements.define("notification-chat", NotificationChat);

declare global {
  interface HTMLElementTagNameMap {
    "notification-chat": NotificationChat;
  }
}

export { Api, ApiError, type TokenSource } from "../client/api.js";
export { ChatClient } from "../client/chat.js";
export type * from "../client/chat-types.js";
export type { ChatTexts } from "./texts.js";
export { NotificationChat };
