import { Locale } from "../ui/locale.js";
declare const en: {
    chats: string;
    messages: string;
    back: string;
    empty: string;
    emptyHint: string;
    pick: string;
    loading: string;
    loadFailed: string;
    again: string;
    begin: string;
    fresh: string;
    latest: string;
    you: string;
    youSaid: string;
    said: string;
    somebody: string;
    online: string;
    away: string;
    busy: string;
    offline: string;
    people: {
        one: string;
        other: string;
    };
    unread: {
        one: string;
        other: string;
    };
    typing: string;
    typingMany: string;
    write: string;
    send: string;
    attach: string;
    detach: string;
    edited: string;
    deleted: string;
    deletedReply: string;
    earlier: string;
    sending: string;
    waiting: string;
    sent: string;
    read: string;
    failed: string;
    retry: string;
    discard: string;
    react: string;
    reactWith: string;
    reply: string;
    replyTo: string;
    edit: string;
    editing: string;
    save: string;
    delete: string;
    reallyDelete: string;
    cancel: string;
    actions: string;
    photo: string;
    file: string;
    download: string;
    picture: string;
    refusedChange: string;
    reconnecting: string;
    isOffline: string;
    unauthenticated: string;
    refused: string;
    today: string;
    yesterday: string;
};
export type ChatTexts = {
    [Name in keyof typeof en]: (typeof en)[Name] extends string ? string : PluralTexts;
};
type PluralTexts = Partial<Record<Intl.LDMLPluralRule, string>>;
/** Texts and formats of chat in one language. */
export declare class ChatLocale extends Locale<ChatTexts> {
    #private;
    constructor(tag: string, own?: Partial<ChatTexts>);
    /** A text about somebody or something. */
    about(name: keyof ChatTexts, who: string): string;
    /** Day and time in full. */
    moment(moment: Date): string;
    time(moment: string): string;
    /** “Today”, “Yesterday”, “Friday 20 November”. */
    day(moment: string): string;
    /** For lists: the time of today, else the day. */
    brief(moment: string): string;
    size(octets: number): string;
}
export {};
