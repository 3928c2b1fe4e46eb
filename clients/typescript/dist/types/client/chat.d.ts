import { ApiError, type Api } from "./api.js";
import type { ChatLog } from "./chat-log.js";
import type { ChatFile, ChatMessage, Conversation, Draft, Outgoing, Participant, Presence } from "./chat-types.js";
import type { ConnectionStatus } from "./connection.js";
import { Emitter } from "./emitter.js";
export interface ChatEvents {
    /** The connection. */
    status: {
        status: ConnectionStatus;
        reason: string;
    };
    /** The list of conversations, or something that it shows. */
    conversations: undefined;
    /** Anything of one conversation: messages, what is on its way, who types, who has read, who is here. */
    conversation: {
        id: string;
    };
    /** A message of somebody else, as it is said. */
    message: ChatMessage;
}
export interface ChatClientOptions {
    api: Api;
    /** As in the token. */
    tenantId: string;
    /** Whether tabs share one socket (true): see `NotificationClientOptions`. */
    share?: boolean | string;
}
/**
 * Chat of one person: a socket that stays, which all tabs share, conversations with their history, and an outbox that
 * loses nothing. It knows no page: components draw what it holds, and are told by events when that has changed.
 */
export declare class ChatClient extends Emitter<ChatEvents> {
    #private;
    /** Whose chat this is; empty until the first connection. */
    userId: string;
    /** What the service said when it ended the connection. */
    reason: string;
    /** Why the conversations can not be loaded just now. */
    failure: ApiError | undefined;
    constructor({ api, tenantId, share }: ChatClientOptions);
    get status(): ConnectionStatus;
    start(): void;
    /** Be live no longer. What waits to be sent waits for `start()`. */
    stop(): void;
    /** Newest first. */
    get conversations(): readonly Conversation[];
    get hasLoaded(): boolean;
    conversation(id: string): Conversation | undefined;
    /** What is known of its messages. `isLoaded` is false before `open`. */
    log(id: string): ChatLog;
    /** Ours that are not in its messages yet. */
    outgoing(id: string): Outgoing[];
    participants(id: string): Participant[];
    /** User ids of the others who are typing. */
    typing(id: string): string[];
    presence(userId: string): Presence;
    /** Load the newest conversations (at most 50), and listen to them. Throws `ApiError`. */
    loadConversations(): Promise<void>;
    /** Load the newest messages of a conversation, and stay up to date. Throws `ApiError`. */
    open(id: string): Promise<void>;
    /** Load the messages before the oldest one that is there. Throws `ApiError`. */
    loadOlder(id: string): Promise<void>;
    /** The direct conversation with somebody, made if there is none. Throws `ApiError`. */
    direct(userId: string): Promise<string>;
    /** Send a message. It shows in `outgoing` at once, and arrives once, after a broken connection too. */
    send(id: string, draft: Draft): Outgoing;
    /** Try a message that failed again. */
    retry(clientMessageId: string): void;
    /** Give up a message that failed or waits. */
    discard(clientMessageId: string): void;
    /** Change the text of a message of one's own. Throws `ApiError`. */
    edit({ conversation_id, id }: ChatMessage, text: string): Promise<void>;
    /** Delete a message. Throws `ApiError`. */
    remove({ conversation_id, id }: ChatMessage): Promise<void>;
    /** Put a reaction on a message, or take it back. Throws `ApiError`. */
    react({ conversation_id, id }: ChatMessage, emoji: string, present: boolean): Promise<void>;
    /** Everything up to `seq` has been read. Lost without a connection: say it again then. */
    markRead(id: string, seq: number): void;
    /** Somebody types here: told at most every three seconds. */
    type(id: string): void;
    stopTyping(id: string): void;
    /** Say how you are; `offline` hides you. */
    setPresence(status: Presence): void;
    /** The address under which a file can be fetched for some minutes. Throws `ApiError`. */
    fileAddress(file: ChatFile): Promise<string>;
}
