export interface HandlesOptions {
    /** Draw what can be done with a message; undefined if nothing can. */
    draw(article: HTMLElement): HTMLElement | undefined;
    /** Escape was pressed. */
    leave(): void;
}
/** How one gets hold of messages: arrows go from one to the next, and where the pointer or the focus is, tools show. */
export declare class Handles {
    #private;
    constructor(log: HTMLElement, items: HTMLElement, options: HandlesOptions);
    removeTools(): void;
}
