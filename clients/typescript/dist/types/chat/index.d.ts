import { NotificationChat } from "./element.js";
declare global {
    interface HTMLElementTagNameMap {
        "notification-chat": NotificationChat;
    }
}
export * from "../client/index.js";
export type { ChatTexts } from "./texts.js";
export { NotificationChat };
