/** SVG paths of 24 × 24, drawn with a line. Those of the panel's contents: contents-icons.ts. */
export const BELL = "M6 8.5a6 6 0 0 1 12 0c0 6 2.5 7.5 2.5 7.5h-17S6 14.5 6 8.5M10 19.5a2.2 2.2 0 0 0 4 0";
export const CROSS = "M6 6l12 12M18 6L6 18";
export const CLOUD_OFF = "M4 4l16 16M8 8.3A5.5 5.5 0 0 0 6.5 19H17M11 7.5a5.5 5.5 0 0 1 6.5 4.5 3.7 3.7 0 0 1 3 5.8";
