import type { Participant, Presence } from "./chat-types.js";
import type { Frame } from "./connection.js";
import type { Environment } from "./environment.js";
/** Who is in the conversations, how far they have read, how they are, and who types. */
export declare class People {
    #private;
    constructor(environment: Environment, onChange: (conversationId: string) => void, send: (frame: Frame) => boolean);
    /** Of a conversation. */
    in(id: string): Participant[];
    /** User ids of those who type in a conversation. */
    typing(id: string): string[];
    presence(userId: string): Presence;
    setPresence(userId: string, presence: Presence): void;
    /** What the service says of participants; nobody's position moves back. */
    know(id: string, participants: readonly Participant[]): void;
    read(id: string, userId: string, seq: number): void;
    left(id: string, userId: string): void;
    /** Somebody types for so many seconds, unless it is said again; 0: no more. */
    type(id: string, userId: string, seconds: number): void;
    /** The connection is lost: nobody is heard typing any more, and nobody hears us. */
    lost(): void;
    hasJoined(id: string): boolean;
    /** We are heard in a conversation from now on. That we type may have been told to nobody: tell it again. */
    joined(id: string): void;
    /** We type: tell it, but not at every key. */
    tellTyping(id: string): void;
    /** We type no more, and have sent nothing. */
    tellStopped(id: string): void;
    /** We have sent what we typed: whoever gets it sees that. */
    wrote(id: string): void;
}
