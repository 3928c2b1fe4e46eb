import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { NotificationClient } from "../src/client/notifications.js";
import type { StreamFrame } from "../src/client/types.js";
import { Clock, FakeBrowser, World, hello, message, settle } from "./world.js";

/** A client in a tab, and what it told its page. */
class Tab {
  readonly client: NotificationClient;
  readonly applied: number[] = [];
  readonly statuses: string[] = [];
  reloads = 0;

  constructor(
    readonly world: World,
    token = tokenOf({ sub: "uma", exp: 1 }),
    share: boolean | string = true,
  ) {
    this.client = new NotificationClient({ baseUrl: "http://service.test", token, share, environment: world.environment });
    this.client.on("change", (frame: StreamFrame) => this.applied.push(frame.seq));
    this.client.on("reload", () => this.reloads++);
    this.client.on("status", ({ status }) => this.statuses.push(status));
  }

  async start(): Promise<this> {
    this.client.start();
    await settle();
    return this;
  }

  get socket() {
    return this.world.socket;
  }
}

function tokenOf(claims: object): string {
  return `h.${btoa(JSON.stringify(claims))}.s`;
}

async function opened(seq = 10): Promise<Tab> {
  const tab = await new Tab(new World()).start();
  await tab.socket.says(hello(seq));
  return tab;
}

/** The connection breaks, and the next one greets. */
async function reconnected(tab: Tab, greeting: ReturnType<typeof hello>): Promise<void> {
  await tab.socket.ends(1012);
  await tab.world.clock.pass(1_000);
  await tab.socket.says(greeting);
}

describe("the stream", () => {
  test("the first connection loads the list and resumes nothing", async () => {
    const tab = await opened();
    assert.deepEqual([tab.reloads, tab.socket.all("resume"), tab.client.position], [1, [], { epoch: "e1", seq: 10 }]);
  });

  test("frames are applied once each, in order; the count is that of the service", async () => {
    const tab = await opened();
    await tab.socket.says(message(11, { unread: 3 }));
    await tab.socket.says(message(11, { unread: 3 }));
    await tab.socket.says({ type: "read", seq: 12, unread: 1, read: true, read_at: "now", all: true });
    assert.deepEqual([tab.applied, tab.client.unread], [[11, 12], 1]);
  });

  test("after a break it resumes from the last number that it processed", async () => {
    const tab = await opened();
    await tab.socket.says(message(11));
    await reconnected(tab, hello(14));
    const [resume] = tab.socket.all("resume");
    assert.deepEqual([resume?.["epoch"], resume?.["seq"]], ["e1", 11]);
    await tab.socket.says(message(15)); // overtakes what it asked for
    for (const seq of [12, 13, 14, 15]) await tab.socket.says(message(seq, { replay: true }));
    await tab.socket.says({ type: "resumed", epoch: "e1", seq: 15, count: 4, unread: 5, ref: resume?.["ref"] });
    await tab.socket.says(message(16));
    assert.deepEqual([tab.applied, tab.reloads], [[11, 12, 13, 14, 15, 16], 1]);
  });

  test("nothing missed, nothing asked", async () => {
    const tab = await opened();
    await reconnected(tab, hello(10));
    await tab.world.clock.pass(5_000);
    assert.deepEqual(tab.socket.all("resume"), []);
  });

  test("resync loads the list and goes on from there", async () => {
    const tab = await opened();
    await reconnected(tab, hello(900));
    await tab.socket.says({ type: "resync", reason: "too_many", epoch: "e1", seq: 900, unread: 7 });
    await tab.socket.says(message(901));
    assert.deepEqual([tab.reloads, tab.applied, tab.client.unread], [2, [901], 901]);
  });

  test("another epoch is asked about, and ends in a resync", async () => {
    const tab = await opened();
    await reconnected(tab, hello(3, { epoch: "e2" }));
    assert.equal(tab.socket.all("resume")[0]?.["epoch"], "e1");
    await tab.socket.says({ type: "resync", reason: "epoch_over", epoch: "e2", seq: 3, unread: 0 });
    assert.deepEqual([tab.reloads, tab.client.position], [2, { epoch: "e2", seq: 3 }]);
  });

  test("a heartbeat that names a higher number is believed after a second", async () => {
    const tab = await opened();
    await tab.socket.says({ type: "ping", epoch: "e1", seq: 12 });
    assert.deepEqual(tab.socket.all("resume"), []);
    await tab.world.clock.pass(1_000);
    assert.equal(tab.socket.all("resume")[0]?.["seq"], 10);
  });

  test("a gap that the service closes by itself is not asked about", async () => {
    const tab = await opened();
    await tab.socket.says(message(12));
    await tab.socket.says(message(11));
    await tab.socket.says(message(12));
    await tab.world.clock.pass(5_000);
    assert.deepEqual([tab.applied, tab.socket.all("resume")], [[11, 12], []]);
  });

  test("a question without an answer is asked again", async () => {
    const tab = await opened();
    await reconnected(tab, hello(12));
    await tab.world.clock.pass(11_500);
    assert.equal(tab.socket.all("resume").length, 2);
  });
});

