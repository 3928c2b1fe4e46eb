/** Typed events: `on` returns what ends the subscription. A listener that throws stops nobody else. */
export declare class Emitter<Events extends object> {
    #private;
    on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void;
    emit<Name extends keyof Events>(name: Name, event: Events[Name]): void;
}
