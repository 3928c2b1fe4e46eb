export { Api, ApiError, type ApiOptions, type RequestOptions, type TokenSource } from "./api.js";
export { makeConnection, type Connection, type ConnectionOptions, type ConnectionStatus, type Frame } from "./connection.js";
export { Inbox, type InboxState, type View } from "./inbox.js";
export {
  NotificationClient,
  type NotificationClientOptions,
  type NotificationEvents,
  type StatusEvent,
} from "./notifications.js";
export { NotificationApi } from "./rest.js";
export type * from "./types.js";
export { ChatClient, type ChatClientOptions, type ChatEvents } from "./chat.js";
export { ChatLog } from "./chat-log.js";
export type * from "./chat-types.js";
