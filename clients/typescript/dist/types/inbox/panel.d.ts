/**
 * The panel as a popover: in the top layer where browsers have one, near its button, inside the window; it keeps the
 * focus until Escape, or a press elsewhere, closes it.
 */
export declare class Popover {
    #private;
    private readonly panel;
    private readonly button;
    private readonly onClose;
    constructor(panel: HTMLElement, button: HTMLElement, onClose: (byKeyboard: boolean) => void);
    get isOpen(): boolean;
    open(): void;
    close(): void;
}
