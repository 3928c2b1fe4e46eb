import { NotificationInbox } from "./element.js";
export { ApiError } from "../client/api.js";
export { Inbox } from "../client/inbox.js";
export { NotificationClient } from "../client/notifications.js";
export { NotificationInbox };
export type { InboxTexts } from "./texts.js";
declare global {
    interface HTMLElementTagNameMap {
        "notification-inbox": NotificationInbox;
    }
}
