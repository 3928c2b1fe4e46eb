/** Browsers play nothing before the person has done something on the page; one context serves all components. */
let context: AudioContext | undefined;
const GESTURES = ["pointerdown", "keydown", "touchend"];

function unlock(): void {
  if (typeof AudioContext === "undefined") return;
  context ??= new AudioContext();
  void context.resume().then(() => {
    for (const gesture of GESTURES) removeEventListener(gesture, unlock, true);
  });
}

/** Begin to wait for the first gesture. */
export function listenForGesture(): void {
  if (!context) for (const gesture of GESTURES) addEventListener(gesture, unlock, true);
}

const KEY = "notification-inbox.muted";
const SILENT = new Set(["none", "silent"]);

/** Whether the person has switched sounds off, in any tab; `undefined` if they never chose. */
export function storedMute(): boolean | undefined {
  try {
    const stored = localStorage.getItem(KEY);
    return stored === null ? undefined : stored === "1";
  } catch {
    return undefined; // storage is forbidden here
  }
}

export function storeMute(muted: boolean): void {
  try {
    localStorage.setItem(KEY, muted ? "1" : "0");
  } catch {
    // then it holds until the page is left
  }
}

/** Call `work` when another tab mutes or unmutes. */
export function onMuteElsewhere(work: () => void): () => void {
  const heard = (event: StorageEvent): void => {
    if (event.key === KEY) work();
  };
  addEventListener("storage", heard);
  return () => removeEventListener("storage", heard);
}

/** Plays the sounds of messages: the tenant's by name, else a soft one of two tones that needs no file. */
export class Sounds {
  readonly #buffers = new Map<string, Promise<AudioBuffer | undefined>>();

  constructor(private readonly load: (name: string) => Promise<ArrayBuffer | undefined>) {}

  /**
   * Play the sound of a message, in one tab alone: the first that can. True if it was this one.
   * `id` names the message; `name` is its `sound`.
   */
  async play(id: string, name: string | null): Promise<boolean> {
    const audio = context;
    if (audio?.state !== "running" || SILENT.has(name ?? "")) return false;
    if (!navigator.locks) return this.#sound(audio, name);
    return new Promise((resolve) => {
      const lock = `notification-sound ${id}`;
      void navigator.locks.request(lock, { ifAvailable: true }, async (held) => {
        resolve(!!held && (await this.#sound(audio, name)));
        if (held) await new Promise((done) => setTimeout(done, 3_000)); // until every tab has heard of the message
      });
    });
  }

  async #sound(audio: AudioContext, name: string | null): Promise<boolean> {
    const buffer = name ? await this.#buffer(audio, name) : undefined;
    if (!buffer) chime(audio);
    else {
      const source = audio.createBufferSource();
      source.buffer = buffer;
      source.connect(audio.destination);
      source.start();
    }
    return true;
  }

  #buffer(audio: AudioContext, name: string): Promise<AudioBuffer | undefined> {
    let buffer = this.#buffers.get(name);
    if (!buffer) {
      buffer = this.load(name)
        .then((data) => data && audio.decodeAudioData(data))
        .catch(() => {
          this.#buffers.delete(name); // perhaps next time
          return undefined;
        });
      this.#buffers.set(name, buffer);
    }
    return buffer;
  }
}

/** Two soft bells, a fourth apart: E5 and A5. */
function chime(audio: AudioContext): void {
  [659.25, 880].forEach((frequency, index) => {
    const start = audio.currentTime + index * 0.11;
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    tone.type = "sine";
    tone.frequency.value = frequency;
    volume.gain.setValueAtTime(0.0001, start);
    volume.gain.exponentialRampToValueAtTime(0.12, start + 0.015);
    volume.gain.exponentialRampToValueAtTime(0.0001, start + 0.6);
    tone.connect(volume).connect(audio.destination);
    tone.start(start);
    tone.stop(start + 0.65);
  });
}
