import type { ChatFile, ChatMessage } from "../client/index.js";
import { type Actions } from "./message.js";
import { type Context } from "./parts.js";
/** One conversation: its messages, who is here and who types, and where one writes. */
export declare class ThreadView implements Actions {
    #private;
    private readonly context;
    readonly id: string;
    readonly element: HTMLElement;
    constructor(context: Context, id: string, back: () => void);
    /** Load the messages, if need be, and draw them. */
    open(): Promise<void>;
    close(): void;
    focus(): void;
    attach(file: File | undefined): void;
    /** Say what somebody else has just written to who can not see it. */
    announce(message: ChatMessage): void;
    render(): void;
    reply(message: ChatMessage): void;
    edit(message: ChatMessage): void;
    remove(message: ChatMessage): void;
    react(message: ChatMessage, emoji: string, present: boolean): void;
    retry(clientMessageId: string): void;
    discard(clientMessageId: string): void;
    /** Go to a message that is answered, loading what lies between. */
    jump(messageId: string): void;
    fetch(file: ChatFile): void;
}