describe("tabs", () => {
  let browser: FakeBrowser;
  let clock: Clock;
  let first: Tab;
  let second: Tab;

  beforeEach(async () => {
    browser = new FakeBrowser();
    clock = new Clock();
    first = await new Tab(World.tab(browser, clock)).start();
    await first.socket.says(hello(10, { unread: 4 }));
    second = await new Tab(World.tab(browser, clock), tokenOf({ exp: 99, sub: "uma" })).start();
  });

  test("share one socket, and agree on position and count", async () => {
    await first.socket.says(message(11, { unread: 5 }));
    assert.deepEqual([first.world.sockets.length, second.world.sockets.length], [1, 0]);
    assert.deepEqual([first.applied, second.applied], [[11], [11]]);
    assert.deepEqual([first.client.unread, second.client.unread], [5, 5]);
    assert.deepEqual([second.client.status, second.reloads, second.client.position], ["open", 1, { epoch: "e1", seq: 11 }]);
  });

  test("the second takes over when the first goes, and misses nothing", async () => {
    await first.socket.says(message(11));
    await first.world.leaves();
    assert.equal(first.socket.isClosed, true);
    assert.equal(second.world.sockets.length, 1);
    await second.socket.says(hello(13, { connection_id: "c2" }));
    assert.equal(second.socket.all("resume")[0]?.["seq"], 11);
    for (const seq of [12, 13]) await second.socket.says(message(seq, { replay: true }));
    assert.deepEqual(second.applied, [11, 12, 13]);
  });

  test("a tab that comes back from the page cache joins again and catches up", async () => {
    await first.world.leaves();
    await second.socket.says(hello(10, { connection_id: "c2" }));
    await second.socket.says(message(11));
    await first.world.wakes();
    assert.deepEqual([first.client.status, first.world.sockets.length], ["open", 1]);
    await clock.pass(1_000);
    const [asked] = second.socket.all("resume");
    assert.equal(asked?.["seq"], 10);
    await second.socket.says(message(11, { replay: true }));
    await second.socket.says({ type: "resumed", epoch: "e1", seq: 11, count: 1, unread: 1, ref: asked?.["ref"] });
    assert.deepEqual([first.applied, second.applied, first.reloads], [[11], [11], 1]);
  });

  test("a third that lags asks through the one that leads; the others apply nothing twice", async () => {
    const third = await new Tab(World.tab(browser, clock)).start();
    const channels = [...browser.channels.values()][0];
    const deaf = [...(channels ?? [])][2];
    const listen = deaf?.onmessage ?? null;
    if (deaf) deaf.onmessage = null; // the browser loses what is said to it
    await first.socket.says(message(11));
    if (deaf) deaf.onmessage = listen;
    await first.socket.says(message(12));
    await clock.pass(1_000);
    const [asked] = first.socket.all("resume");
    assert.equal(asked?.["seq"], 10);
    for (const seq of [11, 12]) await first.socket.says(message(seq, { replay: true }));
    await first.socket.says({ type: "resumed", epoch: "e1", seq: 12, count: 2, unread: 2, ref: asked?.["ref"] });
    assert.deepEqual([first.applied, second.applied, third.applied], [[11, 12], [11, 12], [11, 12]]);
    assert.equal(third.reloads, 1);
  });

  test("what ends the connection of one tab lets another try", async () => {
    await first.socket.ends(4401, "session_ended");
    assert.equal(first.client.status, "unauthenticated");
    assert.equal(second.world.sockets.length, 1);
    await second.socket.says(hello(10, { connection_id: "c2" }));
    assert.deepEqual([first.client.status, second.client.status], ["open", "open"]);
  });

  test("what ends the connections of all tabs is not tried for ever", async () => {
    await first.socket.ends(4401, "session_ended");
    await second.socket.ends(4401, "session_ended");
    await clock.pass(600_000);
    assert.deepEqual([first.client.status, second.client.status], ["unauthenticated", "unauthenticated"]);
    assert.deepEqual([first.world.sockets.length, second.world.sockets.length], [1, 1]);
  });

  test("a waking tab makes the one that leads look at its socket", async () => {
    await clock.pass(10);
    await second.world.wakes();
    assert.equal(first.socket.all("ping").length, 1);
  });

  test("topics of all tabs are followed, again after a break", async () => {
    const seen: string[] = [];
    second.client.follow("progress", ({ id }) => seen.push(id));
    await settle();
    assert.deepEqual(first.socket.all("subscribe").map(({ topics }) => topics), [["progress"]]);
    await first.socket.ends(1012);
    await clock.pass(1_000);
    await first.socket.says(hello(10, { connection_id: "c3" }));
    assert.deepEqual(first.socket.all("subscribe").map(({ topics }) => topics), [["progress"]]);
    await first.socket.says({ type: "progress", kind: "campaign", id: "x" });
    assert.deepEqual(seen, ["x"]);
  });

  test("other people, and those who do not want to, have sockets of their own", async () => {
    const other = await new Tab(World.tab(browser, clock), tokenOf({ sub: "ada" })).start();
    const alone = await new Tab(World.tab(browser, clock), undefined, false).start();
    assert.deepEqual([other.world.sockets.length, alone.world.sockets.length], [1, 1]);
    await first.socket.says(message(11));
    assert.deepEqual([other.applied, alone.applied], [[], []]);
  });
});

