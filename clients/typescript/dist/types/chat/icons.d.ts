/** Drawings of 24 × 24, as SVG path data. */
export declare const ICONS: {
    readonly back: "M15 5l-7 7 7 7";
    readonly send: "M12 19V5M6 11l6-6 6 6";
    readonly attach: "M20 11.5l-8.1 8.1a5 5 0 0 1-7.1-7.1l8.5-8.5a3.3 3.3 0 0 1 4.7 4.7l-8.4 8.4a1.7 1.7 0 0 1-2.4-2.4l7.6-7.6";
    readonly smile: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM8.5 14.2s1.2 1.8 3.5 1.8 3.5-1.8 3.5-1.8M9 9.6v.01M15 9.6v.01";
    readonly reply: "M9 14 4 9l5-5M4 9h9a7 7 0 0 1 7 7v3";
    readonly edit: "M4 20h4L19.5 8.5l-4-4L4 16v4ZM13 7l4 4";
    readonly delete: "M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7";
    readonly sent: "M5 12.5l4.5 4.5L19 7.5";
    readonly read: "M2 12.5l4.5 4.5L16 7.5M11.5 16l1 1L22 7.5";
    readonly waiting: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 7.5V12l3 2";
    readonly file: "M7 3h7l5 5v13H7V3ZM14 3v5h5M10 13h6M10 17h6";
    readonly close: "M6 6l12 12M18 6 6 18";
    readonly down: "M6 9.5l6 6 6-6";
    readonly warning: "M12 4 2.8 20h18.4L12 4ZM12 10v5M12 17.6v.01";
    readonly chat: "M4 5h16v11H9l-5 4V5Z";
};
