/** What the inbox says. `{count}` becomes the number; texts with one have forms by plural category. */
declare const en: {
    title: string;
    bell: {
        one: string;
        other: string;
    };
    all: string;
    unread: string;
    archived: string;
    markAllRead: string;
    mute: string;
    unmute: string;
    close: string;
    markRead: string;
    markUnread: string;
    archive: string;
    unarchive: string;
    archivedNow: string;
    undo: string;
    open: string;
    high: string;
    urgent: string;
    isUnread: string;
    isNew: string;
    emptyAll: string;
    emptyAllHint: string;
    emptyUnread: string;
    emptyUnreadHint: string;
    emptyArchived: string;
    emptyArchivedHint: string;
    loading: string;
    error: string;
    errorHint: string;
    retry: string;
    notSaved: string;
    offline: string;
    reconnecting: string;
    refused: string;
    unauthenticated: string;
};
export type InboxTexts = {
    [Name in keyof typeof en]: string | Partial<Record<Intl.LDMLPluralRule, string>>;
};
export declare const LANGUAGES: {
    en: InboxTexts;
    de: InboxTexts;
    "pt-br": InboxTexts;
};
export {};
