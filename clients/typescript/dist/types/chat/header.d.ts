import { type Context } from "./parts.js";
/** Above the messages: whom one talks to, how they are, and the way back to the list. */
export declare class ThreadHeader {
    #private;
    private readonly context;
    private readonly id;
    readonly element: HTMLElement;
    constructor(context: Context, id: string, back: () => void);
    /** What the conversation is called; empty until that is known. */
    get title(): string;
    render(): void;
}
