import { NotificationInbox } from "./element.js";
export * from "../client/index.js";
export { NotificationInbox };
export type { InboxTexts } from "./texts.js";
declare global {
    interface HTMLElementTagNameMap {
        "notification-inbox": NotificationInbox;
    }
}
