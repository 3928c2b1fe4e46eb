/** Browsers play nothing before the person has done something on the page; one context serves all components. */
let context: AudioContext | undefined;
const GESTURES = ["pointerdown", "keydown", "touchend"];

async function unlock(): Promise<void> {
  context ??= new AudioContext();
  await context.resume();
  for (const gesture of GESTURES) removeEventListener(gesture, unlock, true);
}

/** Begin to wait for the first gesture. */
export function listenForGesture(): void {
  if (!context) for (const gesture of GESTURES) addEventListener(gesture, unlock, true);
}

const KEY = "notification-inbox.muted";

/** Whether the person has switched sounds off, in any tab; undefined if they never chose, or storage is forbidden. */
export function storedMute(): boolean | undefined {
  try {
    const stored = localStorage.getItem(KEY);
    return stored === null ? undefined : stored === "1";
  } catch {
    return undefined;
  }
}

/** Keep what the person has chosen; where storage is forbidden it holds until the page is left. */
export function storeMute(muted: boolean): void {
  try {
    localStorage.setItem(KEY, muted ? "1" : "0");
  } catch {}
}

/** Call `work` when another tab mutes or unmutes. */
export function onMuteElsewhere(work: () => void): () => void {
  const heard = ({ key }: StorageEvent): void => {
    if (key === KEY) work();
  };
  addEventListener("storage", heard);
  return () => removeEventListener("storage", heard);
}

/**
 * What plays the sounds of messages: the tenant's by name, else a soft one of two tones that needs no file.
 *
 * It plays in one tab alone: the first that can. True if it was this one. `id` names the message; `name` is its
 * `sound`.
 */
export function makePlayer(
  load: (name: string) => Promise<ArrayBuffer | undefined>,
): (id: string, name: string | null) => Promise<boolean> {
  const buffers = new Map<string, Promise<AudioBuffer | undefined>>();

  const bufferOf = (audio: AudioContext, name: string): Promise<AudioBuffer | undefined> => {
    const known = buffers.get(name);
    if (known) return known;
    const decoded = load(name).then((data) => data && audio.decodeAudioData(data));
    const buffer = decoded.catch(() => void buffers.delete(name)); // perhaps next time
    buffers.set(name, buffer as typeof decoded);
    return buffer as typeof decoded;
  };

  const sound = async (audio: AudioContext, name: string | null): Promise<true> => {
    const buffer = name && (await bufferOf(audio, name));
    if (!buffer) return chime(audio);
    const source = new AudioBufferSourceNode(audio, { buffer });
    source.connect(audio.destination);
    source.start();
    return true;
  };

  return async (id, name) => {
    const audio = context;
    if (audio?.state !== "running" || name === "none" || name === "silent") return false;
    if (!navigator.locks) return sound(audio, name);
    return new Promise((resolve) => {
      void navigator.locks.request(`notification-sound ${id}`, { ifAvailable: true }, async (held) => {
        resolve(!!held && (await sound(audio, name)));
        if (held) await new Promise((done) => setTimeout(done, 3_000)); // until every tab has heard of the message
      });
    });
  };
}

/** Two soft bells, a fourth apart: E5 and A5. */
function chime(audio: AudioContext): true {
  [659.25, 880].forEach((frequency, index) => {
    const start = audio.currentTime + index * 0.11;
    const tone = new OscillatorNode(audio, { frequency });
    const volume = new GainNode(audio, { gain: 0 });
    volume.gain.setValueAtTime(1e-4, start);
    volume.gain.exponentialRampToValueAtTime(0.12, start + 0.015);
    volume.gain.exponentialRampToValueAtTime(1e-4, start + 0.6);
    tone.connect(volume).connect(audio.destination);
    tone.start(start);
    tone.stop(start + 0.65);
  });
  return true;
}