describe("another token", () => {
  test("of the same person changes nothing, and revives what had ended", async () => {
    const tab = await opened();
    await tab.client.setToken(tokenOf({ sub: "uma", exp: 2 }));
    assert.deepEqual([tab.world.sockets.length, tab.reloads], [1, 1]);
    await tab.socket.ends(4401, "token_expired");
    assert.equal(tab.client.status, "unauthenticated");
    await tab.client.setToken(tokenOf({ sub: "uma", exp: 3 }));
    await settle();
    assert.equal(tab.world.sockets.length, 2);
    assert.deepEqual(tab.client.position, { epoch: "e1", seq: 10 });
  });

  test("of somebody else begins anew", async () => {
    const tab = await opened();
    await tab.client.setToken(tokenOf({ sub: "ada" }));
    await settle();
    assert.equal(tab.world.sockets[0]?.isClosed, true);
    await tab.socket.says(hello(2, { epoch: "e9" }));
    assert.deepEqual([tab.client.position, tab.reloads], [{ epoch: "e9", seq: 2 }, 2]);
  });
});

test("a function for tokens that fails is asked again", async () => {
  const world = new World();
  let calls = 0;
  const token = async () => {
    if (++calls < 3) throw new Error("offline");
    return "token";
  };
  const client = new NotificationClient({ baseUrl: "http://service.test", token, environment: world.environment });
  client.start();
  await world.clock.pass(0);
  assert.equal(client.status, "waiting");
  await world.clock.pass(5_000);
  assert.deepEqual([client.status, calls, world.sockets.length], ["connecting", 3, 1]);
});
