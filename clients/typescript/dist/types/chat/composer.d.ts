import type { ChatMessage, Draft } from "../client/index.js";
import { type Context } from "./parts.js";
export interface ComposerActions {
    send(draft: Draft): void;
    save(message: ChatMessage, text: string): void;
    typing(): void;
    stoppedTyping(): void;
    /** Arrow up in an empty field. */
    editLast(): void;
}
/** Where one writes: text, a file, what it answers; or the new words of a message. */
export declare class Composer {
    #private;
    private readonly context;
    private readonly actions;
    readonly element: HTMLElement;
    constructor(context: Context, actions: ComposerActions, label: string);
    focus(): void;
    get isEmpty(): boolean;
    /** Answer a message. */
    reply(message: ChatMessage): void;
    /** Change the words of a message; what was begun before comes back afterwards. */
    edit(message: ChatMessage): void;
    attach(file: File | undefined): void;
}
