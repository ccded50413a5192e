// A tiny FastCGI peer: it talks to the program as nginx does, but checks, buffers and normalises nothing, so that what
// nginx would refuse by itself reaches the program.
import net from 'node:net';

const BEGIN = 1, ABORT = 2, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6, STDERR = 7;

function record(type, content) {
  const head = Buffer.alloc(8);
  head[0] = 1;
  head[1] = type;
  head.writeUInt16BE(1, 2);
  head.writeUInt16BE(content.length, 4);
  return Buffer.concat([head, content]);
}

// A stream is records of at most 65,535 bytes and an empty one at its end.
function stream(type, content, { end = true } = {}) {
  const records = [];
  for (let at = 0; at < content.length; at += 65528) records.push(record(type, content.subarray(at, at + 65528)));
  if (end) records.push(record(type, Buffer.alloc(0)));
  return Buffer.concat(records);
}

function length(n) {
  if (n < 128) return Buffer.from([n]);
  const four = Buffer.alloc(4);
  four.writeUInt32BE((n | 0x80000000) >>> 0);
  return four;
}

function params(pairs) {
  return Buffer.concat(Object.entries(pairs).filter(([, value]) => value !== undefined).flatMap(([name, value]) => {
    const [n, v] = [Buffer.from(name), Buffer.isBuffer(value) ? value : Buffer.from(String(value))];
    return [length(n.length), length(v.length), n, v];
  }));
}

function parse(stdout) {
  const split = stdout.indexOf('\r\n\r\n');
  if (split < 0) throw new Error(`no response head: ${JSON.stringify(stdout.toString().slice(0, 200))}`);
  const headers = {};
  for (const line of stdout.subarray(0, split).toString('latin1').split('\r\n')) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const body = stdout.subarray(split + 4);
  return { status: parseInt(headers.status ?? '200', 10), headers, body, text: body.toString() };
}

/**
 * Starts a request. `address` is a socket's path or {host, port}. Headers become HTTP_ variables; `params` adds to the
 * variables or, with undefined, takes them away. `contentLength` may lie. With `hold`, the body's end is sent by finish().
 */
export function begin(address, { method = 'GET', path = '/', headers = {}, body = '', params: more = {}, contentLength, hold = false } = {}) {
  const content = Buffer.isBuffer(body) ? body : Buffer.from(body);
  const variables = {
    REQUEST_METHOD: method, REQUEST_URI: path, QUERY_STRING: path.split('?').slice(1).join('?'), REMOTE_ADDR: '192.0.2.7',
    SERVER_PROTOCOL: 'HTTP/1.1', GATEWAY_INTERFACE: 'CGI/1.1',
    CONTENT_LENGTH: contentLength ?? (content.length > 0 || !['GET', 'HEAD', 'DELETE'].includes(method) ? content.length : ''),
  };
  for (const [name, value] of Object.entries(headers)) {
    const variable = name.toUpperCase().replaceAll('-', '_');
    variables[variable === 'CONTENT_TYPE' ? variable : `HTTP_${variable}`] = value;
  }
  const socket = net.connect(typeof address === 'string' ? { path: address } : address);
  const role = Buffer.alloc(8);
  role[1] = 1;
  socket.write(Buffer.concat([record(BEGIN, role), stream(PARAMS, params({ ...variables, ...more })), stream(STDIN, content, { end: !hold })]));

  const response = new Promise((resolve, reject) => {
    let pending = Buffer.alloc(0), ended = false;
    const out = [], errors = [];
    socket.setTimeout(60_000, () => socket.destroy(new Error(`no answer within a minute: ${method} ${path}`)));
    socket.on('error', reject);
    socket.on('close', () => { if (!ended) reject(new Error(`the connection closed before the answer's end: ${method} ${path}`)); });
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 8) {
        const size = pending.readUInt16BE(4), whole = 8 + size + pending[6];
        if (pending.length < whole) return;
        const data = pending.subarray(8, 8 + size);
        if (pending[1] === STDOUT) out.push(data);
        if (pending[1] === STDERR) errors.push(data);
        if (pending[1] === END) {
          ended = true;
          socket.end();
          try {
            resolve({ ...parse(Buffer.concat(out)), errors: Buffer.concat(errors).toString() });
          } catch (error) { reject(error); }
        }
        pending = pending.subarray(whole);
      }
    });
  });
  return {
    response, socket,
    send: (data) => socket.write(stream(STDIN, Buffer.from(data), { end: false })),
    finish: () => socket.write(record(STDIN, Buffer.alloc(0))),
    abort: () => socket.write(record(ABORT, Buffer.alloc(0))),
  };
}

/** One request and its answer: {status, headers, body, text, json}. */
export async function request(address, options) {
  const answer = await begin(address, options).response;
  return Object.defineProperty(answer, 'json', { get: () => JSON.parse(answer.text) });
}
