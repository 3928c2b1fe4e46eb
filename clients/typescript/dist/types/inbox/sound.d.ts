/** Begin to wait for the first gesture. */
export declare function listenForGesture(): void;
/** Whether the person has switched sounds off, in any tab; undefined if they never chose, or storage is forbidden. */
export declare function storedMute(): boolean | undefined;
/** Keep what the person has chosen; where storage is forbidden it holds until the page is left. */
export declare function storeMute(muted: boolean): void;
/** Call `work` when another tab mutes or unmutes. */
export declare function onMuteElsewhere(work: () => void): () => void;
/**
 * What plays the sounds of messages: the tenant's by name, else a soft one of two tones that needs no file.
 *
 * It plays in one tab alone: the first that can. True if it was this one. `id` names the message; `name` is its
 * `sound`.
 */
export declare function makePlayer(load: (name: string) => Promise<ArrayBuffer | undefined>): (id: string, name: string | null) => Promise<boolean>;
