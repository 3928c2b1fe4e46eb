/** Shapes of chat, as REST and the socket show them (docs/asyncapi.yaml). */
export type Presence = "online" | "away" | "busy" | "offline";
export type MessageType = "text" | "emoji" | "file" | "image" | "system";
export interface ChatFile {
    readonly id: string;
    readonly name: string;
    readonly content_type: string;
    /** Octets. */
    readonly size: number;
    /** Pixels, of images. */
    readonly width: number | null;
    readonly height: number | null;
}
export interface Reaction {
    readonly emoji: string;
    readonly count: number;
    /** The first hundred. */
    readonly user_ids: readonly string[];
}
export interface ChatMessage {
    readonly id: string;
    readonly conversation_id: string;
    /** Its number in the conversation: 1, 2, 3 … */
    readonly seq: number;
    /** The conversation's revision when it last changed. */
    readonly revision: number;
    readonly client_message_id: string;
    /** Null for `system` messages and erased people. */
    readonly sender_id: string | null;
    readonly sender_name: string;
    readonly message_type: MessageType;
    readonly text: string;
    readonly file: ChatFile | null;
    readonly reply_to: string | null;
    readonly reactions: readonly Reaction[];
    readonly created_at: string;
    readonly edited_at: string | null;
    readonly deleted_at: string | null;
}
export interface Participant {
    readonly user_id: string;
    readonly name: string;
    readonly role: "admin" | "moderator" | "member";
    readonly last_read_seq: number;
    readonly joined_at: string;
    readonly status?: Presence;
}
export interface Conversation {
    readonly id: string;
    readonly kind: "direct" | "group" | "channel";
    readonly title: string;
    readonly description: string;
    readonly is_open: boolean;
    readonly last_seq: number;
    readonly revision: number;
    readonly participant_count: number;
    /** The first ten. */
    readonly participants: readonly Participant[];
    readonly last_message: ChatMessage | null;
    readonly role: Participant["role"] | null;
    readonly last_read_seq: number | null;
    readonly unread_count: number | null;
    readonly muted: boolean | null;
    readonly active_at: string;
    readonly created_at: string;
}
/** A page of history, in the order in which things were said. */
export interface HistoryPage {
    readonly previous: string | null;
    readonly next: string | null;
    readonly last_seq: number;
    readonly revision: number;
    readonly results: readonly ChatMessage[];
}
/** What somebody writes. With a file it is a message of type `image` or `file`, and the text is its caption. */
export interface Draft {
    readonly text: string;
    readonly replyTo?: string | undefined;
    readonly file?: File | undefined;
}
/** A message of ours that is not in the conversation yet: `waiting` for a connection, `sending`, or `failed`. */
export interface Outgoing extends Draft {
    readonly clientMessageId: string;
    readonly conversationId: string;
    readonly createdAt: string;
    readonly state: "waiting" | "sending" | "failed";
    /** Why it failed, for people. */
    readonly reason: string;
}
