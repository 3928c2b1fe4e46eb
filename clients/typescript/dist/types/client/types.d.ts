/** What REST and the live socket show; docs/openapi.yaml and docs/asyncapi.yaml are the source. */
export type Priority = "low" | "normal" | "high" | "urgent";
/** A button: it leads to `url`, or the page does what it knows by the name `callback`. */
export interface Action {
    readonly label?: string;
    readonly url?: string;
    readonly callback?: string;
}
/** A message of one's own. Moments are RFC 3339. */
export interface Message {
    readonly id: string;
    readonly title: string;
    /** Text, not HTML. */
    readonly body: string;
    readonly category: string;
    readonly priority: Priority;
    /** Name of a sound of the tenant, or of one of the client. */
    readonly sound: string | null;
    readonly image: string | null;
    /** Where a click on the message leads. */
    readonly action: Action | null;
    readonly actions: readonly Action[];
    readonly data: Readonly<Record<string, unknown>>;
    readonly created_at: string;
    readonly expires_at: string | null;
    readonly read_at: string | null;
    readonly archived_at: string | null;
    readonly snoozed_until: string | null;
    readonly acknowledged_at: string | null;
    readonly broadcast_id: string | null;
}
export interface MessageQuery {
    /** Without it: what is neither archived nor snoozed. */
    status?: "unread" | "read" | "archived" | "snoozed" | "all" | undefined;
    priority?: Priority | readonly Priority[] | undefined;
    category?: string | undefined;
    /** RFC 3339 or a date. */
    since?: string | Date | undefined;
    before?: string | Date | undefined;
    pageSize?: number | undefined;
    /** `next` of the page before. */
    cursor?: string | undefined;
    signal?: AbortSignal | undefined;
}
export interface Page<Item> {
    readonly items: readonly Item[];
    /** Cursor of the next page; undefined on the last. */
    readonly next: string | undefined;
}
/** What came of a change: how many messages it changed, and how many are unread now. */
export interface Changed {
    readonly changed: number;
    readonly unread: number;
}
export interface QuietHours {
    readonly start: string;
    readonly end: string;
    readonly time_zone?: string;
}
/** `{category: {channel: on}}`; `*` is every other category or channel. */
export type CategoryChoices = Readonly<Record<string, Readonly<Record<string, boolean>>>>;
export interface PreferencesChoice {
    readonly categories?: CategoryChoices;
    readonly quiet_hours?: QuietHours | null;
    readonly digest?: string;
}
export interface Preferences extends PreferencesChoice {
    readonly user_id: string;
    /** The tenant's categories; those that are `required` can not be switched off. */
    readonly available: readonly Readonly<Record<string, unknown>>[];
    /** Null: nothing was chosen yet. */
    readonly updated_at: string | null;
}
export interface Position {
    readonly epoch: string;
    readonly seq: number;
}
interface Sequenced {
    readonly seq: number;
    /** Unread messages once this is applied. */
    readonly unread: number;
    /** It was missed and is sent again: play no sound. */
    readonly replay?: boolean;
}
export interface MessageFrame extends Sequenced, Message {
    readonly type: "notification" | "broadcast";
    readonly snooze_over?: boolean;
}
export interface ReadFrame extends Sequenced {
    readonly type: "read";
    readonly read: boolean;
    readonly read_at: string | null;
    readonly ids?: readonly string[];
    readonly all?: boolean;
}
export interface UpdatedFrame extends Sequenced {
    readonly type: "updated";
    readonly ids: readonly string[];
    readonly changes: Partial<Pick<Message, "archived_at" | "snoozed_until" | "acknowledged_at" | "read_at">>;
}
export interface RemovedFrame extends Sequenced {
    readonly type: "removed";
    readonly ids?: readonly string[];
    readonly all?: boolean;
    readonly reason: "deleted" | "expired" | "retracted";
}
/** The stream: numbered without gaps. */
export type StreamFrame = MessageFrame | ReadFrame | UpdatedFrame | RemovedFrame;
/** How far a campaign or a file of the tenant is. More fields: docs/asyncapi.yaml. */
export interface ProgressFrame {
    readonly type: "progress";
    readonly kind: string;
    readonly id: string;
    readonly status?: string;
    readonly done?: number;
    readonly total?: number | null;
    readonly percent?: number;
    readonly [field: string]: unknown;
}
export interface PresenceFrame {
    readonly type: "presence";
    readonly complete?: boolean;
    readonly users: readonly {
        readonly user_id: string;
        readonly status: "online" | "offline";
        readonly at?: string;
    }[];
}
export type Topic = "progress" | "presence";
export {};
