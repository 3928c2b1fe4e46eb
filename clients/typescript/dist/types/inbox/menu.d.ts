/** What can be chosen. */
export interface Choice {
    readonly label: string;
    /** Stands at its end. */
    readonly detail?: string;
    /** It can not be undone. */
    readonly isFinal?: boolean;
    act(): void;
}
export interface Menu {
    readonly element: HTMLElement;
    open(button: HTMLElement, choices: readonly Choice[]): void;
}
/** A menu that opens at any button: arrows go through it, Escape and Tab lead back. It is a popover of its own. */
export declare function makeMenu(): Menu;
