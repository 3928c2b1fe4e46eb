import { Api, type ApiOptions } from "./api.js";
import type { Changed, Message, MessageQuery, Page, Preferences, PreferencesChoice } from "./types.js";
/** One's own messages and preferences over REST (docs/inbox.md). Everything throws `ApiError`. */
export declare class NotificationApi {
    #private;
    /** For whatever has no method of its own. */
    readonly api: Api;
    constructor(options: ApiOptions);
    /** My messages, the newest first. */
    list({ pageSize, priority, since, before, cursor, signal, ...query }?: MessageQuery): Promise<Page<Message>>;
    get(id: string): Promise<Message>;
    markRead(id: string): Promise<Message>;
    markUnread(id: string): Promise<Message>;
    /** Mark up to 500 messages as read. */
    markManyRead(ids: readonly string[]): Promise<Changed>;
    markAllRead(): Promise<Changed>;
    archive(id: string): Promise<Message>;
    unarchive(id: string): Promise<Message>;
    /** Hide a message until then; null shows it again now. */
    snooze(id: string, until: Date | string | null): Promise<Message>;
    /** Confirm that a message was taken note of. */
    acknowledge(id: string): Promise<Message>;
    /** Delete one message, up to 500, all that are read, or all. */
    delete(what: string | readonly string[] | "read" | "all"): Promise<void>;
    unreadCount(): Promise<number>;
    preferences(): Promise<Preferences>;
    /** Choose everything anew: what is not given goes back to its default. */
    savePreferences(choice: PreferencesChoice): Promise<Preferences>;
    /** A sound of the tenant by its name; undefined if there is none. */
    sound(name: string): Promise<ArrayBuffer | undefined>;
}
