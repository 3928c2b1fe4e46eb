/** SVG paths of 24 × 24, drawn with a line. */
export declare const CHECKS = "M2.5 12.5l4 4 8.5-9M11.5 15l1.5 1.5 8.5-9";
export declare const SPEAKER = "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4 4 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11";
export declare const SPEAKER_OFF = "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM16 9.8l4.5 4.5M20.5 9.8L16 14.3";
export declare const ARCHIVE = "M3.5 5h17v4h-17zM5 9v9.5h14V9M10 13h4";
export declare const INBOX = "M3.5 13.5h5l1.5 3h4l1.5-3h5M6.5 5h11l3 8.5V19h-17v-5.5z";
export declare const DOT = "M12 8.5a3.5 3.5 0 1 0 .01 0z";
export declare const CHECK = "M5 12.5l4.5 4.5L19 7";
export declare const ALERT = "M12 4L2.8 19.5h18.4zM12 10v4.5M12 17.2v.1";
export declare const ARROW_UP = "M12 19V6M6 11.5L12 5.5l6 6";
export declare const CLOCK = "M12 4a8 8 0 1 0 .01 0zM12 8v4.5l3 2";
export declare const BIN = "M4 6.5h16M9 6.5V4h6v2.5M6 6.5l1 13h10l1-13M10 10.5v5M14 10.5v5";
