import type { InboxTexts } from "../texts.js";
export declare const texts: InboxTexts;
