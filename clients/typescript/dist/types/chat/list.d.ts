import { type Context } from "./parts.js";
/** The list of conversations. */
export declare class ListView {
    #private;
    private readonly context;
    private readonly choose;
    private readonly again;
    readonly element: HTMLElement;
    constructor(context: () => Context | undefined, choose: (id: string) => void, again: () => void);
    render(current: string | undefined): void;
    /** Put the focus on a conversation, where somebody came back from. */
    focus(id: string | undefined): void;
}
