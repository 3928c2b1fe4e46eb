import { ApiError } from "./api.js";
import type { Frame } from "./connection.js";
import type { Environment } from "./environment.js";

const ANSWER_WITHIN = 15_000;

/** Commands over a socket, each with the answer that carries its `ref`. */
export class Commands {
  readonly #environment: Environment;
  readonly #send: (frame: Frame) => boolean;
  readonly #waiting = new Map<string, (answer: Frame | undefined) => void>();
  /** Tabs share a socket and see all answers: each names its questions in its own way. */
  readonly #name: string;
  #reference = 0;

  constructor(environment: Environment, send: (frame: Frame) => boolean) {
    this.#environment = environment;
    this.#send = send;
    this.#name = environment.random().toString(36).slice(2, 10);
  }

  /** Send a command and wait for its answer. Rejects with `ApiError`; of status 0 if there is no connection. */
  ask(frame: Frame): Promise<Frame> {
    const ref = `${this.#name}-${++this.#reference}`;
    return new Promise((resolve, reject) => {
      const timer = this.#environment.setTimeout(() => answer(undefined), ANSWER_WITHIN);
      const answer = (answered: Frame | undefined): void => {
        this.#environment.clearTimeout(timer);
        this.#waiting.delete(ref);
        if (answered && answered.type !== "error") resolve(answered);
        else reject(refusal(answered));
      };
      this.#waiting.set(ref, answer);
      if (!this.#send({ ...frame, ref })) answer(undefined);
    });
  }

  /** Whether a frame answers a question of ours. */
  isMine(frame: Frame): boolean {
    return this.#waiting.has(String(frame["ref"]));
  }

  /** A frame has come: perhaps somebody waits for it. */
  take(frame: Frame): void {
    if (typeof frame["ref"] === "string") this.#waiting.get(frame["ref"])?.(frame);
  }

  /** The connection is lost: nobody will answer any more. */
  lost(): void {
    for (const answer of [...this.#waiting.values()]) answer(undefined);
  }
}

function refusal(frame: Frame | undefined): ApiError {
  if (!frame) return new ApiError(0, "network_error", "The service can not be reached.");
  const wait = frame["retry_after"];
  return new ApiError(
    400,
    String(frame["code"]),
    String(frame["detail"]),
    (frame["errors"] ?? {}) as Record<string, string[]>,
    typeof wait === "number" ? wait : undefined,
  );
}
