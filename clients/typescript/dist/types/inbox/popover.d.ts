/**
 * Show a popover at an element: below it, or above where there is more room; as far as the window allows, their ends
 * are in line. `least` is the height that it needs below. Its style sheet finds the height that there is in `--room`.
 */
export declare function showAt(anchor: HTMLElement, popover: HTMLElement, least: number): void;
/** Keep the focus inside an element: from the last that can be reached on to the first, and back. */
export declare function keepFocus(event: KeyboardEvent, element: HTMLElement): void;
