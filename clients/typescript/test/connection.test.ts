import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { Api, type TokenSource } from "../src/client/api.js";
import { makeConnection, type Connection, type Frame } from "../src/client/connection.js";
import { World, hello, settle } from "./world.js";

let world: World;
let statuses: string[];
let frames: Frame[];

function connect(token: TokenSource = async () => "token"): Connection {
  const api = new Api({ baseUrl: "http://service.test", token, environment: world.environment });
  const connection = makeConnection({
    api,
    path: "/ws/notifications/",
    greeting: "hello",
    onFrame: (frame) => frames.push(frame),
    onStatus: (status) => statuses.push(status),
  });
  connection.start();
  return connection;
}

beforeEach(() => {
  world = new World();
  statuses = [];
  frames = [];
});

async function opened(token?: TokenSource): Promise<Connection> {
  const connection = connect(token);
  await settle();
  await world.socket.says(hello(0));
  return connection;
}

describe("connecting", () => {
  test("a ticket opens the socket, so that no token stands in an address", async () => {
    await opened();
    assert.equal(world.socket.url, "ws://service.test/ws/notifications/?ticket=t1");
    assert.equal(world.requests[0]?.token, "token");
    assert.deepEqual(statuses, ["connecting", "open"]);
  });

  test("a ping is answered, and frames that are no frames are ignored", async () => {
    await opened();
    await world.socket.says({ type: "ping", seq: 0 });
    world.socket.onmessage?.({ data: "not json" });
    world.socket.onmessage?.({ data: "[1]" });
    assert.deepEqual(world.socket.sent, [{ type: "pong" }]);
    assert.deepEqual(frames.map(({ type }) => type), ["hello", "ping"]);
  });

  test("a service that does not greet is given up and tried again", async () => {
    connect();
    await world.clock.pass(15_000);
    assert.equal(world.sockets[0]?.isClosed, true);
    assert.equal(statuses[1], "waiting");
  });
});

describe("after a close", () => {
  for (const code of [1000, 1001, 1006, 1012, 4408, 4410, 4503]) {
    test(`${code}: it waits with jitter and connects again`, async () => {
      await opened();
      await world.socket.ends(code);
      assert.equal(world.clock.next, 500); // half of a second, by the draw
      await world.clock.pass(500);
      assert.equal(world.sockets.length, 2);
    });
  }

  test("each failure doubles the wait, until a connection has lasted", async () => {
    const connection = await opened();
    const waits: number[] = [];
    for (let round = 0; round < 4; round++) {
      await world.socket.ends(1006);
      waits.push(world.clock.next ?? 0);
      await world.clock.pass(waits[round] ?? 0);
    }
    assert.deepEqual(waits, [500, 1_000, 2_000, 4_000]);
    await world.socket.says(hello(0));
    await world.clock.pass(10_000);
    await world.socket.ends(1006);
    assert.equal(world.clock.next, 500);
    assert.equal(connection.status, "waiting");
  });

  for (const [code, reason] of [[4403, "wrong_tenant: no"], [4404, "not_found: no"]] as const) {
    test(`${code} is final, until somebody starts it again`, async () => {
      const connection = await opened();
      await world.socket.ends(code, reason);
      await world.clock.pass(3_600_000);
      assert.deepEqual([connection.status, world.sockets.length], ["refused", 1]);
      connection.start();
      await settle();
      assert.equal(world.sockets.length, 2);
    });
  }

  test("4429 is waited out as long as it says, or 30 seconds; waking up does not shorten that", async () => {
    await opened();
    await world.socket.ends(4429, "too_many_commands: Slow down. retry_after=5");
    assert.equal(world.clock.next, 5_500);
    await world.clock.pass(1_000);
    await world.wakes();
    assert.equal(world.clock.next, 4_000);
    await world.clock.pass(4_000);
    await world.socket.ends(4429, "too_many_connections");
    assert.ok((world.clock.next ?? 0) >= 30_000);
  });

  test("4401 gets a new token and connects at once; refused again, it backs off", async () => {
    const asked: boolean[] = [];
    await opened(({ refresh }) => {
      asked.push(refresh);
      return `token${asked.length}`;
    });
    await world.socket.ends(4401, "token_expired: The token has expired.");
    assert.equal(world.sockets.length, 2);
    assert.equal(world.requests.at(-1)?.token, "token2");
    await world.socket.ends(4401, "session_ended: Sign in again.");
    assert.equal(world.sockets.length, 2);
    assert.deepEqual(asked, [false, true, true]);
    assert.equal(statuses.at(-1), "waiting");
  });

  test("4401 with a token that can not be renewed ends it", async () => {
    const connection = await opened("fixed");
    await world.socket.ends(4401, "token_expired");
    await world.clock.pass(60_000);
    assert.deepEqual([connection.status, world.sockets.length], ["unauthenticated", 1]);
  });

  test("a ticket that came too late costs no new token", async () => {
    const asked: boolean[] = [];
    await opened(({ refresh }) => (asked.push(refresh), "token"));
    await world.socket.ends(4401, "ticket_invalid: Used or too old.");
    assert.deepEqual([asked, statuses.at(-1)], [[false], "waiting"]);
  });
});

