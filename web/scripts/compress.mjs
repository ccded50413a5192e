// Puts a .br and a .gz beside every text file of the build, so that the web server compresses nothing while it serves.
// Also holds the line on what the first view costs: more JavaScript than that is a failed build.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import zlib from "node:zlib";

const FIRST_VIEW_LIMIT = 150 * 1024;
const dist = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../dist/functions-admin/ui");

function compress(file) {
  const data = fs.readFileSync(file);
  const best = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 11, [zlib.constants.BROTLI_PARAM_SIZE_HINT]: data.length } };
  fs.writeFileSync(`${file}.br`, zlib.brotliCompressSync(data, best));
  fs.writeFileSync(`${file}.gz`, zlib.gzipSync(data, { level: 9 }));
}

for (const name of fs.readdirSync(dist, { recursive: true })) {
  if (/\.(html|js|css|svg)$/.test(name)) compress(path.join(dist, name));
}

const page = fs.readFileSync(path.join(dist, "index.html"), "utf8");
if (/<script(?![^>]*\bsrc=)|<style|\son[a-z]+=|\sstyle=/i.test(page)) throw new Error("index.html holds inline script or style, which the content policy refuses");
const scripts = [...page.matchAll(/(?:src|href)="\/functions-admin\/ui\/(assets\/[^"]+\.js)"/g)].map((match) => match[1]);
const bytes = scripts.reduce((sum, script) => sum + fs.statSync(path.join(dist, `${script}.gz`)).size, 0);
console.log(`JavaScript of the first view: ${(bytes / 1024).toFixed(1)} KiB compressed with gzip`);
if (bytes === 0 || bytes > FIRST_VIEW_LIMIT) throw new Error(`the first view may have at most ${FIRST_VIEW_LIMIT} bytes of compressed JavaScript`);
