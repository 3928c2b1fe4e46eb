// Build, check and test. `node build.mjs` writes dist/; `--check` builds beside it and fails if dist/ differs or a
// bundle is too big; `--test` runs the unit tests.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const HERE = fileURLToPath(new URL(".", import.meta.url));
/** Octets, gzipped, that a bundle may have. */
const LIMITS = { "notification-inbox.js": 15_000 };

const options = {
  absWorkingDir: HERE,
  bundle: true,
  format: "esm",
  target: ["chrome111", "firefox113", "safari16.4"],
  charset: "utf8",
  logLevel: "warning",
};

/** Each directory of src/ with an index.ts becomes dist/notification-<name>.js; what several need has files of its own. */
async function buildInto(directory) {
  const rooms = readdirSync(join(HERE, "src")).filter((name) => existsSync(join(HERE, "src", name, "index.ts")));
  await build({
    ...options,
    entryPoints: Object.fromEntries(rooms.map((name) => [`notification-${name}`, `src/${name}/index.ts`])),
    outdir: directory,
    splitting: true,
    chunkNames: "shared-[hash]",
    minify: true,
    plugins: [minifiedStyles],
  });
  const compiler = join(HERE, "node_modules", "typescript", "bin", "tsc");
  const declarations = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", join(directory, "types")];
  execFileSync(process.execPath, [compiler, "-p", HERE, ...declarations], { stdio: "inherit" });
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

/** Print how big the bundles are, gzipped, alone and with the files that they import; true if none is too big. */
function printSizes(directory) {
  let fine = true;
  const files = filesIn(directory);
  const zipped = (name) => gzipSync(files.get(name), { level: 9 }).length;
  for (const name of files.keys()) {
    if (!name.startsWith("notification-")) continue;
    const all = [...withImports(files, name)].reduce((sum, each) => sum + zipped(each), 0);
    const limit = LIMITS[name];
    const note = limit === undefined ? "" : ` (at most ${limit})`;
    console.log(`${name.padEnd(24)} ${String(zipped(name)).padStart(6)} octets gzipped${note}, ${all} with what it imports`);
    if (zipped(name) <= (limit ?? Infinity)) continue;
    console.error(`${name} is too big.`);
    fine = false;
  }
  return fine;
}

function withImports(files, name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  const imports = files.get(name).toString().matchAll(/(?:from|import)"\.\/([\w.-]+\.js)"/g);
  for (const [, imported] of imports) withImports(files, imported, found);
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
    return spawnSync(process.execPath, node, { stdio: "inherit", timeout: 120_000 }).status === 0;
  });
}

async function write() {
  const directory = join(HERE, "dist");
  rmSync(directory, { recursive: true, force: true });
  await buildInto(directory);
  return printSizes(directory);
}

const jobs = { "--check": check, "--test": test };
const fine = await (jobs[process.argv[2]] ?? write)();
process.exit(fine ? 0 : 1);