describe("tickets", () => {
  test("a 401 is answered with a new token, once", async () => {
    const usual = world.answer;
    world.answer = (request) =>
      request.token === "old" ? { status: 401, body: { detail: "no", code: "invalid_token" } } : usual(request);
    await opened(({ refresh }) => (refresh ? "new" : "old"));
    assert.deepEqual(world.requests.map(({ token }) => token), ["old", "new"]);
    assert.equal(statuses.at(-1), "open");
  });

  test("403 is final, 503 waits at least as long as it says, no network waits", async () => {
    world.answer = () => ({ status: 503, body: { detail: "later", code: "unavailable" }, headers: { "Retry-After": "7" } });
    const connection = connect();
    await settle();
    assert.equal(world.clock.next, 7_500);
    world.answer = () => undefined;
    await world.clock.pass(7_500);
    assert.deepEqual([connection.status, world.clock.next], ["waiting", 1_000]);
    world.answer = () => ({ status: 403, body: { detail: "no", code: "permission_denied" } });
    await world.clock.pass(1_000);
    assert.equal(connection.status, "refused");
  });
});

describe("silence", () => {
  test("two and a half heartbeats without a word: it connects anew", async () => {
    await opened();
    await world.clock.pass(60_000);
    await world.socket.says({ type: "ping", seq: 0 });
    await world.clock.pass(62_000);
    assert.equal(world.sockets.length, 1);
    await world.clock.pass(1_500);
    assert.equal(world.sockets.length, 2);
  });

  test("after two hours of sleep it does not wait any more", async () => {
    await opened();
    await world.clock.sleep(7_200_000);
    await world.clock.pass(500);
    assert.equal(world.sockets.length, 2);
  });

  test("woken while it waits, it connects at once", async () => {
    const connection = await opened();
    world.draw = 0.99;
    for (let round = 0; round < 6; round++) {
      await world.socket.ends(1006);
      await world.clock.pass(world.clock.next ?? 0);
    }
    await world.socket.ends(1006);
    assert.ok((world.clock.next ?? 0) > 25_000);
    await world.wakes();
    assert.ok((world.clock.next ?? 0) < 250);
    await world.clock.pass(250);
    assert.equal(connection.status, "connecting");
  });

  test("woken while it is open, it asks, and connects anew if nobody answers", async () => {
    await opened();
    await world.clock.pass(20_000);
    await world.wakes();
    assert.equal(world.socket.all("ping").length, 1);
    await world.clock.pass(100);
    await world.socket.says({ type: "pong" });
    await world.clock.pass(5_000);
    assert.equal(world.sockets.length, 1);
    await world.wakes();
    await world.clock.pass(5_600);
    assert.equal(world.sockets.length, 2);
  });
});

test("stopped, it closes, and nothing that still comes counts", async () => {
  const connection = await opened();
  const { socket } = world;
  connection.stop();
  await socket.ends(1006);
  await world.clock.pass(600_000);
  assert.deepEqual([socket.isClosed, connection.status, world.sockets.length], [true, "idle", 1]);
  assert.equal(connection.send({ type: "ping" }), false);
});
