// Build, check and test. `node build.mjs` writes dist/; `--check` builds beside it and fails if dist/ differs or a
// bundle is too big; `--types` checks the types; `--test` runs the unit tests. Only faults are printed, and sizes.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const HERE = fileURLToPath(new URL(".", import.meta.url));
/**
 * Octets, gzipped: what a page may have to load at once, which is the bundle with all that it imports statically; and
 * in all, with what the panel loads later, in the language that takes most.
 */
const LIMITS = { "notification-inbox.js": { atOnce: 15_000, inAll: 21_500 } };

const options = {
  absWorkingDir: HERE,
  bundle: true,
  format: "esm",
  target: ["chrome123", "firefox125", "safari17.5"],
  charset: "utf8",
  logLevel: "warning",
};

/** Milliseconds that anything may take. */
const PATIENCE = 120_000;

/** Each directory of src/ with an index.ts becomes dist/notification-<name>.js; what several need has files of its own. */
async function buildInto(directory) {
  const rooms = readdirSync(join(HERE, "src")).filter((name) => existsSync(join(HERE, "src", name, "index.ts")));
  await build({
    ...options,
    entryPoints: Object.fromEntries(rooms.map((name) => [`notification-${name}`, `src/${name}/index.ts`])),
    outdir: directory,
    splitting: true,
    chunkNames: "[name]-[hash]",
    minify: true,
    plugins: [minifiedStyles],
  });
  leaveAddressesAlone(directory);
  compile(HERE, "--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", join(directory, "types"));
}

/**
 * Tell bundlers that what src/ui/later.ts imports by a whole address is not theirs, by comments in the words
 * of Vite and webpack; in the source they would not outlive the minifier.
 */
function leaveAddressesAlone(directory) {
  let found = 0;
  for (const [name, content] of filesIn(directory)) {
    const marked = content.toString().replace(/import\((?=\w+\.href\))/g, () => {
      found++;
      return "import(/*@vite-ignore*//*webpackIgnore:true*/";
    });
    if (name.endsWith(".js")) writeFileSync(join(directory, name), marked);
  }
  if (found !== 1) throw new Error(`There should be one import of an address, not ${found}.`);
}

/** Run the TypeScript compiler on a directory with a tsconfig.json. Throws if it finds faults. */
function compile(directory, ...options) {
  const compiler = join(HERE, "node_modules", "typescript", "bin", "tsc");
  execFileSync(process.execPath, [compiler, "-p", directory, ...options], { stdio: "inherit", timeout: PATIENCE });
}

/** `import css from "./x.css"` gives the text of the minified file. */
const minifiedStyles = {
  name: "minified-styles",
  setup(bundler) {
    bundler.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { outputFiles } = await build({ ...options, entryPoints: [path], minify: true, write: false, bundle: false });
      return { contents: outputFiles[0].text.trim(), loader: "text" };
    });
  },
};

/** Every file below a directory, by its path from there. */
function filesIn(directory) {
  const found = new Map();
  const walk = (inner) => {
    for (const name of readdirSync(inner).sort()) {
      const path = join(inner, name);
      if (statSync(path).isDirectory()) walk(path);
      else found.set(relative(directory, path), readFileSync(path));
    }
  };
  if (existsSync(directory)) walk(directory);
  return found;
}

/**
 * Print how much a page loads for each bundle, gzipped: at once, which is the file and all that it imports statically;
 * later, which is what each dynamic import adds to that; and in all. Of languages one is loaded: the biggest counts.
 * True if nothing is too big.
 */
function printSizes(directory) {
  let fine = true;
  const files = filesIn(directory);
  const zipped = (names) => [...names].reduce((sum, name) => sum + gzipSync(files.get(name), { level: 9 }).length, 0);
  const tell = (what, octets, limit = Infinity) => {
    console.log(`${what.padEnd(32)} ${String(octets).padStart(6)} octets gzipped${limit < Infinity ? ` (at most ${limit})` : ""}`);
    if (octets <= limit) return;
    console.error(`${what} is too big.`);
    fine = false;
  };
  for (const name of files.keys()) {
    if (!name.startsWith("notification-")) continue;
    const atOnce = withImports(files, name);
    const { atOnce: limit, inAll } = LIMITS[name] ?? {};
    tell(`${name} at once`, zipped(atOnce), limit);
    const later = [...new Set([...atOnce].flatMap((each) => importsOf(files, each, DYNAMIC)))].map((each) => {
      const added = zipped([...withImports(files, each)].filter((other) => !atOnce.has(other)));
      tell(`  later ${each}`, added);
      return { added, isLanguage: LANGUAGE.test(each) };
    });
    if (!later.length) continue;
    const languages = later.filter((each) => each.isLanguage).map((each) => each.added);
    const others = later.filter((each) => !each.isLanguage).map((each) => each.added);
    tell("  in all", [zipped(atOnce), ...others, Math.max(0, ...languages)].reduce((sum, each) => sum + each), inAll);
  }
  return fine;
}

/** Names of files of languages: `de-….js`, `pt-br-….js`. */
const LANGUAGE = /^[a-z]{2}(-[a-z]{2})?-[A-Z0-9]+\.js$/;
const STATIC = /(?:from|import)"\.\/([\w.-]+\.js)"/g;
const DYNAMIC = /import\("\.\/([\w.-]+\.js)"\)/g;

function importsOf(files, name, kind) {
  return [...files.get(name).toString().matchAll(kind)].map(([, imported]) => imported);
}

/** A file and all that it imports statically, also through others. */
function withImports(files, name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const imported of importsOf(files, name, STATIC)) withImports(files, imported, found);
  return found;
}

function differences(wanted, present) {
  const names = [...new Set([...wanted.keys(), ...present.keys()])].sort();
  return names.filter((name) => !(wanted.has(name) && present.has(name) && wanted.get(name).equals(present.get(name))));
}

async function inTemporaryDirectory(work) {
  const directory = mkdtempSync(join(tmpdir(), "notification-client-"));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function check() {
  return inTemporaryDirectory(async (directory) => {
    await buildInto(directory);
    const different = differences(filesIn(directory), filesIn(join(HERE, "dist")));
    for (const name of different) console.error(`dist/${name} is not what the sources say.`);
    if (different.length) console.error("Run: make dist");
    return printSizes(directory) && different.length === 0;
  });
}

async function test() {
  return inTemporaryDirectory(async (directory) => {
    const sources = readdirSync(join(HERE, "test")).filter((name) => name.endsWith(".test.ts"));
    await build({
      ...options,
      target: "node18",
      platform: "node",
      entryPoints: sources.map((name) => join("test", name)),
      outdir: directory,
      outExtension: { ".js": ".mjs" },
      sourcemap: "inline",
    });
    const files = sources.map((name) => join(directory, `${basename(name, ".ts")}.mjs`));
    const node = ["--enable-source-maps", "--test", ...files];
    const { status, stdout, stderr, error } = spawnSync(process.execPath, node, { encoding: "utf8", timeout: PATIENCE });
    if (status !== 0) console.error(stdout, stderr, error ?? "");
    return status === 0;
  });
}

async function write() {
  const directory = join(HERE, "dist");
  rmSync(directory, { recursive: true, force: true });
  await buildInto(directory);
  return printSizes(directory);
}

function types() {
  compile(HERE, "--noEmit");
  compile(join(HERE, "test"), "--noEmit");
  return true;
}

const jobs = { "--check": check, "--types": types, "--test": test };
const fine = await (jobs[process.argv[2]] ?? write)();
process.exit(fine ? 0 : 1);
