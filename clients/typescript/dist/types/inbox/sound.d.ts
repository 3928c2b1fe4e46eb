/** Begin to wait for the first gesture. */
export declare function listenForGesture(): void;
/** Whether the person has switched sounds off, in any tab; `undefined` if they never chose. */
export declare function storedMute(): boolean | undefined;
export declare function storeMute(muted: boolean): void;
/** Call `work` when another tab mutes or unmutes. */
export declare function onMuteElsewhere(work: () => void): () => void;
/** Plays the sounds of messages: the tenant's by name, else a soft one of two tones that needs no file. */
export declare class Sounds {
    #private;
    private readonly load;
    constructor(load: (name: string) => Promise<ArrayBuffer | undefined>);
    /**
     * Play the sound of a message, in one tab alone: the first that can. True if it was this one.
     * `id` names the message; `name` is its `sound`.
     */
    play(id: string, name: string | null): Promise<boolean>;
}
