// Stands where PostgreSQL's socket would be, counts the places before, between and after the statements of the scripts that go by, and
// puts a statement of the test into one of them.
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

const TOKEN = /--[^\n]*|\/\*[^]*?\*\/|'[^']*'|"[^"]*"|\$(\w*)\$[^]*?\$\1\$|;/g;

/** Where statements end in a script; behind its last one, whether or not that has a semicolon. */
export function endsOf(script) {
  const ends = [...script.matchAll(TOKEN)].filter(([token]) => token === ';').map(({ index }) => index + 1);
  const rest = script.slice(ends.at(-1) ?? 0).replace(TOKEN, '').trim();
  return rest === '' ? ends : [...ends, script.length];
}

/** A proxy in `folder` for the server. `places` are those that went by since begin(): {script, end} each. */
export async function betweenStatements(server, folder) {
  const sockets = new Set();
  let harm, places = [];

  function changed(script) {
    const ends = [0, ...endsOf(script)], first = places.length;
    places.push(...ends.map((end) => ({ script, end })));
    if (!harm || harm.place < first || harm.place >= places.length) return script;
    const end = ends[harm.place - first];
    return `${script.slice(0, end)}\n; ${harm.statement};\n${script.slice(end)}`;
  }

  const proxy = net.createServer((client) => {
    const upstream = net.connect(path.join(server.folder, '.s.PGSQL.5432'));
    let bytes = Buffer.alloc(0), started = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => { sockets.delete(socket); client.destroy(); upstream.destroy(); });
    }
    upstream.pipe(client);
    client.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (;;) {
        // The first message has no type.
        const type = started ? 1 : 0;
        if (bytes.length < type + 4) return;
        const whole = type + bytes.readInt32BE(type);
        if (bytes.length < whole) return;
        let message = bytes.subarray(0, whole);
        bytes = bytes.subarray(whole);
        if (type && message[0] === 'Q'.charCodeAt(0)) {
          const text = Buffer.from(`${changed(message.subarray(5, -1).toString())}\0`), head = Buffer.alloc(5, 'Q');
          head.writeInt32BE(4 + text.length, 1);
          message = Buffer.concat([head, text]);
        }
        started = true;
        upstream.write(message);
      }
    });
  });
  await new Promise((resolve) => { proxy.listen(path.join(folder, '.s.PGSQL.5432'), resolve); });
  fs.chmodSync(path.join(folder, '.s.PGSQL.5432'), 0o777);
  return {
    get places() { return places; },
    /** From here on the places are counted anew; `statement` is put into this one. */
    begin(place, statement) {
      harm = statement && { place, statement };
      places = [];
    },
    close() {
      proxy.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
